#include "net/address_range.h"

#include <gtest/gtest.h>

namespace nostril::net {
namespace {

PeerAddress at(std::string_view ip) {
  const auto address = PeerAddress::parse(ip);
  EXPECT_TRUE(address) << ip;
  return address.value_or(PeerAddress{});
}

bool contains(std::string_view range, std::string_view ip) {
  const auto parsed = AddressRange::parse(range);
  EXPECT_TRUE(parsed) << range;
  return parsed && parsed->contains(at(ip));
}

TEST(PeerAddressParse, ReadsAddressesAndNothingElse) {
  EXPECT_EQ(at("192.0.2.1").ip_string(), "192.0.2.1");
  EXPECT_EQ(at("2001:db8::1").ip_string(), "2001:db8::1");
  EXPECT_EQ(at("::ffff:192.0.2.1").ip_string(), "192.0.2.1");
  for (const std::string_view bad :
       {"", " ", "192.0.2.1 ", "192.0.2", "192.0.2.256", "192.0.2.01", "0xC0000201", "localhost",
        "[::1]", "::1%lo", "1::2::3", "192.0.2.1:80", "::ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:0",
        "fe80::1%12345678901234567890123456789012345678901234567890"}) {
    EXPECT_FALSE(PeerAddress::parse(bad)) << bad;
  }
  EXPECT_FALSE(PeerAddress::parse(std::string_view("::1\0", 4)));
}

TEST(AddressRange, HoldsWhatSharesItsPrefix) {
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(contains("192.0.2.128/25", "192.0.2.255"));
  EXPECT_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(contains("192.0.2.7", "192.0.2.7"));
  EXPECT_FALSE(contains("192.0.2.7", "192.0.2.6"));
  EXPECT_TRUE(contains("0.0.0.0/0", "203.0.113.9"));
  EXPECT_TRUE(contains("2001:db8::/33", "2001:db8:7fff::"));
  EXPECT_FALSE(contains("2001:db8::/33", "2001:db8:8000::"));
  EXPECT_TRUE(contains("::1/128", "::1"));
}

TEST(AddressRange, KeepsTheFamiliesApart) {
  EXPECT_FALSE(contains("::/0", "192.0.2.1"));
  EXPECT_FALSE(contains("0.0.0.0/0", "::1"));
  EXPECT_TRUE(contains("192.0.2.0/24", "::ffff:192.0.2.1"));
}

TEST(AddressRange, RefusesWhatIsNoRange) {
  for (const std::string_view bad :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8",
        "10.0.0.1/8", "10.0.0.0/8 ", "::/129", "2001:db8::1/64", "example.org/8", "10.0.0.0/+8"}) {
    EXPECT_FALSE(AddressRange::parse(bad)) << bad;
  }
}

TEST(PeerGroup, IsAnAddressOrAPrefixOfSix) {
  EXPECT_NE(peer_group(at("192.0.2.1")), peer_group(at("192.0.2.2")));
  EXPECT_EQ(peer_group(at("2001:db8::1")), peer_group(at("2001:db8::ffff:1")));
  EXPECT_NE(peer_group(at("2001:db8::1"), 128), peer_group(at("2001:db8::2"), 128));
  EXPECT_EQ(peer_group(at("2001:db8:0:ff00::1"), 56), peer_group(at("2001:db8:0:ff80::1"), 56));
  EXPECT_NE(peer_group(at("2001:db8:0:ff00::1"), 57), peer_group(at("2001:db8:0:ff80::1"), 57));
}

}  // namespace
}  // namespace nostril::net
