#include "net/loopback.h"

#include <gtest/gtest.h>

namespace nostril::net {

namespace {

TEST(IsLoopback, IsThisMachine) {
  for (const char* host : {"127.0.0.1", "127.0.0.2", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1",
                           "::ffff:127.0.0.1", "localhost"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
  }
}

TEST(IsLoopback, IsNoOther) {
  for (const char* host :
       {"", "127.", "127.example.org", "127.0.0.1.example.org", "128.0.0.1", "0.0.0.0", "::", "::2",
        "1::1", "::127.0.0.1", "[::1]", "localhost.example.org", "127.0.0.1 "}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
}

}  // namespace

}  // namespace nostril::net
