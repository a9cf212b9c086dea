#include "bench/relay/load/samples.h"

#include "base/check.h"

#include <algorithm>
#include <cmath>

namespace nostril::bench {

void Samples::add_all(const Samples& other) {
  ns_.insert(ns_.end(), other.ns_.begin(), other.ns_.end());
}

double Samples::quantile_us(double q) const {
  CHECK(q > 0 && q <= 1);
  if (ns_.empty()) return 0;
  std::vector<std::int64_t> sorted = ns_;
  const auto rank = static_cast<std::ptrdiff_t>(std::ceil(q * static_cast<double>(sorted.size())));
  const auto nth = sorted.begin() + (rank - 1);
  std::nth_element(sorted.begin(), nth, sorted.end());
  return static_cast<double>(*nth) / 1e3;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace nostril::bench
