#include "events/features.h"

#include <algorithm>
#include <string_view>

namespace nostril {

namespace {

constexpr std::string_view kZstd = "zstd";
constexpr std::string_view kQuiet = "quiet";
constexpr std::string_view kAgain = "again";

}  // namespace

std::vector<std::string> feature_names(const SessionFeatures& features) {
  std::vector<std::string> names;
  if (features.zstd) names.emplace_back(kZstd);
  if (features.quiet) names.emplace_back(kQuiet);
  if (features.again) names.emplace_back(kAgain);
  return names;
}

SessionFeatures read_features(const std::vector<std::string>& names) {
  const auto has = [&names](std::string_view name) {
    return std::ranges::find(names, name) != names.end();
  };
  return {.zstd = has(kZstd), .quiet = has(kQuiet), .again = has(kAgain)};
}

SessionFeatures common_features(const SessionFeatures& a, const SessionFeatures& b) {
  return {.zstd = a.zstd && b.zstd, .quiet = a.quiet && b.quiet, .again = a.again && b.again};
}

}  // namespace nostril
