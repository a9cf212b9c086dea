#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace nostril {

/// Prometheus text exposition, version 0.0.4.
class MetricsText {
 public:
  /// `prefix`: of every name, as "nostril_relay_".
  explicit MetricsText(std::string prefix) : prefix_(std::move(prefix)) {}

  /// The lines that introduce a metric; `type` is "counter" or "gauge".
  void metric(std::string_view name, std::string_view type, std::string_view help);
  /// One sample of the metric introduced last. `labels` as in the format: `reason="x"`, or empty.
  void sample(std::uint64_t value, std::string_view labels = {});
  /// The same in seconds, as Prometheus wants times.
  void sample_us(std::uint64_t microseconds, std::string_view labels = {});

  /// The same of a decimal that no machine word holds.
  void sample_decimal(std::string_view value, std::string_view labels) { put(labels, value); }

  /// A metric of one sample.
  void counter(std::string_view name, std::uint64_t value, std::string_view help);
  void gauge(std::string_view name, std::uint64_t value, std::string_view help);

  [[nodiscard]] std::string take() && { return std::move(out_); }

 private:
  void put(std::string_view labels, std::string_view value);

  std::string prefix_;
  std::string name_;
  std::string out_;
};

/// `key="value"`, escaped.
[[nodiscard]] std::string metrics_label(std::string_view key, std::string_view value);

}  // namespace nostril
