#include "client/run_until.h"

namespace nostril::client {

namespace {
constexpr std::uint64_t kLookMs = 20;
}

void run_until(net::Loop& loop, std::uint64_t wait_ms, const std::function<bool()>& done) {
  const std::uint64_t end_ms = loop.now_ms() + wait_ms;
  bool over = false;
  const net::TimerId timer = loop.every(kLookMs, [&] {
    over = done() || loop.now_ms() >= end_ms;
    if (over) loop.stop();
  });
  while (!over) loop.run();  // others' timers may stop it, too
  loop.cancel(timer);
}

}  // namespace nostril::client
