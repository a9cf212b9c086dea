#include "events/nip49.h"

#include "base/hex.h"
#include "events/bech32.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril {
namespace {

// NIP-49, "Test Data", decryption.
constexpr std::string_view kCode =
    "ncryptsec1qgg9947rlpvqu76pj5ecreduf9jxhselq2nae2kghhvd5g7dgjtcxfqtd67p9m0w57lspw8gsq6yphnm8623"
    "nsl8xn9j4jdzz84zm3frztj3z7s35vpzmqf6ksu8r89qk5z2zxfmu5gv8th8wclt0h4p";
constexpr std::string_view kSecret =
    "3501454135014541350145413501453fefb02227e449e57cf4d3a3ce05378683";

TEST(Nip49, OpensTheVectorOfItsText) {
  const auto code = decode_ncryptsec(kCode);
  ASSERT_TRUE(code);
  const auto key = decrypt_key(*code, *Passphrase::from("nostr"));
  ASSERT_TRUE(key);
  EXPECT_EQ(encode_hex(key->expose_secret()), kSecret);
  EXPECT_EQ(encode_ncryptsec(*code), kCode);
}

TEST(Nip49, RefusesWhatIsNoEncryptedKey) {
  std::string typed(kCode);
  typed[40] = typed[40] == 'q' ? 'p' : 'q';
  EXPECT_EQ(decode_ncryptsec(typed).error(), nip19::Error::BadChecksum);
  EXPECT_EQ(decode_ncryptsec("ncryptsec").error(), nip19::Error::NotBech32);
  EXPECT_EQ(decode_ncryptsec(nip19::encode(nip19::Note{})).error(), nip19::Error::UnknownPrefix);
  const Bytes longer(kEncryptedKeyBytes + 1);
  EXPECT_EQ(decode_ncryptsec(encode_bech32("ncryptsec", longer)).error(), nip19::Error::BadData);
}

}  // namespace
}  // namespace nostril
