#pragma once

#include "relay/store/store.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace nostril::relay {

/// How far a long command is, on standard error: one line that is written over where that is a
/// terminal, a line a second elsewhere. Threads: one.
class ProgressLine {
 public:
  ProgressLine();
  /// Ends the line.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ProgressLine(ProgressLine&&) = delete;
  ProgressLine& operator=(ProgressLine&&) = delete;

  /// `total` 0: nobody knows.
  void show(std::string_view what, std::uint64_t count, std::uint64_t total = 0);
  /// A text of the caller's.
  void show(const std::string& text);

 private:
  [[nodiscard]] bool is_due();
  void write(const std::string& text);

  const bool is_terminal_;
  std::string what_;
  std::int64_t began_ms_ = 0;  // with it
  std::int64_t shown_ms_ = 0;
  bool has_written_ = false;
};

/// The same for the store's own work; with `total` when it is known how much there is.
[[nodiscard]] ProgressHandler show_progress(std::uint64_t total = 0);

}  // namespace nostril::relay
