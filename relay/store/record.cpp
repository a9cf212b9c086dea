#include "relay/store/record.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"
#include "relay/store/dictionary.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kIdAt = 2;
constexpr std::size_t kPubkeyAt = 34;
constexpr std::size_t kSigAt = 66;
constexpr std::size_t kTimeAt = 130;
constexpr std::size_t kKindAt = 136;
constexpr std::size_t kFixedBytes = 138;
constexpr std::size_t kExpirationBytes = 6;
constexpr std::size_t kFlagsAt = 1;
constexpr std::uint8_t kFlagPacked = 1;
constexpr std::uint8_t kFlagExpiration = 2;

std::uint64_t read_big_endian(ByteSpan bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

void add_big_endian(Bytes& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void add_varint(Bytes& out, std::size_t value) {
  CHECK(value <= UINT32_MAX);
  while (value >= 128) {
    out.push_back(static_cast<std::uint8_t>(value | 128));
    value >>= 7;
  }
  out.push_back(static_cast<std::uint8_t>(value));
}

void add_bytes(Bytes& out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void add_element(Bytes& out, std::string_view element) {
  std::array<std::uint8_t, 32> hex{};
  if (decode_hex(element, hex)) {
    add_varint(out, 0);
    add_bytes(out, hex);
    return;
  }
  add_varint(out, element.size() + 1);
  add_bytes(out, as_bytes(element));
}

// Checks lengths. After an error nothing more is read.
class BoundedReader {
 public:
  explicit BoundedReader(ByteSpan rest) : at_(rest.data()), end_(rest.data() + rest.size()) {}

  bool varint(std::uint32_t& value) {
    if (at_ != end_ && *at_ < 128) {  // nearly all
      value = *at_++;
      return true;
    }
    return long_varint(value);
  }

  bool element() {
    std::uint32_t header = 0;
    if (!varint(header)) return false;
    const std::size_t size = header == 0 ? 32 : header - 1;
    if (size > left()) return fail(RecordError::Truncated);
    // The one form of a value is what equals() and the index rely on.
    std::array<std::uint8_t, 32> hex{};
    if (header == 65 && decode_hex(as_text({at_, size}), hex)) return fail(RecordError::BadTag);
    at_ += size;
    return true;
  }

  bool tag() {
    std::uint32_t count = 0;
    if (!varint(count)) return false;
    if (count == 0) return fail(RecordError::BadTag);
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!element()) return false;  // each takes a byte at least: bounded by the record's size
    }
    return true;
  }

  // What stands before a frame.
  bool packed_head(std::uint32_t& dictionary, std::uint32_t& content_bytes) {
    if (at_ == end_) return fail(RecordError::Truncated);
    dictionary = *at_++;
    if (!varint(content_bytes)) return false;
    if (dictionary == 0 || content_bytes == 0 || content_bytes > Dictionary::kPackBytesMax) {
      return fail(RecordError::BadContent);
    }
    return true;
  }

  [[nodiscard]] ByteSpan rest() const { return {at_, end_}; }

  [[nodiscard]] RecordError error() const { return error_; }

 private:
  bool long_varint(std::uint32_t& value) {
    std::uint64_t wide = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      if (at_ == end_) return fail(RecordError::Truncated);
      const std::uint8_t byte = *at_++;
      wide |= static_cast<std::uint64_t>(byte & 127U) << shift;
      if ((byte & 128U) != 0) continue;
      const bool is_shortest = byte != 0 || shift == 0;
      if (!is_shortest || wide > UINT32_MAX) return fail(RecordError::BadVarint);
      value = static_cast<std::uint32_t>(wide);
      return true;
    }
    return fail(RecordError::BadVarint);
  }

  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  bool fail(RecordError error) {
    error_ = error;
    return false;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  RecordError error_ = RecordError::Truncated;
};

// At the end of a record whose flags are in place.
void add_content(Bytes& out, ByteSpan content, const Dictionary* dictionary) {
  const auto frame = dictionary != nullptr ? dictionary->pack(content) : std::nullopt;
  if (!frame) {
    add_bytes(out, content);
    return;
  }
  out[kFlagsAt] |= kFlagPacked;
  out.push_back(static_cast<std::uint8_t>(dictionary->id()));
  add_varint(out, content.size());
  add_bytes(out, *frame);
}

template <typename T>
T fixed_at(ByteSpan record, std::size_t at) {
  T value;
  std::ranges::copy(record.subspan(at, T::kSize), value.bytes.begin());
  return value;
}

template <std::size_t N>
char* write(char* out, const char (&text)[N]) {  // NOLINT(modernize-avoid-c-arrays): a literal
  std::memcpy(out, text, N - 1);
  return out + N - 1;
}

char* write_element(char* out, const RecordElement& element) {
  if (!element.is_hex) return write_json_string(out, as_text(element.bytes));
  *out++ = '"';
  out = write_hex(out, element.bytes);
  *out++ = '"';
  return out;
}

// Of the text without tags and content: names, quotes, numbers, id, key and signature as hex.
constexpr std::size_t kJsonFrameBytes = 160 + 2 * (32 + 32 + 64);
constexpr std::size_t kNumberBytes = 20;

// Sorted values; keys are random, so their first bytes tell nearly all apart.
template <typename T>
bool has(const std::vector<T>& values, const T& wanted) {
  const auto head = [](const T& value) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, value.bytes.data(), sizeof bytes);
    return __builtin_bswap64(bytes);
  };
  const std::uint64_t wanted_head = head(wanted);
  const auto less = [&](const T& value, std::uint64_t limit) { return head(value) < limit; };
  auto at = std::lower_bound(values.begin(), values.end(), wanted_head, less);
  for (; at != values.end() && head(*at) == wanted_head; ++at) {
    if (*at == wanted) return true;
  }
  return false;
}

// Lists come sorted from parse_filter(): to see that is cheap, to sort 500 keys again is not.
template <typename T>
void sort(std::optional<std::vector<T>>& values) {
  if (values && !std::ranges::is_sorted(*values)) std::ranges::sort(*values);
}

std::optional<std::int64_t> parse_expiration(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end ||
      value > static_cast<std::uint64_t>(kCreatedAtMax)) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(value);
}

}  // namespace

std::string_view to_string(RecordError error) {
  switch (error) {
    case RecordError::Truncated:
      return "record is cut off";
    case RecordError::UnknownVersion:
      return "record of an unknown version";
    case RecordError::UnknownFlags:
      return "record with unknown flags";
    case RecordError::BadVarint:
      return "record with a bad length";
    case RecordError::BadTag:
      return "record with a bad tag";
    case RecordError::BadContent:
      return "record whose packed content is damaged";
    case RecordError::UnknownDictionary:
      return "record packed with a dictionary that the file lacks or has damaged";
  }
  return "unknown";
}

std::string RecordElement::text() const {
  return is_hex ? encode_hex(bytes) : std::string(as_text(bytes));
}

bool RecordElement::equals(std::string_view text) const {
  if (!is_hex) return as_text(bytes) == text;
  std::array<std::uint8_t, 32> hex{};
  return decode_hex(text, hex) && std::ranges::equal(hex, bytes);
}

RecordFilter::RecordFilter(Filter filter) : filter_(std::move(filter)) {
  for (const auto& wanted : filter_.tags) {
    TagValues values{wanted.name, {}, {}};
    for (const auto& value : wanted.values) {
      std::array<std::uint8_t, 32> hex{};
      if (decode_hex(value, hex)) {
        values.hex.push_back(hex);
      } else {
        values.text.push_back(value);
      }
    }
    std::ranges::sort(values.hex);
    std::ranges::sort(values.text);
    tags_.push_back(std::move(values));
  }
  // Made by hand rather than parsed, a filter may be unsorted.
  sort(filter_.ids);
  sort(filter_.authors);
  sort(filter_.kinds);
}

std::optional<RecordHead> RecordHead::of(ByteSpan record) {
  if (record.size() < kFixedBytes || record[0] != kRecordVersion) return std::nullopt;
  return RecordHead{fixed_at<EventId>(record, kIdAt),
                    static_cast<std::int64_t>(read_big_endian(record.subspan(kTimeAt, 6)))};
}

Result<RecordView, RecordError> RecordView::parse(ByteSpan record, const Dictionaries* known) {
  auto view = parse_layout(record);
  if (!view || view->packed_with_ == DictionaryId{}) return view;
  if (known != nullptr) view->dictionary_ = known->find(view->packed_with_);
  if (view->dictionary_ == nullptr) return failure(RecordError::UnknownDictionary);
  return view;
}

std::optional<DictionaryId> RecordView::packed_with(ByteSpan record) {
  const auto view = parse_layout(record);
  if (!view || view->packed_with_ == DictionaryId{}) return std::nullopt;
  return view->packed_with_;
}

Result<RecordView, RecordError> RecordView::parse_layout(ByteSpan record) {
  if (record.size() < kFixedBytes) return failure(RecordError::Truncated);
  if (record[0] != kRecordVersion) return failure(RecordError::UnknownVersion);
  const std::uint8_t flags = record[kFlagsAt];
  if ((flags & ~(kFlagPacked | kFlagExpiration)) != 0) return failure(RecordError::UnknownFlags);

  RecordView view;
  view.record_ = record;
  view.created_at_ = static_cast<std::int64_t>(read_big_endian(record.subspan(kTimeAt, 6)));
  view.kind_ = static_cast<std::uint32_t>(read_big_endian(record.subspan(kKindAt, 2)));
  ByteSpan rest = record.subspan(kFixedBytes);
  if ((flags & kFlagExpiration) != 0) {
    if (rest.size() < kExpirationBytes) return failure(RecordError::Truncated);
    view.expiration_ = static_cast<std::int64_t>(read_big_endian(rest.first(kExpirationBytes)));
    rest = rest.subspan(kExpirationBytes);
  }

  BoundedReader reader(rest);
  std::uint32_t tag_count = 0;
  if (!reader.varint(tag_count)) return failure(reader.error());
  view.tag_count_ = tag_count;
  view.tags_ = reader.rest();
  for (std::uint32_t i = 0; i < tag_count; ++i) {
    if (!reader.tag()) return failure(reader.error());
  }
  view.tags_ = view.tags_.first(view.tags_.size() - reader.rest().size());
  if ((flags & kFlagPacked) != 0) {
    std::uint32_t dictionary = 0;
    std::uint32_t content_bytes = 0;
    if (!reader.packed_head(dictionary, content_bytes)) return failure(reader.error());
    view.packed_with_ = DictionaryId{static_cast<std::uint8_t>(dictionary)};
    view.content_bytes_ = content_bytes;
  }
  view.content_ = reader.rest();
  if ((flags & kFlagPacked) == 0) view.content_bytes_ = view.content_.size();
  return view;
}

EventId RecordView::id() const {
  return fixed_at<EventId>(record_, kIdAt);
}

PublicKey RecordView::pubkey() const {
  return fixed_at<PublicKey>(record_, kPubkeyAt);
}

Signature RecordView::sig() const {
  return fixed_at<Signature>(record_, kSigAt);
}

bool RecordFilter::may_match(ByteSpan record) const {
  if (record.size() < kFixedBytes || record[0] != kRecordVersion) return true;
  const Filter& f = filter_;
  const auto created_at = static_cast<std::int64_t>(read_big_endian(record.subspan(kTimeAt, 6)));
  if (f.since && created_at < *f.since) return false;
  if (f.until && created_at > *f.until) return false;
  const auto kind = static_cast<std::uint32_t>(read_big_endian(record.subspan(kKindAt, 2)));
  if (f.kinds && !std::ranges::binary_search(*f.kinds, kind)) return false;
  if (f.authors && !has(*f.authors, fixed_at<PublicKey>(record, kPubkeyAt))) return false;
  return !f.ids || has(*f.ids, fixed_at<EventId>(record, kIdAt));
}

bool RecordView::matches_tags(const RecordFilter& filter) const {
  return std::ranges::all_of(filter.tags_,
                             [this](const auto& wanted) { return matches_tag(wanted); });
}

bool RecordView::matches_tag(const RecordFilter::TagValues& wanted) const {
  bool found = false;
  for_each_tag(
      [&](const RecordElement& name, const std::optional<RecordElement>& value, std::uint32_t) {
        if (!value || name.bytes.size() != 1 || static_cast<char>(name.bytes[0]) != wanted.name) {
          return true;
        }
        if (value->is_hex) {
          std::array<std::uint8_t, 32> hex{};
          std::ranges::copy(value->bytes, hex.begin());
          found = std::ranges::binary_search(wanted.hex, hex);
        } else {
          found = std::binary_search(wanted.text.begin(), wanted.text.end(), as_text(value->bytes));
        }
        return !found;
      });
  return found;
}

Result<std::string_view, RecordError> RecordView::content() const {
  if (dictionary_ == nullptr) return as_text(content_);
  const auto text = dictionary_->unpack(content_, content_bytes_);
  if (!text) return failure(RecordError::BadContent);
  return *text;
}

Result<Event, RecordError> RecordView::to_event() const {
  const auto text = content();
  if (!text) return failure(text.error());
  Event event;
  event.id = id();
  event.pubkey = pubkey();
  event.created_at = created_at_;
  event.kind = kind_;
  event.sig = sig();
  event.content = *text;
  TagWalk walk(tags_);
  for (std::size_t i = 0; i < tag_count_; ++i) {
    const std::uint32_t count = walk.varint();
    for (std::uint32_t j = 0; j < count; ++j) event.tags.add_element(walk.element().text());
    event.tags.finish_tag();
  }
  return event;
}

void encode_record(Bytes& out, const Event& event, const Dictionary* dictionary) {
  CHECK(event.created_at >= 0 && event.created_at <= kCreatedAtMax);
  CHECK(event.kind <= 65535);
  const auto expiration = expiration_of(event);
  out.clear();
  out.push_back(kRecordVersion);
  out.push_back(expiration ? kFlagExpiration : 0);
  add_bytes(out, event.id.bytes);
  add_bytes(out, event.pubkey.bytes);
  add_bytes(out, event.sig.bytes);
  add_big_endian(out, static_cast<std::uint64_t>(event.created_at), 6);
  add_big_endian(out, event.kind, 2);
  if (expiration) add_big_endian(out, static_cast<std::uint64_t>(*expiration), kExpirationBytes);
  add_varint(out, event.tags.size());
  for (const auto tag : event.tags) {
    add_varint(out, tag.size());
    for (std::size_t i = 0; i < tag.size(); ++i) add_element(out, tag[i]);
  }
  add_content(out, as_bytes(event.content), dictionary);
}

Result<void, RecordError> repack_record(Bytes& out, const RecordView& record,
                                        const Dictionary* dictionary) {
  const auto content = record.content();
  if (!content) return failure(content.error());
  const ByteSpan tags = record.tags_;
  const ByteSpan head = record.bytes().first(
      static_cast<std::size_t>(tags.data() + tags.size() - record.bytes().data()));
  out.assign(head.begin(), head.end());
  out[kFlagsAt] = static_cast<std::uint8_t>(out[kFlagsAt] & ~kFlagPacked);
  add_content(out, as_bytes(*content), dictionary);
  return {};
}

bool append_json(TextBuffer& out, const RecordView& record) {
  const auto content = record.content();
  if (!content) return false;
  // A byte of a tag becomes six at most: its count "],[", an element's head two quotes and a comma.
  char* at =
      out.room(kJsonFrameBytes + json_room(record.tags_.size()) + json_room(content->size()));
  at = write(at, R"({"id":")");
  at = write_hex(at, record.record_.subspan(kIdAt, 32));
  at = write(at, R"(","pubkey":")");
  at = write_hex(at, record.record_.subspan(kPubkeyAt, 32));
  at = write(at, R"(","created_at":)");
  at = std::to_chars(at, at + kNumberBytes, record.created_at_).ptr;
  at = write(at, R"(,"kind":)");
  at = std::to_chars(at, at + kNumberBytes, record.kind_).ptr;
  at = write(at, R"(,"tags":[)");
  RecordView::TagWalk walk(record.tags_);
  for (std::size_t i = 0; i < record.tag_count_; ++i) {
    if (i > 0) *at++ = ',';
    *at++ = '[';
    const std::uint32_t count = walk.varint();
    for (std::uint32_t j = 0; j < count; ++j) {
      if (j > 0) *at++ = ',';
      at = write_element(at, walk.element());
    }
    *at++ = ']';
  }
  at = write(at, R"(],"content":)");
  at = write_json_string(at, *content);
  at = write(at, R"(,"sig":")");
  at = write_hex(at, record.record_.subspan(kSigAt, 64));
  at = write(at, "\"}");
  out.end_at(at);
  return true;
}

std::optional<std::int64_t> expiration_of(const Event& event) {
  const auto value = event.tags.find("expiration");
  return value ? parse_expiration(*value) : std::nullopt;
}

}  // namespace nostril::relay
