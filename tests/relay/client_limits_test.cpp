#include "relay/client_limits.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::relay {
namespace {

net::PeerAddress at(const std::string& ip) {
  return *net::PeerAddress::parse(ip);
}

class ClientLimitsTest : public testing::Test {
 protected:
  ClientLimits& limits() {
    if (!limits_) limits_.emplace(rules, clock, counts);
    return *limits_;
  }

  std::optional<ClientAccount> open(const std::string& ip) {
    retry_after_s = 0;
    return limits().open(at(ip), retry_after_s);
  }

  ClientRules rules;
  FakeClock clock{1'000'000};
  OverrunCounts counts;
  std::int64_t retry_after_s = 0;

 private:
  std::optional<ClientLimits> limits_;
};

TEST_F(ClientLimitsTest, CountsTheConnectionsOfAnAddress) {
  rules.connections_max = 2;
  const auto first = open("192.0.2.1");
  auto second = open("192.0.2.1");
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(open("192.0.2.1"));
  EXPECT_GT(retry_after_s, 0);
  EXPECT_TRUE(open("192.0.2.2"));
  second.reset();
  EXPECT_TRUE(open("192.0.2.1"));
  EXPECT_EQ(counts.read(Overrun::Connections), 1U);
}

TEST_F(ClientLimitsTest, CountsTheNetworkOfAnIpv6Address) {
  rules.connections_max = 1;
  const auto one = open("2001:db8::1");
  EXPECT_FALSE(open("2001:db8::ffff:0:0:2"));
  EXPECT_TRUE(open("2001:db8:0:1::1"));
}

TEST_F(ClientLimitsTest, SaysWhenToComeBack) {
  rules.connections = {0.5, 1};
  EXPECT_TRUE(open("192.0.2.1"));
  EXPECT_FALSE(open("192.0.2.1"));
  EXPECT_EQ(retry_after_s, 2);
  clock.advance_ms(2'000);
  EXPECT_TRUE(open("192.0.2.1"));
  EXPECT_EQ(counts.read(Overrun::ConnectionRate), 1U);
}

TEST_F(ClientLimitsTest, ClosesSocketsThatAreFarTooMany) {
  rules.connections_max = 4;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(limits().open_socket(at("192.0.2.1"))) << i;
  EXPECT_FALSE(limits().open_socket(at("192.0.2.1")));
  EXPECT_TRUE(limits().open_socket(at("192.0.2.2")));
  limits().close_socket(at("192.0.2.1"));
  EXPECT_TRUE(limits().open_socket(at("192.0.2.1")));
  EXPECT_EQ(counts.read(Overrun::Sockets), 1U);
}

TEST_F(ClientLimitsTest, SharesAnAddressesBucketsAmongItsConnections) {
  rules.events = {1, 3};
  rules.requests = {1, 2};
  auto one = open("192.0.2.1");
  auto two = open("192.0.2.1");
  auto other = open("192.0.2.2");
  EXPECT_TRUE(one->take_event());
  EXPECT_TRUE(two->take_event());
  EXPECT_TRUE(one->take_event());
  EXPECT_FALSE(one->take_event());
  EXPECT_FALSE(two->take_event());
  EXPECT_TRUE(other->take_event());
  EXPECT_TRUE(one->take_request());
  EXPECT_TRUE(two->take_request());
  EXPECT_FALSE(two->take_request());
  clock.advance_ms(1'000);
  EXPECT_TRUE(two->take_event());
  EXPECT_FALSE(one->take_event());
}

TEST_F(ClientLimitsTest, SaysHowLongNotToRead) {
  rules.messages = {10, 2};
  rules.bytes = {1'000, 1'000};
  auto one = open("192.0.2.1");
  EXPECT_EQ(one->on_message(10), 0);
  EXPECT_EQ(one->on_message(10), 0);
  EXPECT_EQ(one->on_message(10), 100);  // the third message
  clock.advance_ms(10'000);
  EXPECT_EQ(one->on_message(1'500), 500);      // the bytes
  EXPECT_EQ(one->on_message(100'000), 1'000);  // never longer at a time
  EXPECT_EQ(counts.read(Overrun::Messages), 1U);
  EXPECT_EQ(counts.read(Overrun::Bytes), 2U);
}

TEST_F(ClientLimitsTest, DealsOutQuerySteps) {
  rules.query_steps_max = 2;
  auto one = open("192.0.2.1");
  auto two = open("192.0.2.1");
  auto first = one->take_query_step();
  auto second = two->take_query_step();
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(one->take_query_step());
  EXPECT_TRUE(open("192.0.2.2")->take_query_step());
  first.reset();
  EXPECT_TRUE(one->take_query_step());
}

TEST_F(ClientLimitsTest, LeavesTheExemptAlone) {
  rules.connections_max = 1;
  rules.events = {1, 1};
  rules.exempt = net::AddressRanges({*net::AddressRange::parse("192.0.2.0/24")});
  std::vector<std::optional<ClientAccount>> many;
  for (int i = 0; i < 10; ++i) {
    many.push_back(open("192.0.2.1"));
    ASSERT_TRUE(many.back());
    EXPECT_TRUE(many.back()->take_event());
    EXPECT_EQ(many.back()->address()->ip_string(), "192.0.2.1");
  }
  EXPECT_EQ(limits().address_count(), 0U);
}

TEST_F(ClientLimitsTest, CountsNoSocketsOfATrustedProxy) {
  rules.connections_max = 1;
  rules.proxies.ranges = net::AddressRanges({*net::AddressRange::parse("192.0.2.1")});
  rules.proxies.header = net::ForwardedHeader::XForwardedFor;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(limits().open_socket(at("192.0.2.1")));
  EXPECT_EQ(limits().client_of(at("192.0.2.1"), {{"X-Forwarded-For", "198.51.100.7"}}).ip_string(),
            "198.51.100.7");
}

TEST_F(ClientLimitsTest, ForgetsAddressesThatAreGone) {
  rules.events = {1, 10};
  for (int i = 0; i < 200; ++i) {
    auto account = open("198.51.100." + std::to_string(i));
    EXPECT_TRUE(account->take_event());
  }
  EXPECT_EQ(limits().address_count(), 200U);
  clock.advance_ms(5'000);
  for (int i = 0; i < 200; ++i) (void)open("203.0.113." + std::to_string(i));
  EXPECT_LT(limits().address_count(), 220U);
}

TEST_F(ClientLimitsTest, KeepsNoMoreAddressesThanItMay) {
  rules.addresses_max = 64;
  rules.events = {0.001, 5};
  rules.connections_max = 1;
  std::vector<std::optional<ClientAccount>> held;
  for (int i = 0; i < 500; ++i) {
    held.push_back(open("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
  }
  EXPECT_LE(limits().address_count(), 64U);
  // Those that did not fit share what one may do.
  std::size_t open_count = 0;
  for (const auto& one : held) open_count += one ? 1U : 0U;
  EXPECT_LE(open_count, 64U + 16U);
  held.clear();
  clock.advance_ms(60'000);
  EXPECT_TRUE(open("10.9.9.9"));
}

// Each socket is given back once, wherever it was counted.
TEST_F(ClientLimitsTest, CountsSocketsAlsoWhenTheTableIsFull) {
  rules.addresses_max = 16;
  rules.connections_max = 1;
  std::vector<std::string> ips;
  for (int i = 0; i < 100; ++i) ips.push_back("10.1.1." + std::to_string(i));
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> taken;
    for (const auto& ip : ips) {
      if (limits().open_socket(at(ip))) taken.push_back(ip);
    }
    EXPECT_GE(taken.size(), 17U) << round;
    for (const auto& ip : taken) limits().close_socket(at(ip));
    clock.advance_ms(2'000);
  }
}

TEST(ClientAccount, MadeEmptyHasNoLimits) {
  ClientAccount none;
  EXPECT_TRUE(none.take_event());
  EXPECT_TRUE(none.take_request());
  EXPECT_TRUE(none.take_query_step());
  EXPECT_EQ(none.on_message(1 << 30), 0);
  EXPECT_FALSE(none.address());
}

}  // namespace
}  // namespace nostril::relay
