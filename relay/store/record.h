#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/text_buffer.h"
#include "events/event.h"
#include "events/filter.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// The packed form of an event on disk (spec/09-store.md has the same table).
///
///   offset  bytes  field
///        0      1  version, 1
///        1      1  flags: bit 0 = content is packed, bit 1 = the expiration field is there;
///                  all others zero
///        2     32  id
///       34     32  pubkey
///       66     64  sig
///      130      6  created_at, seconds, big-endian
///      136      2  kind, big-endian
///      138    0/6  expiration (NIP-40), seconds, big-endian, when flag bit 1
///        .  varint count of tags, then each tag: varint count of elements (1 or more), then each
///                  element: varint h; h = 0: 32 bytes that were 64 lowercase hex characters;
///                  else h - 1 bytes of text
///        .   rest  content, text; packed: id of its dictionary 1 (not 0), varint size of the text
///                  (1 to 2^20), a zstd frame (relay/store/dictionary.h)
/// varint: LEB128, least significant group first, 32 bits at most, shortest form only.
inline constexpr std::uint8_t kRecordVersion = 1;
/// created_at has 48 bits: nine million years. Later ones are refused, not cut.
inline constexpr std::int64_t kCreatedAtMax = (std::int64_t{1} << 48) - 1;

enum class RecordError : std::uint8_t {
  Truncated,
  UnknownVersion,
  UnknownFlags,
  BadVarint,
  BadTag,
  BadContent,        ///< packed content that can't be unpacked
  UnknownDictionary  ///< packed with a dictionary that the file lacks, or has damaged
};
std::string_view to_string(RecordError error);

/// Number of a dictionary in its file, from 1 in the order of training.
enum class DictionaryId : std::uint8_t {};
class Dictionary;
class Dictionaries;

/// One element of a tag, as stored.
struct RecordElement {
  ByteSpan bytes;
  bool is_hex = false;  ///< 32 bytes, shown as 64 lowercase hex characters

  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool equals(std::string_view text) const;
};

/// A filter prepared for records: made once a query, hex values already bytes.
class RecordFilter {
 public:
  explicit RecordFilter(Filter filter);

  [[nodiscard]] const Filter& filter() const { return filter_; }

  /// What the filter says of id, author, kind and time. A record that is too short for these, or of
  /// another version, may match: parse() tells what is wrong with it.
  [[nodiscard]] bool may_match(ByteSpan record) const;

 private:
  friend class RecordView;

  struct TagValues {
    char name;
    std::vector<std::array<std::uint8_t, 32>> hex;  // sorted
    std::vector<std::string> text;                  // sorted
  };

  Filter filter_;
  std::vector<TagValues> tags_;
};

/// What stands at the beginning of each record, read without a look at the rest.
struct RecordHead {
  EventId id;
  std::int64_t created_at = 0;

  /// Nothing of what is too short for a record, or of another version.
  [[nodiscard]] static std::optional<RecordHead> of(ByteSpan record);
};

/// A record that is all there: every length was checked by parse(). Borrows the bytes, and its
/// dictionary when its content is packed; packed content is unpacked (and a damaged frame noticed)
/// only when it is asked for.
/// Text is not checked to be UTF-8 again: that was done when the event came in.
class RecordView {
 public:
  /// A record packed with a dictionary that is not among `known` is refused.
  [[nodiscard]] static Result<RecordView, RecordError> parse(ByteSpan record,
                                                             const Dictionaries* known = nullptr);
  /// The dictionary that a whole record was packed with.
  [[nodiscard]] static std::optional<DictionaryId> packed_with(ByteSpan record);

  [[nodiscard]] EventId id() const;
  [[nodiscard]] PublicKey pubkey() const;
  [[nodiscard]] Signature sig() const;

  [[nodiscard]] std::int64_t created_at() const { return created_at_; }

  [[nodiscard]] std::uint32_t kind() const { return kind_; }

  /// NIP-40, when the event has one that is a number below 2^48.
  [[nodiscard]] std::optional<std::int64_t> expiration() const { return expiration_; }

  [[nodiscard]] bool is_expired(std::int64_t now_s) const {
    return expiration_.has_value() && *expiration_ <= now_s;
  }

  [[nodiscard]] std::size_t tag_count() const { return tag_count_; }

  /// Borrowed from the record, or unpacked and borrowed until this thread unpacks another.
  [[nodiscard]] Result<std::string_view, RecordError> content() const;

  [[nodiscard]] bool is_packed() const { return dictionary_ != nullptr; }

  /// Bytes that the content takes in the record, and as text.
  [[nodiscard]] std::size_t stored_content_bytes() const { return content_.size(); }

  [[nodiscard]] std::size_t content_bytes() const { return content_bytes_; }

  [[nodiscard]] ByteSpan bytes() const { return record_; }

  /// The view of a copy of these bytes.
  [[nodiscard]] RecordView over(const std::uint8_t* copy) const {
    RecordView view = *this;
    for (ByteSpan* part : {&view.record_, &view.tags_, &view.content_}) {
      *part = {copy + (part->data() - record_.data()), part->size()};
    }
    return view;
  }

  /// Calls visit(name, value, elements): the first element as text, the second when there is one,
  /// and their count. Stops when it returns false.
  template <typename Visit>
  void for_each_tag(Visit visit) const {
    TagWalk walk(tags_);
    for (std::size_t i = 0; i < tag_count_; ++i) {
      const std::uint32_t count = walk.varint();
      const RecordElement name = walk.element();
      std::optional<RecordElement> value;
      if (count > 1) value = walk.element();
      for (std::uint32_t j = 2; j < count; ++j) (void)walk.element();
      if (!visit(name, value, count)) return;
    }
  }

  /// As Filter::matches() on the event.
  [[nodiscard]] bool matches(const RecordFilter& filter) const {
    return filter.may_match(record_) && matches_tags(filter);
  }

  /// The part of matches() that RecordFilter::may_match() leaves.
  [[nodiscard]] bool matches_tags(const RecordFilter& filter) const;

  [[nodiscard]] Result<Event, RecordError> to_event() const;

 private:
  friend bool append_json(TextBuffer& out, const RecordView& record);
  friend Result<void, RecordError> repack_record(Bytes& out, const RecordView& record,
                                                 const Dictionary* dictionary);

  // Reads tags whose lengths parse() has checked.
  class TagWalk {
   public:
    explicit TagWalk(ByteSpan tags) : at_(tags.data()) {}

    std::uint32_t varint() {
      std::uint32_t value = *at_ & 127U;
      for (unsigned shift = 7; (*at_++ & 128U) != 0; shift += 7) {
        value |= static_cast<std::uint32_t>(*at_ & 127U) << shift;
      }
      return value;
    }

    RecordElement element() {
      const std::uint32_t header = varint();
      const std::size_t size = header == 0 ? 32 : header - 1;
      const RecordElement element{ByteSpan(at_, size), header == 0};
      at_ += size;
      return element;
    }

   private:
    const std::uint8_t* at_;
  };

  RecordView() = default;

  static Result<RecordView, RecordError> parse_layout(ByteSpan record);
  [[nodiscard]] bool matches_tag(const RecordFilter::TagValues& wanted) const;

  ByteSpan record_;
  ByteSpan tags_;     // after their count
  ByteSpan content_;  // the text, or the frame
  std::size_t content_bytes_ = 0;
  DictionaryId packed_with_{};
  const Dictionary* dictionary_ = nullptr;  // when it is packed
  std::optional<std::int64_t> expiration_;
  std::int64_t created_at_ = 0;
  std::uint32_t kind_ = 0;
  std::size_t tag_count_ = 0;
};

/// Packs an event with created_at <= kCreatedAtMax; clears `out` first. With a dictionary the
/// content is packed where that pays.
void encode_record(Bytes& out, const Event& event, const Dictionary* dictionary = nullptr);

/// The same record with its content packed anew, or (without a dictionary) as text.
[[nodiscard]] Result<void, RecordError> repack_record(Bytes& out, const RecordView& record,
                                                      const Dictionary* dictionary);

/// The same text as append_json(out, record.to_event()), without building the event. False, and
/// `out` as it was, when the content can't be unpacked.
[[nodiscard]] bool append_json(TextBuffer& out, const RecordView& record);

/// NIP-40: the first `expiration` tag's value when it is a decimal number of at most 2^48 - 1.
[[nodiscard]] std::optional<std::int64_t> expiration_of(const Event& event);

}  // namespace nostril::relay
