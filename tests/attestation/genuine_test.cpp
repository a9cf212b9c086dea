// Quotes of real machines with the collateral Intel served for them, from the shared vectors:
// every case of intel/cases.json, at the clock the case gives.
#include "attestation/collateral.h"
#include "attestation/collateral_json.h"
#include "attestation/pack.h"
#include "attestation/verify.h"
#include "base/hex.h"
#include "base/json.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/mutation.h"
#include "tests/attestation/vector_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

constexpr const char* kFolder = "vectors/attestation/intel/";

Bytes read_bytes(const std::string& name) {
  return test::read_vector_bytes("intel/" + name);
}

Json read_json(const std::string& name) {
  return test::read_vector_json("intel/" + name);
}

Collateral to_collateral(const std::string& json) {
  auto out = parse_collateral_json(json);
  EXPECT_TRUE(out.has_value());
  return out.value_or(Collateral{});
}

Collateral case_collateral(const Json& item) {
  return to_collateral(test::to_json(test::collateral_fields(item)));
}

Bytes case_quote(const Json& item) {
  return test::patched(read_bytes(std::string(*item.find_string("quote"))),
                       item.find("quote_patch"));
}

/// Genuine quotes bind statements of other protocols, so report_data never fits ours; everything
/// else must. All checks passed, but for the ones a statement of ours would have to meet.
bool is_sound(const Verdict& verdict) {
  for (const Check& check : verdict.checks) {
    const bool ours = check.name == "report_data" || check.name == "tcb";
    if (!ours && check.required && check.status != CheckStatus::Passed) return false;
  }
  return true;
}

Verdict judge_at(const Evidence& evidence, UnixTime now, const TrustRoots& roots) {
  Evidence copy = evidence;
  copy.statement.encryption_key_expires_at = now + 60;
  copy.statement.gpu_evidence = gpu_evidence_digest({});
  return verify(copy, copy.statement, roots, now, Policy{});
}

void expect_ok(const Json& expect, const Verdict& verdict, const std::string& id) {
  EXPECT_TRUE(is_sound(verdict)) << id << "\n" << explain(verdict);
  EXPECT_FALSE(verdict.simulated) << id;
  EXPECT_EQ(verdict.tcb_status, expect.find_string("status")) << id;
  EXPECT_EQ(verdict.platform_id.fmspc, expect.find_string("fmspc")) << id;
  EXPECT_EQ(verdict.platform_id.ppid, expect.find_string("ppid")) << id;
  std::vector<std::string> advisories;
  for (const Json& advisory : expect.find("advisories")->items()) {
    advisories.emplace_back(*advisory.string());
  }
  EXPECT_EQ(verdict.advisories, advisories) << id;
  const bool current = verdict.tcb_status == "UpToDate";
  EXPECT_EQ(verdict.find("tcb")->status, current ? CheckStatus::Passed : CheckStatus::Failed) << id;
}

void expect_refused(const Json& expect, const Verdict& verdict, const std::string& id) {
  const bool tcb_passed = verdict.find("tcb")->status == CheckStatus::Passed;
  EXPECT_FALSE(is_sound(verdict) && tcb_passed) << id << "\n" << explain(verdict);
  bool refused = false;
  for (const std::string& name : test::checks_for(*expect.find_string("error"))) {
    const Check* check = verdict.find(name);
    refused |= check != nullptr && check->status == CheckStatus::Failed;
  }
  EXPECT_TRUE(refused) << id << "\n" << explain(verdict);
}

TEST(GenuineTdx, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(std::string(kFolder) + "cases.json");
  const Json cases = read_json("cases.json");
  int count = 0;
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    if (id.starts_with("sgx-")) continue;  // enclaves are not machines: no SGX quotes here
    Evidence evidence;
    evidence.kind = kKindTdx;
    evidence.cpu_quote = case_quote(item);
    evidence.collateral = case_collateral(item);
    const Verdict verdict = judge_at(evidence, *item.find_integer("now"), TrustRoots::intel());
    EXPECT_FALSE(verdict.accepted) << id;  // none binds our statement
    const Json& expect = *item.find("expect");
    if (*expect.find_boolean("ok")) {
      expect_ok(expect, verdict, id);
    } else {
      expect_refused(expect, verdict, id);
    }
    ++count;
  }
  EXPECT_GE(count, 50);
}

/// A quote, its collateral and a moment at which both are valid.
Evidence redpill() {
  Evidence out;
  out.kind = kKindTdx;
  out.cpu_quote = read_bytes("quotes/tdx-v4-90C06F-redpill.bin");
  out.collateral = to_collateral(test::read_vector("intel/collateral/tdx-90C06F-2026-02-18.json"));
  return out;
}

constexpr UnixTime kRedpillNow = 1772323200;

TEST(GenuineTdx, IsRefusedWhenOnlyTheTestRootIsTrusted) {
  REQUIRE_SHARED(std::string(kFolder) + "cases.json");
  const Simulator sim = test::simulator();
  const Verdict verdict = judge_at(redpill(), kRedpillNow, test::roots_of(sim));
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.find("pck_chain")->found, "root not trusted");
  const auto both = TrustRoots::vendors_and_test_root(sim.root_der());
  EXPECT_EQ(judge_at(redpill(), kRedpillNow, *both).find("pck_chain")->status, CheckStatus::Passed);
}

TEST(GenuineTdx, IsNotCalledSimulatedNorTakenAsSimulated) {
  REQUIRE_SHARED(std::string(kFolder) + "cases.json");
  Evidence evidence = redpill();
  evidence.kind = kKindSimulatedTdx;
  const Verdict verdict = judge_at(evidence, kRedpillNow, TrustRoots::intel());
  EXPECT_EQ(verdict.find("kind")->status, CheckStatus::Failed);
  EXPECT_FALSE(verdict.accepted);
}

TEST(GenuineTdx, RefusesCollateralOfATestRootForAGenuineQuote) {
  REQUIRE_SHARED(std::string(kFolder) + "cases.json");
  const Simulator sim = test::simulator();
  Evidence evidence = redpill();
  evidence.collateral = sim.collateral(kRedpillNow);
  const auto both = TrustRoots::vendors_and_test_root(sim.root_der());
  const Verdict verdict = judge_at(evidence, kRedpillNow, *both);
  EXPECT_EQ(verdict.find("tcb_info")->found, "collateral issuer chain");
}

TEST(GenuineTdx, WithoutCollateralTcbIsNotCheckedAndRefusesByDefault) {
  REQUIRE_SHARED(std::string(kFolder) + "cases.json");
  Evidence evidence = redpill();
  evidence.collateral.reset();
  const Verdict verdict = judge_at(evidence, kRedpillNow, TrustRoots::intel());
  for (const std::string name : {"tcb", "revocation", "tcb_info", "qe_identity"}) {
    EXPECT_EQ(verdict.find(name)->status, CheckStatus::NotChecked) << name;
    EXPECT_TRUE(verdict.find(name)->required) << name;
  }
  EXPECT_FALSE(is_sound(verdict));
  EXPECT_EQ(verdict.find("quote_signature")->status, CheckStatus::Passed);
}

TEST(GenuineTdx, PacksIntoOneSmallEvent) {
  REQUIRE_SHARED(std::string(kFolder) + "cases.json");
  const std::string packed = pack_evidence(redpill());
  RecordProperty("packed_bytes", static_cast<int>(packed.size()));
  EXPECT_LT(packed.size(), 16U << 10U);
  EXPECT_EQ(unpack_evidence(packed).value(), redpill());
}

TEST(GenuineTdx, NoBitOfAQuoteMayChange) {
  REQUIRE_SHARED(std::string(kFolder) + "cases.json");
  Evidence evidence = redpill();
  const TrustRoots roots = TrustRoots::intel();
  const Policy policy;
  const auto judge = [&] {
    return verify_intel_quote(evidence.cpu_quote, &*evidence.collateral, roots, kRedpillNow, policy,
                              {});
  };
  ASSERT_TRUE(judge().accepted) << explain(judge());
  std::map<std::string, int> refusals;
  Bytes& quote = evidence.cpu_quote;
  for (const std::size_t bit : test::mutation_places(8 * quote.size(), 1500)) {
    const auto flip = static_cast<std::uint8_t>(1U << (bit % 8));
    quote[bit / 8] ^= flip;
    const Verdict verdict = judge();
    ASSERT_FALSE(verdict.accepted) << "bit " << bit;
    for (const Check& check : verdict.checks) {
      if (check.status == CheckStatus::Failed) {
        ++refusals[check.name];
        break;
      }
    }
    quote[bit / 8] ^= flip;
  }
  for (const auto& [name, times] : refusals) fmt::print("{:20} {}\n", name, times);
}

/// Parses and verifies at the signature level only, at a clock inside every PCK's validity.
TEST(GenuineTdx, EveryQuoteParsesAndItsSignaturesVerify) {
  REQUIRE_SHARED(std::string(kFolder) + "quotes");
  constexpr UnixTime kWhenAllAreValid = 1777000000;  // 2026-04-24
  int count = 0;
  const auto folder = nostril::test::shared_path(std::string(kFolder) + "quotes");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("tdx-") || name == "tdx-v4-intel-qvl-sample.bin") continue;
    Bytes bytes = read_bytes("quotes/" + name);
    if (name == "tdx-v4-50806F-google.bin") bytes.resize(4935);  // junk follows the quote
    const auto quote = parse_tdx_quote(bytes);
    ASSERT_TRUE(quote.has_value()) << name;
    ChainCache cache;
    const auto chain =
        check_pck_chain(quote->pck_chain, TrustRoots::intel(), kWhenAllAreValid, cache);
    ASSERT_TRUE(chain.has_value()) << name << ": " << to_string(chain.error());
    EXPECT_TRUE(check_qe_report_signature(*quote, chain->leaf())) << name;
    EXPECT_TRUE(check_qe_report_data(*quote)) << name;
    EXPECT_TRUE(check_quote_signature(*quote)) << name;
    ++count;
  }
  EXPECT_GE(count, 16);
}

}  // namespace
}  // namespace nostril::attestation
