#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nostril::bench {

/// Times of single operations in nanoseconds. One thread.
class Samples {
 public:
  void add(std::int64_t ns) { ns_.push_back(ns); }

  void add_all(const Samples& other);

  [[nodiscard]] std::size_t count() const { return ns_.size(); }

  /// Nearest rank: the smallest sample that at least the share `q` (0 < q <= 1) of all does not
  /// exceed. Zero without samples.
  [[nodiscard]] double quantile_us(double q) const;

 private:
  std::vector<std::int64_t> ns_;
};

/// The middle one, or the mean of the two in the middle. Zero of nothing.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace nostril::bench
