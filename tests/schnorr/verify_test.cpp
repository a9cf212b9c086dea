#include "schnorr/verify.h"

#include "schnorr/hash.h"
#include "schnorr/keys.h"
#include "tests/schnorr/vectors.h"

#include <random>
#include <sstream>
#include <vector>

namespace nostril {

namespace {

using test::fixed;
using test::fixed_of;
using test::RepeatableRng;
using test::unhex;

/// BIP-340, vector 0.
VerifyItem known_good() {
  return {fixed<Signature>("e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
                           "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"),
          Digest{},
          fixed<PublicKey>("f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9")};
}

TEST(Verifier, AcceptsAKnownSignature) {
  Verifier verifier;
  EXPECT_TRUE(verifier.verify(known_good()));
}

TEST(Verifier, RefusesEveryChangedBit) {
  Verifier verifier;
  const VerifyItem good = known_good();
  for (std::size_t bit = 0; bit < 64 * 8; bit += 3) {
    VerifyItem bad = good;
    bad.signature.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_FALSE(verifier.verify(bad)) << "signature bit " << bit;
  }
  for (std::size_t bit = 0; bit < 32 * 8; ++bit) {
    VerifyItem bad = good;
    bad.message.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_FALSE(verifier.verify(bad)) << "message bit " << bit;
    bad = good;
    bad.key.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_FALSE(verifier.verify(bad)) << "key bit " << bit;
  }
}

TEST(Verifier, RefusesKeysThatAreNoPointsWithAndWithoutCache) {
  for (const std::size_t cached_keys : {0U, 1U, 64U}) {
    Verifier verifier(cached_keys);
    for (const char* key : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
                            "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",
                            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}) {
      VerifyItem bad = known_good();
      bad.key = fixed<PublicKey>(key);
      for (int again = 0; again < 3; ++again) EXPECT_FALSE(verifier.verify(bad)) << key;
    }
    EXPECT_TRUE(verifier.verify(known_good()));
  }
}

TEST(Verifier, CountsKeysFoundInItsCache) {
  Verifier verifier(8);
  const VerifyItem good = known_good();
  EXPECT_TRUE(verifier.verify(good));
  EXPECT_EQ(verifier.cache_hits(), 0U);
  EXPECT_TRUE(verifier.verify(good));
  EXPECT_TRUE(verifier.verify(good));
  EXPECT_EQ(verifier.cache_hits(), 2U);
  Verifier uncached(0);
  EXPECT_TRUE(uncached.verify(good));
  EXPECT_TRUE(uncached.verify(good));
  EXPECT_EQ(uncached.cache_hits(), 0U);
}

TEST(Verifier, AgreesWithBip340) {
  REQUIRE_SHARED("vectors/bip340/test-vectors.csv");
  std::istringstream lines(test::read_file(test::shared_path("vectors/bip340/test-vectors.csv")));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  Verifier verifier;
  int checked = 0;
  while (std::getline(lines, line)) {
    std::vector<std::string> fields;
    std::istringstream columns(line);
    for (std::string field; std::getline(columns, field, ',');) fields.push_back(field);
    ASSERT_GE(fields.size(), 7U) << line;
    const auto key = fixed<PublicKey>(fields[2]);
    const Bytes message = unhex(fields[4]);
    const auto signature = fixed<Signature>(fields[5]);
    EXPECT_EQ(verifier.verify_message(signature, message, key), fields[6] == "TRUE") << line;
    if (!fields[1].empty()) {
      const auto keypair = Keypair::from_secret(unhex(fields[1]));
      ASSERT_TRUE(keypair) << line;
      EXPECT_EQ(keypair->public_key(), key) << line;
      std::array<std::uint8_t, 32> aux{};
      std::ranges::copy(unhex(fields[3]), aux.begin());
      EXPECT_EQ(keypair->sign_with_aux(message, aux), signature) << line;
    }
    ++checked;
  }
  EXPECT_EQ(checked, 19);
}

TEST(Verifier, IsNotFooledByBatchesMadeToCancel) {
  REQUIRE_SHARED("vectors/schnorr/batch_adversarial.json");
  const Json groups = test::load_json("vectors/schnorr/batch_adversarial.json");
  int invalid = 0;
  for (const Json& group : groups.items()) {
    std::vector<VerifyItem> items;
    for (const Json& item : group.find("items")->items()) {
      items.push_back({fixed_of<Signature>(item, "sig"), fixed_of<Digest>(item, "msg"),
                       fixed_of<PublicKey>(item, "pubkey")});
    }
    Verifier verifier;
    const VerifyResults results = verifier.verify(items);
    ASSERT_EQ(results.count(), items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      const bool valid = *group.find("items")->items()[i].find_boolean("valid");
      EXPECT_EQ(results.valid(i), valid) << test::text_of(group, "name") << " item " << i;
      invalid += valid ? 0 : 1;
    }
  }
  EXPECT_GT(invalid, 4);
}

/// Good items, and items with one wrong part, over few keys, so that the cache's slots are shared.
std::vector<VerifyItem> random_mix(std::uint32_t seed, std::size_t count) {
  std::mt19937 random(seed);
  RepeatableRng rng(seed);
  std::vector<Keypair> keypairs;
  for (int i = 0; i < 12; ++i) keypairs.push_back(Keypair::generate(rng));
  std::vector<VerifyItem> items;
  for (std::size_t i = 0; i < count; ++i) {
    const Keypair& keypair = keypairs[random() % keypairs.size()];
    VerifyItem item{{}, sha256(std::to_string(random())), keypair.public_key()};
    item.signature = keypair.sign(item.message, rng);
    const std::size_t at = random() % 32;
    switch (random() % 6) {
      case 0:
        item.signature.bytes[at * 2] ^= 1;
        break;
      case 1:
        item.message.bytes[at] ^= 0x80;
        break;
      case 2:
        item.key = keypairs[random() % keypairs.size()].public_key();
        break;
      case 3:
        item.key.bytes[at] ^= 4;
        break;
      default:
        break;
    }
    items.push_back(item);
  }
  return items;
}

TEST(Verifier, GivesTheSameInBatchSingleCachedAndUncached) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const std::vector<VerifyItem> items = random_mix(seed, 200);  // more than three result words
  Verifier uncached(0);
  Verifier tiny(2);
  Verifier roomy(4096);
  const VerifyResults batch = roomy.verify(items);
  std::size_t valid = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool expected = uncached.verify(items[i]);
    EXPECT_EQ(tiny.verify(items[i]), expected) << i;
    EXPECT_EQ(roomy.verify(items[i]), expected) << i;
    EXPECT_EQ(batch.valid(i), expected) << i;
    valid += expected ? 1U : 0U;
  }
  EXPECT_GT(valid, 0U);
  EXPECT_LT(valid, items.size());
  EXPECT_GT(roomy.cache_hits(), 0U);
}

TEST(Verifier, AnswersAnEmptyBatch) {
  Verifier verifier(1);
  EXPECT_EQ(verifier.verify(std::span<const VerifyItem>()).count(), 0U);
}

}  // namespace

}  // namespace nostril
