#pragma once

#include "base/clock.h"
#include "events/event.h"
#include "net/memory_budget.h"
#include "relay/admission.h"
#include "relay/client_limits.h"
#include "relay/content_rules.h"
#include "relay/key_limits.h"
#include "relay/reports.h"

#include <memory>
#include <optional>

namespace nostril::relay {

struct GuardRules {
  ClientRules clients;
  Rate key_events;
  ContentRules content;
  ReportRules reports;
  std::size_t memory_bytes_max = 0;  ///< of net::MemoryBudget; 0: no bound
};

/// What protects a relay from its clients, shared by all its loops and threads: limits by address
/// and by key, rules of content, moderators' reports. Threads: any.
class Guard {
 public:
  /// `clock` outlives this.
  Guard(const GuardRules& rules, const Clock& clock)
      : clients(rules.clients, clock, overruns),
        keys(rules.key_events, clock, overruns),
        content(rules.content),
        reports(rules.reports),
        memory(rules.memory_bytes_max == 0
                   ? nullptr
                   : std::make_shared<net::MemoryBudget>(rules.memory_bytes_max)) {}

  /// Before its signature is looked at.
  [[nodiscard]] std::optional<Refusal> refuse(const Event& event) {
    if (const auto refusal = content.refuse(event)) return refusal;
    if (reports.is_refused(event)) return Refusal::Reported;
    if (!keys.has_token(event.pubkey)) return Refusal::KeyRateLimited;
    return std::nullopt;
  }

  /// Once the signature has passed.
  [[nodiscard]] std::optional<Refusal> refuse_verified(const Event& event) {
    if (!keys.take(event.pubkey)) return Refusal::KeyRateLimited;
    return std::nullopt;
  }

  OverrunCounts overruns;
  ClientLimits clients;
  KeyLimits keys;
  const ContentPolicy content;
  Reports reports;
  const std::shared_ptr<net::MemoryBudget> memory;
};

}  // namespace nostril::relay
