#pragma once

#include <chrono>

namespace nostril {

/// How long the calling thread runs while others wait for its processor; 0.1 to 100 ms. One with a
/// short slice that wakes runs at once in place of one with a longer; otherwise it waits for the
/// scheduler's next tick, up to 4 ms. Takes nothing from anybody: over time all have the same.
/// False, and nothing is changed, where the kernel knows no such thing (sched_setattr(2),
/// Linux 6.12).
bool set_thread_slice(std::chrono::microseconds slice);

/// Lets others run that wait for the calling thread's processor; 0.3 us when nobody does. For a
/// thread that goes on without a rest, between two pieces of work. Where it has a slice of its own,
/// that is the most that it loses.
void give_way();

/// Gives way for a thread with a queue of work: once it has worked for a while without a rest, not
/// after each piece. Between pieces of 10 us everybody else's turn would come, which is longer.
class WorkTurns {
 public:
  explicit WorkTurns(std::chrono::microseconds worked_max) : worked_max_(worked_max) {}

  void begin_piece() { began_ = std::chrono::steady_clock::now(); }

  /// `has_more`: the next one waits already.
  void end_piece(bool has_more) {
    worked_ += std::chrono::steady_clock::now() - began_;
    const bool is_due = has_more && worked_ >= worked_max_;
    if (is_due) give_way();
    if (is_due || !has_more) worked_ = {};
  }

 private:
  std::chrono::steady_clock::duration worked_max_;
  std::chrono::steady_clock::duration worked_{};
  std::chrono::steady_clock::time_point began_;
};

}  // namespace nostril
