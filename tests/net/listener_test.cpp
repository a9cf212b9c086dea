// Who may listen on a port that is taken.
#include "net/listener.h"

#include "tests/net/support.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace nostril::net {
namespace {

class ListenerTest : public testing::Test {
 protected:
  std::unique_ptr<Listener> listen(std::uint16_t port, bool joins = false,
                                   const std::string& host = "127.0.0.1") {
    return std::make_unique<Listener>(loop_, host, port, joins, 16,
                                      [this](const UniqueFd&, const PeerAddress&) {
                                        ++accepted_;
                                        if (accepted_ == kPeers) loop_.stop();
                                      });
  }

  std::string refusal(std::uint16_t port, const std::string& host = "127.0.0.1") {
    try {
      listen(port, false, host);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return {};
  }

  static constexpr int kPeers = 32;
  Loop loop_;
  int accepted_ = 0;
};

TEST_F(ListenerTest, RefusesAPortThatAnotherHas) {
  const auto first = listen(0);
  const std::uint16_t port = first->local_port();
  EXPECT_EQ(refusal(port), "cannot listen on 127.0.0.1 port " + std::to_string(port) +
                               ": another program does; end it, or choose another port");
  EXPECT_NE(refusal(port, "0.0.0.0"), "");
  EXPECT_NE(refusal(port, "::"), "") << "which takes IPv4, too";
}

TEST_F(ListenerTest, LoopsOfOneProcessShareAPortAndStillKeepOthersOut) {
  const auto first = listen(0);
  const std::uint16_t port = first->local_port();
  const auto second = listen(port, true);
  const auto third = listen(port, true);
  EXPECT_NE(refusal(port), "");
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < kPeers; ++i) peers.push_back(std::make_unique<Peer>(port));
  const TimerId limit = loop_.after(20'000, [this] { loop_.stop(); });
  loop_.run();
  loop_.cancel(limit);
  EXPECT_EQ(accepted_, kPeers);
}

TEST_F(ListenerTest, APortIsFreeAtOnceWhenItsListenerHasStopped) {
  const auto first = listen(0);
  const std::uint16_t port = first->local_port();
  Peer peer(port);  // its connection lingers
  ASSERT_TRUE(peer.connected());
  first->stop();
  EXPECT_EQ(refusal(port), "");
}

}  // namespace
}  // namespace nostril::net
