#include "relay/metrics.h"

#include <fmt/format.h>

#include <iterator>

namespace nostril::relay {

void MetricsText::metric(std::string_view name, std::string_view type, std::string_view help) {
  name_ = fmt::format("nostril_relay_{}", name);
  fmt::format_to(std::back_inserter(out_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name_, help, type);
}

void MetricsText::sample(std::uint64_t value, std::string_view labels) {
  out_ += name_;
  if (!labels.empty()) fmt::format_to(std::back_inserter(out_), "{{{}}}", labels);
  fmt::format_to(std::back_inserter(out_), " {}\n", value);
}

void MetricsText::counter(std::string_view name, std::uint64_t value, std::string_view help) {
  metric(name, "counter", help);
  sample(value);
}

void MetricsText::gauge(std::string_view name, std::uint64_t value, std::string_view help) {
  metric(name, "gauge", help);
  sample(value);
}

}  // namespace nostril::relay
