// Requests to vanish (NIP-62): who asked, and the removal of what he and others for him have left.
// An author may have a million events, so they go some at a time; what comes anew is refused at
// once.
#include "base/hex.h"
#include "events/kinds.h"
#include "relay/store/editor.h"

#include <algorithm>
#include <map>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::string_view kEveryRelay = "ALL_RELAYS";
// With the request itself; the rest by and by.
constexpr std::size_t kVanishAtOnce = 500;
// Entries looked at for each that is to be removed: others share the index with an author.
constexpr std::size_t kLooksARow = 4;
// Later deletions of the same event are looked for in so many entries.
constexpr std::size_t kMentionsMax = 64;

}  // namespace

/// A row of the table `vanishing`: how far the removal has come. Value: until 6, part 1, position
/// 18 of the last entry that was looked at (zeros: none).
struct Editor::Vanishing {
  enum class Part : std::uint8_t {
    Own,      ///< by_author
    Wrapped,  ///< gift wraps for the author, by_tag
    Count,
  };

  static constexpr std::size_t kBytes = kTimeBytes + 1 + kPositionBytes;

  PublicKey author;
  std::int64_t until = 0;
  Part part = Part::Own;
  Position at;

  [[nodiscard]] static std::optional<Vanishing> parse(ByteSpan key, ByteSpan value) {
    if (key.size() != PublicKey::kSize || value.size() != kBytes) return std::nullopt;
    Vanishing out;
    std::ranges::copy(key, out.author.bytes.begin());
    out.until = static_cast<std::int64_t>(read_integer(value.first(kTimeBytes)));
    out.part = static_cast<Part>(value[kTimeBytes]);
    std::ranges::copy(value.last(kPositionBytes), out.at.bytes.begin());
    if (out.part >= Part::Count) return std::nullopt;
    return out;
  }

  [[nodiscard]] Key value() const {
    return time_key(until).add_integer(static_cast<std::uint64_t>(part), 1).add(at.bytes);
  }

  [[nodiscard]] Key prefix() const {
    return part == Part::Own ? author_prefix(author) : tag_prefix('p', encode_hex(author));
  }

  // The request that is being followed stays, for others to learn of it (and one of the same
  // second).
  [[nodiscard]] bool takes(const RecordView& record) const {
    if (part == Part::Wrapped) return is_wrapped_for(record, author);
    const bool is_request = record.kind() == kinds::kVanish && record.created_at() == until;
    return record.pubkey() == author && !is_request;
  }
};

namespace {

bool has_vanished(lmdb::Txn& txn, const Tables& tables, const PublicKey& key,
                  std::int64_t created_at) {
  if (!tables.vanished.exists()) return false;
  const auto until = txn.get(tables.vanished, vanished_key(key).span());
  return until && static_cast<std::uint64_t>(created_at) <= read_integer(*until);
}

}  // namespace

bool is_vanished(lmdb::Txn& txn, const Tables& tables, const Event& event) {
  if (has_vanished(txn, tables, event.pubkey, event.created_at)) return true;
  if (event.kind != kinds::kGiftWrap) return false;
  for (const Tags::View tag : event.tags) {
    if (tag.name() != "p" || !tag.value()) continue;
    const auto receiver = from_hex<PublicKey>(*tag.value());
    if (receiver && has_vanished(txn, tables, *receiver, event.created_at)) return true;
  }
  return false;
}

// Requests stay, for others to learn of them.
bool is_left_by_vanished(lmdb::Txn& txn, const Tables& tables, const Event& stored) {
  return stored.kind != kinds::kVanish && is_vanished(txn, tables, stored);
}

bool Editor::is_addressed_here(const Event& request) {
  std::optional<RelayAddress> here;
  if (const auto known = txn_.get(tables_.meta, as_bytes(kAddressKey))) {
    here = RelayAddress::from_text(std::string(as_text(*known)));
  }
  for (const Tags::View tag : request.tags) {
    if (tag.name() != "relay" || !tag.value()) continue;
    if (*tag.value() == kEveryRelay) return true;
    if (here && here->is_named_by(*tag.value())) return true;
  }
  return false;
}

// Later than any before, which put() has made sure of.
void Editor::apply_vanish(const Event& request) {
  Vanishing work;
  work.author = request.pubkey;
  work.until = request.created_at;
  txn_.put(tables_.vanished, vanished_key(work.author).span(), time_key(work.until).span());
  txn_.put(tables_.vanishing, work.author.bytes, work.value().span());
  vanish_some(work.author, kVanishAtOnce);
}

// Their removal is left to sweeps: nothing of it is in memory but who asked.
void Editor::apply_stored_requests() {
  std::map<PublicKey, std::int64_t> asked;
  {
    const Key prefix = kind_prefix(kinds::kVanish);
    lmdb::Cursor cursor(txn_, tables_.by_kind);
    bool more = cursor.seek(prefix.span());
    for (; more && starts_with(cursor.key(), prefix.span()); more = cursor.next()) {
      const auto record = load(Position::of_key(cursor.key()).sequence());
      if (!record) return;  // damage_ says why
      const auto request = record->record.to_event();
      if (!request || !is_addressed_here(*request)) continue;
      std::int64_t& until = asked[request->pubkey];
      until = std::max(until, request->created_at);
    }
  }
  for (const auto& [author, until] : asked) {
    Vanishing work;
    work.author = author;
    work.until = until;
    txn_.put(tables_.vanished, vanished_key(author).span(), time_key(until).span());
    txn_.put(tables_.vanishing, author.bytes, work.value().span());
  }
}

bool Editor::has_vanishing() {
  return lmdb::Cursor(txn_, tables_.vanishing).first();
}

std::size_t Editor::sweep_vanished(std::size_t rows_max) {
  PublicKey author;
  {
    lmdb::Cursor cursor(txn_, tables_.vanishing);
    if (!cursor.first()) return 0;
    if (cursor.key().size() != PublicKey::kSize) {
      if (damage_.empty()) damage_ = "a request to vanish under a key of another size";
      return 0;
    }
    std::ranges::copy(cursor.key(), author.bytes.begin());
  }
  return vanish_some(author, rows_max);
}

std::size_t Editor::vanish_some(const PublicKey& author, std::size_t rows_max) {
  const auto value = txn_.get(tables_.vanishing, author.bytes);
  auto work = value ? Vanishing::parse(author.bytes, *value) : std::nullopt;
  if (!work) {
    if (damage_.empty()) damage_ = "a request to vanish is damaged";
    return 0;
  }
  pending_.flush(txn_);  // the walk reads what is held back
  std::size_t removed = 0;
  while (work->part != Vanishing::Part::Count && removed < rows_max) {
    const Vanishing::Part part = work->part;
    const auto found = look_at_some(*work, rows_max - removed);
    for (const Sequence sequence : found) {
      const auto record = load(sequence);
      if (!record) return removed;  // damage_ says why
      const bool is_deletion = record->record.kind() == kinds::kDeletion;
      remove(*record);
      if (!is_deletion) continue;
      const auto gone = RecordView::parse(removed_, &dictionaries_);
      CHECK(gone.has_value());
      forget_deletion(*gone, work->until);
    }
    removed += found.size();
    if (work->part == part) break;  // enough for now
  }
  if (work->part == Vanishing::Part::Count) {
    txn_.erase(tables_.vanishing, author.bytes);
  } else {
    txn_.put(tables_.vanishing, author.bytes, work->value().span());
  }
  return removed;
}

// From the oldest on; goes over to the next part at the end of one.
std::vector<Sequence> Editor::look_at_some(Vanishing& work, std::size_t rows_max) {
  std::vector<Sequence> found;
  const Key prefix = work.prefix();
  const Key start = positioned(prefix, work.at);
  lmdb::Cursor cursor(txn_, work.part == Vanishing::Part::Own ? tables_.by_author : tables_.by_tag);
  bool more = cursor.seek(start.span());
  if (more && std::ranges::equal(cursor.key(), start.span())) more = cursor.next();
  std::size_t looks = kLooksARow * rows_max;
  for (; more && starts_with(cursor.key(), prefix.span()); more = cursor.next()) {
    if (cursor.key().size() != prefix.size() + kPositionBytes) break;
    const Position position = Position::of_key(cursor.key());
    if (position.created_at() > work.until) break;
    if (found.size() == rows_max || looks-- == 0) return found;
    work.at = position;
    const auto record = load(position.sequence());
    if (record && work.takes(record->record)) found.push_back(position.sequence());
  }
  work.part = static_cast<Vanishing::Part>(static_cast<std::uint8_t>(work.part) + 1);
  work.at = Position();
  return found;
}

// What it has marked says whose it was. Marks that a later deletion needs as well stay.
void Editor::forget_deletion(const RecordView& deletion, std::int64_t until) {
  const auto event = deletion.to_event();
  if (!event) {
    if (damage_.empty()) damage_ = to_string(event.error());
    return;
  }
  for (const Tags::View tag : event->tags) {
    const auto value = tag.value();
    if (!value) continue;
    if (tag.name() == "e") {
      const auto id = from_hex<EventId>(*value);
      if (!id || has_later_deletion(*id, event->pubkey, until)) continue;
      txn_.erase(tables_.deleted_ids, deleted_id_key(*id, event->pubkey).span());
    } else if (tag.name() == "a") {
      const auto address = parse_address(*value);
      if (!address || address->author != event->pubkey) continue;
      const Key key = address_key(address->author, address->kind, address->d);
      const auto mark = txn_.get(tables_.deleted_addresses, key.span());
      if (mark && read_integer(*mark) <= static_cast<std::uint64_t>(until)) {
        txn_.erase(tables_.deleted_addresses, key.span());
      }
    }
  }
}

bool Editor::has_later_deletion(const EventId& id, const PublicKey& author, std::int64_t until) {
  const Key prefix = tag_prefix('e', encode_hex(id));
  Position last;
  last.bytes.fill(0xff);
  lmdb::Cursor cursor(txn_, tables_.by_tag);
  std::size_t looks = 0;
  for (bool more = cursor.seek_back(positioned(prefix, last).span());
       more && starts_with(cursor.key(), prefix.span()); more = cursor.previous()) {
    const Position position = Position::of_key(cursor.key());
    if (position.created_at() <= until) return false;
    if (++looks > kMentionsMax) return true;  // who knows
    const auto record = load(position.sequence());
    if (record && record->record.kind() == kinds::kDeletion && record->record.pubkey() == author) {
      return true;
    }
  }
  return false;
}

}  // namespace nostril::relay
