#include "client/gateway/repeats.h"

#include <algorithm>

namespace nostril::client {

void Repeats::add(const std::shared_ptr<Exchange>& exchange) {
  exchanges_.emplace(exchange->fingerprint, exchange);
}

std::shared_ptr<Exchange> Repeats::find(const Digest& fingerprint, const RepeatSigns& signs,
                                        std::uint64_t now_ms) {
  forget_old(now_ms);
  const auto [begin, end] = exchanges_.equal_range(fingerprint);
  for (auto at = begin; at != end; ++at) {
    const Exchange& one = *at->second;
    if (one.cancelled || !one.replayable) continue;
    const bool named = !signs.idempotency_key.empty();
    // Who names keys says himself what is the same.
    const bool same = named || !one.idempotency_key.empty()
                          ? signs.idempotency_key == one.idempotency_key
                          : signs.is_retry || one.connection == net::ConnectionId::None;
    if (same) return at->second;
  }
  return nullptr;
}

bool Repeats::names_another(const Caller& caller, const Digest& fingerprint,
                            std::string_view idempotency_key) const {
  if (idempotency_key.empty()) return false;
  return std::ranges::any_of(exchanges_, [&](const auto& entry) {
    return entry.second->idempotency_key == idempotency_key &&
           entry.second->caller.id == caller.id && entry.first != fingerprint;
  });
}

void Repeats::end(const std::shared_ptr<Exchange>& exchange, bool keep, std::uint64_t now_ms) {
  const auto [begin, end] = exchanges_.equal_range(exchange->fingerprint);
  const auto found =
      std::find_if(begin, end, [&](const auto& entry) { return entry.second == exchange; });
  if (found == end) return;
  if (!keep) {
    exchanges_.erase(found);
    return;
  }
  exchange->ended_at_ms = now_ms;
  forget_old(now_ms);
}

void Repeats::forget_old(std::uint64_t now_ms) {
  std::erase_if(exchanges_, [now_ms](const auto& entry) {
    return entry.second->ended && now_ms - entry.second->ended_at_ms >= kKeptMs;
  });
  std::size_t kept = static_cast<std::size_t>(
      std::ranges::count_if(exchanges_, [](const auto& entry) { return entry.second->ended; }));
  for (; kept > kKeptMax; --kept) {
    auto oldest = exchanges_.end();
    for (auto at = exchanges_.begin(); at != exchanges_.end(); ++at) {
      if (!at->second->ended) continue;
      if (oldest == exchanges_.end() || at->second->ended_at_ms < oldest->second->ended_at_ms) {
        oldest = at;
      }
    }
    exchanges_.erase(oldest);
  }
}

}  // namespace nostril::client
