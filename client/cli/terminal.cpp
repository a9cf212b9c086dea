#include "client/cli/terminal.h"

#include <fmt/format.h>

#include <unistd.h>

#include <array>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <utility>

namespace nostril::client::cli {

namespace {
constexpr std::uint64_t kDrawMs = 100;
constexpr std::array<std::string_view, 4> kTurns = {"|", "/", "-", "\\"};
}  // namespace

Progress::Progress(net::Loop& loop) : loop_(loop), shown_(isatty(STDERR_FILENO) != 0) {
  if (shown_) timer_ = loop_.every(kDrawMs, [this] { draw(); });
}

Progress::~Progress() {
  loop_.cancel(timer_);
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void Progress::say(std::string what) {
  what_ = std::move(what);
  draw();
}

void Progress::draw() {
  if (!shown_) return;
  fmt::print(stderr, "\r\033[K{} {} …", kTurns[turn_++ % kTurns.size()], what_);
  std::fflush(stderr);
}

std::string ask_line(std::string_view question, const std::string& initial) {
  fmt::print(stderr, "{}{}: ", question, initial.empty() ? "" : " [" + initial + "]");
  std::string line;
  if (!std::getline(std::cin, line)) {
    fmt::print(stderr, "\n");
    throw std::runtime_error("the input has ended; nothing was written");
  }
  const std::size_t from = line.find_first_not_of(" \t\r");
  if (from == std::string::npos) return initial;
  return line.substr(from, line.find_last_not_of(" \t\r") - from + 1);
}

}  // namespace nostril::client::cli
