#include "schnorr/hash.h"

#include "tests/schnorr/vectors.h"

#include <map>
#include <sstream>
#include <vector>

namespace nostril {

namespace {

using test::bytes_of;
using test::unhex;

std::string hex(const Digest& digest) {
  return encode_hex(digest);
}

/// Records of `KEY = value` lines, as in the RFC files; a record ends where a key comes again.
std::vector<std::map<std::string, std::string>> read_records(const std::string& relative) {
  std::vector<std::map<std::string, std::string>> records(1);
  std::istringstream lines(test::read_file(test::shared_path(relative)));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    if (line.empty() || line[0] == '#' || equals == std::string::npos) continue;
    const auto trim = [](std::string text) {
      std::erase_if(text, [](char c) { return c == ' ' || c == '\r'; });
      return text;
    };
    const std::string key = trim(line.substr(0, equals));
    if (records.back().contains(key)) records.emplace_back();
    records.back()[key] = trim(line.substr(equals + 1));
  }
  return records;
}

TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnWhereTheUpdatesAreCut) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += static_cast<char>(i);
  const Digest whole = sha256(text);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.update(std::string_view(text).substr(0, cut)).update(std::string_view(text).substr(cut));
    ASSERT_EQ(hash.finish(), whole) << "cut at " << cut;
  }
}

TEST(Sha256, PeekGivesTheDigestSoFarAndChangesNothing) {
  Sha256 hash;
  hash.update("ab");
  EXPECT_EQ(hash.peek(), sha256("ab"));
  EXPECT_EQ(hash.update("c").finish(), sha256("abc"));
  EXPECT_EQ(hash.finish(), sha256("")) << "finish() must start anew";
}

TEST(Sha256, CopyContinuesFromWhereTheOriginalStood) {
  Sha256 original;
  original.update("ab");
  Sha256 copy = original;
  copy.update("c");
  EXPECT_EQ(copy.finish(), sha256("abc"));
  EXPECT_EQ(original.finish(), sha256("ab"));
}

TEST(TaggedHash, IsBip340s) {
  const Digest tag = sha256("BIP0340/challenge");
  std::string joined(as_text(tag.span()));
  joined += as_text(tag.span());
  joined += "message";
  EXPECT_EQ(tagged_hash("BIP0340/challenge", as_bytes("message")), sha256(joined));
  EXPECT_NE(tagged_hash("BIP0340/nonce", as_bytes("message")),
            tagged_hash("BIP0340/challenge", as_bytes("message")));
}

TEST(Hmac, GivesRfc4231Case2) {
  EXPECT_EQ(hex(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Hmac, JoinsItsParts) {
  const HmacKey key(as_bytes("key"));
  EXPECT_EQ(key.mac({as_bytes("a"), {}, as_bytes("bc")}), key.mac({as_bytes("abc")}));
  EXPECT_EQ(key.duplicate().mac({as_bytes("abc")}), key.mac({as_bytes("abc")}));
  HmacKey other(as_bytes("other"));
  EXPECT_NE(other.mac({as_bytes("abc")}), key.mac({as_bytes("abc")}));
  other = key.duplicate();
  const HmacKey moved = std::move(other);
  EXPECT_EQ(moved.mac({as_bytes("abc")}), key.mac({as_bytes("abc")}));
}

TEST(Hmac, HashesKeysLongerThanABlockAndPadsOthers) {
  const std::string long_key(65, 'k');
  const Digest hashed = sha256(long_key);
  EXPECT_EQ(hmac_sha256(as_bytes(long_key), {}), hmac_sha256(hashed.span(), {}));
  const std::string block(64, 'k');
  EXPECT_NE(hmac_sha256(as_bytes(block), {}), hmac_sha256(sha256(block).span(), {}));
}

TEST(Hmac, AgreesWithTheRfcFile) {
  REQUIRE_SHARED("vectors/rfc/hmac-rfc4231-sha256.txt");
  int checked = 0;
  for (auto& record : read_records("vectors/rfc/hmac-rfc4231-sha256.txt")) {
    ASSERT_TRUE(record.contains("MD"));
    EXPECT_EQ(hex(hmac_sha256(unhex(record["Key"]), unhex(record["Msg"]))), record["MD"]);
    ++checked;
  }
  EXPECT_GE(checked, 6);
}

TEST(Hmac, AgreesWithWycheproof) {
  REQUIRE_SHARED("vectors/wycheproof/hmac_sha256_test.json");
  const Json document = test::load_json("vectors/wycheproof/hmac_sha256_test.json");
  int checked = 0;
  for (const Json& group : document.find("testGroups")->items()) {
    const auto tag_bytes = static_cast<std::size_t>(*group.find_integer("tagSize")) / 8;
    for (const Json& entry : group.find("tests")->items()) {
      const Digest mac = hmac_sha256(bytes_of(entry, "key"), bytes_of(entry, "msg"));
      const bool same =
          equal_constant_time(ByteSpan(mac.span()).first(tag_bytes), bytes_of(entry, "tag"));
      EXPECT_EQ(same, entry.find_string("result") == "valid") << entry.dump();
      ++checked;
    }
  }
  EXPECT_EQ(checked, 174);
}

TEST(Hkdf, GivesRfc5869Case1) {
  const Bytes ikm(22, 0x0b);
  const Digest prk = hkdf_extract(unhex("000102030405060708090a0b0c"), ikm);
  EXPECT_EQ(hex(prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  Bytes out(42);
  hkdf_expand(prk.span(), unhex("f0f1f2f3f4f5f6f7f8f9"), out);
  EXPECT_EQ(encode_hex(ByteSpan(out)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST(Hkdf, AgreesWithTheRfcFile) {
  REQUIRE_SHARED("vectors/rfc/rfc-5869-HKDF-SHA256.txt");
  int checked = 0;
  for (auto& record : read_records("vectors/rfc/rfc-5869-HKDF-SHA256.txt")) {
    const Digest prk = hkdf_extract(unhex(record["salt"]), unhex(record["IKM"]));
    EXPECT_EQ(hex(prk), record["PRK"]);
    Bytes out(std::stoul(record["L"]));
    hkdf_expand(prk.span(), unhex(record["info"]), out);
    EXPECT_EQ(encode_hex(ByteSpan(out)), record["OKM"]);
    ++checked;
  }
  EXPECT_EQ(checked, 3);
}

TEST(Hkdf, AgreesWithWycheproof) {
  REQUIRE_SHARED("vectors/wycheproof/hkdf_sha256_test.json");
  const Json document = test::load_json("vectors/wycheproof/hkdf_sha256_test.json");
  int checked = 0;
  for (const Json& group : document.find("testGroups")->items()) {
    for (const Json& entry : group.find("tests")->items()) {
      ++checked;
      const auto size = static_cast<std::size_t>(*entry.find_integer("size"));
      const Digest prk = hkdf_extract(bytes_of(entry, "salt"), bytes_of(entry, "ikm"));
      Bytes out(size);
      if (size > std::size_t{255} * 32) {
        EXPECT_EQ(entry.find_string("result"), "invalid");
        EXPECT_DEATH(hkdf_expand(prk.span(), bytes_of(entry, "info"), out), "CHECK failed");
        continue;
      }
      hkdf_expand(prk.span(), bytes_of(entry, "info"), out);
      EXPECT_EQ(out, bytes_of(entry, "okm")) << entry.dump();
    }
  }
  EXPECT_EQ(checked, 86);
}

TEST(EqualConstantTime, ComparesSizeAndEveryByte) {
  EXPECT_TRUE(equal_constant_time({}, {}));
  EXPECT_TRUE(equal_constant_time(as_bytes("abc"), as_bytes("abc")));
  EXPECT_FALSE(equal_constant_time(as_bytes("abc"), as_bytes("abcd")));
  EXPECT_FALSE(equal_constant_time(as_bytes("abc"), {}));
  for (std::size_t i = 0; i < 32; ++i) {
    Digest other;
    other.bytes[i] = 1;
    EXPECT_FALSE(equal_constant_time(Digest{}.span(), other.span())) << "byte " << i;
  }
}

}  // namespace

}  // namespace nostril
