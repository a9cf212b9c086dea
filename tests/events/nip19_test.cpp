#include "events/nip19.h"

#include "base/hex.h"
#include "events/bech32.h"

#include <gtest/gtest.h>

namespace nostril::nip19 {
namespace {

std::optional<Error> refusal(std::string_view code) {
  const auto decoded = decode(code);
  if (decoded) return std::nullopt;
  return decoded.error();
}

template <typename T>
T decoded(std::string_view code) {
  auto entity = decode(code);
  if (!entity || !std::holds_alternative<T>(*entity)) {
    ADD_FAILURE() << code;
    std::abort();
  }
  return std::get<T>(std::move(*entity));
}

std::string tlv(std::string_view prefix, std::string_view hex) {
  return encode_bech32(prefix, *decode_hex(hex));
}

const std::string kKeyHex = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e";
const std::string kIdHex(64, 'c');

// BIP-173's valid strings for bech32.
TEST(Bech32, TakesTheExamplesOfBip173) {
  for (const std::string_view code : {"a12uel5l",
                                      "an83characterlonghumanreadablepartthatcontainsthenumber1andt"
                                      "heexcludedcharactersbio1tt5tgs",
                                      "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"}) {
    EXPECT_TRUE(decode_bech32(code)) << code;
  }
  // bech32m's checksum for the same data is another code's error here.
  EXPECT_EQ(decode_bech32("a1lqfn3a").error(), Bech32Error::BadChecksum);
}

TEST(Bech32, RefusesOtherForms) {
  const std::string separators = std::string(10, 'a');
  for (const std::string_view code :
       {"", "1", "a", "10a06t8", "1qzzfhee", "pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A12UEL5L",
        "a12UEL5L", "de1lg7wt\xff", " a12uel5l", "a12uel5l ", "a12uel5"}) {
    EXPECT_FALSE(decode_bech32(code)) << code;
  }
}

TEST(Bech32, FindsEveryChangeOfOneCharacter) {
  const std::string code = encode_bech32("npub", *decode_hex(kKeyHex));
  for (std::size_t i = 0; i < code.size(); ++i) {
    for (const char c : std::string_view("qpzry9x8gf2tvdw0s3jn54khce6mua7lb1oi")) {
      if (code[i] == c) continue;
      std::string changed = code;
      changed[i] = c;
      ASSERT_FALSE(decode_bech32(changed)) << changed;
    }
  }
}

TEST(Bech32, RoundTripsEverySize) {
  for (std::size_t size = 0; size <= 300; ++size) {
    Bytes data(size);
    for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(i * 37 + size);
    const auto decoded_data = decode_bech32(encode_bech32("x", data));
    ASSERT_TRUE(decoded_data) << size;
    EXPECT_EQ(decoded_data->data, data);
    EXPECT_EQ(decoded_data->prefix, "x");
  }
}

TEST(Bech32, EndsAt5000Characters) {
  const std::size_t bytes = (kBech32CharactersMax - 8) * 5 / 8;
  const std::string longest = encode_bech32("x", Bytes(bytes));
  EXPECT_LE(longest.size(), kBech32CharactersMax);
  EXPECT_TRUE(decode_bech32(longest));
  const std::string over = encode_bech32("x", Bytes(bytes + 2));
  EXPECT_GT(over.size(), kBech32CharactersMax);
  EXPECT_EQ(decode_bech32(over).error(), Bech32Error::BadForm);
}

TEST(Nip19, KnowsTheExamplesOfTheNip) {
  const std::string npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
  EXPECT_EQ(encode_hex(decoded<Npub>(npub).key), kKeyHex);
  EXPECT_EQ(encode(decoded<Npub>(npub)), npub);
  const std::string nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
  EXPECT_EQ(encode_hex(decoded<Nsec>(nsec).secret.expose()),
            "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa");
  EXPECT_EQ(encode(decoded<Nsec>(nsec)), nsec);
  const auto profile = decoded<Nprofile>(
      "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7mgpz4"
      "mhxue69uhkg6nzv9ejuumpv34kytnrdaksjlyr9p");
  EXPECT_EQ(encode_hex(profile.key),
            "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d");
  EXPECT_EQ(profile.relays, (std::vector<std::string>{"wss://r.x.com", "wss://djbas.sadkb.com"}));
}

TEST(Nip19, RoundTripsEveryEntity) {
  const auto key = *from_hex<PublicKey>(kKeyHex);
  const auto id = *from_hex<EventId>(kIdHex);
  EXPECT_EQ(decoded<Note>(encode(Note{id})).id, id);
  const auto profile = decoded<Nprofile>(encode(Nprofile{key, {"wss://a", "wss://b"}}));
  EXPECT_EQ(profile.key, key);
  EXPECT_EQ(profile.relays.size(), 2U);
  const auto event = decoded<Nevent>(encode(Nevent{id, {"wss://a"}, key, 65535}));
  EXPECT_EQ(event.id, id);
  EXPECT_EQ(event.author, key);
  EXPECT_EQ(event.kind, 65535U);
  EXPECT_EQ(event.relays, std::vector<std::string>{"wss://a"});
  const auto bare = decoded<Nevent>(encode(Nevent{id, {}, std::nullopt, std::nullopt}));
  EXPECT_FALSE(bare.author || bare.kind);
  const auto address = decoded<Naddr>(encode(Naddr{"d-é", key, 31470, {"wss://a"}}));
  EXPECT_EQ(address.identifier, "d-é");
  EXPECT_EQ(address.author, key);
  EXPECT_EQ(address.kind, 31470U);
  EXPECT_EQ(decoded<Naddr>(encode(Naddr{"", key, 0, {}})).identifier, "");
}

TEST(Nip19, RefusesOtherPrefixesAndSizes) {
  EXPECT_EQ(refusal(tlv("nrelay", "0000")), Error::UnknownPrefix);
  EXPECT_EQ(refusal(tlv("npu", kKeyHex)), Error::UnknownPrefix);
  for (const std::string_view prefix : {"npub", "nsec", "note"}) {
    EXPECT_EQ(refusal(tlv(prefix, kKeyHex)), std::nullopt);
    EXPECT_EQ(refusal(tlv(prefix, kKeyHex.substr(2))), Error::BadData);
    EXPECT_EQ(refusal(tlv(prefix, kKeyHex + "00")), Error::BadData);
    EXPECT_EQ(refusal(tlv(prefix, "")), Error::BadData);
  }
}

TEST(Nip19, IgnoresUnknownTlvTypes) {
  EXPECT_EQ(encode_hex(decoded<Nprofile>(tlv("nprofile", "0903aabbcc0020" + kKeyHex + "ff00")).key),
            kKeyHex);
}

TEST(Nip19, RefusesMalformedTlv) {
  const std::string key = "0020" + kKeyHex;
  const std::string author = "0220" + kKeyHex;
  EXPECT_EQ(refusal(tlv("nprofile", key)), std::nullopt);
  for (const std::string& bad :
       {std::string(""), std::string("00"), std::string("0020"), "0021" + kKeyHex,
        "001f" + kKeyHex.substr(2), key + "01", key + "010561", key + key, key + "010161ff",
        key + "010120", key + "0101c3", key + std::string(author + author), key + "0201aa",
        key + "030101", key + "030400010000", key + "030400000001030400000001", author}) {
    EXPECT_EQ(refusal(tlv("nprofile", bad)), Error::BadData) << bad;
  }
  const std::string kind = "030400007aee";
  EXPECT_EQ(refusal(tlv("naddr", "000161" + author + kind)), std::nullopt);
  EXPECT_EQ(refusal(tlv("naddr", "000161" + author)), Error::BadData);
  EXPECT_EQ(refusal(tlv("naddr", "000161" + kind)), Error::BadData);
  EXPECT_EQ(refusal(tlv("naddr", author + kind)), Error::BadData);
  EXPECT_EQ(refusal(tlv("naddr", "000100" + author + kind)), Error::BadData);    // U+0000
  EXPECT_EQ(refusal(tlv("naddr", "0002c0af" + author + kind)), Error::BadData);  // not UTF-8
}

TEST(Nip19, LeavesOutRelaysThatHaveNoForm) {
  const auto key = *from_hex<PublicKey>(kKeyHex);
  const std::string longest(255, 'r');
  const auto profile = decoded<Nprofile>(
      encode(Nprofile{key, {longest + "r", "with space", "wss://é", longest, "wss://a"}}));
  EXPECT_EQ(profile.relays, (std::vector<std::string>{longest, "wss://a"}));

  const std::string code = encode(Nprofile{key, std::vector<std::string>(100, longest)});
  EXPECT_LE(code.size(), kBech32CharactersMax);
  EXPECT_EQ(decoded<Nprofile>(code).relays.size(), 11U);
}

TEST(Nip19, HasNoCodeForALongIdentifier) {
  const auto key = *from_hex<PublicKey>(kKeyHex);
  EXPECT_EQ(decoded<Naddr>(encode(Naddr{std::string(255, 'd'), key, 30000, {}})).identifier.size(),
            255U);
  EXPECT_EQ(encode(Naddr{std::string(256, 'd'), key, 30000, {}}), "");
}

}  // namespace
}  // namespace nostril::nip19
