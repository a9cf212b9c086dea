#pragma once

#include "events/event.h"
#include "events/filter.h"
#include "relay/event_text.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace nostril::relay {

/// An event that is on disk, with its JSON text made once for all who get it.
struct CommittedEvent {
  explicit CommittedEvent(VerifiedEvent committed) : event(std::move(committed)) {}

  [[nodiscard]] const std::shared_ptr<const std::string>& json() const {
    return text.of(event.event());
  }

  const VerifiedEvent event;
  const EventText text;
};

/// Between one writer, whose newest events are in the log only, and the readers of the tables: a
/// reader that must see what was acknowledged asks whether its read would miss any of that, and if
/// so waits until the writer has committed.
///
/// Threads: is_open(), would_miss() and wait() from any but the writer's; the others from that one.
class CommitGate {
 public:
  using Events = std::vector<std::shared_ptr<const CommittedEvent>>;
  /// For a disk that hangs.
  static constexpr std::chrono::seconds kWaitMax{10};

  /// `wake_writer` is called by readers that wait, `wait_max` at most, with no lock held.
  explicit CommitGate(std::function<void()> wake_writer,
                      std::chrono::milliseconds wait_max = kWaitMax)
      : wake_writer_(std::move(wake_writer)), wait_max_(wait_max) {}

  /// Nothing is in the log only.
  [[nodiscard]] bool is_open() const { return acknowledged_.load() == in_tables_.load(); }

  /// Whether a read transaction that begins now may answer one of these filters otherwise than it
  /// must: an event in the log matches, or one there has removed another.
  [[nodiscard]] bool would_miss(std::span<const Filter> filters) const;

  /// Waits until all that is acknowledged now is in the tables. False: the writer could not put it
  /// there when it last tried (it may later, after a full disk), or does not in time.
  [[nodiscard]] bool wait();

  /// These are about to be acknowledged, and in the log only. `has_removed`: with them, or since
  /// the last commit, an event was replaced or deleted.
  void acknowledge(const Events& events, bool has_removed);
  /// All of them are in the tables.
  void commit();
  /// They stay in the log for now.
  void fail();

  /// A reader waits.
  [[nodiscard]] bool is_wanted() const { return is_wanted_.load(); }

 private:
  const std::function<void()> wake_writer_;
  const std::chrono::milliseconds wait_max_;
  // Batches, changed with mutex_ held.
  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::uint64_t> in_tables_{0};
  std::atomic<bool> is_wanted_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  Events in_log_;
  bool has_removed_ = false;
  bool has_failed_ = false;
};

}  // namespace nostril::relay
