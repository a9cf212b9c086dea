#include "base/fixed_bytes.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace nostril {

namespace {

using Id = FixedBytes<struct IdTag, 32>;

TEST(FixedBytes, TakesExactlyItsSize) {
  const std::array<std::uint8_t, 33> bytes{1, 2, 3};
  EXPECT_FALSE(Id::from(std::span(bytes)));
  EXPECT_FALSE(Id::from(std::span(bytes).first(31)));
  EXPECT_FALSE(Id::from({}));
  const auto id = Id::from(std::span(bytes).first(32));
  ASSERT_TRUE(id);
  EXPECT_EQ(id->bytes[2], 3);
}

TEST(FixedBytes, IsZeroOnlyWhenEveryByteIs) {
  EXPECT_TRUE(Id().is_zero());
  for (std::size_t i = 0; i < Id::kSize; ++i) {
    Id id;
    id.bytes[i] = 1;
    EXPECT_FALSE(id.is_zero()) << i;
  }
}

TEST(FixedBytes, OrdersAsItsHexDoes) {
  Id low;
  Id high;
  low.bytes[31] = 0xff;
  high.bytes[0] = 0x01;
  EXPECT_LT(low, high);
  EXPECT_EQ(low, low);
  EXPECT_NE(low, high);
}

TEST(FixedBytesHash, TellsIdsWithProofOfWorkApart) {
  std::unordered_set<std::size_t> hashes;
  for (int i = 0; i < 200; ++i) {
    Id id;  // leading zeros, as mined ids have
    id.bytes[31] = static_cast<std::uint8_t>(i);
    hashes.insert(FixedBytesHash()(id));
  }
  EXPECT_EQ(hashes.size(), 200U);
}

}  // namespace

}  // namespace nostril
