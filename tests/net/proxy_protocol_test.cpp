#include "net/proxy_protocol.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nostril::net {
namespace {

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

// What was read in words, and what was left; in pieces of that many bytes.
std::string read(std::string_view bytes, std::size_t piece = SIZE_MAX) {
  ProxyHeaderReader reader;
  while (true) {
    std::string_view offered = bytes.substr(0, piece);
    const std::size_t before = offered.size();
    const auto header = reader.feed(offered);
    bytes.remove_prefix(before - offered.size());
    if (!header) return std::string(to_string(header.error()));
    if (*header) {
      const auto& source = (**header).source;
      return (source ? source->ip_string() + " " + std::to_string(source->port) : "own") + "|" +
             std::string(bytes);
    }
    if (bytes.empty()) return "more";
  }
}

std::string binary(std::uint8_t command, std::uint8_t family, const std::string& body) {
  std::string out(kSignature);
  out += static_cast<char>(command);
  out += static_cast<char>(family);
  out += static_cast<char>(body.size() >> 8U);
  out += static_cast<char>(body.size() & 0xFFU);
  return out + body;
}

std::string addresses4() {
  return {'\xC0', 0, 2, 1, '\xC6', 51, 100, 2, '\x12', '\x34', 0, 80};
}

TEST(ProxyHeader, ReadsVersion1) {
  EXPECT_EQ(read("PROXY TCP4 192.0.2.1 198.51.100.2 4660 80\r\nGET"), "192.0.2.1 4660|GET");
  EXPECT_EQ(read("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "2001:db8::1 1|");
  EXPECT_EQ(read("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1 1|");
  EXPECT_EQ(read("PROXY UNKNOWN\r\nGET"), "own|GET");
  EXPECT_EQ(read("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\nGET"), "own|GET");
}

TEST(ProxyHeader, ReadsVersion2) {
  EXPECT_EQ(read(binary(0x21, 0x11, addresses4()) + "GET"), "192.0.2.1 4660|GET");
  const std::string extension("\x04\x00\x02hi", 5);
  EXPECT_EQ(read(binary(0x21, 0x11, addresses4() + extension) + "GET"), "192.0.2.1 4660|GET");
  std::string six(36, '\0');
  six[0] = 0x20;
  six[1] = 0x01;
  six[15] = 9;
  six[33] = 7;
  EXPECT_EQ(read(binary(0x21, 0x21, six)), "2001::9 7|");
  EXPECT_EQ(read(binary(0x20, 0x00, "") + "GET"), "own|GET");
  EXPECT_EQ(read(binary(0x20, 0x11, addresses4()) + "GET"), "own|GET");
  EXPECT_EQ(read(binary(0x21, 0x00, "") + "GET"), "own|GET");
}

TEST(ProxyHeader, ReadsTheSameHoweverItIsCut) {
  for (const std::string& whole : {std::string("PROXY TCP4 192.0.2.1 198.51.100.2 4660 80\r\nGET"),
                                   binary(0x21, 0x11, addresses4()) + "GET"}) {
    for (std::size_t piece = 1; piece < whole.size(); ++piece) {
      EXPECT_EQ(read(whole, piece), "192.0.2.1 4660|GET");
    }
    const std::string_view head = std::string_view(whole).substr(0, whole.size() - 3);
    for (std::size_t size = 0; size < head.size(); ++size) {
      EXPECT_EQ(read(head.substr(0, size)), "more") << size;
    }
  }
}

TEST(ProxyHeader, RefusesWhatIsNone) {
  for (const std::string_view bad :
       {"GET / HTTP/1.1\r\n", "proxy TCP4", "PROXYTCP4", "\r\n\r\nGET", "\x16\x03\x01"}) {
    EXPECT_EQ(read(bad), "no PROXY header") << bad;
  }
}

TEST(ProxyHeader, RefusesWhatVersion1DoesNotWrite) {
  for (const std::string_view bad :
       {"PROXY \r\n", "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY UNKNOWNS\r\n"}) {
    EXPECT_EQ(read(bad), "not a line of version 1") << bad;
  }
  for (const std::string_view bad :
       {"PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n", "PROXY TCP4 ::1 198.51.100.2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 ::2 1 2\r\n", "PROXY TCP4 192.0.2.999 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n", "PROXY TCP4 192.0.2.1\n ::1 1 2\r\n"}) {
    EXPECT_EQ(read(bad), "not an address or port") << bad;
  }
}

TEST(ProxyHeader, RefusesWhatVersion2DoesNotWrite) {
  EXPECT_EQ(read(binary(0x11, 0x11, addresses4())), "unknown version");
  EXPECT_EQ(read(binary(0x31, 0x11, addresses4())), "unknown version");
  EXPECT_EQ(read(binary(0x22, 0x11, addresses4())), "unknown command");
  EXPECT_EQ(read(binary(0x21, 0x12, addresses4())), "not TCP over IPv4 or IPv6");
  EXPECT_EQ(read(binary(0x21, 0x31, std::string(216, 'x'))), "not TCP over IPv4 or IPv6");
  EXPECT_EQ(read(binary(0x21, 0x11, addresses4().substr(1))), "too short for its addresses");
  EXPECT_EQ(read(binary(0x21, 0x21, addresses4())), "too short for its addresses");
}

TEST(ProxyHeader, IsBounded) {
  EXPECT_EQ(read("PROXY UNKNOWN " + std::string(91, 'x') + "\r\n"), "own|");
  EXPECT_EQ(read("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n"), "too long");
  EXPECT_EQ(read("PROXY UNKNOWN " + std::string(5'000, 'x')), "too long");
  EXPECT_EQ(read(binary(0x20, 0, std::string(kProxyHeaderBytesMax - 16, 'x'))), "own|");
  EXPECT_EQ(read(binary(0x20, 0, std::string(kProxyHeaderBytesMax - 15, 'x'))), "too long");
}

}  // namespace
}  // namespace nostril::net
