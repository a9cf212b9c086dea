#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/channel_store.h"
#include "client/journal.h"
#include "events/inference.h"
#include "schnorr/keys.h"
#include "settlement/channel.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace nostril::client {

/// The payer: one channel for each node and asset, the books on the disk, receipts signed only for
/// what the book finds right. A receipt is stored before it is handed out.
/// Threads: the loop's only.
class Wallet {
 public:
  /// `budget`: most that one channel may ever owe, in base units.
  Wallet(Journal& journal, Keypair signer, Amount budget, Clock& clock, Rng& rng);

  [[nodiscard]] const PublicKey& signer() const { return signer_.public_key(); }

  /// The channel that pays `offer`, made on first use.
  [[nodiscard]] PaymentTerms terms_for(const Offer& offer);

  struct Payment {
    std::optional<settlement::PayerRefusal> refusal;  ///< why nothing was signed
    std::optional<Event> receipt;                     ///< none without refusal: nothing is owed yet
    bool stored = true;  ///< false: the journal failed; nothing was handed out
  };

  /// Judges a record whose signature was checked; `done` comes when record and receipt are on the
  /// disk.
  void pay(const Offer& offer, const ResponseRecord& record, const Event& record_event,
           const settlement::ExpectedAnswer& expected, std::function<void(const Payment&)> done);

  /// What the node kept of our channel: adopted only when it is ours and ahead of us.
  void resync(const Offer& offer, const ChannelResync& state, Verifier& verifier);

 private:
  struct Channel {
    settlement::PayerChannel book;
    std::optional<Event> record;
    std::optional<ChannelResync> paid;
  };

  [[nodiscard]] Channel& channel_for(const Offer& offer);
  [[nodiscard]] JournalChange row(const Channel& channel) const;

  Journal& journal_;
  const Keypair signer_;
  const Amount budget_;
  Clock& clock_;
  Rng& rng_;
  std::map<std::pair<PublicKey, std::string>, Channel> channels_;  // by node and asset
};

}  // namespace nostril::client
