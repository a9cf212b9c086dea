#include "relay/hyperloglog.h"

#include "base/hex.h"
#include "schnorr/hash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

namespace nostril::relay {
namespace {

std::vector<Filter> asking(char tag, const std::string& value) {
  Filter filter;
  filter.tags = {{tag, {value}}};
  return {filter};
}

// The register that a key of zeros but for `at` falls into tells where it was looked at.
std::size_t offset_of(const std::string& value) {
  auto hll = HyperLogLog::of(asking('e', value));
  EXPECT_TRUE(hll);
  PublicKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) key.bytes[i] = static_cast<std::uint8_t>(i);
  hll->add(key);
  for (std::size_t i = 0; i < hll->registers().size(); ++i) {
    if (hll->registers()[i] != 0) return i;
  }
  return 0;
}

TEST(HyperLogLog, LooksWhereTheFilterSays) {
  const std::string id = std::string(32, '0') + "a" + std::string(31, 'f');
  EXPECT_EQ(offset_of(id), 18U);
  EXPECT_EQ(offset_of(std::string(64, '0')), 8U);
  EXPECT_EQ(offset_of(std::string(64, 'f')), 23U);
  EXPECT_EQ(offset_of("30023:" + id + ":an article"), 18U) << "an address: by its key";
  EXPECT_EQ(offset_of("30023:" + id), 8U + (sha256(as_bytes("30023:" + id)).bytes[16] >> 4U));
  EXPECT_EQ(offset_of("nostr"), 8U + (sha256(as_bytes("nostr")).bytes[16] >> 4U));
  std::string upper = id;
  upper[32] = 'A';
  EXPECT_EQ(offset_of(upper), 8U + (sha256(as_bytes(upper)).bytes[16] >> 4U)) << "no id";
}

TEST(HyperLogLog, IsForOneTagWithOneValue) {
  EXPECT_FALSE(HyperLogLog::of({}));
  EXPECT_FALSE(HyperLogLog::of({Filter()}));
  EXPECT_FALSE(HyperLogLog::of({asking('e', "a")[0], asking('e', "b")[0]}));
  auto two = asking('e', "a");
  two[0].tags[0].values.emplace_back("b");
  EXPECT_FALSE(HyperLogLog::of(two));
}

TEST(HyperLogLog, KeepsTheLongestRunOfZeros) {
  auto hll = HyperLogLog::of(asking('p', std::string(64, '0')));  // offset 8
  PublicKey key;
  key.bytes.fill(0xff);
  key.bytes[8] = 3;
  hll->add(key);
  EXPECT_EQ(hll->registers()[3], 1U);
  key.bytes[9] = 0x01;
  hll->add(key);
  EXPECT_EQ(hll->registers()[3], 8U);
  key.bytes[9] = 0;
  key.bytes[10] = 0x40;
  hll->add(key);
  EXPECT_EQ(hll->registers()[3], 10U);
  key.bytes[9] = 0xff;
  hll->add(key);
  EXPECT_EQ(hll->registers()[3], 10U);
  key.bytes.fill(0);
  hll->add(key);
  EXPECT_EQ(hll->registers()[0], 8U * 23 + 1) << "zeros to the end of the key";
}

// The estimate of Flajolet and others, as clients make it of 256 registers: 6.5 % is one deviation.
TEST(HyperLogLog, GivesClientsTheNumberOfAuthors) {
  auto hll = HyperLogLog::of(asking('p', std::string(64, '7')));
  constexpr int kAuthors = 20'000;
  std::mt19937 rng(5);  // NOLINT(cert-msc51-cpp,cert-msc32-c): the same keys each time
  for (int i = 0; i < kAuthors; ++i) {
    PublicKey key;
    for (std::uint8_t& byte : key.bytes) byte = static_cast<std::uint8_t>(rng());
    hll->add(key);
    hll->add(key);
  }
  double sum = 0;
  for (const std::uint8_t value : hll->registers()) sum += std::exp2(-static_cast<int>(value));
  const double estimate = 0.7213 / (1 + 1.079 / 256) * 256 * 256 / sum;
  EXPECT_NEAR(estimate, kAuthors, 0.25 * kAuthors);
}

}  // namespace
}  // namespace nostril::relay
