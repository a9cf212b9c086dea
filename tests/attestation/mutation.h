#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

namespace nostril::attestation::test {

/// Which of `count` places to change: about `wanted` of them, evenly spread, from a place that is
/// another in every run. NOSTRIL_MUTATIONS=all takes every one; NOSTRIL_SEED=N repeats the
/// run that printed N.
inline std::vector<std::size_t> mutation_places(std::size_t count, std::size_t wanted) {
  const char* mode = std::getenv("NOSTRIL_MUTATIONS");
  const char* given = std::getenv("NOSTRIL_SEED");
  const bool all = mode != nullptr && std::string_view(mode) == "all";
  // Odd, so that every bit of a byte has its turn.
  const std::size_t stride = all ? 1 : (count / wanted) | 1U;
  const std::size_t seed =
      given != nullptr ? std::strtoul(given, nullptr, 10) : std::random_device()();
  std::vector<std::size_t> out;
  for (std::size_t at = seed % stride; at < count; at += stride) out.push_back(at);
  fmt::print("{} of {} places changed, seed {}\n", out.size(), count, seed);
  return out;
}

}  // namespace nostril::attestation::test
