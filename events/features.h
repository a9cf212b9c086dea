#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace nostril {

/// What a session may use beyond the plain frames: the client names in its open frame what it would
/// use, the node in its accept what of that applies, and both obey it from the accept on
/// (spec/05-session.md, Features). Names that a side does not know mean nothing to it.
struct SessionFeatures {
  bool zstd = false;   ///< "zstd": data frames may be parts of a zstd stream
  bool quiet = false;  ///< "quiet": frames of one size at a fixed rate
  /// "again": the request was sent before, and is refused where its id is not known (any more).
  /// Never in an accept.
  bool again = false;

  bool operator==(const SessionFeatures&) const = default;
};

/// Quiet mode: a frame's text is padded to this; the few that are longer (a record with much in it)
/// to twice that.
inline constexpr std::size_t kQuietTextBytes = 4096;
/// From one frame of a side to its next.
inline constexpr std::int64_t kQuietPeriodMs = 200;
/// Body bytes that fit into a text of kQuietTextBytes, whatever they are.
inline constexpr std::size_t kQuietDataBytesMax = 2688;

[[nodiscard]] std::vector<std::string> feature_names(const SessionFeatures& features);
[[nodiscard]] SessionFeatures read_features(const std::vector<std::string>& names);
/// What both name.
[[nodiscard]] SessionFeatures common_features(const SessionFeatures& a, const SessionFeatures& b);

}  // namespace nostril
