#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "events/event.h"
#include "relay/cluster/applied_ids.h"
#include "relay/store/stream_position.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril::relay {

// What relays of a cluster tell each other to find out that they were told different things of one
// stream (repair.h): bytes, each with a bound; numbers are big-endian. What is too short, too long
// or out of its bounds is refused as a whole. Pure.

inline constexpr std::size_t kDigestsMax = 64;      ///< of one report
inline constexpr std::size_t kAskedAgainMax = 256;  ///< events of one request

struct RangeReport {
  StreamRange range;  ///< of one window of AppliedIds
  RangeDigest digest;

  auto operator<=>(const RangeReport&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

/// To all, on NAME.repair: what `relay` was told. A byte 'd'; a byte length, the relay's name;
/// 8 bytes created_ns; a byte length, the stream's name; then the ranges: first 8, last 8,
/// digest 16.
struct DigestReport {
  std::string relay;
  StreamIdentity stream;
  std::vector<RangeReport> ranges;

  bool operator==(const DigestReport&) const = default;
};

[[nodiscard]] Bytes encode(const DigestReport& report);
[[nodiscard]] Result<DigestReport, std::string_view> parse_digest_report(ByteSpan bytes);

/// To one, on NAME.repair.RELAY: its ids of a range. A byte 'i', first 8, last 8. The answer is a
/// byte 'I' and the ids, or that byte alone: they are not known any more.
struct IdsRequest {
  StreamRange range;

  bool operator==(const IdsRequest&) const = default;
};

/// To one: publish these events again. A byte 'a', then the ids. The answer: a byte 'A', 2 bytes
/// how many it has published, 2 how many it does not have.
struct AgainRequest {
  std::vector<EventId> ids;

  bool operator==(const AgainRequest&) const = default;
};

using RepairRequest = std::variant<IdsRequest, AgainRequest>;

[[nodiscard]] Bytes encode(const RepairRequest& request);
[[nodiscard]] Result<RepairRequest, std::string_view> parse_repair_request(ByteSpan bytes);

struct IdsAnswer {
  std::vector<EventId> ids;

  bool operator==(const IdsAnswer&) const = default;
};

struct AgainAnswer {
  std::uint16_t published = 0;
  std::uint16_t gone = 0;

  bool operator==(const AgainAnswer&) const = default;
};

using RepairAnswer = std::variant<IdsAnswer, AgainAnswer>;

[[nodiscard]] Bytes encode(const RepairAnswer& answer);
[[nodiscard]] Result<RepairAnswer, std::string_view> parse_repair_answer(ByteSpan bytes);

}  // namespace nostril::relay
