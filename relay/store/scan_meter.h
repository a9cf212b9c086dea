#pragma once

#include "relay/store/scan.h"

#include <chrono>
#include <cstddef>

namespace nostril::relay {

/// Counts what a step uses. Reads the clock once in kVisitsBetweenLooks.
class Meter {
 public:
  explicit Meter(const ScanBudget& budget)
      : budget_(budget),
        deadline_(std::chrono::steady_clock::now() +
                  std::chrono::microseconds(budget.time_us_max)) {}

  void visit(std::size_t count = 1) { visits_ += count; }

  [[nodiscard]] bool is_spent() {
    if (visits_ >= budget_.visits_max) return true;
    if (visits_ >= next_look_) {
      next_look_ = visits_ + kVisitsBetweenLooks;
      is_late_ = std::chrono::steady_clock::now() >= deadline_;
    }
    return is_late_;
  }

  [[nodiscard]] std::size_t visits() const { return visits_; }

 private:
  static constexpr std::size_t kVisitsBetweenLooks = 32;

  ScanBudget budget_;
  std::chrono::steady_clock::time_point deadline_;
  std::size_t visits_ = 0;
  std::size_t next_look_ = kVisitsBetweenLooks;
  bool is_late_ = false;
};

}  // namespace nostril::relay
