#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace nostril::relay {

/// Whether all loops still turn, for who restarts a relay that hangs (systemd's watchdog). Each
/// loop beats once a second; `on_all` is called, on the last one's thread, when each has since the
/// call before: one loop that hangs silences it. A slow disk does not: loops do not wait for it.
/// Threads: beat() from any.
class Heartbeat {
 public:
  /// `on_all` must not wait.
  Heartbeat(std::size_t loops, std::function<void()> on_all)
      : on_all_(std::move(on_all)), has_beaten_(loops), missing_(loops) {}

  void beat(std::uint32_t loop) {
    const std::lock_guard lock(mutex_);
    if (has_beaten_[loop]) return;
    has_beaten_[loop] = true;
    if (--missing_ > 0) return;
    missing_ = has_beaten_.size();
    has_beaten_.assign(missing_, false);
    on_all_();
  }

 private:
  const std::function<void()> on_all_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<bool> has_beaten_;
  std::size_t missing_;
};

}  // namespace nostril::relay
