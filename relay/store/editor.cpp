#include "relay/store/editor.h"

#include "base/hex.h"
#include "events/kinds.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

namespace nostril::relay {

namespace {

// The `d` of an event's own address; see address_key(record).
std::optional<Key> address_of(const Event& event) {
  switch (kind_class(event.kind)) {
    case KindClass::Regular:
    case KindClass::Ephemeral:
      return std::nullopt;
    case KindClass::Replaceable:
      return address_key(event.pubkey, event.kind, "");
    case KindClass::Addressable:
      break;
  }
  return address_key(event.pubkey, event.kind, event.tags.find("d").value_or(""));
}

// A deletion of these has no effect (NIP-09, NIP-62), also when it comes first.
bool is_lasting(std::uint32_t kind) {
  return kind == kinds::kDeletion || kind == kinds::kVanish;
}

// NIP-01: the later one stays; of the same second the one with the lower id.
bool supersedes(const Event& event, const RecordView& stored) {
  if (event.created_at != stored.created_at()) return event.created_at > stored.created_at();
  return event.id < stored.id();
}

}  // namespace

bool is_wrapped_for(const RecordView& record, const PublicKey& key) {
  if (record.kind() != kinds::kGiftWrap) return false;
  bool found = false;
  record.for_each_tag([&](const RecordElement& name, const std::optional<RecordElement>& value,
                          std::uint32_t /*count*/) {
    found =
        name.equals("p") && value && value->is_hex && std::ranges::equal(key.bytes, value->bytes);
    return !found;
  });
  return found;
}

std::optional<Address> parse_address(std::string_view text) {
  const std::size_t kind_end = text.find(':');
  if (kind_end == std::string_view::npos) return std::nullopt;
  const std::size_t author_end = text.find(':', kind_end + 1);
  if (author_end == std::string_view::npos) return std::nullopt;

  const std::string_view kind_text = text.substr(0, kind_end);
  std::uint32_t kind = 0;
  const char* end = kind_text.data() + kind_text.size();
  const auto parsed = std::from_chars(kind_text.data(), end, kind);
  if (parsed.ec != std::errc() || parsed.ptr != end || kind > kKindMax) return std::nullopt;
  if (kind_text.size() > 1 && kind_text[0] == '0') return std::nullopt;

  const auto author = from_hex<PublicKey>(text.substr(kind_end + 1, author_end - kind_end - 1));
  if (!author) return std::nullopt;
  const std::string_view d = text.substr(author_end + 1);
  const KindClass kind_is = kind_class(kind);
  if (kind_is == KindClass::Addressable || (kind_is == KindClass::Replaceable && d.empty())) {
    return Address{kind, *author, d};
  }
  return std::nullopt;
}

PutResult Editor::put(const Event& event) {
  if (kind_class(event.kind) == KindClass::Ephemeral) return PutResult::Ephemeral;
  if (event.created_at > kCreatedAtMax) return PutResult::OutOfRange;
  if (find(event.id)) {
    return is_left_by_vanished(txn_, tables_, event) ? PutResult::Vanished : PutResult::Duplicate;
  }
  const std::vector<Sequence> near = near_;  // nearly always empty
  if (const auto expiration = expiration_of(event); expiration && *expiration <= now_s_) {
    return PutResult::Expired;
  }
  const auto address = address_of(event);
  if (is_vanished(txn_, tables_, event)) return PutResult::Vanished;
  if (!is_lasting(event.kind) && is_deleted(event, address)) return PutResult::Deleted;
  if (address) {
    if (const auto current = find_address(*address)) {
      // An expired version is as good as gone.
      if (!current->record.is_expired(now_s_) && !supersedes(event, current->record)) {
        return PutResult::HaveNewer;
      }
      remove(*current);
    }
  }
  insert(event, address);
  if (!near.empty()) put_in_order(event, near);
  if (event.kind == kinds::kDeletion) apply_deletion(event);
  if (event.kind == kinds::kVanish && is_addressed_here(event)) apply_vanish(event);
  return PutResult::Stored;
}

std::size_t Editor::sweep_expired(std::size_t rows_max) {
  std::vector<Sequence> expired;
  {
    lmdb::Cursor cursor(txn_, tables_.by_expiry);
    const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(now_s_, 0));
    for (bool more = cursor.first(); more && expired.size() < rows_max; more = cursor.next()) {
      if (read_integer(cursor.key().first(kTimeBytes)) > now) break;
      expired.push_back(Sequence{read_integer(cursor.key().last(kSequenceBytes))});
    }
  }
  for (const Sequence sequence : expired) {
    const auto found = load(sequence);
    if (!found) {
      if (damage_.empty()) damage_ = "the index by expiry names a record that is not there";
      return 0;
    }
    remove(*found);
  }
  return expired.size();
}

bool Editor::erase(const EventId& id) {
  const auto found = find(id);
  if (found) remove(*found);
  return found.has_value();
}

std::optional<Sequence> Editor::index_words(Sequence from, std::size_t rows_max) {
  std::optional<Sequence> next;
  {
    lmdb::Cursor cursor(txn_, tables_.records);
    bool more = cursor.seek(sequence_key(from).span());
    for (std::size_t rows = 0; more && rows < rows_max; ++rows, more = cursor.next()) {
      const Sequence sequence{read_integer(cursor.key())};
      const auto record = dictionaries_.parse(txn_, cursor.value());
      if (!record) {
        if (damage_.empty()) damage_ = to_string(record.error());
        return std::nullopt;
      }
      if (!is_searched(record->kind())) continue;
      for (const Key& key : word_keys(*record, sequence)) pending_.add(tables_.words, key);
    }
    if (more) next = Sequence{read_integer(cursor.key())};
  }
  pending_.flush(txn_);
  return next;
}

void Editor::finish_words() {
  txn_.put(tables_.meta, as_bytes(kSearchKey), Key().add_integer(1, 1).span());
}

void Editor::clear_words() {
  txn_.clear(tables_.words);
  txn_.erase(tables_.meta, as_bytes(kSearchKey));
}

std::optional<DictionaryId> Editor::add_dictionary(ByteSpan bytes) {
  std::uint64_t next = 1;
  {
    lmdb::Cursor cursor(txn_, *tables_.dictionaries);
    if (cursor.last()) next = read_integer(cursor.key()) + 1;
  }
  if (next > kDictionariesMax) return std::nullopt;
  txn_.put(*tables_.dictionaries, Key().add_integer(next, 1).span(),
           dictionary_value(bytes, now_s_));
  return DictionaryId{static_cast<std::uint8_t>(next)};
}

std::optional<Editor::Found> Editor::find(const EventId& id) {
  const Key prefix = id_tie_prefix(id);
  near_.clear();
  lmdb::Cursor cursor(txn_, tables_.by_id);
  for (bool more = cursor.seek(prefix.span()); more && starts_with(cursor.key(), prefix.span());
       more = cursor.next()) {
    auto found = load(Sequence{read_integer(cursor.key().last(kSequenceBytes))});
    if (found && found->record.id() == id) return found;
    if (found) near_.push_back(found->sequence);
  }
  return std::nullopt;
}

std::optional<Editor::Found> Editor::load(Sequence sequence) {
  const auto bytes = txn_.get(tables_.records, sequence_key(sequence).span());
  if (!bytes) return std::nullopt;
  const auto record = dictionaries_.parse(txn_, *bytes);
  if (!record) {
    if (damage_.empty()) damage_ = to_string(record.error());
    return std::nullopt;
  }
  return Found{sequence, *record};
}

std::optional<Editor::Found> Editor::find_address(const Key& address) {
  const auto value = txn_.get(tables_.by_address, address.span());
  if (!value) return std::nullopt;
  return load(Sequence{read_integer(*value)});
}

bool Editor::is_deleted(const Event& event, const std::optional<Key>& address) {
  if (was_deleted_by(event.pubkey, event.id)) return true;
  if (event.kind == kinds::kGiftWrap) {
    for (const Tags::View tag : event.tags) {
      if (tag.name() != "p" || !tag.value()) continue;
      const auto receiver = from_hex<PublicKey>(*tag.value());
      if (receiver && was_deleted_by(*receiver, event.id)) return true;
    }
  }
  if (!address) return false;
  const auto until = txn_.get(tables_.deleted_addresses, address->span());
  return until && static_cast<std::uint64_t>(event.created_at) <= read_integer(*until);
}

bool Editor::was_deleted_by(const PublicKey& key, const EventId& id) {
  return txn_.get(tables_.deleted_ids, deleted_id_key(id, key).span()).has_value();
}

Sequence Editor::last_sequence() {
  if (!last_sequence_) {
    lmdb::Cursor cursor(txn_, tables_.records);
    std::uint64_t last = cursor.last() ? read_integer(cursor.key()) : 0;
    if (const auto given = txn_.get(tables_.meta, as_bytes(kGivenKey))) {
      last = std::max(last, read_integer(*given));
    }
    last_sequence_ = Sequence{last};
  }
  return *last_sequence_;
}

Sequence Editor::next_sequence() {
  last_sequence_ = Sequence{static_cast<std::uint64_t>(last_sequence()) + 1};
  return *last_sequence_;
}

void Editor::set_stream(StreamPosition position) {
  stream_ = std::move(position);
}

void Editor::advance_stream(std::uint64_t sequence) {
  if (!stream_) {
    const auto value = txn_.get(tables_.meta, as_bytes(kStreamPositionKey));
    if (!value) return;
    stream_ = StreamPosition::parse(*value);
    if (!stream_ && damage_.empty()) damage_ = "the position in the cluster's stream is damaged";
    if (!stream_) return;
  }
  stream_->sequence = std::max(stream_->sequence, sequence);
}

void Editor::finish() {
  pending_.flush(txn_);
  if (stream_) txn_.put(tables_.meta, as_bytes(kStreamPositionKey), stream_->value());
  stream_.reset();
  if (!last_is_removed_) return;
  txn_.put(tables_.meta, as_bytes(kGivenKey), sequence_key(last_sequence()).span());
  last_is_removed_ = false;
}

const Dictionary* Editor::newest_dictionary() {
  if (!newest_dictionary_) {
    const auto newest = dictionaries_.newest(txn_);
    if (!newest && damage_.empty()) damage_ = "the newest dictionary is damaged";
    newest_dictionary_ = newest.value_or(nullptr);
  }
  return *newest_dictionary_;
}

void Editor::insert(const Event& event, const std::optional<Key>& address) {
  encode_record(inserted_, event, newest_dictionary());
  insert_record(inserted_, address);
}

void Editor::insert_record(ByteSpan bytes, const std::optional<Key>& address) {
  const Sequence sequence = next_sequence();
  if (!first_inserted_) first_inserted_ = sequence;
  txn_.append(tables_.records, sequence_key(sequence).span(), bytes);
  const auto record = RecordView::parse(bytes, &dictionaries_);
  CHECK(record.has_value());
  for_each_index_key(tables_, *record, sequence, [this](lmdb::Dbi table, const Key& key) {
    if (table.handle == tables_.by_id.handle) {
      txn_.put(table, key.span(), {});
    } else {
      pending_.add(table, key);
    }
  });
  if (address) txn_.put(tables_.by_address, address->span(), sequence_key(sequence).span());
  if (pending_.is_full()) pending_.flush(txn_);
}

// Among events of one second with equal ties the sequence decides, so the lowest id must have the
// highest one. Those with a lower id than the event that has just come get new numbers after it.
void Editor::put_in_order(const Event& event, const std::vector<Sequence>& near) {
  std::vector<Found> lower;
  for (const Sequence sequence : near) {
    const auto found = load(sequence);
    if (!found || found->record.created_at() != event.created_at) continue;
    if (found->record.id() < event.id) lower.push_back(*found);
  }
  std::ranges::sort(lower, [](const Found& a, const Found& b) {
    return b.record.id() < a.record.id();  // the highest id first
  });
  std::vector<Sequence> in_order;
  in_order.reserve(lower.size());
  for (const Found& found : lower) in_order.push_back(found.sequence);
  for (const Sequence sequence : in_order) {
    const auto found = load(sequence);  // again: the writes since have ended what was borrowed
    if (!found) return;
    remove(*found);
    const auto record = RecordView::parse(removed_, &dictionaries_);
    CHECK(record.has_value());
    insert_record(removed_, address_key(*record));
  }
}

void Editor::remove(const Found& found) {
  ++removed_count_;
  if (found.sequence == last_sequence()) last_is_removed_ = true;
  // The record's page may go with the first write.
  removed_.assign(found.record.bytes().begin(), found.record.bytes().end());
  if (first_inserted_ && found.sequence >= *first_inserted_) pending_.flush(txn_);
  const auto record = RecordView::parse(removed_, &dictionaries_);
  CHECK(record.has_value());
  for_each_index_key(tables_, *record, found.sequence,
                     [this](lmdb::Dbi table, const Key& key) { txn_.erase(table, key.span()); });
  if (const auto address = address_key(*record)) txn_.erase(tables_.by_address, address->span());
  txn_.erase(tables_.records, sequence_key(found.sequence).span());
}

void Editor::apply_deletion(const Event& deletion) {
  for (const auto tag : deletion.tags) {
    const auto value = tag.value();
    if (!value) continue;
    if (tag.name() == "e") {
      if (const auto id = from_hex<EventId>(*value)) delete_id(*id, deletion.pubkey);
    } else if (tag.name() == "a") {
      const auto address = parse_address(*value);
      if (address && address->author == deletion.pubkey) {
        delete_address(*address, deletion.created_at);
      }
    }
  }
}

void Editor::delete_id(const EventId& id, const PublicKey& author) {
  // Kept also when the event is another's or a deletion: it then never matches an event, and
  // check() can tell the entries from the deletion alone.
  txn_.put(tables_.deleted_ids, deleted_id_key(id, author).span(), {});
  const auto found = find(id);
  if (!found || is_lasting(found->record.kind())) return;
  if (found->record.pubkey() == author || is_wrapped_for(found->record, author)) remove(*found);
}

void Editor::delete_address(const Address& address, std::int64_t until) {
  const Key key = address_key(address.author, address.kind, address.d);
  auto until_max = static_cast<std::uint64_t>(until);
  if (const auto before = txn_.get(tables_.deleted_addresses, key.span())) {
    until_max = std::max(until_max, read_integer(*before));
  }
  txn_.put(tables_.deleted_addresses, key.span(),
           time_key(static_cast<std::int64_t>(until_max)).span());
  const auto current = find_address(key);
  if (current && current->record.created_at() <= until) remove(*current);
}

}  // namespace nostril::relay
