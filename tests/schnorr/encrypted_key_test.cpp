// NIP-49: the vectors of its text, and what may not open.
#include "schnorr/encrypted_key.h"

#include "base/hex.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril {
namespace {

constexpr unsigned kCheap = 4;

class EncryptedKeyTest : public ::testing::Test {
 protected:
  EncryptedKey sealed() {
    return *encrypt_key(key_, passphrase_, KeyHandling::NotTracked, kCheap, rng_);
  }

  SystemRng rng_;
  Keypair key_ = Keypair::generate(rng_);
  Passphrase passphrase_ = *Passphrase::from("correct horse");
};

TEST(PassphraseText, IsInNormalFormNfkc) {
  // NIP-49, "Password unicode normalization": ANGSTROM SIGN, OHM SIGN, LATIN SMALL LETTER LONG S
  // WITH DOT ABOVE, COMBINING DOT BELOW.
  const auto passphrase = Passphrase::from("\xE2\x84\xAB\xE2\x84\xA6\xE1\xBA\x9B\xCC\xA3");
  ASSERT_TRUE(passphrase);
  EXPECT_EQ(passphrase->expose(), "\xC3\x85\xCE\xA9\xE1\xB9\xA9");
}

TEST(PassphraseText, IsUtf8OfSomeLength) {
  EXPECT_FALSE(Passphrase::from(""));
  EXPECT_FALSE(Passphrase::from("caf\xE9"));
  EXPECT_FALSE(Passphrase::from(std::string_view("a\0b", 3)));
  EXPECT_TRUE(Passphrase::from(std::string(Passphrase::kBytesMax, 'x')));
  EXPECT_FALSE(Passphrase::from(std::string(Passphrase::kBytesMax + 1, 'x')));
}

TEST_F(EncryptedKeyTest, OpensWithItsPassphraseOnly) {
  const EncryptedKey code = sealed();
  const auto opened = decrypt_key(code, passphrase_);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->public_key(), key_.public_key());
  const auto wrong = decrypt_key(code, *Passphrase::from("correct horsE"));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error(), EncryptedKeyError::WrongPassphrase);
}

TEST_F(EncryptedKeyTest, DoesNotOpenAfterAnyByteWasChanged) {
  const EncryptedKey code = sealed();
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (i == 1) continue;  // the cost: a larger one is slow, and says the same
    EncryptedKey changed = code;
    changed[i] ^= 1;
    EXPECT_FALSE(decrypt_key(changed, passphrase_)) << i;
  }
}

TEST_F(EncryptedKeyTest, RefusesCostsThatNobodyCanPay) {
  EncryptedKey code = sealed();
  for (const unsigned cost : {0U, kScryptLogNMax + 1, 255U}) {
    code[1] = static_cast<std::uint8_t>(cost);
    const auto opened = decrypt_key(code, passphrase_);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error(), EncryptedKeyError::BadCost);
  }
}

TEST_F(EncryptedKeyTest, SaysWhatTheKeyHasBeenThrough) {
  for (const auto handling :
       {KeyHandling::KnownInsecure, KeyHandling::NotKnownInsecure, KeyHandling::NotTracked}) {
    EXPECT_EQ(handling_of(*encrypt_key(key_, passphrase_, handling, kCheap, rng_)), handling);
  }
}

TEST_F(EncryptedKeyTest, IsNewEachTime) {
  EXPECT_NE(sealed(), sealed());
}

}  // namespace
}  // namespace nostril
