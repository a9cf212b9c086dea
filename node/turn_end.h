#pragma once

#include "net/loop.h"

#include <functional>
#include <vector>

namespace nostril::node {

/// Work that waits for the end of the loop's turn, so that what came in it together is seen to
/// together: an engine's tokens that one read brought leave in one frame. Made before the sockets
/// that the work writes to, so that those write after it in the same turn. Threads: the loop's.
class TurnEnd {
 public:
  explicit TurnEnd(net::Loop& loop) : loop_(loop), hook_(loop.on_turn_end([this] { run(); })) {}

  ~TurnEnd() { loop_.remove_turn_end(hook_); }

  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;

  void add(std::function<void()> work) {
    if (work_.empty() && loop_.hook_has_begun(hook_)) loop_.wake();
    work_.push_back(std::move(work));
  }

 private:
  void run() {
    if (work_.empty()) return;
    running_.swap(work_);
    for (const auto& work : running_) work();
    running_.clear();
  }

  net::Loop& loop_;
  net::HookId hook_;
  std::vector<std::function<void()>> work_;
  std::vector<std::function<void()>> running_;
};

}  // namespace nostril::node
