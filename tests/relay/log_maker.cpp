#include "tests/relay/log_maker.h"

#include "relay/store/logged_writes.h"
#include "tests/relay/store_support.h"

#include <sys/wait.h>
#include <unistd.h>

namespace nostril::test {

using relay::test::make_event;
using relay::test::signed_by;
using relay::test::verified;

std::vector<std::string> leave_in_log(const std::string& path, std::int64_t now_s) {
  const std::string soon = std::to_string(now_s + 100);
  std::vector<VerifiedEvent> events;
  std::vector<std::string> lines;
  for (unsigned i = 0; i < 9; ++i) {
    events.push_back(verified(signed_by(
        i % 3, make_event(i % 3, now_s - i, i % 2 == 0 ? 1 : 30000 + i,
                          {{"expiration", soon}, {"d", "x"}, {"e", std::string(64, 'c')}, {"t"}},
                          "event " + std::to_string(i) + std::string(i * 300, 'y')))));
    if (i > 0) lines.push_back(to_json(events.back().event()) + "\n");
  }
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    relay::StoreOptions options;
    options.log_bytes = relay::kLogBytes;
    const auto store = relay::Store::open(path, options);
    if (!store) _exit(1);
    relay::LoggedWrites writes(**store);
    const auto put = [&](std::size_t from, std::size_t count) {
      if (!writes.put(std::span(events).subspan(from, count), now_s, true)) _exit(2);
    };
    put(0, 1);
    if (!writes.commit()) _exit(3);
    put(1, 1);
    put(2, 5);
    put(7, 2);
    _exit(writes.batches_in_log() == 3 ? 0 : 4);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  return lines;
}

}  // namespace nostril::test
