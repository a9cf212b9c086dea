#include "events/features.h"

#include <algorithm>
#include <string_view>

namespace nostril {

namespace {

constexpr std::string_view kZstd = "zstd";
constexpr std::string_view kQuiet = "quiet";

}  // namespace

std::vector<std::string> feature_names(const SessionFeatures& features) {
  std::vector<std::string> names;
  if (features.zstd) names.emplace_back(kZstd);
  if (features.quiet) names.emplace_back(kQuiet);
  return names;
}

SessionFeatures read_features(const std::vector<std::string>& names) {
  const auto has = [&names](std::string_view name) {
    return std::ranges::find(names, name) != names.end();
  };
  return {.zstd = has(kZstd), .quiet = has(kQuiet)};
}

SessionFeatures common_features(const SessionFeatures& a, const SessionFeatures& b) {
  return {.zstd = a.zstd && b.zstd, .quiet = a.quiet && b.quiet};
}

}  // namespace nostril
