#include "client/node_choice.h"

#include "client/gateway/model_rules.h"
#include "client/node_history.h"
#include "events/nip19.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

PublicKey node_named(const std::string& name) {
  PublicKey out;
  out.bytes = sha256(name).bytes;
  return out;
}

NodeCandidate candidate(const std::string& name) {
  NodeCandidate out;
  out.node = node_named(name);
  out.price = 1'000'000;
  return out;
}

TEST(NodeChoice, EachRuleOutweighsAllThatFollow) {
  // Worse by one rule, better by all later ones.
  std::vector<NodeCandidate> ranked;
  const auto perfect = [](const std::string& name) {
    NodeCandidate out = candidate(name);
    out.price = 900'000;
    out.first_byte_ms = 10;
    out.reputation = 40;
    return out;
  };
  NodeCandidate unknown = perfect("unknown");
  unknown.reputation = 0;
  NodeCandidate worst_load = perfect("load");
  worst_load.load = 9;
  NodeCandidate slow = perfect("slow");
  slow.first_byte_ms = 5'000;
  NodeCandidate dear = perfect("dear");
  dear.price = 1'000'000;
  NodeCandidate failing = perfect("failing");
  failing.failures = 3;
  NodeCandidate flagged = perfect("flagged");
  flagged.reputation = -10;
  NodeCandidate simulated = perfect("simulated");
  simulated.simulated = true;
  NodeCandidate tried = perfect("tried");
  tried.tried = true;
  ranked = {tried, simulated, flagged, failing, dear, slow, worst_load, unknown, perfect("best")};
  const auto order = order_nodes(ranked, sha256("seed"));
  EXPECT_EQ(order, (std::vector<std::size_t>{8, 7, 6, 5, 4, 3, 2, 1, 0}));
}

TEST(NodeChoice, ASmallDifferenceOfPriceIsNone) {
  NodeCandidate cheap = candidate("cheap");
  cheap.load = 3;
  NodeCandidate idle = candidate("idle");
  idle.price = 1'015'000;
  EXPECT_EQ(order_nodes(std::vector{cheap, idle}, sha256("s")).front(), 1U);
  idle.price = 1'025'000;
  EXPECT_EQ(order_nodes(std::vector{cheap, idle}, sha256("s")).front(), 0U);
}

TEST(NodeChoice, FreeIsBeforeAnyPriceAndHugePricesDoNotOverflow) {
  NodeCandidate free = candidate("free");
  free.price = 0;
  NodeCandidate huge = candidate("huge");
  huge.price = ~Uint128{0};
  NodeCandidate one = candidate("one");
  one.price = 1;
  EXPECT_EQ(order_nodes(std::vector{huge, one, free}, sha256("s")).front(), 2U);
  EXPECT_EQ(order_nodes(std::vector{huge, one}, sha256("s")).front(), 1U);
  EXPECT_TRUE(order_nodes({}, sha256("s")).empty());
}

/// Whatever the candidates: a permutation, the same for the same seed, in whatever order they are
/// given; and leaving one out changes nothing among the others, but for price steps.
TEST(NodeChoice, HoldsForRandomCandidates) {
  test::SeededRng rng(20'261'121);
  for (int round = 0; round < 300; ++round) {
    std::vector<NodeCandidate> nodes;
    const std::size_t count = 1 + rng.below(12);
    for (std::size_t i = 0; i < count; ++i) {
      NodeCandidate one = candidate(std::to_string(round) + "/" + std::to_string(i));
      one.tried = rng.below(4) == 0;
      one.simulated = rng.below(3) == 0;
      one.failures = static_cast<std::uint32_t>(rng.below(5));
      one.price = 1'000'000 + 100'000 * rng.below(3);
      if (rng.below(2) == 0) one.first_byte_ms = static_cast<std::uint32_t>(rng.below(2'000));
      one.load = static_cast<std::uint32_t>(rng.below(4));
      nodes.push_back(one);
    }
    const Digest seed = sha256(std::to_string(round));
    const auto order = order_nodes(nodes, seed);
    auto sorted = order;
    std::ranges::sort(sorted);
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(sorted[i], i);
    for (std::size_t i = 1; i < count; ++i) {
      const NodeCandidate& before = nodes[order[i - 1]];
      const NodeCandidate& after = nodes[order[i]];
      ASSERT_LE(before.tried, after.tried);
      if (before.tried != after.tried) continue;
      ASSERT_LE(before.simulated, after.simulated);
    }
    auto reversed = nodes;
    std::ranges::reverse(reversed);
    const auto other = order_nodes(reversed, seed);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(reversed[other[i]].node, nodes[order[i]].node);
    }
  }
}

TEST(NodeChoice, ChanceSpreadsAndANameSticks) {
  std::vector<NodeCandidate> nodes;
  for (int i = 0; i < 4; ++i) nodes.push_back(candidate(std::to_string(i)));
  std::map<std::size_t, int> first;
  for (int i = 0; i < 4'000; ++i) ++first[order_nodes(nodes, sha256(std::to_string(i))).front()];
  ASSERT_EQ(first.size(), 4U);
  for (const auto& [node, count] : first) EXPECT_NEAR(count, 1'000, 150) << node;
  const std::size_t favourite = order_nodes(nodes, sha256("conversation")).front();
  const std::size_t other = (favourite + 1) % nodes.size();
  const PublicKey kept = nodes[favourite].node;
  nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(other));
  EXPECT_EQ(nodes[order_nodes(nodes, sha256("conversation")).front()].node, kept);
}

TEST(NodeHistory, FailuresFadeAndAnswersForgive) {
  NodeHistory history;
  const PublicKey node = node_named("n");
  EXPECT_EQ(history.failures(node, 0), 0U);
  for (int i = 0; i < 4; ++i) history.failed(node, 1'000);
  EXPECT_EQ(history.failures(node, 1'000), 4U);
  EXPECT_EQ(history.failures(node, 1'000 + NodeHistory::kHalfLifeMs), 2U);
  history.answered(node, 100, 1'000);
  EXPECT_EQ(history.failures(node, 1'000), 2U);
  EXPECT_EQ(history.first_byte_ms(node), 100U);
  history.answered(node, 500, 1'000);
  EXPECT_EQ(history.first_byte_ms(node), 200U);
}

TEST(NodeHistory, TheNodeHeardOfLongestAgoMakesRoom) {
  NodeHistory history;
  for (std::size_t i = 0; i <= NodeHistory::kNodesMax; ++i) {
    history.answered(node_named(std::to_string(i)), 5, static_cast<std::int64_t>(i));
  }
  EXPECT_FALSE(history.first_byte_ms(node_named("0")));
  EXPECT_TRUE(history.first_byte_ms(node_named("1")));
}

TEST(NodeRules, HoldForTheirModelOrForAllOthers) {
  test::TempDir folder;
  const Keypair node = test::key_of("node");
  const Keypair other = test::key_of("other");
  const std::string file = folder.path() / "rules.toml";
  std::ofstream(file) << "[[model]]\nname = \"*\"\noutput_price_max = 10\n[[model]]\n"
                      << "name = \"qwen3-32b\"\nhedge_ms = 5\nnever = [\""
                      << nip19::encode(nip19::Npub{node.public_key()}) << "\"]\n";
  const NodeRules rules = NodeRules::read(file);
  Offer offer = test::example_offer(node, test::key_of("e").public_key());
  offer.model = "qwen3-32b";
  EXPECT_FALSE(rules.allows(offer));
  EXPECT_EQ(rules.rule_for("qwen3-32b")->hedge_ms, 5);
  offer.node = other.public_key();
  EXPECT_TRUE(rules.allows(offer));
  offer.model = "another";
  offer.prices = {{PriceUnit::Output, Amount::of(11)}};
  EXPECT_FALSE(rules.allows(offer));
  offer.prices = {{PriceUnit::Output, Amount::of(10)}};
  EXPECT_TRUE(rules.allows(offer));
  EXPECT_TRUE(NodeRules().allows(offer));
}

TEST(NodeRules, AFileWithMistakesIsRefused) {
  test::TempDir folder;
  const std::string file = folder.path() / "rules.toml";
  for (const std::string text :
       {"[[model]]\n", "[[model]]\nname = \"m\"\n[[model]]\nname = \"m\"\n",
        "[[model]]\nname = \"m\"\nonly = [\"npub1x\"]\n", "[[model]]\nname = \"m\"\nprize = 1\n"}) {
    std::ofstream(file, std::ios::trunc) << text;
    EXPECT_THROW((void)NodeRules::read(file), std::runtime_error) << text;
  }
}

}  // namespace
}  // namespace nostril::client
