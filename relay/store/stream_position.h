#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::relay {

/// Which stream of a cluster (relay/cluster/) a sequence is of: one that was deleted and made anew
/// is another.
struct StreamIdentity {
  std::string name;
  std::int64_t created_ns = 0;  ///< since 1970, as the servers say

  bool operator==(const StreamIdentity&) const = default;
};

/// How much of it is in a store: each message up to this one, and none behind. In the table meta,
/// key "cluster": created_ns 8 bytes, sequence 8, both big-endian, then the name.
struct StreamPosition {
  StreamIdentity of;
  std::uint64_t sequence = 0;

  static constexpr std::size_t kNameBytesMax = 64;

  [[nodiscard]] static std::optional<StreamPosition> parse(ByteSpan value);
  [[nodiscard]] Bytes value() const;

  bool operator==(const StreamPosition&) const = default;
};

inline constexpr std::string_view kStreamPositionKey = "cluster";

}  // namespace nostril::relay
