#pragma once

#include "base/bytes.h"
#include "base/check.h"
#include "base/lmdb.h"
#include "events/event.h"
#include "events/search.h"
#include "relay/store/record.h"

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// The tables of a store (spec/09-store.md). Key bytes, all integers big-endian:
///
///   table              key                                             value
///   meta               "format"                                        u32
///                      "given"                                         seq 5
///                      "log"                                           log.h
///   dictionaries       id 1                                            dictionary.h
///   records            seq 5                                           record.h
///   by_id              id[0..8) 8, seq 5                               -
///   by_time            position 18                                     -
///   by_kind            kind 2, position                                -
///   by_author          pubkey[0..8) 8, position                        -
///   by_author_kind     pubkey[0..8) 8, kind 2, position                -
///   by_tag             letter 1, value hash 7, position                -
///   by_address         address 34                                      seq 5
///   by_expiry          expiration 6, seq 5                             -
///   deleted_ids        id[0..16) 16, pubkey[0..16) 16                  -
///   deleted_addresses  address 34                                      created_at 6
///   vanished           pubkey[0..16) 16                                created_at 6
///   vanishing          pubkey 32                                       vanish.cpp
///   words              word[0..15), 0 1, seq 5                         -
///
///   position  created_at 6, id[0..7) inverted 7, seq 5
///   address   pubkey[0..16) 16, kind 2, SHA-256(d)[0..16) 16; d is empty for replaceable kinds
///   value hash  of 64 lowercase hex characters: the last 7 of their 32 bytes; of any other text:
///             SHA-256(text)[0..7). So any length is findable.
///
/// Read backwards, a range gives newest first and lowest id first among equals: new events then
/// come at the end of their range, which fills LMDB's pages. Of events of one second whose ids
/// share 7 bytes (2^28 tries by one author) the lower id has the higher sequence: Editor renumbers.
/// Cut keys and hashes may collide: what an index gives is a candidate, the record decides. The
/// 16-byte cuts are long enough to be unique.
struct Tables {
  lmdb::Dbi meta;
  std::optional<lmdb::Dbi> dictionaries;  // a file of format 1, opened read-only, has none
  lmdb::Dbi records;
  lmdb::Dbi by_id;
  lmdb::Dbi by_time;
  lmdb::Dbi by_kind;
  lmdb::Dbi by_author;
  lmdb::Dbi by_author_kind;
  lmdb::Dbi by_tag;
  lmdb::Dbi by_address;
  lmdb::Dbi by_expiry;
  lmdb::Dbi deleted_ids;
  lmdb::Dbi deleted_addresses;
  // A file older than format 4, opened read-only, has none.
  lmdb::Dbi vanished;
  lmdb::Dbi vanishing;
  // Only where searches are offered.
  lmdb::Dbi words;
};

/// Number of a record, from 1, in the order of arrival but for ties (above). 40 bits. Never used
/// again: caches go by it.
enum class Sequence : std::uint64_t {};

inline constexpr std::size_t kSequenceBytes = 5;
inline constexpr std::size_t kTimeBytes = 6;
inline constexpr std::size_t kPositionBytes = 18;
inline constexpr std::size_t kKeyBytesMax = 40;

/// A key of at most kKeyBytesMax bytes, built in place.
class Key {
 public:
  Key& add(ByteSpan bytes) {
    CHECK(size_ + bytes.size() <= kKeyBytesMax);
    std::memcpy(bytes_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
    return *this;
  }

  /// The low `bytes` bytes of `value`, big-endian.
  Key& add_integer(std::uint64_t value, std::size_t bytes) {
    CHECK(size_ + bytes <= kKeyBytesMax);
    for (std::size_t i = 0; i < bytes; ++i) {
      bytes_[size_ + i] = static_cast<std::uint8_t>(value >> (8 * (bytes - 1 - i)));
    }
    size_ += bytes;
    return *this;
  }

  [[nodiscard]] ByteSpan span() const { return {bytes_.data(), size_}; }

  [[nodiscard]] std::size_t size() const { return size_; }

  /// As bytes, which is LMDB's order: eight at a time, what lies behind the end being zeros.
  friend std::strong_ordering operator<=>(const Key& a, const Key& b) {
    for (std::size_t at = 0; at < kKeyBytesMax; at += sizeof(std::uint64_t)) {
      const std::uint64_t left = a.word(at);
      const std::uint64_t right = b.word(at);
      if (left != right) return left <=> right;
    }
    return a.size_ <=> b.size_;
  }

  bool operator==(const Key&) const = default;

 private:
  [[nodiscard]] std::uint64_t word(std::size_t at) const {
    static_assert(std::endian::native == std::endian::little && kKeyBytesMax % 8 == 0);
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, bytes_.data() + at, sizeof bytes);
    return __builtin_bswap64(bytes);
  }

  std::array<std::uint8_t, kKeyBytesMax> bytes_{};
  std::size_t size_ = 0;
};

[[nodiscard]] std::uint64_t read_integer(ByteSpan bytes);
[[nodiscard]] bool starts_with(ByteSpan key, ByteSpan prefix);

/// Where an event stands in the order of answers. Greater = earlier in an answer.
struct Position {
  std::array<std::uint8_t, kPositionBytes> bytes{};

  static Position of(std::int64_t created_at, const EventId& id, Sequence sequence);
  /// The last kPositionBytes of an index key.
  static Position of_key(ByteSpan key);

  [[nodiscard]] std::int64_t created_at() const;
  [[nodiscard]] Sequence sequence() const;
  /// True when the sequence alone tells them apart.
  [[nodiscard]] bool is_tie(const Position& other) const;

  bool operator==(const Position&) const = default;

  // As bytes: eight, eight and two at a time.
  friend std::strong_ordering operator<=>(const Position& a, const Position& b) {
    for (const std::size_t at : {0U, 8U}) {
      const std::uint64_t left = word(a.bytes.data() + at);
      const std::uint64_t right = word(b.bytes.data() + at);
      if (left != right) return left <=> right;
    }
    return (a.bytes[16] << 8 | a.bytes[17]) <=> (b.bytes[16] << 8 | b.bytes[17]);
  }

 private:
  static std::uint64_t word(const std::uint8_t* at) {
    static_assert(std::endian::native == std::endian::little && kPositionBytes == 18);
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, at, sizeof bytes);
    return __builtin_bswap64(bytes);
  }
};

[[nodiscard]] Key sequence_key(Sequence sequence);
[[nodiscard]] Key id_key(const EventId& id, Sequence sequence);
[[nodiscard]] Key id_prefix(const EventId& id);
/// As much of an id as a position holds.
[[nodiscard]] Key id_tie_prefix(const EventId& id);
[[nodiscard]] Key kind_prefix(std::uint32_t kind);
[[nodiscard]] Key author_prefix(const PublicKey& author);
[[nodiscard]] Key author_kind_prefix(const PublicKey& author, std::uint32_t kind);
[[nodiscard]] Key tag_prefix(char letter, std::string_view value);
[[nodiscard]] Key tag_prefix(char letter, const RecordElement& value);
[[nodiscard]] Key expiry_key(std::int64_t expiration, Sequence sequence);
[[nodiscard]] Key vanished_key(const PublicKey& author);
[[nodiscard]] Key deleted_id_key(const EventId& id, const PublicKey& author);
[[nodiscard]] Key address_key(const PublicKey& author, std::uint32_t kind, std::string_view d);
/// The event's own address: nothing for kinds that are not replaced.
[[nodiscard]] std::optional<Key> address_key(const RecordView& record);
[[nodiscard]] Key time_key(std::int64_t seconds);

/// `prefix` followed by `position`.
[[nodiscard]] Key positioned(const Key& prefix, const Position& position);

/// Of a word of a search. Words that begin with the same 15 bytes share their range.
[[nodiscard]] Key word_prefix(std::string_view word);
/// The keys of the words of a record that is_searched(), sorted, each once.
[[nodiscard]] std::vector<Key> word_keys(const RecordView& record, Sequence sequence);
[[nodiscard]] SearchText search_text_of(const RecordView& record);

/// True for names of tags that filters can ask for: one letter.
[[nodiscard]] bool is_indexed_name(const RecordElement& name);

/// Calls visit(table, key) for each entry that `record` has in the indexes whose value is empty:
/// by_id, by_time, by_kind, by_author, by_author_kind, by_tag (maybe the same twice), by_expiry,
/// words.
template <typename Visit>
void for_each_index_key(const Tables& tables, const RecordView& record, Sequence sequence,
                        Visit visit) {
  const Position position = Position::of(record.created_at(), record.id(), sequence);
  const PublicKey author = record.pubkey();
  visit(tables.by_id, id_key(record.id(), sequence));
  visit(tables.by_time, positioned(Key(), position));
  visit(tables.by_kind, positioned(kind_prefix(record.kind()), position));
  visit(tables.by_author, positioned(author_prefix(author), position));
  visit(tables.by_author_kind, positioned(author_kind_prefix(author, record.kind()), position));
  record.for_each_tag(
      [&](const RecordElement& name, const std::optional<RecordElement>& value, std::uint32_t) {
        if (value && is_indexed_name(name)) {
          const Key prefix = tag_prefix(static_cast<char>(name.bytes[0]), *value);
          visit(tables.by_tag, positioned(prefix, position));
        }
        return true;
      });
  if (record.expiration()) visit(tables.by_expiry, expiry_key(*record.expiration(), sequence));
  if (tables.words.exists() && is_searched(record.kind())) {
    for (const Key& key : word_keys(record, sequence)) visit(tables.words, key);
  }
}

}  // namespace nostril::relay
