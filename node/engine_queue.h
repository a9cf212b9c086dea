#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "events/inference.h"
#include "node/admission.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

namespace nostril::node {

/// What became of a request that wanted to the engine.
struct QueueCallbacks {
  std::function<void()> start;  ///< it may run: inside enter(), or later
  /// It has to make room for another payer and waits no more; its ticket is void.
  std::function<void(std::int64_t retry_after_ms)> pushed_out;
};

/// Admission to one engine, with those who wait. Threads: the loop's only.
class EngineQueue {
 public:
  using Ticket = Admission::Ticket;

  EngineQueue(AdmissionSettings settings, Clock& clock) : admission_(settings), clock_(clock) {}

  /// The error: milliseconds after which to ask again.
  [[nodiscard]] Result<Ticket, std::int64_t> enter(const AdmissionRequest& request,
                                                   QueueCallbacks callbacks);
  /// Gives the place back, waiting or running. `served`: the engine's answer is whole, and used so
  /// many `tokens` (0: not known).
  void leave(Ticket ticket, bool served, std::uint64_t tokens = 0);

  void observe(const EngineLoad& load);

  void set_settings(AdmissionSettings settings) { admission_.set_settings(settings); }

  /// No request is to enter any more; those inside and waiting end as they would.
  void close() { closed_ = true; }

  [[nodiscard]] bool closed() const { return closed_; }

  [[nodiscard]] const Admission& admission() const { return admission_; }

  /// As offers state it.
  [[nodiscard]] LoadTag load() const;

 private:
  void start_next();

  Admission admission_;
  Clock& clock_;
  std::map<Ticket, QueueCallbacks> waiting_;
  bool closed_ = false;
};

}  // namespace nostril::node
