#include "relay/cluster/repair_codec.h"

#include "events/big_endian.h"
#include "relay/cluster/subjects.h"
#include "relay/store/keys.h"

#include <algorithm>
#include <optional>

namespace nostril::relay {

namespace {

constexpr std::uint8_t kDigests = 'd';
constexpr std::uint8_t kIds = 'i';
constexpr std::uint8_t kAgain = 'a';
constexpr std::uint8_t kIdsAnswer = 'I';
constexpr std::uint8_t kAgainAnswer = 'A';
constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kCountBytes = 2;

constexpr std::string_view kShort = "it ends too soon";
constexpr std::string_view kLong = "it is too long";
constexpr std::string_view kOther = "it is of no kind that is known here";
constexpr std::string_view kBadRange = "a range that no window has";
constexpr std::string_view kBadName = "a name that is none";

/// Takes bytes from the front; the first thing that is wrong sticks.
class Reader {
 public:
  explicit Reader(ByteSpan bytes) : rest_(bytes) {}

  ByteSpan take(std::size_t size) {
    if (rest_.size() < size) {
      fail(kShort);
      return {};
    }
    const ByteSpan out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
  }

  std::uint64_t number(std::size_t size) {
    const ByteSpan bytes = take(size);
    return bytes.empty() ? 0 : read_integer(bytes);
  }

  std::string text() { return std::string(as_text(take(static_cast<std::size_t>(number(1))))); }

  StreamRange range() {
    const std::uint64_t first = number(kNumberBytes);
    const StreamRange out{first, number(kNumberBytes)};
    const bool is_sequence = out.first > 0 && out.last <= INT64_MAX;
    if (!is_sequence || out.last < out.first || out.last > AppliedIds::window_of(out.first).last) {
      fail(kBadRange);
    }
    return out;
  }

  template <typename T>
  T fixed() {
    return T::from(take(T::kSize)).value_or(T());
  }

  std::vector<EventId> ids(std::size_t count_max) {
    if (rest_.size() > count_max * EventId::kSize) fail(kLong);
    std::vector<EventId> out;
    while (!error_ && !rest_.empty()) out.push_back(fixed<EventId>());
    return out;
  }

  void fail(std::string_view why) {
    if (!error_) error_ = why;
  }

  [[nodiscard]] bool goes_on() const { return !error_ && !rest_.empty(); }

  template <typename T>
  Result<T, std::string_view> done(T&& value) {
    if (!rest_.empty()) fail(kLong);
    if (error_) return failure(*error_);
    return std::forward<T>(value);
  }

 private:
  ByteSpan rest_;
  std::optional<std::string_view> error_;
};

template <typename T>
void append(Bytes& out, const T& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_text(Bytes& out, std::string_view text) {
  append_big_endian(out, text.size(), 1);
  append(out, as_bytes(text));
}

void append_range(Bytes& out, const StreamRange& range) {
  append_big_endian(out, range.first, kNumberBytes);
  append_big_endian(out, range.last, kNumberBytes);
}

void append_ids(Bytes& out, const std::vector<EventId>& ids) {
  for (const EventId& id : ids) append(out, id.bytes);
}

}  // namespace

Bytes encode(const DigestReport& report) {
  Bytes out = {kDigests};
  append_text(out, report.relay);
  append_big_endian(out, static_cast<std::uint64_t>(report.stream.created_ns), kNumberBytes);
  append_text(out, report.stream.name);
  for (const RangeReport& one : report.ranges) {
    append_range(out, one.range);
    append(out, one.digest.bytes);
  }
  return out;
}

Result<DigestReport, std::string_view> parse_digest_report(ByteSpan bytes) {
  Reader reader(bytes);
  if (reader.number(1) != kDigests) reader.fail(kOther);
  DigestReport out;
  out.relay = reader.text();
  out.stream.created_ns = static_cast<std::int64_t>(reader.number(kNumberBytes));
  out.stream.name = reader.text();
  if (!ClusterSubjects::is_name(out.relay, ClusterSubjects::kRelayCharsMax) ||
      !ClusterSubjects::is_name(out.stream.name, ClusterSubjects::kNameCharsMax)) {
    reader.fail(kBadName);
  }
  while (reader.goes_on()) {
    if (out.ranges.size() == kDigestsMax) reader.fail(kLong);
    const StreamRange range = reader.range();
    out.ranges.push_back({range, reader.fixed<RangeDigest>()});
  }
  return reader.done(std::move(out));
}

Bytes encode(const RepairRequest& request) {
  Bytes out;
  if (const auto* ids = std::get_if<IdsRequest>(&request)) {
    out.push_back(kIds);
    append_range(out, ids->range);
  } else {
    out.push_back(kAgain);
    append_ids(out, std::get<AgainRequest>(request).ids);
  }
  return out;
}

Result<RepairRequest, std::string_view> parse_repair_request(ByteSpan bytes) {
  Reader reader(bytes);
  switch (reader.number(1)) {
    case kIds:
      return reader.done(RepairRequest(IdsRequest{reader.range()}));
    case kAgain:
      return reader.done(RepairRequest(AgainRequest{reader.ids(kAskedAgainMax)}));
    default:
      return failure(kOther);
  }
}

Bytes encode(const RepairAnswer& answer) {
  Bytes out;
  if (const auto* ids = std::get_if<IdsAnswer>(&answer)) {
    out.push_back(kIdsAnswer);
    append_ids(out, ids->ids);
  } else {
    const auto& again = std::get<AgainAnswer>(answer);
    out.push_back(kAgainAnswer);
    append_big_endian(out, again.published, kCountBytes);
    append_big_endian(out, again.gone, kCountBytes);
  }
  return out;
}

Result<RepairAnswer, std::string_view> parse_repair_answer(ByteSpan bytes) {
  Reader reader(bytes);
  switch (reader.number(1)) {
    case kIdsAnswer:
      return reader.done(RepairAnswer(IdsAnswer{reader.ids(AppliedIds::kWindow)}));
    case kAgainAnswer: {
      const auto published = static_cast<std::uint16_t>(reader.number(kCountBytes));
      const auto gone = static_cast<std::uint16_t>(reader.number(kCountBytes));
      return reader.done(RepairAnswer(AgainAnswer{published, gone}));
    }
    default:
      return failure(kOther);
  }
}

}  // namespace nostril::relay
