#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/journal.h"
#include "client/lightning_book.h"
#include "client/wallet_connect.h"
#include "net/loop.h"
#include "node/answering.h"
#include "node/config.h"
#include "node/rail.h"
#include "schnorr/verify.h"
#include "settlement/lightning/desk.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace nostril::node {

/// Deposits over Lightning back channels: what came in, less what went back, and the step that the
/// operator gives on trust. Threads: the loop's only.
class DepositRail final : public Rail {
 public:
  explicit DepositRail(settlement::lightning::Msat step) : step_(step) {}

  /// Until then nothing but the step backs a channel. `book` outlives every later call.
  void follow(const client::LightningBook& book) { book_ = &book; }

  [[nodiscard]] Result<settlement::ChannelTerms, std::string> channel(
      const PaymentTerms& payment, const Offer& offer) const override;
  [[nodiscard]] std::optional<Amount> backing(const settlement::ChannelTerms& terms) const override;

 private:
  const settlement::lightning::Msat step_;
  const client::LightningBook* book_ = nullptr;
};

/// Takes deposits and pays them back: invoices of the node's own wallet service, over NIP-47. Each
/// payment is in the journal before anything is sent; what a crash left is looked up and ended.
/// Threads: the loop's only.
class LightningDesk {
 public:
  static constexpr std::size_t kWaitingMax = 256;       ///< deposits that nobody has paid yet
  static constexpr std::size_t kChannelWaitingMax = 4;  ///< of one channel

  struct Callbacks {
    /// What a channel's statements come to.
    std::function<Amount(const settlement::ChannelTerms&)> spent;
    /// Something else stands behind some channel.
    std::function<void()> on_backing;
  };

  /// Throws std::runtime_error with a line for the operator. `config` without a problem().
  LightningDesk(const NodeConfig& config, client::Journal& journal, const PublicKey& node,
                net::Loop& loop, Clock& clock, Rng& rng, Callbacks callbacks);
  ~LightningDesk();
  LightningDesk(const LightningDesk&) = delete;
  LightningDesk& operator=(const LightningDesk&) = delete;

  [[nodiscard]] const client::LightningBook& book() const { return book_; }

  /// For Prometheus: sums and states, no word of a payer.
  [[nodiscard]] std::string metrics_text() const;

  using Done = std::function<void(const Result<std::string, AnswerRefusal>&)>;

  /// Answers a request's body with one; `done` comes once, perhaps at once.
  void handle(std::string_view body, Done done);

 private:
  using Payment = settlement::lightning::Payment;

  void deposit(const settlement::ChannelTerms& terms, const settlement::lightning::AskDeposit& wish,
               Done done);
  void on_invoice(const settlement::ChannelTerms& terms, settlement::lightning::Msat amount,
                  const client::WalletReply& reply, const Done& done);
  void refund(const settlement::ChannelTerms& terms, const settlement::lightning::AskRefund& wish,
              Done done);
  void pay(const Payment& payment);
  void keep(const Payment& payment);
  void poll();
  void look_up(const Payment& payment);
  void on_lookup(const settlement::lightning::PaymentHash& hash, const client::WalletReply& reply);
  [[nodiscard]] std::string state_of(const settlement::ChannelTerms& terms,
                                     const Payment* payment) const;
  [[nodiscard]] client::WalletConnect& wallet_for(const Payment& payment);

  const NodeConfig& config_;
  const PublicKey node_;
  net::Loop& loop_;
  Clock& clock_;
  Callbacks callbacks_;
  Verifier verifier_;
  client::LightningBook book_;
  client::WalletConnect wallet_;
  std::unique_ptr<client::WalletConnect> refunds_;  ///< none: wallet_ pays them, too
  std::size_t making_ = 0;                          ///< invoices under way
  std::set<settlement::lightning::PaymentHash> asking_;
  std::map<settlement::lightning::PaymentHash, std::int64_t> next_lookup_ms_;
  net::TimerId timer_ = net::TimerId::None;
};

}  // namespace nostril::node
