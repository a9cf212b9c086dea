#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "client/chain/rpc_client.h"
#include "client/chain/store.h"
#include "schnorr/ecdsa_key.h"
#include "settlement/evm/fees.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace nostril::client::chain {

struct SenderSettings {
  std::uint64_t chain_id = 0;
  settlement::evm::FeePolicy fees;
  std::uint64_t confirmations = 1;  ///< until a transaction counts as done
  std::int64_t replace_s = 60;      ///< unmined so long: once more with higher fees
  std::int64_t wait_s_max = 600;    ///< that send() waits; the transaction goes on without it
  std::uint64_t poll_ms = 1'000;
};

/// A transaction to be made.
struct Wish {
  std::string purpose;  ///< a few words, for the history
  EthereumAddress to;
  Uint128 value = 0;
  Bytes data;
};

/// Sends an account's transactions, one after the other. Each is on the disk, signed, before any
/// endpoint sees it, and the next nonce is not used before it has ended: whenever the process
/// dies, the next one sends the same bytes again, so that nothing is made twice and nothing lost.
/// What takes too long is replaced under the same nonce with fees an eighth higher, up to the cap.
/// A transaction that a re-org threw out is sent again.
/// Threads: one; one process at a time (lock_sender()).
class Sender {
 public:
  Sender(RpcClient& rpc, ChainStore& store, const EcdsaKey& key, const SenderSettings& settings,
         Clock& clock);

  [[nodiscard]] const EthereumAddress& account() const { return account_; }

  /// Called with a line when something takes its time.
  void on_progress(std::function<void(const std::string&)> callback) {
    progress_ = std::move(callback);
  }

  /// Ends what earlier runs have left; nothing to do is fine.
  [[nodiscard]] Result<void, std::string> finish_pending();

  /// Makes it, and waits until it is in a block with its confirmations. One that does the same and
  /// is pending, or done and not acknowledged, counts as this one: a wish that is repeated because
  /// the process died is fulfilled once. The error is a line for the user; the transaction may
  /// still be under way then, and the line says so.
  [[nodiscard]] Result<StoredTransaction, std::string> send(const Wish& wish);

  /// Whoever wished for what has ended was told so: the same wish is a new one from now on.
  [[nodiscard]] Result<void, std::string> acknowledge();

 private:
  [[nodiscard]] Result<std::uint64_t, std::string> nonce_on_chain();
  [[nodiscard]] Result<settlement::evm::FeeHistory, std::string> fee_history();
  [[nodiscard]] Result<std::uint64_t, std::string> estimate(const Wish& wish);
  [[nodiscard]] Result<void, std::string> check_funds(const settlement::evm::Transaction& wanted);
  [[nodiscard]] Result<StoredTransaction, std::string> sign_new(const Wish& wish,
                                                                std::uint64_t nonce);
  void broadcast(const StoredTransaction& transaction);
  [[nodiscard]] Result<StoredTransaction, std::string> wait(StoredTransaction transaction);
  enum class Seen : std::uint8_t { Nowhere, InBlock, Ended };
  [[nodiscard]] Result<Seen, std::string> look(StoredTransaction& transaction);
  void replace_if_late(StoredTransaction& transaction);
  [[nodiscard]] std::optional<StoredTransaction> unfinished(std::uint64_t nonce);
  [[nodiscard]] std::optional<StoredTransaction> untold(const Wish& wish);
  void say(const std::string& line) const;

  RpcClient& rpc_;
  ChainStore& store_;
  const EcdsaKey& key_;
  const SenderSettings settings_;
  Clock& clock_;
  const EthereumAddress account_;
  std::function<void(const std::string&)> progress_;
  std::string last_refusal_;
};

}  // namespace nostril::client::chain
