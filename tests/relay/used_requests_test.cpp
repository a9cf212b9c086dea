#include "relay/used_requests.h"

#include "events/nip98.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace nostril::relay {

namespace {

constexpr std::int64_t kNow = 1'800'000'000;

class UsedRequestsTest : public testing::Test {
 protected:
  [[nodiscard]] UsedRequests open(bool is_new) const { return {dir_.path(), is_new, kNow}; }

  void write_file(const std::string& text) const {
    std::ofstream(dir_.path() / UsedRequests::kFile, std::ios::binary) << text;
  }

  test::TempDir dir_;
};

TEST_F(UsedRequestsTest, ARelayThatNeverRanTakesThemAtOnce) {
  UsedRequests used = open(true);
  EXPECT_EQ(used.until_s(), 0);
  EXPECT_EQ(open(false).until_s(), 0) << "it ran, and took none";
}

TEST_F(UsedRequestsTest, TheNextProcessKnowsTheLatest) {
  UsedRequests used = open(true);
  EXPECT_TRUE(used.raise(kNow - 3));
  EXPECT_TRUE(used.raise(kNow - 9));
  EXPECT_EQ(used.until_s(), kNow - 3);
  EXPECT_EQ(open(false).until_s(), kNow - 3);
  EXPECT_EQ(open(true).until_s(), kNow - 3) << "the file speaks";
}

TEST_F(UsedRequestsTest, WhatCantBeKnownCountsAsUsed) {
  constexpr std::int64_t kAll = kNow + kNip98FutureSeconds;
  EXPECT_EQ(open(false).until_s(), kAll) << "an older program ran here";
  for (const char* text :
       {"", "1800000000\n", "0000000000180000000x\n", "-0000000001800000000\n",
        "00000000001800000000 ", "99999999999999999999\n", "00000000001800000000\n\n"}) {
    write_file(text);
    EXPECT_EQ(open(true).until_s(), 0) << text;
    write_file(text);
    EXPECT_EQ(open(false).until_s(), kAll) << text;
    EXPECT_EQ(UsedRequests(dir_.path(), false, kNow + 100).until_s(), kAll) << "mended";
  }
}

TEST_F(UsedRequestsTest, WhereNothingCanBeWrittenNothingIsTaken) {
  UsedRequests used(dir_.path() / "missing", true, kNow);
  EXPECT_FALSE(used.raise(kNow));
}

}  // namespace

}  // namespace nostril::relay
