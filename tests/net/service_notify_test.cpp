// What systemd is told, read from the other end of its socket.
#include "net/service_notify.h"

#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

namespace nostril::net {
namespace {

class ServiceNotify : public ::testing::Test {
 protected:
  ~ServiceNotify() override {
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    if (descriptor_ >= 0) close(descriptor_);
  }

  void listen_at(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    descriptor_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    ASSERT_EQ(bind(descriptor_, reinterpret_cast<sockaddr*>(&address), bytes), 0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }

  std::string heard() {
    std::array<char, 256> bytes{};
    const ssize_t count = recv(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    return count < 0 ? "nothing" : std::string(bytes.data(), static_cast<std::size_t>(count));
  }

  test::TempDir folder_;
  int descriptor_ = -1;
};

TEST_F(ServiceNotify, SaysItToTheSocketThatIsNamed) {
  EXPECT_FALSE(notify_service("READY=1")) << "nobody asked";
  listen_at((folder_.path() / "notify").string());
  EXPECT_TRUE(notify_service("READY=1\nSTATUS=serving"));
  EXPECT_EQ(heard(), "READY=1\nSTATUS=serving");
  setenv("NOTIFY_SOCKET", std::string(200, 'a').c_str(), 1);
  EXPECT_FALSE(notify_service("READY=1"));
  EXPECT_EQ(heard(), "nothing");
}

TEST_F(ServiceNotify, KnowsAbstractNames) {
  listen_at("@nostril-test-" + std::to_string(getpid()));
  EXPECT_TRUE(notify_service("STOPPING=1"));
  EXPECT_EQ(heard(), "STOPPING=1");
}

TEST_F(ServiceNotify, ReadsTheWatchdogsTime) {
  EXPECT_EQ(watchdog_ms(), std::nullopt);
  setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(watchdog_ms(), 30'000U);
  setenv("WATCHDOG_USEC", "soon", 1);
  EXPECT_EQ(watchdog_ms(), std::nullopt);
}

}  // namespace
}  // namespace nostril::net
