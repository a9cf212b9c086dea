#include "bench/relay/load/target.h"

#include "bench/relay/load/connections.h"

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace nostril::bench {
namespace {

class ListeningHere : public testing::Test {
 protected:
  ListeningHere() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(socket_.get(), generic, size), 0);
    EXPECT_EQ(listen(socket_.get(), 1), 0);
    EXPECT_EQ(getsockname(socket_.get(), generic, &size), 0);
    port_ = ntohs(address.sin_port);
  }

  UniqueFd socket_;
  std::uint16_t port_ = 0;
};

TEST_F(ListeningHere, TheProcessIsFoundByItsPort) {
  const Target target = read_target("peer=ws://127.0.0.1:" + std::to_string(port_));
  EXPECT_EQ(target.name, "peer");
  EXPECT_EQ(target.process.pids(), std::vector<int>{getpid()});
  EXPECT_GT(target.process.memory().anonymous_bytes, 0);
}

TEST_F(ListeningHere, AConnectedSocketIsNoListener) {
  const std::uint16_t port = port_;
  socket_ = UniqueFd();
  EXPECT_THROW(ServerProcess::listening_on(port), std::runtime_error);
}

TEST(ReadTarget, TakesPidAndData) {
  const std::string pid = std::to_string(getpid());
  const Target target = read_target("ws://127.0.0.1:9/path=x,pid=" + pid + ",data=/tmp/a=b");
  EXPECT_EQ(target.name, "relay");
  EXPECT_EQ(target.url.target, "/path=x");
  EXPECT_EQ(target.data, "/tmp/a=b");
  EXPECT_EQ(target.process.pids(), std::vector<int>{getpid()});
}

TEST(ReadTarget, RefusesWhatItDoesNotKnow) {
  const std::string pid = ",pid=" + std::to_string(getpid());
  for (const std::string& text :
       {std::string("http//x") + pid, "ws://127.0.0.1:9,what=x" + pid,
        std::string("ws://127.0.0.1:9,pid=0"), std::string("ws://127.0.0.1:9,pid=12x"),
        std::string("ws://127.0.0.1:9,pid=999999999")}) {
    EXPECT_THROW(read_target(text), std::runtime_error) << text;
  }
}

}  // namespace
}  // namespace nostril::bench
