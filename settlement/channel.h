#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/inference.h"
#include "events/signed_receipt.h"
#include "settlement/evm/channel.h"
#include "settlement/price.h"
#include "settlement/usage_limit.h"

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

/// Channels: who owes whom how much, as integer state machines without I/O.
/// spec/06-record.md, 07-receipt.md. Threads: an object belongs to one thread.
namespace nostril::settlement {

/// What makes a channel one on a chain.
struct ChainTerms {
  evm::ContractPlace place;
  EthereumAddress payer;
  EthereumAddress payee;
  EthereumAddress token;  ///< zero: the chain's own coin

  bool operator==(const ChainTerms&) const = default;
};

/// Without `chain` the scheme is 'unsettled': nothing is locked anywhere, so credit is the node's
/// own risk.
struct ChannelTerms {
  PublicKey signer;  ///< payment signer
  PublicKey node;    ///< node identity
  std::string asset;
  std::array<std::uint8_t, 16> salt{};
  std::optional<ChainTerms> chain = {};
  /// Deposits over Lightning stand behind it (spec/13-lightning.md). Never with `chain`.
  bool lightning = false;

  bool operator==(const ChannelTerms&) const = default;
};

/// Of an offer that names a rail and has its prices in an asset of its chain; else nothing.
[[nodiscard]] std::optional<ChainTerms> chain_terms(const Offer& offer,
                                                    const EthereumAddress& payer);

/// The contract's terms of a channel on a chain. Its salt is the first 12 bytes of
/// tagged_hash("nostril/channel/evm/salt/1", node ‖ salt): the channel's name holds the node, too.
[[nodiscard]] evm::Channel on_chain(const ChannelTerms& terms);

/// On a chain the contract's name of it (spec/12-contract.md), else
/// tagged_hash("nostril/channel/unsettled/1", signer ‖ node ‖ salt ‖ asset as UTF-8), on Lightning
/// with the tag "nostril/channel/lightning/1".
[[nodiscard]] ChannelId channel_id(const ChannelTerms& terms);

/// H_0: tagged_hash("nostril/channel/start/1", channel id).
[[nodiscard]] Digest first_running_hash(const ChannelId& channel);

/// H_n = tagged_hash("nostril/channel/chain/1",
///   H_(n-1) ‖ n (8) ‖ record id (32) ‖ cost (16) ‖ input (8) ‖ output (8)), numbers big-endian.
[[nodiscard]] Digest next_running_hash(const Digest& previous, std::uint64_t n,
                                       const EventId& record, Amount cost, std::uint64_t input,
                                       std::uint64_t output);

// ---- Node side ----------------------------------------------------------------------------------

/// What a node has to keep of a channel, besides the receipt event itself.
struct ChannelSnapshot {
  std::uint64_t n = 0;  ///< last statement
  std::optional<EventId> last_record;
  Digest running_hash;                 ///< H_n
  Digest previous_hash;                ///< H_(n-1)
  Micro micro = 0;                     ///< total at statement n
  Amount accepted;                     ///< of the best receipt
  bool session_charged = false;        ///< the session price was charged
  std::optional<EventId> paid_record;  ///< statement that the best receipt pays
  Digest paid_previous_hash;           ///< H before it

  bool operator==(const ChannelSnapshot&) const = default;
};

enum class ReceiptVerdict : std::uint8_t {
  Accepted,  ///< the accepted amount grew
  Repeated,  ///< valid, not above what was accepted: fine, nothing to do
  WrongSigner,
  WrongChannel,
  UnknownHash,  ///< of no statement that awaits a receipt
  WrongAmount,  ///< hash and amount are of different statements
};
inline constexpr std::size_t kReceiptVerdictCount = 6;
std::string_view to_string(ReceiptVerdict verdict);

enum class ChargeError : std::uint8_t {
  Overflow,
  WrongAsset,
  UsageFell,        ///< less than an earlier statement of the same request
  TooManyUnpaid,    ///< too many statements await a receipt
  TooManyRequests,  ///< kOpenRequestsMax requests are open
};
std::string_view to_string(ChargeError error);

/// The node's book of one channel. Concurrent requests share one counter: statements are made one
/// after the other, each naming the one before.
///
///   statement() -> fill the record's money fields -> sign -> commit(record) -> deliver
///   accept(receipt) -> store the event, then let the stream go on
class NodeChannel {
 public:
  /// Answers that may end together before their payer's receipts come, 140 bytes each. What may be
  /// owed is the credit's to bound.
  static constexpr std::size_t kUnpaidStatementsMax = 1024;
  /// Answers with partial statements, 100 bytes each: all streams of a gateway may come to the end
  /// of one credit together.
  static constexpr std::size_t kOpenRequestsMax = 1024;

  NodeChannel(ChannelTerms terms, Amount credit);
  /// After a restart. Statements that awaited a receipt are forgotten but for the last one.
  NodeChannel(ChannelTerms terms, Amount credit, const ChannelSnapshot& snapshot);

  [[nodiscard]] const ChannelTerms& terms() const { return terms_; }

  [[nodiscard]] const ChannelId& id() const { return id_; }

  /// What would be owed without a receipt if `request` had used this much: spent with all open
  /// requests' unstated use is the owner's to sum by calling it for the one that grows.
  [[nodiscard]] Result<Amount, ChargeError> exposure(const RequestId& request, const Usage& usage,
                                                     std::uint64_t milliseconds,
                                                     const PriceTable& prices) const;
  /// exposure() <= credit, the channel comes to no more than its backing, and fewer than
  /// kUnpaidStatementsMax statements await a receipt.
  [[nodiscard]] bool may_serve(const RequestId& request, const Usage& usage,
                               std::uint64_t milliseconds, const PriceTable& prices) const;

  [[nodiscard]] Amount credit() const { return credit_; }

  void set_credit(Amount credit) { credit_ = credit; }

  /// Most that receipts of this channel can ever be turned into; none: nothing bounds it.
  [[nodiscard]] const std::optional<Amount>& backing() const { return backing_; }

  void set_backing(std::optional<Amount> backing) { backing_ = backing; }

  /// Fills channel, n, previous, asset, cost, spent and remainder of the next statement from its
  /// request, usage and milliseconds. Changes nothing yet.
  [[nodiscard]] Result<void, ChargeError> statement(ResponseRecord& record,
                                                    const PriceTable& prices) const;
  /// The statement was signed (record.id set). It must be the one that statement() filled last
  /// (CHECK on n). A status other than Partial closes the request.
  void commit(const ResponseRecord& record, const PriceTable& prices);

  ReceiptVerdict accept(const SignedReceipt& receipt);

  [[nodiscard]] Amount spent() const { return meter_.spent(); }

  [[nodiscard]] Amount accepted() const { return accepted_; }

  [[nodiscard]] const Digest& running_hash() const { return running_hash_; }

  /// The statement that the best receipt pays, and H before it: ChannelResync is made of them.
  [[nodiscard]] const std::optional<EventId>& paid_record() const { return paid_record_; }

  [[nodiscard]] const Digest& paid_previous_hash() const { return paid_previous_hash_; }

  [[nodiscard]] ChannelSnapshot snapshot() const;

 private:
  struct Statement {
    EventId record;
    Digest previous_hash;
    Digest running_hash;
    Amount spent;
  };

  void restore(const ChannelSnapshot& snapshot);
  [[nodiscard]] Result<Meter, ChargeError> meter_with(const RequestId& request, const Usage& usage,
                                                      std::uint64_t milliseconds,
                                                      const PriceTable& prices) const;

  ChannelTerms terms_;
  ChannelId id_;
  Amount credit_;
  std::optional<Amount> backing_;
  std::uint64_t n_ = 0;
  Digest running_hash_;
  Digest previous_hash_;
  Meter meter_;
  std::map<RequestId, Micro> stated_;  ///< micro already stated, of open requests
  std::deque<Statement> unpaid_;
  Amount accepted_;
  Digest paid_previous_hash_;
  std::optional<EventId> last_record_;
  std::optional<EventId> paid_record_;
  bool session_charged_ = false;
};

// ---- Payer side ---------------------------------------------------------------------------------

enum class PayerRefusal : std::uint8_t {
  WrongNode,
  WrongChannel,
  WrongAsset,
  WrongOffer,
  WrongRequest,
  WrongResponseHash,
  Early,        ///< a statement before it has not come yet: try again after that one
  WrongNumber,  ///< n was seen already, with another record
  WrongPrevious,
  UsageFell,
  OverLimit,  ///< more tokens or time than the request can have used
  WrongCost,  ///< usage times price gives another amount, or spent is not previous + cost
  OverBudget,
  Overflow,
  TooManyRequests,  ///< kOpenRequestsMax answers with partial statements are open
};
std::string_view to_string(PayerRefusal refusal);

/// What the payer knows of the answer from its own side.
struct ExpectedAnswer {
  RequestId request;
  Digest request_hash;
  Digest response_hash;  ///< of the bytes that it decrypted
  EventId offer;
  UsageLimit limit;
};

/// The payer's book of one channel: decides what may be signed. Fails closed: after a refusal
/// nothing has changed, and a node that goes on is not paid.
class PayerChannel {
 public:
  /// Answers with partial statements; as many as a node may have open.
  static constexpr std::size_t kOpenRequestsMax = NodeChannel::kOpenRequestsMax;

  /// `budget`: most that this channel may ever owe.
  PayerChannel(ChannelTerms terms, Amount budget);

  [[nodiscard]] const ChannelTerms& terms() const { return terms_; }

  [[nodiscard]] const ChannelId& id() const { return id_; }

  /// Checks a record whose signature is right against price and history; on success the receipt to
  /// sign (nothing when the total owed is still zero: a receipt's amount is above zero), and the
  /// book has moved on. The same record again gives the same receipt.
  Result<std::optional<EventDraft>, PayerRefusal> pay(const ResponseRecord& record,
                                                      const ExpectedAnswer& expected,
                                                      const PriceTable& prices,
                                                      std::int64_t created_at);

  /// A node that kept more than this payer: adopts its newest record and receipt of ours. True only
  /// when the receipt is ours (verified by type, author = signer), pays exactly that record, and is
  /// ahead of what we know.
  bool resync(const ResponseRecord& record, const Digest& previous_running_hash,
              const SignedReceipt& receipt);

  [[nodiscard]] Amount spent() const { return meter_.spent(); }

  [[nodiscard]] Amount budget() const { return budget_; }

  void set_budget(Amount budget) { budget_ = budget; }

  [[nodiscard]] ChannelSnapshot snapshot() const;
  /// From what snapshot() gave.
  PayerChannel(ChannelTerms terms, Amount budget, const ChannelSnapshot& snapshot);

 private:
  void restore(const ChannelSnapshot& snapshot);
  [[nodiscard]] std::optional<EventDraft> receipt(std::int64_t created_at) const;

  ChannelTerms terms_;
  ChannelId id_;
  Amount budget_;
  std::uint64_t n_ = 0;
  std::optional<EventId> last_record_;
  Digest running_hash_;
  Digest previous_hash_;
  Meter meter_;
  bool session_charged_ = false;
  std::map<RequestId, Micro> stated_;  ///< micro already stated, of open requests
};

}  // namespace nostril::settlement
