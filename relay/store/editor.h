#pragma once

#include "base/lmdb.h"
#include "events/event.h"
#include "relay/store/dictionary.h"
#include "relay/store/keys.h"
#include "relay/store/pending_keys.h"
#include "relay/store/record.h"
#include "relay/store/store.h"
#include "relay/store/stream_position.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// What an `a` tag names: "kind:pubkey:d".
struct Address {
  std::uint32_t kind = 0;
  PublicKey author;
  std::string_view d;
};

/// Strict: decimal kind of a replaceable or addressable class, 64 lowercase hex characters, and for
/// replaceable kinds nothing after the second colon.
[[nodiscard]] std::optional<Address> parse_address(std::string_view text);

/// Its author, or who it is wrapped for, has asked to vanish (vanish.cpp).
[[nodiscard]] bool is_vanished(lmdb::Txn& txn, const Tables& tables, const Event& event);
/// The same of one that is stored: it goes by and by.
[[nodiscard]] bool is_left_by_vanished(lmdb::Txn& txn, const Tables& tables, const Event& stored);

/// NIP-59: a gift wrap's own key is thrown away, so its receivers may ask for its deletion.
[[nodiscard]] bool is_wrapped_for(const RecordView& record, const PublicKey& key);

/// The rules of a store (NIP-01 replacement, NIP-09, NIP-40, NIP-62) applied inside one write
/// transaction; the caller calls finish() and commits it. Used by Store only. Threads: the
/// transaction's. Once damage() is not empty the transaction must be dropped.
class Editor {
 public:
  Editor(const Tables& tables, Dictionaries& dictionaries, lmdb::WriteTxn& txn)
      : tables_(tables), dictionaries_(dictionaries), txn_(txn) {}

  /// The time that what follows is judged at.
  void set_now(std::int64_t now_s) { now_s_ = now_s; }

  PutResult put(const Event& event);
  std::size_t sweep_expired(std::size_t rows_max);
  /// Goes on with requests to vanish (vanish.cpp).
  std::size_t sweep_vanished(std::size_t rows_max);
  [[nodiscard]] bool has_vanishing();
  /// Of a file that knew nothing of them: all requests to vanish that it holds.
  void apply_stored_requests();
  bool erase(const EventId& id);
  /// Makes the index of words, some records at a time from the one at or after `from`: the next to
  /// look at, if there is one.
  std::optional<Sequence> index_words(Sequence from, std::size_t rows_max);
  void finish_words();
  void clear_words();
  /// Under the next number; nothing when all are taken.
  std::optional<DictionaryId> add_dictionary(ByteSpan bytes);

  /// How far the store is in its cluster's stream. advance_stream(): in the same stream as before;
  /// without one it does nothing.
  void set_stream(StreamPosition position);
  void advance_stream(std::uint64_t sequence);

  /// Writes what was held back to be written in order, up to where numbers were given out, and the
  /// position in the cluster's stream.
  void finish();

  /// Rows that finish() has still to write.
  [[nodiscard]] std::size_t rows_held_back() const { return pending_.count(); }

  /// Events that were stored and are not any more.
  [[nodiscard]] std::size_t removed_count() const { return removed_count_; }

  /// Why the store can't be trusted, when a record could not be read.
  [[nodiscard]] const std::string& damage() const { return damage_; }

 private:
  struct Found {
    Sequence sequence{};
    RecordView record;  // borrowed until the next write
  };

  // Also gathers near_, the events whose ids share what a position holds of an id.
  [[nodiscard]] std::optional<Found> find(const EventId& id);
  [[nodiscard]] std::optional<Found> load(Sequence sequence);
  [[nodiscard]] std::optional<Found> find_address(const Key& address);
  [[nodiscard]] bool is_deleted(const Event& event, const std::optional<Key>& address);
  [[nodiscard]] bool was_deleted_by(const PublicKey& key, const EventId& id);
  [[nodiscard]] Sequence last_sequence();
  [[nodiscard]] Sequence next_sequence();
  [[nodiscard]] const Dictionary* newest_dictionary();
  void insert(const Event& event, const std::optional<Key>& address);
  void insert_record(ByteSpan bytes, const std::optional<Key>& address);
  void put_in_order(const Event& event, const std::vector<Sequence>& near);
  void remove(const Found& found);
  void apply_deletion(const Event& deletion);
  void delete_id(const EventId& id, const PublicKey& author);
  void delete_address(const Address& address, std::int64_t until);

  // vanish.cpp
  struct Vanishing;
  [[nodiscard]] bool is_addressed_here(const Event& request);
  void apply_vanish(const Event& request);
  std::size_t vanish_some(const PublicKey& author, std::size_t rows_max);
  [[nodiscard]] std::vector<Sequence> look_at_some(Vanishing& work, std::size_t rows_max);
  void forget_deletion(const RecordView& deletion, std::int64_t until);
  [[nodiscard]] bool has_later_deletion(const EventId& id, const PublicKey& author,
                                        std::int64_t until);

  const Tables& tables_;
  Dictionaries& dictionaries_;
  lmdb::WriteTxn& txn_;
  std::int64_t now_s_ = 0;
  PendingKeys pending_;                    // of the indexes that put() does not read
  std::optional<Sequence> last_sequence_;  // the highest that was ever given out
  bool last_is_removed_ = false;           // then no record says it any more
  std::optional<Sequence> first_inserted_;
  std::optional<StreamPosition> stream_;  // that finish() writes
  std::optional<const Dictionary*> newest_dictionary_;
  std::vector<Sequence> near_;
  Bytes inserted_;  // scratch, reused
  Bytes removed_;   // scratch, reused
  std::size_t removed_count_ = 0;
  std::string damage_;
};

}  // namespace nostril::relay
