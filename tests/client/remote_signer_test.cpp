// bunker:// URLs, which people paste. What is said over relays:
// tests/interop/remote_signer.test.mjs.
#include "client/remote_signer.h"

#include "base/hex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace nostril::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kKey(64, 'a');

TEST(BunkerUrl, SaysWhoAndWhere) {
  const auto url = parse_bunker_url("bunker://" + kKey +
                                    "?relay=wss%3A%2F%2Fa.example&x=1&relay=ws://b&secret=s%26%3D");
  ASSERT_TRUE(url) << url.error();
  EXPECT_EQ(encode_hex(url->signer), kKey);
  EXPECT_THAT(url->relays, ElementsAre("wss://a.example", "ws://b"));
  EXPECT_EQ(url->secret.expose(), "s&=");
  EXPECT_TRUE(parse_bunker_url("bunker://" + kKey + "?relay=ws://b")->secret.expose().empty());
}

TEST(BunkerUrl, IsRefusedWithoutItsSecretInTheWords) {
  std::string relays;
  for (std::size_t i = 0; i <= BunkerUrl::kRelaysMax; ++i) relays += "relay=ws://b&";
  for (const std::string& url :
       {"nostr://" + kKey + "?relay=ws://b&secret=swordfish", "bunker://" + kKey,
        "bunker://" + kKey + "?secret=swordfish", "bunker://" + kKey.substr(1) + "?relay=ws://b",
        "bunker://" + kKey + "b?relay=ws://b",
        "bunker://" + kKey + "?relay=ws://b&secret=swordfish%",
        "bunker://" + kKey + "?" + relays + "secret=swordfish",
        "bunker://" + kKey + "?relay=" + std::string(5000, 'b')}) {
    const auto parsed = parse_bunker_url(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_THAT(parsed.error(), Not(HasSubstr("swordfish")));
  }
}

}  // namespace
}  // namespace nostril::client
