#pragma once

#include "base/check.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace nostril {

/// How a mailbox keeps its items: first in, first out.
template <typename T>
class InOrder {
 public:
  [[nodiscard]] std::size_t size() const { return items_.size(); }

  void push_back(T&& item) { items_.push_back(std::move(item)); }

  std::vector<T> take(std::size_t count_max) {
    if (items_.size() <= count_max) return std::exchange(items_, {});
    const auto end = items_.begin() + static_cast<std::ptrdiff_t>(count_max);
    std::vector<T> out(std::make_move_iterator(items_.begin()), std::make_move_iterator(end));
    items_.erase(items_.begin(), end);
    return out;
  }

 private:
  std::vector<T> items_;
};

/// A bounded queue between threads. The producer learns at once when it is full, so that pressure
/// goes back to whoever made the work; nothing is ever dropped silently.
///
/// Threads: push() and close() from any; take_all() and wait_all() from consumers (verifiers share
/// one). `wake`, when given, is called by the producer that turns the queue from empty to not
/// empty: once a batch, not once an item. It must be cheap and must not call back into the mailbox.
/// `Items`: InOrder, or base/in_turns.h's.
template <typename T, typename Items = InOrder<T>>
class Mailbox {
 public:
  explicit Mailbox(std::size_t items_max, std::function<void()> wake = {})
      : items_max_(items_max), wake_(std::move(wake)) {}

  /// False when the queue is full or closed; `item` is untouched then.
  [[nodiscard]] bool push(T&& item) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || items_.size() >= items_max_) return false;
      first = items_.size() == 0;
      items_.push_back(std::move(item));
    }
    if (first) {
      ready_.notify_one();
      if (wake_) wake_();
    }
    return true;
  }

  /// All that is there, in order; maybe nothing.
  std::vector<T> take_all() {
    const std::lock_guard lock(mutex_);
    return items_.take(SIZE_MAX);
  }

  /// Waits until there is something, then takes all of it, `batch_max` at most. Nothing once the
  /// mailbox is closed and empty.
  std::optional<std::vector<T>> wait_all(std::size_t batch_max = SIZE_MAX) {
    CHECK(batch_max > 0);
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return closed_ || items_.size() > 0; });
    if (items_.size() == 0) return std::nullopt;
    return take_some(batch_max);
  }

  /// The same, but maybe an empty batch after `wait_max` or a nudge(): for consumers that have
  /// something else to do from time to time.
  std::optional<std::vector<T>> wait_all_for(std::chrono::milliseconds wait_max,
                                             std::size_t batch_max = SIZE_MAX) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, wait_max, [this] { return closed_ || nudged_ || items_.size() > 0; });
    nudged_ = false;
    if (closed_ && items_.size() == 0) return std::nullopt;
    return take_some(batch_max);
  }

  /// Ends a wait_all_for(), this or the next one, with what is there.
  void nudge() {
    {
      const std::lock_guard lock(mutex_);
      nudged_ = true;
    }
    ready_.notify_one();
  }

  /// No more pushes; consumers drain what is left and then see the end.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    ready_.notify_all();
  }

  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  // With mutex_ held.
  std::vector<T> take_some(std::size_t batch_max) {
    std::vector<T> batch = items_.take(batch_max);
    if (items_.size() > 0) ready_.notify_one();  // several consumers may share the queue
    return batch;
  }

  const std::size_t items_max_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  // Guarded by mutex_.
  Items items_;
  bool closed_ = false;
  bool nudged_ = false;
};

}  // namespace nostril
