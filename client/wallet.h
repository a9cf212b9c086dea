#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/channel_store.h"
#include "client/journal.h"
#include "events/inference.h"
#include "schnorr/keys.h"
#include "settlement/channel.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace nostril::client {

/// The payer: one channel for each node and asset, the books on the disk, receipts signed only for
/// what the book finds right. A receipt is stored before it is handed out. A channel of which an
/// answer ended without its record is left for a new one: the node may have stated what was never
/// seen here, and each statement names the one before.
/// Threads: the loop's only.
class Wallet {
 public:
  /// `budget`: most that one node may ever be owed in one asset, over all its channels; base units.
  Wallet(Journal& journal, Keypair signer, Amount budget, Clock& clock, Rng& rng);

  [[nodiscard]] const PublicKey& signer() const { return signer_.public_key(); }

  [[nodiscard]] Amount budget() const { return budget_; }

  /// Somebody pays nodes after the fact (auto_pay.h): a channel with such a node is made on first
  /// use. Without it one takes a deposit first.
  void allow_steps() { steps_allowed_ = true; }

  /// One answer's use of a channel.
  struct Ticket {
    ChannelId channel;
    PaymentTerms terms;
  };

  /// The channel that pays `offer`, made on first use; where the offer names a rail, one that was
  /// opened on the chain (`nostril wallet open`) or has deposits (`nostril wallet lightning
  /// deposit`) and is not used up, or nothing. Ended by one close().
  [[nodiscard]] std::optional<Ticket> open(const Offer& offer);
  /// `settled`: the node has stated nothing for this answer, or its last record was paid.
  void close(const Ticket& ticket, bool settled);

  struct Payment {
    std::optional<settlement::PayerRefusal> refusal;  ///< why nothing was signed
    std::optional<Event> receipt;                     ///< none without refusal: nothing is owed yet
    bool stored = true;  ///< false: the journal failed; nothing was handed out
  };

  /// Judges a record whose signature was checked; `done` comes when record and receipt are on the
  /// disk. A record that comes before the one it names as previous (of another answer over the same
  /// channel) waits for it; the caller decides for how long.
  void pay(const Offer& offer, const ResponseRecord& record, const Event& record_event,
           const settlement::ExpectedAnswer& expected, std::function<void(const Payment&)> done);

  /// What the node kept of our channel: adopted only when it is ours and ahead of us.
  void resync(const Offer& offer, const ChannelResync& state, Verifier& verifier);

 private:
  struct Channel {
    settlement::PayerChannel book;
    std::optional<Event> record;
    std::optional<ChannelResync> paid;
    std::size_t answers = 0;  ///< under way
    bool retired = false;
    std::optional<Amount> locked;  ///< on the chain, or deposited
    /// By their number: to be judged when the one before has been paid.
    std::multimap<std::uint64_t, std::function<void()>> early = {};
    bool catching_up = false;
  };

  using Key = std::pair<PublicKey, std::string>;  // node and asset

  ChannelId make_channel(const Offer& offer, bool lightning);
  [[nodiscard]] std::optional<ChannelId> funded(const Offer& offer);
  [[nodiscard]] std::optional<ChannelId> deposited(const Offer& offer);
  [[nodiscard]] JournalChange row(const Channel& channel) const;
  [[nodiscard]] Amount budget_left(const Key& key) const;
  void store(const Channel& channel);
  /// Judges those that waited for what the book has now.
  void catch_up(Channel& channel);

  Journal& journal_;
  const Keypair signer_;
  const Amount budget_;
  Clock& clock_;
  Rng& rng_;
  std::map<ChannelId, Channel> channels_;
  std::map<Key, ChannelId> current_;  ///< of channels on no chain
  bool steps_allowed_ = false;
};

}  // namespace nostril::client
