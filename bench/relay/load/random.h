#pragma once

#include "base/rng.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace nostril::bench {

/// SplitMix64: the same numbers on every machine (those of <random>'s distributions differ between
/// libraries). For inputs and nonces of benchmarks only.
class Random final : public Rng {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  [[nodiscard]] std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  /// 0 to bound - 1.
  [[nodiscard]] std::size_t below(std::size_t bound) { return next() % bound; }

  /// 0 to 1, without 1.
  [[nodiscard]] double unit() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }

  void fill(std::span<std::uint8_t> out) override {
    for (auto& byte : out) byte = static_cast<std::uint8_t>(next() >> 56U);
  }

 private:
  std::uint64_t state_;
};

/// Ranks 0 to count - 1; rank r comes as often as 1 / (r + 1).
class Zipf {
 public:
  explicit Zipf(std::size_t count);
  [[nodiscard]] std::size_t pick(Random& random) const;

 private:
  std::vector<double> sums_;
};

}  // namespace nostril::bench
