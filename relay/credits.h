#pragma once

#include "base/check.h"

#include <atomic>
#include <cstdint>
#include <utility>

namespace nostril::relay {

/// How much work of one sort may be under way. Units are taken before work enters the first queue
/// and come back when the last loop is done with the result: so every queue between the two is
/// bounded by the same number and none of them can refuse half-way. What takes more units than
/// there are is let in alone. Threads: any.
class Credits {
 public:
  explicit Credits(std::int64_t count_max) : count_max_(count_max) {}

  [[nodiscard]] bool try_take(std::int64_t count = 1) {
    const std::int64_t before = used_.fetch_add(count);
    if (before + count <= count_max_ || before == 0) return true;
    used_.fetch_sub(count);
    return false;
  }

  void give_back(std::int64_t count) { CHECK(used_.fetch_sub(count) >= count); }

  /// None under way: whatever was ever admitted has been seen by every loop.
  [[nodiscard]] bool all_back() const { return used_.load() == 0; }

  [[nodiscard]] std::int64_t used() const { return used_.load(); }

 private:
  const std::int64_t count_max_;
  std::atomic<std::int64_t> used_{0};
};

/// Units that are given back when this goes.
class Credit {
 public:
  Credit() = default;

  /// Takes over units that were taken before.
  Credit(Credits& credits, std::int64_t count) : credits_(&credits), count_(count) {}

  Credit(Credit&& other) noexcept
      : credits_(std::exchange(other.credits_, nullptr)), count_(std::exchange(other.count_, 0)) {}

  Credit& operator=(Credit&& other) noexcept {
    if (this != &other) {
      give_back();
      credits_ = std::exchange(other.credits_, nullptr);
      count_ = std::exchange(other.count_, 0);
    }
    return *this;
  }

  Credit(const Credit&) = delete;
  Credit& operator=(const Credit&) = delete;

  ~Credit() { give_back(); }

  /// More units of the same, taken before.
  void add(Credits& credits, std::int64_t count) {
    CHECK(credits_ == nullptr || credits_ == &credits);
    credits_ = &credits;
    count_ += count;
  }

  /// The units now belong to something that can't hold this object; it makes a new one of them. How
  /// many they are.
  std::int64_t hand_over() {
    credits_ = nullptr;
    return std::exchange(count_, 0);
  }

 private:
  void give_back() {
    if (credits_ != nullptr) credits_->give_back(count_);
  }

  Credits* credits_ = nullptr;
  std::int64_t count_ = 0;
};

}  // namespace nostril::relay
