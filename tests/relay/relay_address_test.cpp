#include "relay/relay_address.h"

#include <gtest/gtest.h>

#include <string_view>

namespace nostril::relay::test {
namespace {

TEST(RelayAddress, OfAUrlIsItsHostPortAndPath) {
  const auto named = RelayAddress::of("wss://r.example/a/");
  ASSERT_TRUE(named);
  EXPECT_FALSE(named->is_on_loopback());
  EXPECT_EQ(RelayAddress::from_text(named->text()), *named);
  for (const std::string_view same :
       {"wss://r.example/a", "ws://R.example/a", "wss://r.example:443/a/"}) {
    EXPECT_TRUE(named->is_named_by(same)) << same;
  }
  for (const std::string_view other :
       {"wss://r.example", "wss://r.example/b", "wss://s.example/a", "https://r.example/a",
        "wss://r.example:1/a", "r.example/a", ""}) {
    EXPECT_FALSE(named->is_named_by(other)) << other;
  }
  EXPECT_TRUE(named->has_host_of("ws://r.example/elsewhere"));
  EXPECT_FALSE(named->has_host_of("ws://r.example.org/a"));
  EXPECT_FALSE(RelayAddress::of("https://r.example"));
  EXPECT_FALSE(RelayAddress::of("ws://[loopback]:1"));
}

TEST(RelayAddress, OnLoopbackIsEveryLoopbackNameWithItsPort) {
  const auto here = RelayAddress::on_loopback(7447);
  EXPECT_TRUE(here.is_on_loopback());
  EXPECT_EQ(RelayAddress::from_text(here.text()), here);
  for (const std::string_view own :
       {"ws://127.0.0.1:7447", "ws://127.0.0.1:7447/", "wss://LOCALHOST:7447", "ws://[::1]:7447/",
        "ws://127.8.8.8:7447"}) {
    EXPECT_TRUE(here.is_named_by(own)) << own;
    EXPECT_TRUE(here.has_host_of(own)) << own;
  }
  for (const std::string_view other :
       {"ws://127.0.0.1", "ws://127.0.0.1:7448", "ws://127.0.0.1.evil.example:7447",
        "ws://localhost.evil.example:7447", "ws://10.0.0.1:7447", "ws://[::2]:7447",
        "ws://evil.example:7447", "ws://evil.example/127.0.0.1:7447", "127.0.0.1:7447"}) {
    EXPECT_FALSE(here.is_named_by(other)) << other;
    EXPECT_FALSE(here.has_host_of(other)) << other;
  }
  EXPECT_FALSE(here.is_named_by("ws://127.0.0.1:7447/path"));
  // The port of a scheme need not be said.
  EXPECT_TRUE(RelayAddress::on_loopback(80).is_named_by("ws://localhost"));
  EXPECT_TRUE(RelayAddress::on_loopback(443).is_named_by("wss://localhost"));
}

// Whoever has set `url` has said what the relay is called.
TEST(RelayAddress, OfALoopbackUrlIsThatNameOnly) {
  const auto named = RelayAddress::of("ws://127.0.0.1:7447");
  ASSERT_TRUE(named);
  EXPECT_TRUE(named->is_named_by("ws://127.0.0.1:7447/"));
  EXPECT_FALSE(named->is_named_by("ws://localhost:7447"));
  EXPECT_FALSE(named->has_host_of("ws://[::1]:7447"));
}

}  // namespace
}  // namespace nostril::relay::test
