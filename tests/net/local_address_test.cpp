#include "net/local_address.h"

#include "net/listener.h"
#include "net/loop.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace nostril::net {
namespace {

TEST(LocalAddresses, AreThoseOfTheSocketsThemselves) {
  Loop loop;
  const auto ignore = [](UniqueFd /*fd*/, const PeerAddress& /*peer*/) {};
  Listener local(loop, "127.0.0.1", 0, false, 1, ignore);
  Listener any(loop, "0.0.0.0", 0, false, 1, ignore);
  std::vector<UniqueFd> sockets;
  sockets.push_back(local.duplicate());
  sockets.push_back(any.duplicate());
  const auto found = local_addresses(sockets);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].host, "127.0.0.1");
  EXPECT_EQ(found[0].port, local.local_port());
  EXPECT_EQ(found[1].host, "0.0.0.0");
  EXPECT_EQ(found[1].port, any.local_port());
  EXPECT_TRUE(local_addresses({}).empty());
}

}  // namespace
}  // namespace nostril::net
