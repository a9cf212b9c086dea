#include "events/negentropy.h"

#include "base/check.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

namespace nostril::negentropy {

namespace {

constexpr std::size_t kBuckets = 16;
constexpr std::size_t kListMax = 2 * kBuckets;  // fewer items are listed
constexpr std::size_t kVarintBytesMax = 10;
constexpr std::size_t kBoundBytesMax = 2 * kVarintBytesMax + EventId::kSize;
// Behind what an answer says there is always room for a skip and for a fingerprint of the rest.
constexpr std::size_t kReservedBytes = 2 * kBoundBytesMax + 2 + sizeof(RangeFingerprint);
static_assert(kBuckets * (kBoundBytesMax + 1 + sizeof(RangeFingerprint)) + 2 * kReservedBytes <
              kFrameBytesMin);
static_assert(kListMax * EventId::kSize + kBoundBytesMax + 2 * kReservedBytes < kFrameBytesMin);

constexpr std::size_t kWaitingMax = 1'000'000;

enum class Mode : std::uint8_t { Skip = 0, Fingerprint = 1, IdList = 2 };

Bound infinity() {
  return {};
}

/// The shortest bound that is above `below` and not above `item`.
Bound bound_between(const Item& below, const Item& item) {
  Bound bound;
  bound.created_at = static_cast<std::uint64_t>(item.created_at);
  if (item.created_at != below.created_at) return bound;
  const auto differs = std::ranges::mismatch(item.id.bytes, below.id.bytes).in1;
  bound.prefix_bytes = static_cast<std::size_t>(differs - item.id.bytes.begin()) + 1;
  std::copy_n(item.id.bytes.begin(), bound.prefix_bytes, bound.prefix.begin());
  return bound;
}

Bound bound_at(const Item& item) {
  return {static_cast<std::uint64_t>(item.created_at), item.id.bytes, EventId::kSize};
}

void append_varint(Bytes& out, std::uint64_t value) {
  std::array<std::uint8_t, kVarintBytesMax> digits{};
  std::size_t count = 0;
  do {
    digits[count] = static_cast<std::uint8_t>((value & 0x7FU) | (count == 0 ? 0U : 0x80U));
    ++count;
    value >>= 7U;
  } while (value != 0);
  for (std::size_t i = count; i > 0; --i) out.push_back(digits[i - 1]);
}

class Reader {
 public:
  explicit Reader(ByteSpan bytes) : bytes_(bytes) {}

  [[nodiscard]] bool is_at_end() const { return at_ == bytes_.size(); }

  Result<ByteSpan, Error> take(std::size_t count) {
    if (count > bytes_.size() - at_) return failure(Error::Truncated);
    const ByteSpan out = bytes_.subspan(at_, count);
    at_ += count;
    return out;
  }

  Result<std::uint64_t, Error> varint() {
    std::uint64_t value = 0;
    for (std::size_t i = 0;; ++i) {
      if (is_at_end()) return failure(Error::Truncated);
      const std::uint8_t digit = bytes_[at_++];
      if (i == 0 && digit == 0x80) return failure(Error::BadNumber);
      if (value > (UINT64_MAX >> 7U)) return failure(Error::BadNumber);
      value = (value << 7U) | (digit & 0x7FU);
      if (digit < 0x80) return value;
    }
  }

  Result<Bound, Error> bound() {
    const auto seconds = varint();
    if (!seconds) return failure(seconds.error());
    Bound out;
    if (*seconds == 0) {
      last_created_at_ = Bound::kInfinity;
    } else if (*seconds - 1 >= Bound::kInfinity - last_created_at_) {
      return failure(Error::BadBound);  // beyond infinity, or at it by another name
    } else {
      last_created_at_ += *seconds - 1;
    }
    out.created_at = last_created_at_;
    const auto size = varint();
    if (!size) return failure(size.error());
    if (*size > EventId::kSize) return failure(Error::BadBound);
    const auto prefix = take(*size);
    if (!prefix) return failure(prefix.error());
    std::ranges::copy(*prefix, out.prefix.begin());
    out.prefix_bytes = *size;
    return out;
  }

  Result<Mode, Error> mode() {
    const auto number = varint();
    if (!number) return failure(number.error());
    if (*number > static_cast<std::uint64_t>(Mode::IdList)) return failure(Error::BadMode);
    return static_cast<Mode>(*number);
  }

  Result<RangeFingerprint, Error> fingerprint() {
    RangeFingerprint out{};
    const auto bytes = take(out.size());
    if (!bytes) return failure(bytes.error());
    std::ranges::copy(*bytes, out.begin());
    return out;
  }

  /// End to end.
  Result<ByteSpan, Error> ids() {
    const auto count = varint();
    if (!count) return failure(count.error());
    if (*count > (bytes_.size() - at_) / EventId::kSize) return failure(Error::Truncated);
    return take(*count * EventId::kSize);
  }

 private:
  ByteSpan bytes_;
  std::size_t at_ = 0;
  std::uint64_t last_created_at_ = 0;
};

class Writer {
 public:
  Writer() { out_.push_back(kVersion); }

  struct Mark {
    std::size_t size;
    std::uint64_t last_created_at;
  };

  [[nodiscard]] Mark mark() const { return {out_.size(), last_created_at_}; }

  void go_back(const Mark& mark) {
    out_.resize(mark.size);
    last_created_at_ = mark.last_created_at;
  }

  [[nodiscard]] std::size_t size() const { return out_.size(); }

  void skip(const Bound& upper) { begin(upper, Mode::Skip); }

  void fingerprint(const Bound& upper, const RangeFingerprint& value) {
    begin(upper, Mode::Fingerprint);
    out_.insert(out_.end(), value.begin(), value.end());
  }

  void ids(const Bound& upper, const Set& set, std::size_t first, std::size_t end) {
    begin(upper, Mode::IdList);
    append_varint(out_, end - first);
    for (std::size_t i = first; i < end; ++i) {
      out_.insert(out_.end(), set[i].id.bytes.begin(), set[i].id.bytes.end());
    }
  }

  void part(const Bound& upper, const Set& set, std::size_t first, std::size_t end, bool is_list) {
    if (is_list) {
      ids(upper, set, first, end);
    } else {
      fingerprint(upper, set.fingerprint(first, end));
    }
  }

  [[nodiscard]] Bytes take() && { return std::move(out_); }

 private:
  void begin(const Bound& upper, Mode mode) {
    if (upper.created_at == Bound::kInfinity) {
      append_varint(out_, 0);
      last_created_at_ = Bound::kInfinity;
    } else {
      append_varint(out_, upper.created_at - last_created_at_ + 1);
      last_created_at_ = upper.created_at;
    }
    append_varint(out_, upper.prefix_bytes);
    const auto prefix = std::span(upper.prefix).first(upper.prefix_bytes);
    out_.insert(out_.end(), prefix.begin(), prefix.end());
    append_varint(out_, static_cast<std::uint64_t>(mode));
  }

  Bytes out_;
  std::uint64_t last_created_at_ = 0;
};

/// What there is to say about a range that differs: a list of few items, else parts of it by their
/// fingerprints. Calls say(upper bound, first, end, is_list).
template <typename Say>
void for_each_part(const Bound& upper, const Set& set, std::size_t first, std::size_t end,
                   Say say) {
  const std::size_t count = end - first;
  if (count < kListMax) {
    say(upper, first, end, true);
    return;
  }
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    const std::size_t size = count / kBuckets + (bucket < count % kBuckets ? 1 : 0);
    const std::size_t next = first + size;
    say(next == end ? upper : bound_between(set[next - 1], set[next]), first, next, false);
    first = next;
  }
}

/// Compares the ids that the other side has in a range with ours.
void compare(const Set& set, std::size_t first, std::size_t end, ByteSpan theirs,
             Differences& out) {
  std::vector<std::pair<EventId, bool>> ids;  // and whether it is ours too
  ids.reserve(theirs.size() / EventId::kSize);
  for (std::size_t at = 0; at < theirs.size(); at += EventId::kSize) {
    ids.emplace_back(*EventId::from(theirs.subspan(at, EventId::kSize)), false);
  }
  const auto by_id = [](const auto& a, const auto& b) { return a.first < b.first; };
  std::ranges::sort(ids, by_id);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (std::size_t i = first; i < end; ++i) {
    const auto found = std::lower_bound(ids.begin(), ids.end(), std::pair(set[i].id, false), by_id);
    if (found != ids.end() && found->first == set[i].id) {
      found->second = true;
    } else {
      out.have.push_back(set[i].id);
    }
  }
  for (const auto& [id, is_ours] : ids) {
    if (!is_ours) out.need.push_back(id);
  }
}

/// One message answered.
class Round {
 public:
  Round(const Set& set, std::size_t frame_bytes_max)
      : set_(set), text_bytes_max_(frame_bytes_max - kReservedBytes) {
    CHECK(frame_bytes_max >= kFrameBytesMin);
  }

  Result<Bytes, Error> run(Reader in) {
    while (!in.is_at_end() && !is_full_) {
      if (auto read = range(in); !read) return failure(read.error());
    }
    return std::move(out_).take();
  }

 private:
  Result<void, Error> range(Reader& in) {
    const auto upper = in.bound();
    if (!upper) return failure(upper.error());
    if (*upper < bound_) return failure(Error::BadBound);
    const auto mode = in.mode();
    if (!mode) return failure(mode.error());
    const std::size_t end = set_.find(at_, *upper);
    const Writer::Mark before = out_.mark();
    const bool had_skip = must_skip_;
    if (*mode == Mode::Fingerprint) {
      const auto theirs = in.fingerprint();
      if (!theirs) return failure(theirs.error());
      if (*theirs == set_.fingerprint(at_, end)) {
        must_skip_ = true;
      } else {
        write_skip();
        for_each_part(
            *upper, set_, at_, end,
            [this](const Bound& part_upper, std::size_t first, std::size_t part_end, bool is_list) {
              out_.part(part_upper, set_, first, part_end, is_list);
            });
      }
    } else if (*mode == Mode::IdList) {
      // What the other side has is its own to compare with the answer.
      if (const auto theirs = in.ids(); !theirs) return failure(theirs.error());
      if (!list(*upper, end)) return {};
    } else {
      must_skip_ = true;
    }
    if (out_.size() > text_bytes_max_) {
      out_.go_back(before);
      must_skip_ = had_skip;
      write_rest();
      return {};
    }
    at_ = end;
    bound_ = *upper;
    return {};
  }

  // All of ours in the range; false when only some had room, and the message is complete.
  bool list(const Bound& upper, std::size_t end) {
    write_skip();
    const std::size_t used = out_.size() + kBoundBytesMax + 1 + kVarintBytesMax;
    const std::size_t room = used < text_bytes_max_ ? (text_bytes_max_ - used) / EventId::kSize : 0;
    if (end - at_ <= room) {
      out_.ids(upper, set_, at_, end);
      return true;
    }
    if (room > 0) {
      const std::size_t next = at_ + room;
      out_.ids(bound_at(set_[next]), set_, at_, next);
      at_ = next;
    }
    write_rest();
    return false;
  }

  // What lies between the last range that had something to say and this one.
  void write_skip() {
    if (std::exchange(must_skip_, false)) out_.skip(bound_);
  }

  // The message is full: of all that it could not speak about only a fingerprint.
  void write_rest() {
    write_skip();
    out_.fingerprint(infinity(), set_.fingerprint(at_, set_.size()));
    is_full_ = true;
  }

  const Set& set_;
  const std::size_t text_bytes_max_;
  Writer out_;
  std::size_t at_ = 0;        // the first item of the range
  Bound bound_ = {0, {}, 0};  // its lower bound
  bool must_skip_ = false;
  bool is_full_ = false;
};

}  // namespace

std::string_view to_string(Error error) {
  switch (error) {
    case Error::Truncated:
      return "the message ends inside a range";
    case Error::BadNumber:
      return "a number is not a varint of 64 bits";
    case Error::BadBound:
      return "a bound is out of order or too long";
    case Error::BadMode:
      return "a range has an unknown mode";
    case Error::TooMany:
      return "more ranges differ than there can be";
    case Error::BadVersion:
      return "not a message of negentropy version 1";
  }
  return "unknown";
}

std::strong_ordering Bound::operator<=>(const Bound& other) const {
  if (const auto order = created_at <=> other.created_at; std::is_neq(order)) return order;
  return std::memcmp(prefix.data(), other.prefix.data(), prefix.size()) <=> 0;
}

bool Bound::is_above(const Item& item) const {
  const auto seconds = static_cast<std::uint64_t>(item.created_at);
  if (seconds != created_at) return seconds < created_at;
  return std::memcmp(item.id.bytes.data(), prefix.data(), prefix.size()) < 0;
}

Set::Set(std::vector<Item> items) : items_(std::move(items)) {
  if (!std::ranges::is_sorted(items_)) std::ranges::sort(items_);
  items_.erase(std::unique(items_.begin(), items_.end()), items_.end());
  sums_.reserve(items_.size() / kStride + 1);
  Sum sum{};
  for (std::size_t i = 0; i < items_.size(); ++i) {
    CHECK(items_[i].created_at >= 0);
    if (i % kStride == 0) sums_.push_back(sum);
    add(sum, number_of(items_[i].id));
  }
  if (items_.size() % kStride == 0) sums_.push_back(sum);
}

std::size_t Set::find(std::size_t begin, const Bound& bound) const {
  const auto from = items_.begin() + static_cast<std::ptrdiff_t>(begin);
  const auto found = std::partition_point(from, items_.end(),
                                          [&](const Item& item) { return bound.is_above(item); });
  return static_cast<std::size_t>(found - items_.begin());
}

void Set::add(Sum& sum, const Sum& other) {
  std::uint64_t carry = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const std::uint64_t with_carry = sum[i] + carry;
    carry = static_cast<std::uint64_t>(with_carry < carry);
    sum[i] = with_carry + other[i];
    carry |= static_cast<std::uint64_t>(sum[i] < with_carry);
  }
}

void Set::subtract(Sum& sum, const Sum& other) {
  std::uint64_t borrow = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const std::uint64_t before = sum[i];
    const std::uint64_t less = before - other[i];
    sum[i] = less - borrow;
    borrow = static_cast<std::uint64_t>(before < other[i] || less < borrow);
  }
}

Set::Sum Set::number_of(const EventId& id) {
  static_assert(std::endian::native == std::endian::little);
  Sum out;
  std::memcpy(out.data(), id.bytes.data(), sizeof out);
  return out;
}

Set::Sum Set::sum_before(std::size_t end) const {
  if (sums_.empty()) return {};
  Sum sum = sums_[end / kStride];
  for (std::size_t i = end - end % kStride; i < end; ++i) add(sum, number_of(items_[i].id));
  return sum;
}

RangeFingerprint Set::fingerprint(std::size_t begin, std::size_t end) const {
  CHECK(begin <= end && end <= items_.size());
  Sum sum = sum_before(end);
  subtract(sum, sum_before(begin));
  Bytes input(sizeof sum);
  std::memcpy(input.data(), sum.data(), sizeof sum);
  append_varint(input, end - begin);
  const Digest digest = sha256(ByteSpan(input));
  RangeFingerprint out{};
  std::copy_n(digest.bytes.begin(), out.size(), out.begin());
  return out;
}

Result<Bytes, Error> answer(const Set& set, ByteSpan message, std::size_t frame_bytes_max) {
  Reader in(message);
  const auto version = in.take(1);
  if (!version) return failure(version.error());
  const std::uint8_t theirs = version->front();
  if (theirs != kVersion) {
    if (theirs < 0x60 || theirs > 0x6F) return failure(Error::BadVersion);
    return Bytes{kVersion};  // the one that is spoken here
  }
  return Round(set, frame_bytes_max).run(in);
}

Asker::Asker(const Set& set, std::size_t frame_bytes_max)
    : set_(set), frame_bytes_max_(frame_bytes_max) {
  CHECK(frame_bytes_max >= kFrameBytesMin);
}

Bytes Asker::first() {
  std::vector<Range> all;
  split({Bound{0, {}, 0}, infinity(), 0, set_.size(), false}, all);
  waiting_.assign(all.begin(), all.end());
  return ask();
}

Result<Bytes, Error> Asker::next(ByteSpan answer, Differences& out) {
  Reader in(answer);
  const auto version = in.take(1);
  if (!version) return failure(version.error());
  // A single other version byte: what the other side speaks instead.
  if (version->front() != kVersion) return failure(Error::BadVersion);
  std::vector<Range> more;
  Range range;
  range.upper = {0, {}, 0};
  while (!in.is_at_end()) {
    range.lower = range.upper;
    range.begin = range.end;
    const auto upper = in.bound();
    if (!upper) return failure(upper.error());
    if (*upper < range.lower) return failure(Error::BadBound);
    range.upper = *upper;
    range.end = set_.find(range.begin, *upper);
    const auto mode = in.mode();
    if (!mode) return failure(mode.error());
    if (*mode == Mode::Fingerprint) {
      const auto theirs = in.fingerprint();
      if (!theirs) return failure(theirs.error());
      if (*theirs != set_.fingerprint(range.begin, range.end)) differs(range, more);
    } else if (*mode == Mode::IdList) {
      const auto theirs = in.ids();
      if (!theirs) return failure(theirs.error());
      compare(set_, range.begin, range.end, *theirs, out);
    }
    if (waiting_.size() + more.size() > kWaitingMax) return failure(Error::TooMany);
  }
  waiting_.insert(waiting_.begin(), more.begin(), more.end());
  return ask();
}

// Inside a range that was asked for, it is what the other side says of a part. Over more than one
// it says only that its answer was full: what was asked for there is asked for again.
void Asker::differs(const Range& range, std::vector<Range>& out) const {
  const auto first = std::partition_point(
      asked_.begin(), asked_.end(), [&](const Range& asked) { return asked.upper <= range.lower; });
  if (first != asked_.end() && first->lower <= range.lower && range.upper <= first->upper) {
    split(range, out);
    return;
  }
  for (auto asked = first; asked != asked_.end() && asked->lower < range.upper; ++asked) {
    Range again = *asked;
    if (again.lower < range.lower) {
      again.lower = range.lower;
      again.begin = range.begin;
    }
    if (range.upper < again.upper) {
      again.upper = range.upper;
      again.end = range.end;
    }
    out.push_back(again);
  }
}

void Asker::split(const Range& range, std::vector<Range>& out) const {
  for_each_part(range.upper, set_, range.begin, range.end,
                [&, lower = range.lower](const Bound& upper, std::size_t first, std::size_t end,
                                         bool is_list) mutable {
                  out.push_back({lower, upper, first, end, is_list});
                  lower = upper;
                });
}

Bytes Asker::ask() {
  asked_.clear();
  if (waiting_.empty()) return {};
  Writer out;
  Bound at{0, {}, 0};
  while (!waiting_.empty()) {
    const Range& range = waiting_.front();
    const Writer::Mark before = out.mark();
    if (at < range.lower) out.skip(range.lower);
    out.part(range.upper, set_, range.begin, range.end, range.is_list);
    if (out.size() > frame_bytes_max_) {
      out.go_back(before);
      break;
    }
    at = range.upper;
    asked_.push_back(range);
    waiting_.pop_front();
  }
  return std::move(out).take();
}

}  // namespace nostril::negentropy
