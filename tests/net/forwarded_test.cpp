#include "net/forwarded.h"

#include <gtest/gtest.h>

namespace nostril::net {
namespace {

TrustedProxies trusting(ForwardedHeader header) {
  return {AddressRanges({*AddressRange::parse("10.0.0.0/8"), *AddressRange::parse("fd00::/8")}),
          header};
}

std::string client(ForwardedHeader header, const HttpHeaders& headers,
                   std::string_view peer = "10.0.0.1") {
  return client_of(*PeerAddress::parse(peer), headers, trusting(header)).ip_string();
}

constexpr auto kList = ForwardedHeader::XForwardedFor;
constexpr auto kReal = ForwardedHeader::XRealIp;
constexpr auto kRfc = ForwardedHeader::Forwarded;

TEST(ClientOf, BelievesTrustedProxiesOnly) {
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "192.0.2.1"}}), "192.0.2.1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "192.0.2.1"}}, "203.0.113.5"), "203.0.113.5");
  EXPECT_EQ(client(ForwardedHeader::None, {{"X-Forwarded-For", "192.0.2.1"}}), "10.0.0.1");
}

TEST(ClientOf, BelievesTheConfiguredHeaderOnly) {
  const HttpHeaders all = {
      {"X-Forwarded-For", "192.0.2.1"}, {"X-Real-IP", "192.0.2.2"}, {"Forwarded", "for=192.0.2.3"}};
  EXPECT_EQ(client(kList, all), "192.0.2.1");
  EXPECT_EQ(client(kReal, all), "192.0.2.2");
  EXPECT_EQ(client(kRfc, all), "192.0.2.3");
}

TEST(ClientOf, TakesTheRightmostUntrustedHop) {
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.0.0.7"}}), "192.0.2.1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "6.6.6.6"}, {"x-forwarded-for", "192.0.2.1"}}),
            "192.0.2.1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "10.0.0.8,10.0.0.9"}}), "10.0.0.8");
  EXPECT_EQ(client(kRfc, {{"Forwarded", "for=6.6.6.6, for=192.0.2.1;proto=https, for=10.0.0.7"}}),
            "192.0.2.1");
}

TEST(ClientOf, StopsAtWhatItCannotRead) {
  EXPECT_EQ(client(kList, {}), "10.0.0.1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", ""}}), "10.0.0.1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "192.0.2.1, nonsense, 10.0.0.7"}}), "10.0.0.7");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "192.0.2.1,"}}), "10.0.0.1");
  EXPECT_EQ(client(kRfc, {{"Forwarded", "for=unknown"}}), "10.0.0.1");
  EXPECT_EQ(client(kRfc, {{"Forwarded", "for=_hidden"}}), "10.0.0.1");
  EXPECT_EQ(client(kRfc, {{"Forwarded", "proto=https"}}), "10.0.0.1");
}

TEST(ClientOf, ReadsPortsAndBrackets) {
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "192.0.2.1:4711"}}), "192.0.2.1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "2001:db8::1"}}), "2001:db8::1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "[2001:db8::1]:443"}}), "2001:db8::1");
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", "[2001:db8::1]"}}, "fd00::1"), "2001:db8::1");
  EXPECT_EQ(client(kRfc, {{"Forwarded", R"(For="[2001:db8:cafe::17]:4711")"}}),
            "2001:db8:cafe::17");
  for (const char* bad : {"192.0.2.1:", "192.0.2.1:123456", "[2001:db8::1", "[2001:db8::1]443",
                          "[2001:db8::1]:", "192.0.2.1:8o"}) {
    EXPECT_EQ(client(kList, {{"X-Forwarded-For", bad}}), "10.0.0.1") << bad;
  }
}

// A client writes the left part, the proxy adds the right one.
TEST(ClientOf, IsNotFooledByAClientsOpenQuote) {
  for (const std::string left : {R"(for=6.6.6.6;x=")", R"(for=")", R"(for="6.6.6.6)", R"(x="\)"}) {
    for (const std::string right :
         {"for=192.0.2.1", R"(for="[2001:db8::1]")", R"(for="192.0.2.1:1")"}) {
      EXPECT_EQ(client(kRfc, {{"Forwarded", left + ", " + right}}), "10.0.0.1") << left + right;
    }
    EXPECT_EQ(client(kRfc, {{"Forwarded", left}, {"Forwarded", "for=192.0.2.1"}}), "192.0.2.1");
  }
}

TEST(ClientOf, LooksAtTheRightEndOfALongList) {
  std::string list;
  for (int i = 0; i < 1'000; ++i) list += "6.6.6.6,";
  EXPECT_EQ(client(kList, {{"X-Forwarded-For", list + "192.0.2.1"}}), "192.0.2.1");
}

TEST(ForwardedHeaderNamed, KnowsThree) {
  EXPECT_EQ(forwarded_header_named("x-forwarded-FOR"), kList);
  EXPECT_EQ(forwarded_header_named("X-Real-IP"), kReal);
  EXPECT_EQ(forwarded_header_named("Forwarded"), kRfc);
  EXPECT_EQ(forwarded_header_named(""), ForwardedHeader::None);
  EXPECT_EQ(forwarded_header_named("CF-Connecting-IP"), std::nullopt);
}

}  // namespace
}  // namespace nostril::net
