#include "net/url.h"

#include <gtest/gtest.h>

namespace nostril::net {
namespace {

TEST(ParseUrl, ReadsTheParts) {
  const auto url = parse_url("wss://Relay.Example:8443/path?x=1");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, UrlScheme::Wss);
  EXPECT_EQ(url->host, "relay.example");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/path?x=1");
  EXPECT_TRUE(url->secure());
  EXPECT_EQ(url->authority(), "relay.example:8443");
  EXPECT_EQ(url->to_string(), "wss://relay.example:8443/path?x=1");
}

TEST(ParseUrl, FillsInWhatIsMissing) {
  EXPECT_EQ(parse_url("ws://h")->to_string(), "ws://h/");
  EXPECT_EQ(parse_url("ws://h")->port, 80);
  EXPECT_EQ(parse_url("https://h")->port, 443);
  EXPECT_EQ(parse_url("https://h:443/")->authority(), "h");
  EXPECT_EQ(parse_url("HTTP://h?q")->target, "/?q");
  EXPECT_EQ(parse_url("ws://[::1]:7000/")->host, "::1");
  EXPECT_EQ(parse_url("ws://[::1]:7000/")->authority(), "[::1]:7000");
  EXPECT_EQ(parse_url("http://127.0.0.1:8000/v1")->host, "127.0.0.1");
}

TEST(ParseUrl, RefusesEverythingElse) {
  const auto error_of = [](std::string_view text) {
    const auto url = parse_url(text);
    EXPECT_FALSE(url) << text;
    return url ? UrlError::TooLong : url.error();
  };
  for (const char* text :
       {"", "h", "ftp://h", "://h", "ws:/h", "ws//h", "file:///etc", " ws://h", "javascript://h"}) {
    EXPECT_EQ(error_of(text), UrlError::BadScheme) << text;
  }
  for (const char* text :
       {"ws://", "ws:///x", "ws://-h", "ws://h-", "ws://a..b", "ws://.a", "ws://h_$", "ws://h h",
        "ws://[::1", "ws://[zz]", "ws://[]", "ws://1.2.3", "ws://1.2.3.256", "ws://0177.0.0.1.5",
        "ws://\xC3\xA9", "ws://a.", "ws://%41"}) {
    EXPECT_EQ(error_of(text), UrlError::BadHost) << text;
  }
  for (const char* text : {"ws://h:", "ws://h:0", "ws://h:65536", "ws://h:8o", "ws://h:+80",
                           "ws://[::1]x", "ws://h:80:80"}) {
    EXPECT_EQ(error_of(text), UrlError::BadPort) << text;
  }
  for (const char* text : {"ws://u@h", "ws://u:p@h/", "http://@h"})
    EXPECT_EQ(error_of(text), UrlError::UserInfo) << text;
  for (const char* text : {"ws://h/a b", "ws://h/\x7F", "ws://h/#f", "ws://h#f", "ws://h/\r\nX: y",
                           "ws://h/\xC3\xA9"}) {
    EXPECT_EQ(error_of(text), UrlError::BadTarget) << text;
  }
  EXPECT_EQ(error_of("ws://h/" + std::string(kUrlBytesMax, 'x')), UrlError::TooLong);
  EXPECT_EQ(error_of("ws://" + std::string(64, 'a') + ".example"), UrlError::BadHost);
}

TEST(ParseHostPort, TakesAnAddressAndAPort) {
  EXPECT_EQ(parse_host_port("127.0.0.1:8443").value().port, 8443);
  EXPECT_EQ(parse_host_port("[::]:0").value().host, "::");
  for (const char* text : {"", ":1", "1", "::1:80", "[::1]", "[]:1", "[a]:1", "a:", "a:65536",
                           "a:+1", "a:1x", "a: 1"}) {
    EXPECT_FALSE(parse_host_port(text)) << text;
  }
}

}  // namespace
}  // namespace nostril::net
