#include "base/metrics_text.h"

#include <fmt/format.h>

#include <iterator>

namespace nostril {

void MetricsText::metric(std::string_view name, std::string_view type, std::string_view help) {
  name_ = fmt::format("{}{}", prefix_, name);
  fmt::format_to(std::back_inserter(out_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name_, help, type);
}

void MetricsText::put(std::string_view labels, std::string_view value) {
  out_ += name_;
  if (!labels.empty()) fmt::format_to(std::back_inserter(out_), "{{{}}}", labels);
  fmt::format_to(std::back_inserter(out_), " {}\n", value);
}

void MetricsText::sample(std::uint64_t value, std::string_view labels) {
  put(labels, fmt::to_string(value));
}

void MetricsText::sample_us(std::uint64_t microseconds, std::string_view labels) {
  constexpr std::uint64_t kPerSecond = 1'000'000;
  put(labels, fmt::format("{}.{:06}", microseconds / kPerSecond, microseconds % kPerSecond));
}

void MetricsText::counter(std::string_view name, std::uint64_t value, std::string_view help) {
  metric(name, "counter", help);
  sample(value);
}

void MetricsText::gauge(std::string_view name, std::uint64_t value, std::string_view help) {
  metric(name, "gauge", help);
  sample(value);
}

std::string metrics_label(std::string_view key, std::string_view value) {
  std::string out = fmt::format("{}=\"", key);
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? std::string_view("\\n") : std::string_view(&c, 1);
  }
  return out + "\"";
}

}  // namespace nostril
