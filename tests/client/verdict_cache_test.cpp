// Verdicts that are kept: for what, for how long, and never under another policy.
#include "client/verdict_cache.h"

#include "attestation/policy_digest.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace nostril::client {
namespace {

using attestation::Policy;
using attestation::Verdict;

VerdictKey key(std::string_view name) {
  return {sha256(name), Digest{}, Digest{}, Digest{}, Digest{}};
}

std::shared_ptr<const Verdict> verdict(bool accepted, std::int64_t until) {
  Verdict out;
  out.accepted = accepted;
  out.holds_until = until;
  return std::make_shared<const Verdict>(std::move(out));
}

TEST(VerdictCache, KeepsWhatIsAcceptedUntilItEnds) {
  VerdictCache cache;
  const auto kept = verdict(true, 200);
  cache.put(key("a"), kept, 100);
  EXPECT_EQ(cache.find(key("a"), 100), kept);
  EXPECT_EQ(cache.find(key("a"), 200), kept);
  EXPECT_EQ(cache.hits(), 2U);
  EXPECT_EQ(cache.find(key("b"), 150), nullptr);
  EXPECT_EQ(cache.find(key("a"), 201), nullptr);
  EXPECT_EQ(cache.size(), 0U);
  cache.put(key("a"), kept, 100);
  EXPECT_EQ(cache.find(key("a"), 99), nullptr) << "the clock was set back";
  cache.put(key("a"), kept, 200);
  EXPECT_EQ(cache.size(), 0U) << "it ends now";
}

TEST(VerdictCache, KeepsARefusalForAMinuteAndOneForFreshnessNotAtAll) {
  VerdictCache cache;
  cache.put(key("a"), verdict(false, 10'000), 100);
  EXPECT_NE(cache.find(key("a"), 100 + VerdictCache::kRefusedS), nullptr);
  EXPECT_EQ(cache.find(key("a"), 101 + VerdictCache::kRefusedS), nullptr);
  Verdict stale;
  stale.checks.push_back({"freshness", attestation::CheckStatus::Failed, true, "", "", ""});
  cache.put(key("a"), std::make_shared<const Verdict>(stale), 100);
  EXPECT_EQ(cache.size(), 0U);
}

TEST(VerdictCache, IsBoundedAndForgetsWhatEndsFirst) {
  VerdictCache cache(2);
  cache.put(key("a"), verdict(true, 300), 100);
  cache.put(key("b"), verdict(true, 200), 100);
  cache.put(key("c"), verdict(true, 400), 100);
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(cache.find(key("b"), 100), nullptr);
  EXPECT_NE(cache.find(key("a"), 100), nullptr);
  VerdictCache none(0);
  none.put(key("a"), verdict(true, 300), 100);
  EXPECT_EQ(none.size(), 0U);
}

TEST(VerdictCache, EveryPartOfTheKeyCounts) {
  VerdictCache cache;
  const VerdictKey base = key("a");
  cache.put(base, verdict(true, 300), 100);
  for (Digest VerdictKey::*part :
       {&VerdictKey::evidence, &VerdictKey::statement, &VerdictKey::collateral, &VerdictKey::policy,
        &VerdictKey::roots}) {
    VerdictKey other = base;
    other.*part = sha256("other");
    EXPECT_EQ(cache.find(other, 100), nullptr);
  }
}

TEST(PolicyDigest, EveryChangeOfAPolicyIsAnotherDigest) {
  using attestation::Subject;
  const attestation::KnownList list{
      "a", "n", false, 5, {{true, Subject::Image, {{"mrtd", "00"}}, "", ""}}};
  const std::vector<std::function<void(Policy&)>> changes = {
      [](Policy&) {},
      [](Policy& p) { p.accept_simulated = true; },
      [](Policy& p) { p.allow_unchecked_tcb = true; },
      [](Policy& p) { p.gpu.allow_missing_rims = true; },
      [](Policy& p) { p.gpu.driver_min = "550"; },
      [](Policy& p) { p.allow_migratable = true; },
      [](Policy& p) {
        p.accepted_tcb_statuses = {"a", "b"};
      },
      [](Policy& p) { p.accepted_tcb_statuses = {"ab"}; },
      [](Policy& p) {
        p.accepted_advisories = {"a", "b"};
      },
      [](Policy& p) { p.tcb_evaluation_number_min = 1; },
      [](Policy& p) { p.allowed_service_tds = {{}}; },
      [](Policy& p) { p.allowed_measurements = {{}}; },
      [](Policy& p) {
        p.allowed_measurements = {{{}, {}, attestation::Measurement{}}};
      },
      [](Policy& p) { p.allowed_model_manifests = {Digest{}}; },
      [](Policy& p) { p.required_nonce = attestation::Nonce{}; },
      [](Policy& p) { p.encryption_key_life_s_max = 1; },
      [](Policy& p) { p.level_min = attestation::Level::ImageMeasured; },
      [](Policy& p) { p.snp.allow_smt = false; },
      [](Policy& p) { p.snp.allow_migratable = true; },
      [](Policy& p) { p.snp.allowed_chip_ids = {{}}; },
      [](Policy& p) {
        p.snp.tcb_minimums = {{attestation::SnpProduct::Genoa, {}}};
      },
      [](Policy& p) { p.acceptance.auditors_min = 2; },
      [](Policy& p) { p.acceptance.require_known_machine = true; },
      [](Policy& p) { p.acceptance.require_beacon = true; },
      [](Policy& p) { p.acceptance.beacon_age_s_max = 1; },
      [](Policy& p) { p.acceptance.model = "m"; },
      [](Policy& p) { p.acceptance.records_sampling = true; },
      [](Policy& p) {
        p.acceptance.exceptions = {{"tcb", "x", 1, "r"}};
      },
      [](Policy& p) {
        p.acceptance.exceptions = {{"tcb", "x", 2, "r"}};
      },
      [&](Policy& p) { p.acceptance.lists = {list}; },
      [&](Policy& p) {
        p.acceptance.lists = {list};
        p.acceptance.lists[0].entries[0].allow = false;
      },
      [&](Policy& p) {
        p.acceptance.lists = {list};
        p.acceptance.lists[0].ends_at = 6;
      },
      [&](Policy& p) {
        p.acceptance.lists = {list};
        p.acceptance.lists[0].entries[0].parts[0].value = "01";
      },
      [&](Policy& p) {
        p.acceptance.lists = {list, list};
      }};
  std::set<Digest> digests;
  for (const auto& change : changes) {
    Policy policy;
    change(policy);
    digests.insert(attestation::policy_digest(policy));
  }
  EXPECT_EQ(digests.size(), changes.size());
  Policy beacon;
  beacon.acceptance.beacons = {{{}, 1}};
  EXPECT_EQ(attestation::policy_digest(beacon), attestation::policy_digest(Policy()));
}

TEST(PolicyDigest, RootsHaveNamesOfTheirOwn) {
  const auto test_root = attestation::test::simulator().root_der();
  const std::set<Digest> digests = {
      attestation::TrustRoots::intel().digest(), attestation::TrustRoots::amd().digest(),
      attestation::TrustRoots::vendors().digest(),
      attestation::TrustRoots::with_test_root(test_root)->digest(),
      attestation::TrustRoots::vendors_and_test_root(test_root)->digest()};
  EXPECT_EQ(digests.size(), 5U);
}

}  // namespace
}  // namespace nostril::client
