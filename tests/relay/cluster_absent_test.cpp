// A program without libnats, as `cmake -DNOSTRIL_WITH_NATS=OFF` builds it: this one has
// relay/cluster/bus_absent.cpp in the place of bus.cpp, in every build.
#include "relay/cluster/bus.h"
#include "relay/config.h"

#include <gmock/gmock.h>

#include <stdexcept>

namespace nostril::relay {
namespace {

// The error that a configuration leads to; empty: none.
std::string error_of(const std::string& toml) {
  RelayConfig relay;
  Config config;
  relay.declare(config);
  try {
    config.load_text(toml, "test");
    (void)relay.cluster_options();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(ClusterWithoutLibnats, IsRefusedWithWhatToDo) {
  ASSERT_FALSE(Bus::is_built_in());
  EXPECT_EQ(error_of("data = \"/nowhere\"\n"), "");
  EXPECT_THAT(error_of("[cluster]\nname = \"a\"\nservers = [\"nats://127.0.0.1:4222\"]\n"),
              testing::HasSubstr("built without libnats: install libnats-dev and build it anew"));
}

TEST(ClusterWithoutLibnats, ThereIsNoBus) {
  EXPECT_THROW(Bus(BusOptions(), nullptr), std::runtime_error);
}

}  // namespace
}  // namespace nostril::relay
