// The operator's listener, and the form of what it says.
#include "node/metrics_server.h"

#include "base/config.h"
#include "base/metrics_text.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

TEST(MetricsServer, ListensOnLoopbackOnly) {
  net::Loop loop;
  const auto text = [] { return std::string(); };
  for (const char* address : {"0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "9464", "127.0.0.1",
                              "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:1x"}) {
    EXPECT_THROW(MetricsServer(loop, address, text), ConfigError) << address;
  }
  EXPECT_NE(MetricsServer(loop, "127.0.0.1:0", text).port(), 0);
}

TEST(MetricsText, EscapesLabelsAndWritesSeconds) {
  MetricsText out("a_");
  out.metric("b", "counter", "help");
  out.sample_us(1'500'000, metrics_label("model", "x\"y\\z\n"));
  EXPECT_EQ(std::move(out).take(),
            "# HELP a_b help\n# TYPE a_b counter\na_b{model=\"x\\\"y\\\\z\\n\"} 1.500000\n");
}

}  // namespace
}  // namespace nostril::node
