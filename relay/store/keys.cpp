#include "relay/store/keys.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kIdPrefixBytes = 8;
constexpr std::size_t kAuthorPrefixBytes = 8;
constexpr std::size_t kTieBytes = 7;
constexpr std::size_t kValueHashBytes = 7;
constexpr std::size_t kWordKeyBytes = 15;
constexpr std::size_t kUniqueBytes = 16;  // long enough that nobody makes two of them

ByteSpan front(ByteSpan bytes, std::size_t size) {
  return bytes.first(size);
}

Key tag_prefix_of_hex(char letter, ByteSpan value) {
  // Not the first bytes: proof of work makes an id's leading bits zero.
  return Key().add_integer(static_cast<std::uint8_t>(letter), 1).add(value.last(kValueHashBytes));
}

Key tag_prefix_of_text(char letter, ByteSpan value) {
  const Digest digest = sha256(value);
  return Key()
      .add_integer(static_cast<std::uint8_t>(letter), 1)
      .add(front(digest.bytes, kValueHashBytes));
}

// The beginning of a word as a number, in the order of the bytes; no word has a zero in it.
struct WordHead {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  auto operator<=>(const WordHead&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

constexpr std::size_t kWordsRemembered = 64;

WordHead head_of(std::string_view word) {
  std::array<std::uint64_t, 2> bytes{};
  std::memcpy(bytes.data(), word.data(), std::min(word.size(), kWordKeyBytes));
  return {__builtin_bswap64(bytes[0]), __builtin_bswap64(bytes[1])};
}

std::size_t hash_of(const WordHead& head) {
  constexpr std::uint64_t kMix = 0x9e3779b97f4a7c15;
  return static_cast<std::size_t>(((head.high ^ head.low >> 7U) * kMix) >> 32U);
}

Key key_of(const WordHead& head) {
  const std::array<std::uint64_t, 2> numbers{__builtin_bswap64(head.high),
                                             __builtin_bswap64(head.low)};
  const std::string_view text(reinterpret_cast<const char*>(numbers.data()), kWordKeyBytes);
  return word_prefix(text.substr(0, text.find('\0')));
}

}  // namespace

bool starts_with(ByteSpan key, ByteSpan prefix) {
  return key.size() >= prefix.size() && std::ranges::equal(key.first(prefix.size()), prefix);
}

std::uint64_t read_integer(ByteSpan bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

Position Position::of(std::int64_t created_at, const EventId& id, Sequence sequence) {
  Position position;
  Key key;
  key.add_integer(static_cast<std::uint64_t>(created_at), kTimeBytes);
  std::array<std::uint8_t, kTieBytes> tie{};
  for (std::size_t i = 0; i < kTieBytes; ++i) tie[i] = static_cast<std::uint8_t>(~id.bytes[i]);
  key.add(tie).add_integer(static_cast<std::uint64_t>(sequence), kSequenceBytes);
  std::ranges::copy(key.span(), position.bytes.begin());
  return position;
}

Position Position::of_key(ByteSpan key) {
  CHECK(key.size() >= kPositionBytes);
  Position position;
  std::ranges::copy(key.last(kPositionBytes), position.bytes.begin());
  return position;
}

std::int64_t Position::created_at() const {
  return static_cast<std::int64_t>(read_integer(ByteSpan(bytes).first(kTimeBytes)));
}

bool Position::is_tie(const Position& other) const {
  constexpr std::size_t kWithoutSequence = kPositionBytes - kSequenceBytes;
  return std::ranges::equal(ByteSpan(bytes).first(kWithoutSequence),
                            ByteSpan(other.bytes).first(kWithoutSequence));
}

Sequence Position::sequence() const {
  return Sequence{read_integer(ByteSpan(bytes).last(kSequenceBytes))};
}

Key sequence_key(Sequence sequence) {
  return Key().add_integer(static_cast<std::uint64_t>(sequence), kSequenceBytes);
}

Key id_prefix(const EventId& id) {
  return Key().add(front(id.bytes, kIdPrefixBytes));
}

Key id_tie_prefix(const EventId& id) {
  return Key().add(front(id.bytes, kTieBytes));
}

Key id_key(const EventId& id, Sequence sequence) {
  return id_prefix(id).add_integer(static_cast<std::uint64_t>(sequence), kSequenceBytes);
}

Key kind_prefix(std::uint32_t kind) {
  return Key().add_integer(kind, 2);
}

Key author_prefix(const PublicKey& author) {
  return Key().add(front(author.bytes, kAuthorPrefixBytes));
}

Key author_kind_prefix(const PublicKey& author, std::uint32_t kind) {
  return author_prefix(author).add_integer(kind, 2);
}

Key tag_prefix(char letter, std::string_view value) {
  std::array<std::uint8_t, 32> hex{};
  if (decode_hex(value, hex)) return tag_prefix_of_hex(letter, hex);
  return tag_prefix_of_text(letter, as_bytes(value));
}

Key tag_prefix(char letter, const RecordElement& value) {
  return value.is_hex ? tag_prefix_of_hex(letter, value.bytes)
                      : tag_prefix_of_text(letter, value.bytes);
}

Key time_key(std::int64_t seconds) {
  return Key().add_integer(static_cast<std::uint64_t>(seconds), kTimeBytes);
}

Key expiry_key(std::int64_t expiration, Sequence sequence) {
  return time_key(expiration).add_integer(static_cast<std::uint64_t>(sequence), kSequenceBytes);
}

Key vanished_key(const PublicKey& author) {
  return Key().add(ByteSpan(author.bytes).first(16));
}

Key deleted_id_key(const EventId& id, const PublicKey& author) {
  return Key().add(front(id.bytes, kUniqueBytes)).add(front(author.bytes, kUniqueBytes));
}

Key address_key(const PublicKey& author, std::uint32_t kind, std::string_view d) {
  const Digest digest = sha256(d);
  return Key()
      .add(front(author.bytes, kUniqueBytes))
      .add_integer(kind, 2)
      .add(front(digest.bytes, kUniqueBytes));
}

std::optional<Key> address_key(const RecordView& record) {
  switch (kind_class(record.kind())) {
    case KindClass::Regular:
    case KindClass::Ephemeral:
      return std::nullopt;
    case KindClass::Replaceable:
      return address_key(record.pubkey(), record.kind(), "");
    case KindClass::Addressable:
      break;
  }
  std::string d;  // without a d tag, or with one that has no value, the address ends empty
  record.for_each_tag(
      [&d](const RecordElement& name, const std::optional<RecordElement>& value, std::uint32_t) {
        if (as_text(name.bytes) != "d") return true;
        if (value) d = value->text();
        return false;
      });
  return address_key(record.pubkey(), record.kind(), d);
}

Key positioned(const Key& prefix, const Position& position) {
  Key key = prefix;
  key.add(position.bytes);
  return key;
}

Key word_prefix(std::string_view word) {
  return Key().add(as_bytes(word.substr(0, kWordKeyBytes))).add_integer(0, 1);
}

SearchText search_text_of(const RecordView& record) {
  SearchText text(record.kind(), record.content().value_or(std::string_view()));
  record.for_each_tag([&](const RecordElement& name, const std::optional<RecordElement>& value,
                          std::uint32_t /*count*/) {
    if (!name.is_hex) text.add_tag(as_text(name.bytes), value ? value->text() : std::string());
    return true;
  });
  return text;
}

std::vector<Key> word_keys(const RecordView& record, Sequence sequence) {
  const SearchText text = search_text_of(record);
  std::vector<WordHead> heads;
  heads.reserve(text.words().size());
  // Most of a text's words are the same few: those that were just met need not be sorted.
  std::array<WordHead, kWordsRemembered> met{};
  for (const auto& word : text.words()) {
    const WordHead head = head_of(word.text);
    WordHead& before = met[hash_of(head) % kWordsRemembered];
    if (head == std::exchange(before, head)) continue;
    heads.push_back(head);
  }
  std::ranges::sort(heads);
  heads.erase(std::unique(heads.begin(), heads.end()), heads.end());
  std::vector<Key> keys;
  keys.reserve(heads.size());
  for (const WordHead& head : heads) {
    keys.push_back(key_of(head).add_integer(static_cast<std::uint64_t>(sequence), kSequenceBytes));
  }
  return keys;
}

bool is_indexed_name(const RecordElement& name) {
  if (name.bytes.size() != 1) return false;
  const std::uint8_t letter = name.bytes[0];
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
}

}  // namespace nostril::relay
