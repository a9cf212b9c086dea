#pragma once

#include "base/rng.h"
#include "client/channel_store.h"
#include "client/journal.h"
#include "events/event.h"
#include "events/frames.h"
#include "events/inference.h"
#include "events/signed_receipt.h"
#include "node/rail.h"
#include "schnorr/keys.h"
#include "settlement/channel.h"
#include "settlement/price.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace nostril::node {

/// A channel's book with the documents that its row in the journal keeps. Shared by the answers
/// that one payer gets at a time. Threads: the loop's only.
class ChannelBook {
 public:
  ChannelBook(const settlement::ChannelTerms& terms, Amount credit) : channel_(terms, credit) {}

  ChannelBook(const client::StoredChannel& stored, Amount credit)
      : channel_(stored.terms, credit, stored.snapshot),
        record_(stored.record),
        paid_(stored.paid) {}

  [[nodiscard]] const settlement::NodeChannel& channel() const { return channel_; }

  void set_backing(std::optional<Amount> backing) { channel_.set_backing(backing); }

  /// Signs and books the next statement with what `record` says was used. Nothing when the channel
  /// can't state more.
  [[nodiscard]] std::optional<Event> state(ResponseRecord& record,
                                           const settlement::PriceTable& prices,
                                           const Keypair& identity, Rng& rng, std::int64_t now_ms);
  settlement::ReceiptVerdict accept(const SignedReceipt& receipt);

  /// When the oldest statement that awaits a receipt was made, on the clock of state(); none:
  /// nothing is owed, or it was stated before a restart.
  [[nodiscard]] std::optional<std::int64_t> owing_since_ms() const;

  /// `call` comes once, after a receipt is on the disk: tell_paid().
  void when_paid(std::function<void()> call) { waiting_.push_back(std::move(call)); }

  void tell_paid();

  [[nodiscard]] const std::optional<ChannelResync>& paid() const { return paid_; }

  /// The newest statement.
  [[nodiscard]] const std::optional<Event>& last_record() const { return record_; }

  [[nodiscard]] client::JournalChange row() const;

 private:
  struct Unpaid {
    Event record;
    Digest previous_hash;
    Digest hash;
    std::int64_t at_ms = 0;
  };

  settlement::NodeChannel channel_;
  std::optional<Event> record_;
  std::optional<ChannelResync> paid_;
  std::deque<Unpaid> unpaid_;
  std::vector<std::function<void()>> waiting_;
};

/// The books in use: one a channel, whoever asks and by which transport; from the journal where it
/// has a row. Threads: the loop's only.
class ChannelBooks {
 public:
  /// `rail` says what stands behind a channel.
  ChannelBooks(client::Journal& journal, const Rail& rail) : journal_(journal), rail_(rail) {}

  /// `credit`: of a book that is opened by this call.
  [[nodiscard]] std::shared_ptr<ChannelBook> open(const settlement::ChannelTerms& terms,
                                                  Amount credit);

  [[nodiscard]] bool in_use(const ChannelId& id) const {
    const auto found = books_.find(id);
    return found != books_.end() && !found->second.expired();
  }

  /// What the rail knows has changed.
  void refresh_backing();

  /// Calls `visit` for each that is in use.
  void each(const std::function<void(const ChannelBook&)>& visit) const {
    for (const auto& [id, weak] : books_) {
      if (const auto book = weak.lock()) visit(*book);
    }
  }

 private:
  client::Journal& journal_;
  const Rail& rail_;
  std::map<ChannelId, std::weak_ptr<ChannelBook>> books_;
};

}  // namespace nostril::node
