#include "node/engine_queue.h"

#include <algorithm>
#include <utility>

namespace nostril::node {

Result<EngineQueue::Ticket, std::int64_t> EngineQueue::enter(const AdmissionRequest& request,
                                                             QueueCallbacks callbacks) {
  const Admission::Entered entered = admission_.enter(request);
  if (!entered.ticket) return failure(entered.retry_after_ms);
  waiting_.emplace(*entered.ticket, std::move(callbacks));
  if (entered.pushed_out) {
    if (auto gone = waiting_.extract(*entered.pushed_out)) {
      gone.mapped().pushed_out(entered.retry_after_ms);
    }
  }
  start_next();
  return *entered.ticket;
}

void EngineQueue::leave(Ticket ticket, bool served, std::uint64_t tokens) {
  waiting_.erase(ticket);
  admission_.leave(ticket, clock_.monotonic_ms(), served, tokens);
  start_next();
}

void EngineQueue::observe(const EngineLoad& load) {
  admission_.observe(load, clock_.monotonic_ms());
  start_next();
}

LoadTag EngineQueue::load() const {
  const auto count = [](std::size_t value) {
    return std::min<std::uint64_t>(value, InferenceLimits::kLoadCountMax);
  };
  LoadTag out;
  out.running = count(admission_.running());
  out.places = count(admission_.limit());
  out.waiting = count(admission_.waiting());
  out.wait_ms =
      std::min(static_cast<std::uint64_t>(admission_.wait_ms()), InferenceLimits::kLoadWaitMsMax);
  return out;
}

void EngineQueue::start_next() {
  while (const auto ticket = admission_.next(clock_.monotonic_ms())) {
    if (auto next = waiting_.extract(*ticket)) next.mapped().start();
  }
}

}  // namespace nostril::node
