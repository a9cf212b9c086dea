#include "relay/cli/progress.h"

#include "base/clock.h"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

namespace nostril::relay {

namespace {

constexpr std::int64_t kTerminalMs = 100;
constexpr std::int64_t kLineMs = 1'000;
constexpr std::size_t kBarWidth = 24;

// [#######-----------------]  30 %
std::string bar_text(std::uint64_t count, std::uint64_t total) {
  const double share = std::min(1.0, static_cast<double>(count) / static_cast<double>(total));
  const auto filled = static_cast<std::size_t>(share * kBarWidth);
  return fmt::format("[{}{}] {:3.0f} %", std::string(filled, '#'),
                     std::string(kBarWidth - filled, '-'), share * 100);
}

}  // namespace

ProgressLine::ProgressLine()
    : is_terminal_(isatty(STDERR_FILENO) == 1),
      began_ms_(SystemClock().monotonic_ms()),
      shown_ms_(began_ms_) {}

ProgressLine::~ProgressLine() {
  if (is_terminal_ && has_written_) std::fputs("\r\x1b[K", stderr);
}

bool ProgressLine::is_due() {
  const std::int64_t now_ms = SystemClock().monotonic_ms();
  if (now_ms - shown_ms_ < (is_terminal_ ? kTerminalMs : kLineMs)) return false;
  shown_ms_ = now_ms;
  return true;
}

void ProgressLine::write(const std::string& text) {
  if (is_terminal_) {
    fmt::print(stderr, "\r{}\x1b[K", text);
  } else {
    fmt::print(stderr, "{}\n", text);
  }
  std::fflush(stderr);
  has_written_ = true;
}

void ProgressLine::show(std::string_view what, std::uint64_t count, std::uint64_t total) {
  if (what != what_) began_ms_ = SystemClock().monotonic_ms();
  what_ = what;
  if (!is_due()) return;
  const auto passed_ms =
      static_cast<std::uint64_t>(std::max<std::int64_t>(1, shown_ms_ - began_ms_));
  const std::string rate = fmt::format("{} a second", count * 1'000 / passed_ms);
  if (total == 0) {
    write(fmt::format("{} {}, {}", count, what, rate));
  } else {
    write(fmt::format("{} {} of {} {}, {}", bar_text(count, total), count, total, what, rate));
  }
}

void ProgressLine::show(const std::string& text) {
  if (is_due()) write(text);
}

ProgressHandler show_progress(std::uint64_t total) {
  // A ProgressHandler is copied; the line is one.
  return
      [line = std::make_shared<ProgressLine>(), total](std::string_view what, std::uint64_t count) {
        line->show(what, count, count <= total ? total : 0);
      };
}

}  // namespace nostril::relay
