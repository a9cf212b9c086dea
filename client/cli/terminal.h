#pragma once

#include "net/loop.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace nostril::client::cli {

/// What is said to a person at a terminal while something lasts: a line on standard error that is
/// gone afterwards. Away from a terminal it says nothing.
class Progress {
 public:
  /// The line moves while `loop` runs.
  explicit Progress(net::Loop& loop);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  Progress(Progress&&) = delete;
  Progress& operator=(Progress&&) = delete;

  void say(std::string what);

 private:
  void draw();

  net::Loop& loop_;
  net::TimerId timer_ = net::TimerId::None;
  std::string what_;
  std::size_t turn_ = 0;
  bool shown_ = false;
};

/// A line from standard input after `question`, or `initial` when it is empty. Throws
/// std::runtime_error when the input has ended.
[[nodiscard]] std::string ask_line(std::string_view question, const std::string& initial);

}  // namespace nostril::client::cli
