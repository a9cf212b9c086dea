#include "relay/store/commit_gate.h"

#include <algorithm>

namespace nostril::relay {

bool CommitGate::would_miss(std::span<const Filter> filters) const {
  if (is_open()) return false;
  const std::lock_guard lock(mutex_);
  if (has_removed_) return true;
  return std::ranges::any_of(in_log_, [&](const auto& event) {
    return std::ranges::any_of(
        filters, [&](const Filter& filter) { return filter.matches(event->event.event()); });
  });
}

bool CommitGate::wait() {
  if (is_open()) return true;
  std::unique_lock lock(mutex_);
  const std::uint64_t wanted = acknowledged_.load();
  const auto is_over = [&] { return has_failed_ || in_tables_.load() >= wanted; };
  if (!is_over()) {
    is_wanted_.store(true);
    lock.unlock();
    wake_writer_();
    lock.lock();
    (void)changed_.wait_for(lock, wait_max_, is_over);
  }
  return in_tables_.load() >= wanted;
}

void CommitGate::acknowledge(const Events& events, bool has_removed) {
  const std::lock_guard lock(mutex_);
  in_log_.insert(in_log_.end(), events.begin(), events.end());
  has_removed_ = has_removed;
  ++acknowledged_;
}

void CommitGate::commit() {
  {
    const std::lock_guard lock(mutex_);
    in_log_.clear();
    has_removed_ = false;
    has_failed_ = false;
    is_wanted_.store(false);
    in_tables_.store(acknowledged_.load());
  }
  changed_.notify_all();
}

void CommitGate::fail() {
  {
    const std::lock_guard lock(mutex_);
    has_failed_ = true;
  }
  changed_.notify_all();
}

}  // namespace nostril::relay
