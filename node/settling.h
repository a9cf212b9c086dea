#pragma once

#include "base/clock.h"
#include "client/chain/rpc_client.h"
#include "client/journal.h"
#include "net/loop.h"
#include "node/config.h"
#include "node/contract_rail.h"
#include "schnorr/ecdsa_key.h"
#include "settlement/evm/signed_order.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace nostril::node {

/// What a round of settling did, for who asked.
struct SettleRound {
  std::shared_ptr<const ChainView> view;  ///< none: the chain could not be followed
  std::size_t claimed_rows = 0;           ///< in a block now
  Uint128 claimable = 0;                  ///< what receipts were worth beyond what was claimed
  std::string problem;                    ///< a line for the operator; empty: none
};

/// Follows the contract and claims: one round after the other, for the running node and for
/// `nostril-node settle`. State: DATA/chain (client/chain/store.h), shared by both.
/// Threads: one.
class Settler {
 public:
  /// Throws std::runtime_error with a line for the operator. `config` without a problem().
  Settler(const NodeConfig& config, client::Journal& journal, EcdsaKey key, Clock& clock);
  ~Settler();
  Settler(const Settler&) = delete;
  Settler& operator=(const Settler&) = delete;

  /// `asked`: claim whatever is worth something.
  [[nodiscard]] SettleRound round(bool asked);
  /// Brings a user's order for a channel with this node. A line for the operator.
  [[nodiscard]] Result<std::string, std::string> bring(const settlement::evm::SignedOrder& order);
  /// Waits until the next one; less when stop() is called.
  void pause();
  /// Any thread.
  void stop();
  [[nodiscard]] bool stopped() const;

  /// Another process may ask the running node to claim; the wish is forgotten once seen.
  static constexpr const char* kClaimWanted = "claim-wanted";
  /// The same with an order: its text, answered once and forgotten. The answer: the order's id in
  /// hex, "=" or "!" for well or not, and what bring() said.
  static constexpr const char* kOrderWanted = "order-wanted";
  static constexpr const char* kOrderAnswered = "order-answered";

 private:
  struct Parts;
  [[nodiscard]] std::string claim(SettleRound& out, bool asked);
  [[nodiscard]] std::string bring_wanted();
  [[nodiscard]] bool all_is_read() const;
  [[nodiscard]] std::string give_back(const ChainView& view);
  [[nodiscard]] std::string pay_shares();

  std::unique_ptr<Parts> parts_;
};

/// A Settler on a thread of its own beside the node's loop.
/// Threads: the loop's only. Destruction stops a round under way; it goes on at the next start.
class Settling {
 public:
  /// `on_view` is called on the loop with each new view.
  Settling(const NodeConfig& config, client::Journal& journal, EcdsaKey key, net::Loop& loop,
           Clock& clock, std::function<void(std::shared_ptr<const ChainView>)> on_view);
  ~Settling();
  Settling(const Settling&) = delete;
  Settling& operator=(const Settling&) = delete;

  /// For Prometheus: sums and states, no channel's.
  [[nodiscard]] std::string metrics_text() const;

 private:
  struct Alive {};

  /// Since the start; the loop's.
  struct Figures {
    std::shared_ptr<const ChainView> view;
    Uint128 claimable = 0;
    std::uint64_t rounds = 0;
    std::uint64_t failed = 0;
    std::uint64_t claimed_rows = 0;
  };

  void work();
  void on_round(const SettleRound& round);

  net::Loop& loop_;
  Clock& clock_;
  std::function<void(std::shared_ptr<const ChainView>)> on_view_;
  Figures figures_;
  Settler settler_;
  std::shared_ptr<Alive> alive_ = std::make_shared<Alive>();
  std::thread thread_;
};

/// The account of the configuration; made when its file is not there. Throws std::runtime_error.
[[nodiscard]] EcdsaKey settlement_key(const NodeConfig& config, Rng& rng);

}  // namespace nostril::node
