#pragma once

#include "base/log.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace nostril {

/// For errors that come as fast as clients ask, e.g. of a disk that is full: each text once a
/// minute, with how often it came since. Threads: any.
class SeldomLog {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void error(const LogText& text) { error_at(text, std::chrono::steady_clock::now()); }

  /// The same at a time. True when it was written.
  bool error_at(const LogText& text, Time now) {
    const std::lock_guard lock(mutex_);
    if (said_.size() >= kTextsMax && !said_.contains(std::string(text.view()))) said_.clear();
    auto [at, is_new] = said_.try_emplace(std::string(text.view()));
    Said& said = at->second;
    if (!is_new && now - said.at < kPause) {
      ++said.left_out;
      return false;
    }
    if (said.left_out > 0) {
      log(LogLevel::Error, "{} ({} times since it was last said)", text, said.left_out + 1);
    } else {
      log(LogLevel::Error, "{}", text);
    }
    said = {now, 0};
    return true;
  }

 private:
  static constexpr std::chrono::seconds kPause{60};
  static constexpr std::size_t kTextsMax = 16;

  struct Said {
    Time at;
    std::uint64_t left_out = 0;
  };

  std::mutex mutex_;
  std::map<std::string, Said> said_;  // guarded by mutex_
};

}  // namespace nostril
