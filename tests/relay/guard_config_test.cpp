#include "relay/guard_config.h"

#include <gtest/gtest.h>

namespace nostril::relay {
namespace {

// The error that a configuration leads to; empty: none.
std::string error_of(const std::string& toml) {
  GuardConfig guard;
  Config config;
  guard.declare(config);
  try {
    config.load_text(toml, "test");
    (void)guard.rules();
    (void)guard.protocol_proxies();
    (void)guard.plugin_options();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(GuardConfig, TakesItsOwnDefaults) {
  GuardConfig guard;
  Config config;
  guard.declare(config);
  EXPECT_EQ(error_of(config.print()), "");
  const GuardRules rules = guard.rules();
  EXPECT_TRUE(rules.clients.proxies.ranges.empty());
  EXPECT_TRUE(rules.clients.exempt.contain(*net::PeerAddress::parse("127.0.0.1")));
  EXPECT_TRUE(guard.protocol_proxies().empty());
  EXPECT_TRUE(guard.plugin_options().empty());
}

TEST(GuardConfig, ReadsAllOfIt) {
  GuardConfig guard;
  Config config;
  guard.declare(config);
  config.load_text(R"(
[proxy]
trusted = ["10.0.0.0/8", "fd00::/8"]
header = "forwarded"
protocol = true
[clients]
connections_a_minute_max = 60
events_a_second_max = 5
burst_s = 4
key_events_a_minute_max = 30
v6_prefix_bits = 56
exempt = []
[content]
tags_max = ["1:p:50"]
bytes_max = ["0:16384"]
blocked_words = ["casino"]
[[plugins]]
command = ["node", "policy.js"]
on_failure = "accept"
ephemeral = false
[[plugins]]
command = ["policy"]
processes = 4
)",
                   "test");
  const GuardRules rules = guard.rules();
  EXPECT_EQ(rules.clients.proxies.header, net::ForwardedHeader::Forwarded);
  EXPECT_TRUE(guard.protocol_proxies().contain(*net::PeerAddress::parse("fd00::1")));
  EXPECT_DOUBLE_EQ(rules.clients.connections.a_second, 1);
  EXPECT_DOUBLE_EQ(rules.clients.events.burst, 20);
  EXPECT_DOUBLE_EQ(rules.key_events.a_second, 0.5);
  EXPECT_EQ(rules.clients.v6_prefix_bits, 56U);
  EXPECT_TRUE(rules.clients.exempt.empty());
  EXPECT_EQ(rules.content.tag_limits.size(), 1U);
  const auto plugins = guard.plugin_options();
  ASSERT_EQ(plugins.size(), 2U);
  EXPECT_TRUE(plugins[0].accepts_on_failure);
  EXPECT_FALSE(plugins[0].judges_ephemeral);
  EXPECT_EQ(plugins[1].processes, 4);
  EXPECT_FALSE(plugins[1].accepts_on_failure);
}

TEST(GuardConfig, RefusesWhatMeansNothing) {
  for (const char* bad :
       {"[proxy]\ntrusted = [\"10.0.0.1/8\"]", "[proxy]\nheader = \"CF-Connecting-IP\"",
        "[proxy]\nprotocol = true", "[clients]\nexempt = [\"localhost\"]",
        "[content]\ntags_max = [\"p:50\"]", "[content]\nbytes_max = [\"0\"]",
        "[content]\nblocked_words = [\"two words\"]", "[content]\nblocked_words_kinds = [\"x\"]",
        "[content]\nmoderators = [\"npub1\"]", "[[plugins]]\nprocesses = 2",
        "[[plugins]]\ncommand = [\"x\"]\non_failure = \"ignore\""}) {
    EXPECT_NE(error_of(bad), "") << bad;
  }
}

}  // namespace
}  // namespace nostril::relay
