// The node's parts that need no peer: keys, configuration.
#include "base/config.h"
#include "client/key_file.h"
#include "node/config.h"
#include "node/node_keys.h"
#include "node/publish_times.h"
#include "node/serving.h"
#include "schnorr/hash.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <fstream>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

// ---- Keys ---------------------------------------------------------------------------------------

TEST(Identity, IsMadeOnceAndOnlyItsOwnerMayReadIt) {
  const TempDir folder;
  SystemRng rng;
  const fs::path file = folder.path() / "deep" / "identity.nsec";
  const auto made = load_or_make_identity(file, rng);
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(fs::status(file).permissions() & fs::perms::all,
            fs::perms::owner_read | fs::perms::owner_write);
  const auto again = load_or_make_identity(file, rng);
  ASSERT_TRUE(again);
  EXPECT_EQ(made->public_key(), again->public_key());
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read |
                            fs::perms::others_read);
  const auto refused = load_or_make_identity(file, rng);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().find("chmod 600"), std::string::npos);
}

// Found by killing a node within the second of its offer: its successor's had the same created_at,
// so the relay kept the one with the lower id, whose key was gone.
TEST(PublishTimes, NeverTheSameSecondAlsoNotAfterARestart) {
  const TempDir folder;
  const fs::path file = folder.path() / "published-at";
  FakeClock clock(2'000'000'000);
  std::int64_t last = 0;
  for (int process = 0; process < 3; ++process) {
    PublishTimes times(file, clock);
    for (int i = 0; i < 3; ++i) {
      const std::int64_t next = times.next();
      EXPECT_GT(next, last);
      last = next;
    }
  }
  EXPECT_EQ(last, 2'000'000'008);
  clock.advance_ms(100'000);
  EXPECT_EQ(PublishTimes(file, clock).next(), 2'000'000'100) << "the clock's when it is later";
}

TEST(PublishTimes, WhatMakesNoSenseIsNotContinued) {
  const TempDir folder;
  const fs::path file = folder.path() / "published-at";
  FakeClock clock(2'000'000'000);
  for (const char* text : {"", "x", "99999999999999999999", "2000000601"}) {
    std::ofstream(file) << text;
    EXPECT_EQ(PublishTimes(file, clock).next(), 2'000'000'000) << text;
  }
  std::ofstream(file) << "2000000600";
  EXPECT_EQ(PublishTimes(file, clock).next(), 2'000'000'601);
  EXPECT_EQ(PublishTimes(folder.path() / "no" / "folder", clock).next(), 2'000'000'000);
}

TEST(EncryptionKeys, RotateAtHalfLifeOverlapAndExpire) {
  SystemRng rng;
  EncryptionKeys keys(100, rng);
  EXPECT_TRUE(keys.rotate(1000));
  const PublicKey first = keys.newest().key.public_key();
  EXPECT_EQ(keys.newest().expires_at, 1100);
  EXPECT_FALSE(keys.rotate(1049));
  EXPECT_TRUE(keys.rotate(1050));
  const PublicKey second = keys.newest().key.public_key();
  EXPECT_NE(first, second);
  EXPECT_EQ(keys.public_keys().size(), 2U);
  EXPECT_NE(keys.find(first, 1099), nullptr);
  EXPECT_EQ(keys.find(first, 1100), nullptr) << "not a second longer than the quote says";
  EXPECT_TRUE(keys.rotate(1100));
  EXPECT_EQ(keys.public_keys(), (std::vector{second, keys.newest().key.public_key()}));
}

TEST(EncryptionKeys, DoNotLiveLongerWhenTheClockIsSetBack) {
  SystemRng rng;
  EncryptionKeys keys(100, rng);
  ASSERT_TRUE(keys.rotate(100'000));
  EXPECT_TRUE(keys.rotate(1'000));
  EXPECT_EQ(keys.newest().expires_at, 1'100);
  EXPECT_EQ(keys.public_keys().size(), 1U);
}

// ---- Configuration ------------------------------------------------------------------------------

TEST(NodeConfig, PrintsWhatItLoads) {
  NodeConfig written;
  written.relays = {"wss://a.example", "ws://[::1]:7"};
  written.evidence = "tsm";
  written.engine.weight_files = {"/models/a \"b\".bin"};
  written.offer.output_price = 7;
  written.limits.sessions_max = 3;
  Config out;
  written.declare(out);
  NodeConfig read;
  Config in;
  read.declare(in);
  in.load_text(out.print(), "printed");
  EXPECT_EQ(read.relays, written.relays);
  EXPECT_EQ(read.evidence, "tsm");
  EXPECT_EQ(read.engine.weight_files, written.engine.weight_files);
  EXPECT_EQ(read.offer.output_price, 7);
  EXPECT_EQ(read.limits.sessions_max, 3);
  EXPECT_FALSE(read.problem());
}

TEST(NodeConfig, SaysAtTheStartWhatCouldNotBeOffered) {
  const auto problem_with = [](const std::function<void(NodeConfig&)>& change) {
    NodeConfig config;
    change(config);
    return config.problem().value_or("");
  };
  EXPECT_EQ(problem_with([](NodeConfig&) {}), "");
  EXPECT_NE(problem_with([](NodeConfig& c) { c.relays.clear(); }), "");
  for (const char* url : {"http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/"}) {
    EXPECT_NE(problem_with([&](NodeConfig& c) { c.engine.url = url; }), "") << url;
    EXPECT_NE(problem_with([&](NodeConfig& c) { c.engines.emplace_back().url = url; }), "") << url;
  }
  EXPECT_NE(problem_with([](NodeConfig& c) { c.relays = {"http://a"}; }), "");
  EXPECT_NE(problem_with([](NodeConfig& c) { c.relays.resize(17, "ws://a"); }), "");
  EXPECT_NE(problem_with([](NodeConfig& c) { c.offer.profile = "two words"; }), "");
  EXPECT_NE(problem_with([](NodeConfig& c) { c.offer.profile = std::string(33, 'p'); }), "");
  EXPECT_NE(problem_with([](NodeConfig& c) { c.offer.asset = ""; }), "");
  EXPECT_NE(problem_with([](NodeConfig& c) { c.offer.operator_key = "npub1xyz"; }), "");
}

}  // namespace
}  // namespace nostril::node
