// What systemd is told by the relay's program: Type=notify of packaging/nostril-relay.service.
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace nostril::relay::test {
namespace {

/// The socket that a service manager listens at.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    CHECK(path.size() < sizeof address.sun_path);
    std::ranges::copy(path, &address.sun_path[0]);
    CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): one thread
  }

  ~NotifySocket() {
    unsetenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe)
    close(fd_);
  }

  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  NotifySocket(NotifySocket&&) = delete;
  NotifySocket& operator=(NotifySocket&&) = delete;

  std::string heard() const {
    std::array<char, 256> bytes{};
    const ssize_t count = recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    return count < 0 ? "nothing" : std::string(bytes.data(), static_cast<std::size_t>(count));
  }

 private:
  int fd_;
};

TEST(RelayService, SaysWhenItServesAndWhenItEnds) {
  const TempDir folder;
  const NotifySocket notify((folder.path() / "notify").string());
  RelayProcess relay(folder.path() / "data");
  World world;
  std::string said;
  EXPECT_TRUE(world.poll([&] { return (said = notify.heard()) != "nothing"; }));
  EXPECT_EQ(said, "READY=1\nSTATUS=serving " + relay.url());
  EXPECT_EQ(notify.heard(), "nothing") << "nobody watches";
  relay.process().signal(SIGTERM);
  EXPECT_TRUE(world.poll([&] { return (said = notify.heard()) != "nothing"; }));
  EXPECT_EQ(said, "STOPPING=1");
  EXPECT_EQ(relay.process().wait(std::chrono::seconds(20)), 0);
}

TEST(RelayService, IsHeardByAWatchdogAgainAndAgain) {
  const TempDir folder;
  const NotifySocket notify((folder.path() / "notify").string());
  setenv("WATCHDOG_USEC", "30000000", 1);  // NOLINT(concurrency-mt-unsafe)
  RelayProcess relay(folder.path() / "data");
  unsetenv("WATCHDOG_USEC");  // NOLINT(concurrency-mt-unsafe)
  World world;
  int beats = 0;
  EXPECT_TRUE(world.poll([&] {
    if (notify.heard() == "WATCHDOG=1") ++beats;
    return beats == 2;
  }));
  // What is stopped as a whole is what a watchdog must notice.
  relay.process().signal(SIGSTOP);
  (void)world.poll([] { return false; }, 500);
  while (notify.heard() != "nothing") {
  }
  (void)world.poll([] { return false; }, 2'500);
  EXPECT_EQ(notify.heard(), "nothing");
  relay.process().signal(SIGCONT);
  relay.process().signal(SIGTERM);
  EXPECT_EQ(relay.process().wait(std::chrono::seconds(20)), 0);
}

}  // namespace
}  // namespace nostril::relay::test
