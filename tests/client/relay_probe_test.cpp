#include "client/relay_probe.h"

#include "base/file.h"
#include "net/listener.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::client {
namespace {

// Answers HTTP at once, and a WebSocket's handshake never: it closes the connection when told to.
class LateRelay {
 public:
  explicit LateRelay(net::Loop& loop)
      : loop_(loop),
        listener_(loop, "127.0.0.1", 0, false, 16,
                  [this](UniqueFd fd, const net::PeerAddress&) { new_.push_back(std::move(fd)); }),
        timer_(loop.every(2, [this] { look(); })) {}

  ~LateRelay() { loop_.cancel(timer_); }

  LateRelay(const LateRelay&) = delete;
  LateRelay& operator=(const LateRelay&) = delete;
  LateRelay(LateRelay&&) = delete;
  LateRelay& operator=(LateRelay&&) = delete;

  [[nodiscard]] std::string url() const {
    return "ws://127.0.0.1:" + std::to_string(listener_.local_port());
  }

  [[nodiscard]] std::size_t handshakes() const { return handshakes_.size(); }

  void end_handshakes() { handshakes_.clear(); }

 private:
  void look() {
    std::vector<UniqueFd> unread;
    for (UniqueFd& fd : std::exchange(new_, {})) {
      std::array<char, 4096> bytes{};
      const ssize_t got = ::recv(fd.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
      const std::string_view head(bytes.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
      if (head.find("\r\n\r\n") == std::string_view::npos) {
        unread.push_back(std::move(fd));
      } else if (head.find("Sec-WebSocket-Key") != std::string_view::npos) {
        handshakes_.push_back(std::move(fd));
      } else {
        constexpr std::string_view kAnswer =
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        (void)::recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        (void)::send(fd.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL);
      }
    }
    for (UniqueFd& fd : unread) new_.push_back(std::move(fd));
  }

  net::Loop& loop_;
  std::vector<UniqueFd> new_;
  std::vector<UniqueFd> handshakes_;
  net::Listener listener_;
  net::TimerId timer_;
};

TEST(RelayProbe, WaitsForAConnectionThatIsSlowerThanTheDocument) {
  SystemClock clock;
  SystemRng rng;
  net::Loop loop;
  LateRelay relay(loop);
  RelayProbe probe(relay.url(), {}, loop, clock, rng);
  ASSERT_TRUE(
      test::run_until(loop, [&] { return probe.facts().document && relay.handshakes() == 1; }));
  EXPECT_FALSE(probe.done()) << probe.facts().problem;
  relay.end_handshakes();
  EXPECT_TRUE(test::run_until(loop, [&] { return probe.done(); }));
  EXPECT_NE(probe.facts().problem, "not connected yet");
  EXPECT_NE(probe.facts().problem, "");
}

}  // namespace
}  // namespace nostril::client
