// A dm-verity device in the place of a model manifest: its one text, its digest, and the verdict.
#include "attestation/verity.h"

#include "attestation/model_manifest.h"
#include "attestation/pack.h"
#include "base/hex.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::attestation {
namespace {

using test::simulated_policy;
using test::status_of;

VerityDevice device() {
  VerityDevice out;
  out.root.bytes = test::filled(0xab);
  out.salt = {1, 2, 0xff};
  out.data_blocks = 1000;
  return out;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(VerityText, HasOneForm) {
  const std::string text = print_verity(device());
  std::string root;
  for (int i = 0; i < 32; ++i) root += "ab";
  EXPECT_EQ(text, "nostril-verity 1\nroot " + root +
                      "\nsalt 0102ff\nalgorithm sha256\ndata 4096 1000\nhash 4096\n");
  EXPECT_EQ(parse_verity(text), device());
  VerityDevice bare = device();
  bare.salt.clear();
  EXPECT_NE(print_verity(bare).find("\nsalt -\n"), std::string::npos);
  EXPECT_EQ(parse_verity(print_verity(bare)), bare);
}

TEST(VerityText, RefusesWhatSaysTheSameInAnotherWayOrSomethingElse) {
  const std::string text = print_verity(device());
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(parse_verity(text.substr(0, size))) << size;
  }
  EXPECT_FALSE(parse_verity(text + "\n"));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"verity 1", "verity 2"},
           {"ab\n", "AB\n"},
           {"salt 0102ff", "salt 0102FF"},
           {"salt 0102ff", "salt "},
           {"sha256", "sha512"},
           {"data 4096", "data 04096"},
           {"data 4096", "data 4095"},
           {"data 4096", "data 256"},
           {"data 4096", "data 131072"},
           {"4096 1000", "4096 0"},
           {"4096 1000", "4096 +1000"},
           {"hash 4096", "hash 0"},
           {"4096 1000", "4096  1000"},
           {"4096 1000", "4096 9223372036854775807"},
           {"salt 0102ff", "salt " + std::string(514, '0')}}) {
    EXPECT_FALSE(parse_verity(replaced(text, from, to))) << from << " -> " << to;
  }
}

TEST(VerityText, EveryFieldIsInTheDigestAndNoManifestHasIt) {
  const std::string text = print_verity(device());
  const std::vector<std::function<void(VerityDevice&)>> changes = {
      [](VerityDevice& d) { d.root.bytes[31] ^= 1; },
      [](VerityDevice& d) { d.salt.push_back(0); },
      [](VerityDevice& d) { d.data_blocks += 1; },
      [](VerityDevice& d) { d.data_block_bytes = 512; },
      [](VerityDevice& d) { d.hash_block_bytes = 512; },
  };
  for (const auto& change : changes) {
    VerityDevice other = device();
    change(other);
    EXPECT_NE(verity_digest(print_verity(other)), verity_digest(text));
  }
  EXPECT_NE(verity_digest(text), manifest_digest(text));
  EXPECT_EQ(weights_digest(text), verity_digest(text));
  const std::string manifest = print_manifest({});
  EXPECT_EQ(weights_digest(manifest), manifest_digest(manifest));
  EXPECT_FALSE(parse_manifest(text));
  EXPECT_FALSE(parse_verity(manifest));
}

/// Simulated evidence over a device.
class VerityOffer : public ::testing::Test {
 protected:
  [[nodiscard]] Verdict judge(const std::string& text, const Digest& stated,
                              const Policy& policy = simulated_policy()) const {
    Statement expected = test::statement();
    expected.model_manifest = stated;
    Evidence evidence = simulator_.evidence(expected, test::kNow, test::measurements());
    evidence.manifest = text;
    const auto unpacked = unpack_evidence(pack_evidence(evidence));
    return verify(unpacked.value(), expected, test::roots_of(simulator_), test::kNow, policy);
  }

  const Simulator simulator_ = test::simulator();
  const std::string text_ = print_verity(device());
};

TEST_F(VerityOffer, IsJudgedAsAManifestIs) {
  const Verdict verdict = judge(text_, verity_digest(text_));
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(status_of(verdict, "manifest"), CheckStatus::Passed);
  ASSERT_NE(verdict.claim("verity.root"), nullptr);
  EXPECT_EQ(verdict.claim("manifest.files"), nullptr);
}

TEST_F(VerityOffer, RefusesAnotherDigestAndAnotherText) {
  EXPECT_EQ(status_of(judge(text_, manifest_digest(text_)), "manifest"), CheckStatus::Failed);
  VerityDevice other = device();
  other.salt.clear();
  EXPECT_EQ(status_of(judge(print_verity(other), verity_digest(text_)), "manifest"),
            CheckStatus::Failed);
  const std::string malformed = text_ + " ";
  const Verdict verdict = judge(malformed, verity_digest(malformed));
  EXPECT_EQ(verdict.find("manifest")->found, "malformed");
  EXPECT_FALSE(verdict.accepted);
}

TEST_F(VerityOffer, PoliciesAllowItByItsDigestForOneModel) {
  Policy policy = simulated_policy();
  policy.acceptance.model = "qwen3-32b";
  KnownList own{"the policy", "", true, kForever, {}};
  own.entries.push_back(
      {true, Subject::Weights, {{"weights", encode_hex(verity_digest(text_))}}, "qwen3-32b", ""});
  policy.acceptance.lists.push_back(own);
  EXPECT_EQ(status_of(judge(text_, verity_digest(text_), policy), "model"), CheckStatus::Passed);
  policy.acceptance.model = "another";
  EXPECT_EQ(status_of(judge(text_, verity_digest(text_), policy), "model"), CheckStatus::Failed);
  policy.acceptance.model = "qwen3-32b";
  VerityDevice other = device();
  other.data_blocks = 999;
  const std::string unknown = print_verity(other);
  EXPECT_EQ(status_of(judge(unknown, verity_digest(unknown), policy), "model"),
            CheckStatus::Failed);
}

}  // namespace
}  // namespace nostril::attestation
