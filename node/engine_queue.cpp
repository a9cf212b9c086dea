#include "node/engine_queue.h"

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

void EngineQueue::leave(Ticket ticket, bool served) {
  waiting_.erase(ticket);
  admission_.leave(ticket, clock_.monotonic_ms(), served);
  start_next();
}

void EngineQueue::observe(const EngineLoad& load) {
  admission_.observe(load, clock_.monotonic_ms());
  start_next();
}

void EngineQueue::start_next() {
  while (const auto ticket = admission_.next(clock_.monotonic_ms())) {
    if (auto next = waiting_.extract(*ticket)) next.mapped().start();
  }
}

}  // namespace nostril::node
