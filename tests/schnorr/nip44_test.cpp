#include "schnorr/nip44.h"

#include "base/base64.h"
#include "schnorr/hash.h"
#include "tests/schnorr/vectors.h"

#include <thread>
#include <vector>

namespace nostril {

namespace {

using test::bytes_of;
using test::fixed_of;
using test::RepeatableRng;
using test::text_of;
using test::unhex;

using Nonce = std::array<std::uint8_t, 32>;

ConversationKey key_from(const Bytes& bytes) {
  CHECK(bytes.size() == 32);
  return ConversationKey(SecretBytes<32>(std::span<const std::uint8_t, 32>(bytes)));
}

Nonce nonce_from(const Bytes& bytes) {
  Nonce out{};
  CHECK(bytes.size() == out.size());
  std::ranges::copy(bytes, out.begin());
  return out;
}

/// Key bytes 1, 2, 3 …
ConversationKey test_key() {
  Bytes bytes(32);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::uint8_t>(i + 1);
  return key_from(bytes);
}

/// Bytes a0, a1 …
Nonce test_nonce() {
  Nonce out{};
  for (std::size_t i = 0; i < 32; ++i) out[i] = static_cast<std::uint8_t>(0xa0 + i);
  return out;
}

/// abc…zabc… of that size
std::string letters(std::size_t size) {
  std::string out(size, ' ');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>('a' + i % 26);
  return out;
}

TEST(Nip44, GivesThePayloadOfTheSpecification) {
  // The first encrypt_decrypt vector of NIP-44.
  const auto one = Keypair::from_secret(unhex(std::string(63, '0') + "1"));
  const auto two = Keypair::from_secret(unhex(std::string(63, '0') + "2"));
  ASSERT_TRUE(one && two);
  const auto key = ConversationKey::derive(*one, two->public_key());
  ASSERT_TRUE(key);
  EXPECT_EQ(encode_hex(ByteSpan(key->expose())),
            "c41c775356fd92eadc63ff5a0dc1da211b268cbea22316767095b2871ea1412d");
  const Nonce nonce = nonce_from(unhex(std::string(63, '0') + "1"));
  const std::string payload = nip44_encrypt_with_nonce(*key, "a", nonce);
  EXPECT_EQ(
      payload,
      "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABee0G5VSK0/9YypIObAtDKfYEAjD35uVkHyB0F4DwrcNa"
      "CXlCWZKaArsGrY6M9wnuTMxWfp1RTN9Xga8no+kF5Vsb");
  EXPECT_EQ(nip44_decrypt(*ConversationKey::derive(*two, one->public_key()), payload), "a");
}

/// Digests of payloads made with nostr-tools 2.25.2, which knows the extended length prefix.
TEST(Nip44, WritesTheExtendedPrefixAsNostrToolsDoes) {
  struct Known {
    std::size_t plaintext_bytes;
    std::size_t payload_chars;
    const char* payload_sha256;
  };

  const std::array<Known, 5> known{{
      {65535, 87472, "bf32f06441e2b30e2a29971bb5be369385077eadc813c7f804710676eda20937"},
      {65536, 87476, "91af569813d28963875131e23614010917f5ac82ffec094251307fb33daeb775"},
      {65537, 109324, "c8ac092996226c04acf3e96c37bc81b0ebcc920cf0db8cd1bbcc51b06f46e728"},
      {1048576, 1398196, "d78a045608101a78211e54786a2ea85236f0b637f8139c21091389e21903e1ef"},
      {1048577, 1747724, "a11bd59025898c069c6807b63889ff7036337908e176f5fc8553a2f2a549fc5c"},
  }};
  const ConversationKey key = test_key();
  for (const Known& entry : known) {
    const std::string plaintext = letters(entry.plaintext_bytes);
    const std::string payload = nip44_encrypt_with_nonce(key, plaintext, test_nonce());
    EXPECT_EQ(payload.size(), entry.payload_chars);
    EXPECT_EQ(encode_hex(sha256(payload)), entry.payload_sha256) << entry.plaintext_bytes;
    EXPECT_EQ(nip44_decrypt(key, payload), plaintext);
  }
}

TEST(Nip44, ReadsBackEverySizeAroundAPaddingStep) {
  const ConversationKey key = test_key();
  SystemRng rng;
  for (const std::size_t step : {32U, 64U, 256U, 320U, 1024U, 4096U, 65536U}) {
    for (const std::size_t size : {step - 1, step, step + 1}) {
      const std::string plaintext = letters(size);
      EXPECT_EQ(nip44_decrypt(key, nip44_encrypt(key, plaintext, rng)), plaintext) << size;
    }
  }
}

TEST(Nip44, TakesTheLargestPlaintextAndNothingAboveOrEmpty) {
  const ConversationKey key = test_key();
  const std::string largest(kNip44PlaintextBytesMax, 'x');
  const std::string payload = nip44_encrypt_with_nonce(key, largest, test_nonce());
  const auto back = nip44_decrypt(key, payload);
  ASSERT_TRUE(back);
  EXPECT_TRUE(*back == largest);
  EXPECT_EQ(nip44_decrypt(key, payload + "AAAA"), tl::unexpected(Nip44Error::BadSize));
  EXPECT_DEATH((void)nip44_encrypt_with_nonce(key, "", test_nonce()), "CHECK failed");
  EXPECT_DEATH((void)nip44_encrypt_with_nonce(key, largest + "x", test_nonce()), "CHECK failed");
}

TEST(Nip44, TakesAFreshNonceEachTime) {
  SystemRng rng;
  const ConversationKey key = test_key();
  EXPECT_NE(nip44_encrypt(key, "same", rng), nip44_encrypt(key, "same", rng));
}

TEST(Nip44, SaysWhatIsWrongWithAPayload) {
  const ConversationKey key = test_key();
  const std::string good = nip44_encrypt_with_nonce(key, "hello", test_nonce());
  const auto error_of = [&](const std::string& payload) {
    const auto result = nip44_decrypt(key, payload);
    CHECK(!result.has_value());
    return result.error();
  };
  EXPECT_EQ(error_of(""), Nip44Error::BadSize);
  EXPECT_EQ(error_of(good.substr(0, 128)), Nip44Error::BadSize);
  EXPECT_EQ(error_of("#" + good.substr(1)), Nip44Error::BadVersion);
  EXPECT_EQ(error_of("#"), Nip44Error::BadVersion);
  EXPECT_EQ(error_of("!" + good.substr(1)), Nip44Error::BadBase64);
  const std::string longer = nip44_encrypt_with_nonce(key, letters(33), test_nonce());
  EXPECT_EQ(error_of(longer.substr(0, longer.size() - 1)), Nip44Error::BadBase64);
  EXPECT_EQ(error_of(longer.substr(0, longer.size() - 4)), Nip44Error::BadMac);

  // 97 and 98 bytes have as many characters as 99 when padded.
  Bytes bytes = *decode_base64(good);
  const Bytes one_short(bytes.begin(), bytes.end() - 1);
  EXPECT_EQ(error_of(encode_base64(one_short)), Nip44Error::BadSize);
  for (const std::uint8_t version : std::array<std::uint8_t, 3>{0, 1, 3}) {
    bytes[0] = version;
    EXPECT_EQ(error_of(encode_base64(bytes)), Nip44Error::BadVersion);
  }
  for (const Nip44Error error : {Nip44Error::BadSize, Nip44Error::BadVersion, Nip44Error::BadBase64,
                                 Nip44Error::BadMac, Nip44Error::BadPadding}) {
    EXPECT_NE(to_string(error), "unknown");
  }
}

TEST(Nip44, RefusesEveryChangedByteAndOtherKeys) {
  const ConversationKey key = test_key();
  const std::string good = nip44_encrypt_with_nonce(key, "hello", test_nonce());
  const Bytes bytes = *decode_base64(good);
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 1;
    EXPECT_EQ(nip44_decrypt(key, encode_base64(changed)), tl::unexpected(Nip44Error::BadMac)) << i;
  }
  EXPECT_EQ(nip44_decrypt(key_from(Bytes(32, 9)), good), tl::unexpected(Nip44Error::BadMac));
}

/// A payload with a right MAC over what the test wants inside. The second way to the same bytes:
/// HMAC and HKDF as the text of NIP-44 has them, and the key stream taken from a known plaintext.
std::string seal_raw(const ConversationKey& key, const Bytes& padded) {
  const Nonce nonce = test_nonce();
  Bytes keys(76);
  hkdf_expand(ByteSpan(key.expose()), nonce, keys);
  const std::string known(padded.size(), 'k');  // at least as long, once padded
  const Bytes stream_source = *decode_base64(nip44_encrypt_with_nonce(key, known, nonce));
  Bytes payload{2};
  payload.insert(payload.end(), nonce.begin(), nonce.end());
  for (std::size_t i = 0; i < padded.size(); ++i) {
    const auto size = known.size();
    std::uint8_t plain = 'k';
    if (i == 0) plain = static_cast<std::uint8_t>(size >> 8);
    if (i == 1) plain = static_cast<std::uint8_t>(size);
    if (i >= size + 2) plain = 0;
    payload.push_back(static_cast<std::uint8_t>(stream_source[33 + i] ^ plain ^ padded[i]));
  }
  const Digest mac = hmac_sha256(ByteSpan(keys).subspan(44), ByteSpan(payload).subspan(1));
  payload.insert(payload.end(), mac.bytes.begin(), mac.bytes.end());
  return encode_base64(payload);
}

TEST(Nip44, RefusesBadPaddingUnderARightMac) {
  const ConversationKey key = test_key();
  Bytes padded(2 + 32);
  padded[1] = 5;
  std::ranges::copy(as_bytes("hello"), padded.begin() + 2);
  ASSERT_EQ(nip44_decrypt(key, seal_raw(key, padded)), "hello") << "the test's own sealing";

  const auto expect_refused = [&](const Bytes& bad, const char* why) {
    EXPECT_EQ(nip44_decrypt(key, seal_raw(key, bad)), tl::unexpected(Nip44Error::BadPadding))
        << why;
  };
  Bytes bad = padded;
  bad.back() = 1;
  expect_refused(bad, "last padding byte not zero");
  bad = padded;
  bad[7] = 1;
  expect_refused(bad, "first padding byte not zero");
  bad = padded;
  bad[1] = 0;
  expect_refused(bad, "size zero: reads as extended, with a size far beyond");
  expect_refused(Bytes(2 + 32), "size zero, extended size zero");
  bad = padded;
  bad[1] = 33;
  expect_refused(bad, "size of another padding step");
  bad = padded;
  bad[0] = 0xff;
  expect_refused(bad, "size beyond the end");
  bad = padded;
  bad.push_back(0);
  expect_refused(bad, "one byte too many");
  bad = Bytes(6 + 32);
  bad[5] = 5;
  expect_refused(bad, "extended size where the short one would do");
  bad = Bytes(6 + 32);
  std::fill_n(bad.begin() + 2, 4, std::uint8_t{0xff});
  expect_refused(bad, "extended size of 4 GiB");
}

TEST(Nip44, WorksFromManyThreads) {
  const ConversationKey key = test_key();
  std::vector<std::thread> threads;
  std::array<bool, 4> right{};
  for (bool& ok : right) {
    threads.emplace_back([&key, &ok] {
      SystemRng rng;
      ok = true;
      for (std::size_t i = 1; i < 200; ++i) {
        const std::string text = letters(i);
        ok = ok && nip44_decrypt(key, nip44_encrypt(key, text, rng)) == text;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const bool ok : right) EXPECT_TRUE(ok);
}

class Nip44Vectors : public testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_SHARED("vectors/nip44/nip44.vectors.json");
    document_ = test::load_json("vectors/nip44/nip44.vectors.json");
  }

  [[nodiscard]] std::span<const Json> entries(std::string_view group, std::string_view name) const {
    return list(group, name).items();
  }

  [[nodiscard]] const Json& list(std::string_view group, std::string_view name) const {
    return *document_.find("v2")->find(group)->find(name);
  }

 private:
  Json document_;
};

TEST_F(Nip44Vectors, ConversationKeys) {
  const auto all = entries("valid", "get_conversation_key");
  ASSERT_EQ(all.size(), 35U);
  for (const Json& entry : all) {
    const auto ours = Keypair::from_secret(bytes_of(entry, "sec1"));
    ASSERT_TRUE(ours) << entry.dump();
    const auto key = ConversationKey::derive(*ours, fixed_of<PublicKey>(entry, "pub2"));
    ASSERT_TRUE(key) << entry.dump();
    EXPECT_EQ(encode_hex(ByteSpan(key->expose())), text_of(entry, "conversation_key"));
  }
}

TEST_F(Nip44Vectors, RefusedConversationKeys) {
  const auto all = entries("invalid", "get_conversation_key");
  ASSERT_EQ(all.size(), 8U);
  for (const Json& entry : all) {
    const auto ours = Keypair::from_secret(bytes_of(entry, "sec1"));
    EXPECT_FALSE(ours && ConversationKey::derive(*ours, fixed_of<PublicKey>(entry, "pub2")))
        << entry.dump();
  }
}

TEST_F(Nip44Vectors, MessageKeys) {
  const Json& group = list("valid", "get_message_keys");
  const Bytes key = bytes_of(group, "conversation_key");
  const auto all = group.find("keys")->items();
  ASSERT_GE(all.size(), 10U);
  for (const Json& entry : all) {
    Bytes keys(76);
    hkdf_expand(key, bytes_of(entry, "nonce"), keys);
    EXPECT_EQ(
        encode_hex(ByteSpan(keys)),
        text_of(entry, "chacha_key") + text_of(entry, "chacha_nonce") + text_of(entry, "hmac_key"));
  }
}

TEST_F(Nip44Vectors, PaddedSizes) {
  const auto all = entries("valid", "calc_padded_len");
  ASSERT_EQ(all.size(), 24U);
  for (const Json& entry : all) {
    const auto size = static_cast<std::size_t>(*entry.items()[0].integer());
    EXPECT_EQ(nip44_padded_size(size), static_cast<std::size_t>(*entry.items()[1].integer()));
  }
}

TEST_F(Nip44Vectors, EncryptAndDecrypt) {
  const auto all = entries("valid", "encrypt_decrypt");
  ASSERT_EQ(all.size(), 10U);
  for (const Json& entry : all) {
    const ConversationKey key = key_from(bytes_of(entry, "conversation_key"));
    const std::string plaintext = text_of(entry, "plaintext");
    const std::string payload = text_of(entry, "payload");
    EXPECT_EQ(nip44_encrypt_with_nonce(key, plaintext, nonce_from(bytes_of(entry, "nonce"))),
              payload);
    EXPECT_EQ(nip44_decrypt(key, payload), plaintext);
    const auto one = Keypair::from_secret(bytes_of(entry, "sec1"));
    const auto two = Keypair::from_secret(bytes_of(entry, "sec2"));
    ASSERT_TRUE(one && two);
    EXPECT_TRUE(equal_constant_time(ConversationKey::derive(*one, two->public_key())->expose(),
                                    key.expose()));
  }
}

TEST_F(Nip44Vectors, LongMessages) {
  const auto all = entries("valid", "encrypt_decrypt_long_msg");
  ASSERT_EQ(all.size(), 3U);
  for (const Json& entry : all) {
    const ConversationKey key = key_from(bytes_of(entry, "conversation_key"));
    std::string plaintext;
    for (std::int64_t i = 0; i < *entry.find_integer("repeat"); ++i) {
      plaintext += text_of(entry, "pattern");
    }
    EXPECT_EQ(encode_hex(sha256(plaintext)), text_of(entry, "plaintext_sha256"));
    const std::string payload =
        nip44_encrypt_with_nonce(key, plaintext, nonce_from(bytes_of(entry, "nonce")));
    EXPECT_EQ(encode_hex(sha256(payload)), text_of(entry, "payload_sha256"));
    EXPECT_EQ(nip44_decrypt(key, payload), plaintext);
  }
}

TEST_F(Nip44Vectors, RefusedPayloads) {
  const auto all = entries("invalid", "decrypt");
  ASSERT_EQ(all.size(), 12U);
  for (const Json& entry : all) {
    const ConversationKey key = key_from(bytes_of(entry, "conversation_key"));
    EXPECT_FALSE(nip44_decrypt(key, text_of(entry, "payload"))) << entry.dump();
  }
}

}  // namespace

}  // namespace nostril
