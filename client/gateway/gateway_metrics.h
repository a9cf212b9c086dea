#pragma once

#include "client/gateway/exchange.h"
#include "client/home.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace nostril::client {

/// What the gateway has done, for Prometheus: GET /metrics. Paths, outcomes, models and numbers;
/// nothing of requests, answers or callers. Since the start. Threads: the loop's only.
class GatewayMetrics {
 public:
  /// Models with rows of their own; the rest are one, "other": nodes name them.
  static constexpr std::size_t kModelsMax = 256;

  void on_request(std::size_t body_bytes) { from_applications_ += body_bytes; }

  void on_bytes(std::size_t count) { to_applications_ += count; }

  /// A request that repeats another: it was not asked again.
  void on_repeat() { ++repeats_; }

  /// A node was chosen for a request; `tries`: of it, this one counted.
  void on_try(std::size_t tries) { ++(tries == 1 ? first_tries_ : more_tries_); }

  void on_record(const Offer& offer, const ResponseRecord& record);
  /// A request that took a node has ended, or was refused before one was asked.
  void on_end(const Exchange& exchange, const QueryResult& result);

  /// Streams and requests under way, as `running` holds them, and what `home` counts.
  [[nodiscard]] std::string text(
      const std::map<const Exchange*, std::shared_ptr<Exchange>>& running, ClientHome& home) const;

 private:
  struct ModelUse {
    Usage usage;
    std::map<std::string, std::uint64_t> amounts;  ///< by asset
  };

  [[nodiscard]] ModelUse& use_of(const std::string& model);

  std::uint64_t from_applications_ = 0;
  std::uint64_t to_applications_ = 0;
  std::uint64_t repeats_ = 0;
  std::uint64_t first_tries_ = 0;
  std::uint64_t more_tries_ = 0;
  /// By path and outcome, which are of this program.
  std::map<std::pair<std::string_view, std::string_view>, std::uint64_t> ended_;
  std::map<std::string, ModelUse> models_;
};

}  // namespace nostril::client
