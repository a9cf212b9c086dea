#pragma once

#include "net/http.h"
#include "relay/config.h"

#include <functional>
#include <string>

namespace nostril::relay {

inline constexpr const char* kRelayVersion = "0.1.0";

/// The NIP-11 document: what this relay is and what it enforces.
[[nodiscard]] std::string make_info_json(const RelayConfig& config);

/// Answers plain HTTP: NIP-11 by its Accept header, /metrics in Prometheus' text form, a page for
/// people at /, and 404.
[[nodiscard]] net::HttpResponse http_answer(const net::HttpRequest& request,
                                            const std::string& info_json, const RelayConfig& config,
                                            const std::function<std::string()>& metrics_text);

/// One metric with its help line; `labels` is empty or like {reason="too large"}.
void append_metric(std::string& out, std::string_view name, std::string_view type,
                   std::string_view help);
void append_value(std::string& out, std::string_view name, std::string_view labels,
                  std::uint64_t value);

}  // namespace nostril::relay
