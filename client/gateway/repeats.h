#pragma once

#include "client/gateway/exchange.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

namespace nostril::client {

/// How a request says that it may be one again.
struct RepeatSigns {
  std::string_view idempotency_key = {};  ///< header Idempotency-Key; empty: none
  bool is_retry = false;                  ///< x-stainless-retry-count above 0
};

/// Requests under way, and those whose answers may be asked for once more: SDKs send a request
/// again by themselves when its connection broke or took too long, and it must not be paid twice.
///
/// The same caller, path and body are a repeat when
///   - both name the same Idempotency-Key, or
///   - the application says that it tries again, or
///   - the application of the first one went away before it got a byte.
/// Without any of these, two equal requests are two requests: who samples twice wants two answers.
/// Threads: the loop's only.
class Repeats {
 public:
  static constexpr std::uint64_t kKeptMs = 60'000;
  static constexpr std::size_t kKeptMax = 256;  ///< ended ones; the oldest make room

  void add(const std::shared_ptr<Exchange>& exchange);
  /// What a request with this fingerprint repeats; null: nothing.
  [[nodiscard]] std::shared_ptr<Exchange> find(const Digest& fingerprint, const RepeatSigns& signs,
                                               std::uint64_t now_ms);
  /// Whether the caller has named this key for another request.
  [[nodiscard]] bool names_another(const Caller& caller, const Digest& fingerprint,
                                   std::string_view idempotency_key) const;
  /// After its end: kept, or forgotten.
  void end(const std::shared_ptr<Exchange>& exchange, bool keep, std::uint64_t now_ms);

  [[nodiscard]] std::size_t size() const { return exchanges_.size(); }

 private:
  void forget_old(std::uint64_t now_ms);

  std::multimap<Digest, std::shared_ptr<Exchange>> exchanges_;
};

}  // namespace nostril::client
