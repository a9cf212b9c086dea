// The policy language: what it says, what it refuses, and what it makes of a verdict.
#include "client/policy_file.h"

#include "base/config.h"
#include "base/hex.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/snp_fixtures.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <string>

namespace nostril::client {
namespace {

using namespace attestation;  // NOLINT(google-build-using-namespace): a test of its policies
using attestation::test::kNow;
using attestation::test::status_of;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string error_of(std::string_view toml) {
  try {
    (void)parse_verify_policy(toml, "p.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

VerifyPolicy simulated(std::string_view toml) {
  VerifyPolicy out = parse_verify_policy(toml, "p.toml");
  out.tdx.accept_simulated = true;
  out.snp.accept_simulated = true;
  return out;
}

Verdict judge(const VerifyPolicy& policy, const SimulatorOptions& options = {},
              std::string_view model = "m", UnixTime now = kNow) {
  const Simulator sim = attestation::test::simulator(options);
  return verify(
      sim.evidence(attestation::test::statement(), now, attestation::test::measurements()),
      attestation::test::statement(), attestation::test::roots_of(sim), now,
      policy_for_model(policy, model, false));
}

const Check& check_of(const Verdict& verdict, std::string_view name) {
  const Check* found = verdict.find(name);
  static const Check kNone;
  EXPECT_NE(found, nullptr) << name;
  return found == nullptr ? kNone : *found;
}

std::string mrtd() {
  return encode_hex(attestation::test::measurements().mrtd);
}

std::string weights() {
  return encode_hex(attestation::test::statement().model_manifest);
}

// ---- The language -------------------------------------------------------------------------------

TEST(PolicyFile, WhatItPrintsIsWhatAnEmptyFileMeans) {
  const std::string printed = print_verify_policy();
  EXPECT_EQ(error_of(printed), "");
  const VerifyPolicy policy = parse_verify_policy(printed, "printed");
  EXPECT_EQ(policy.tdx.level_min, Level::Declared);
  EXPECT_TRUE(policy.lists.trusted.empty());
  EXPECT_TRUE(policy.models.empty());
  for (const char* key :
       {"level_min = ", "[freshness]", "[machines]", "[software]", "[lists]", "[tdx]", "[snp]",
        "# [[model]]", "# [[exception]]", "require_beacon = false", "accepted_advisories = []"}) {
    EXPECT_THAT(printed, HasSubstr(key));
  }
}

/// Every leave that the language can give at once: simulated evidence stays refused.
TEST(PolicyFile, NoKeyTakesSimulatedEvidence) {
  std::string loosest = print_verify_policy();
  int given = 0;
  for (std::size_t at = 0; (at = loosest.find(" = false", at)) != std::string::npos; ++at) {
    const std::size_t line = loosest.rfind('\n', at) + 1;
    if (loosest.substr(line, 7) == "require") continue;  // a wish, not a leave
    loosest.replace(at, 8, " = true");
    ++given;
  }
  EXPECT_GE(given, 4);
  const Verdict verdict = judge(parse_verify_policy(loosest, "loosest"));
  EXPECT_FALSE(verdict.accepted);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_EQ(status_of(verdict, "simulated"), CheckStatus::Failed);
}

TEST(PolicyFile, RefusesWhatItDoesNotKnowWithLineAndNearestKey) {
  EXPECT_THAT(error_of("level_mn = \"image\""),
              HasSubstr("p.toml:1: nobody reads level_mn; nearest: level_min;"));
  EXPECT_THAT(error_of("[tdx]\n\nimage = []"),
              HasSubstr("p.toml:3: nobody reads tdx.image; nearest: tdx.images;"));
  EXPECT_THAT(error_of("[machine]\n"), HasSubstr("nearest: machines;"));
  EXPECT_THAT(error_of("accept_simulated = true"), HasSubstr("nobody reads accept_simulated"));
  EXPECT_THAT(error_of("[[model]]\nname = \"m\"\nweight = []"),
              HasSubstr("p.toml:3: nobody reads weight; nearest: weights;"));
}

TEST(PolicyFile, RefusesMalformedValuesByKey) {
  const std::string npub = "npub1sn0wdenkukak0d9dfczzeacvhkrgz92ak56egt7vdgzn8pv2wfqqhrjdv9";
  for (const auto& [toml, key] : std::vector<std::pair<std::string, std::string>>{
           {"level_min = \"none\"", "level_min"},
           {"level_min = \"image_measured\"", "level_min"},
           {"[machines]\ndenied = [\"ppid=00\"]", "machines.denied"},
           {"[machines]\nallowed = [\"mrtd=" + mrtd() + "\"]", "machines.allowed"},
           {"[machines]\nallowed = [\"\"]", "machines.allowed"},
           {"[software]\ndenied = [\"ppid=00112233445566778899aabbccddeeff\"]", "software.denied"},
           {"[software]\ncompose = [\"AB\"]", "software.compose"},
           {"[tdx]\nimages = [\"rtmr1=" + mrtd() + "\"]", "tdx.images"},
           {"[tdx]\nimages = [\"mrtd=" + mrtd() + ", mrtd=" + mrtd() + "\"]", "tdx.images"},
           {"[tdx]\nimages = [\"mrtd=" + mrtd() + ", weights=" + weights() + "\"]", "tdx.images"},
           {"[lists]\ntrusted = [\"nsec1x\"]", "lists.trusted"},
           {"[lists]\ntrusted = [\"" + npub + "\", \"" + npub + "\"]", "lists.trusted"},
           {"[[model]]\nweights = [\"" + weights() + "\"]", "model.name"},
           {"[[model]]\nname = \"m\"\n[[model]]\nname = \"m\"", "model.name"},
           {"[[model]]\nname = \"m\"\nweights = [\"00\"]", "model.weights"},
           {"[[exception]]\ncheck = \"quote_signature\"", "exception.check"},
           {"[[exception]]\ncheck = \"simulated\"", "exception.check"},
           {"[[exception]]\ncheck = \"revocation\"", "exception.check"},
           {"[[exception]]\ncheck = \"tcb\"\nuntil = \"soon\"", "exception.until"},
           {"[[exception]]\ncheck = \"tcb\"\nuntil = \"2026-12-01T00:00:00Z\"", "exception.found"},
           {"[[exception]]\ncheck = \"tcb\"\nuntil = \"2026-12-01T00:00:00Z\"\nfound = \"x\"",
            "exception.reason"}}) {
    EXPECT_THAT(error_of(toml), HasSubstr("p.toml: " + key + ": ")) << toml;
  }
}

// ---- What it makes of a verdict -----------------------------------------------------------------

TEST(PolicyVerdict, ADeniedMachineIsRefusedByName) {
  const Verdict known = judge(simulated(""));
  EXPECT_TRUE(known.accepted) << explain(known);
  const std::string ppid = known.platform_id.ppid;
  const Verdict denied = judge(simulated("[machines]\ndenied = [\"ppid=" + ppid + "\"]\n"));
  EXPECT_FALSE(denied.accepted);
  EXPECT_THAT(check_of(denied, "denied").found, HasSubstr("machine ppid=" + ppid));
  // Also when it is allowed.
  EXPECT_FALSE(judge(simulated("[machines]\nallowed = [\"ppid=" + ppid +
                               "\"]\ndenied = [\"ppid=" + ppid + "\"]\n"))
                   .accepted);
}

TEST(PolicyVerdict, OnlyAllowedMachinesPassWhenSomeAreNamed) {
  const std::string ppid = judge(simulated("")).platform_id.ppid;
  EXPECT_TRUE(judge(simulated("[machines]\nallowed = [\"ppid=" + ppid + "\"]\n")).accepted);
  const Verdict other =
      judge(simulated("[machines]\nallowed = [\"ppid=" + std::string(32, '1') + "\"]\n"));
  EXPECT_FALSE(other.accepted);
  EXPECT_EQ(status_of(other, "machines"), CheckStatus::Failed);
  EXPECT_THAT(check_of(other, "machines").found, HasSubstr(ppid));
  EXPECT_FALSE(judge(simulated("[machines]\nrequire_known = true\n")).accepted);
  // A GPU is named, and the evidence has none.
  EXPECT_FALSE(judge(simulated("[machines]\nallowed = [\"gpu_serial=0102\"]\n")).accepted);
}

TEST(PolicyVerdict, ADeniedImageIsRefusedOnlyWhenAllItsPartsAreTrue) {
  const std::string rtmr1 = encode_hex(attestation::test::measurements().rtmr[1]);
  const auto denies = [](const std::string& parts) {
    return judge(simulated("[software]\ndenied = [\"" + parts + "\"]\n"));
  };
  EXPECT_FALSE(denies("mrtd=" + mrtd()).accepted);
  EXPECT_FALSE(denies("mrtd=" + mrtd() + ",rtmr1=" + rtmr1).accepted);
  EXPECT_TRUE(denies("mrtd=" + mrtd() + ",rtmr1=" + mrtd()).accepted);
  EXPECT_FALSE(denies("weights=" + weights()).accepted);
}

TEST(PolicyVerdict, AnImageThatTheListLacksIsNamedWithWhatWasWanted) {
  EXPECT_TRUE(judge(simulated("[tdx]\nimages = [\"mrtd=" + mrtd() + "\"]\n")).accepted);
  const Verdict other =
      judge(simulated("[tdx]\nimages = [\"mrtd=" + std::string(96, '1') + "\"]\n"));
  EXPECT_FALSE(other.accepted);
  EXPECT_THAT(check_of(other, "measurements").found, HasSubstr(mrtd()));
  EXPECT_THAT(check_of(other, "measurements").wanted, HasSubstr("policy names"));
}

TEST(PolicyVerdict, AModelsRuleHoldsForThatModelOnly) {
  const std::string toml = "[[model]]\nname = \"big\"\nweights = [\"" + std::string(64, '1') +
                           "\"]\n[[model]]\nname = \"small\"\nweights = [\"" + weights() + "\"]\n";
  EXPECT_TRUE(judge(simulated(toml), {}, "small").accepted);
  EXPECT_TRUE(judge(simulated(toml), {}, "other").accepted);
  const Verdict big = judge(simulated(toml), {}, "big");
  EXPECT_FALSE(big.accepted);
  EXPECT_EQ(status_of(big, "model"), CheckStatus::Failed);
  EXPECT_THAT(check_of(big, "model").found, HasSubstr(weights()));
  // Its level, too.
  const VerifyPolicy level = simulated("[[model]]\nname = \"big\"\nlevel_min = \"weights\"\n");
  EXPECT_TRUE(judge(level, {}, "small").accepted);
  EXPECT_EQ(check_of(judge(level, {}, "big"), "level").wanted, "weights or higher");
}

TEST(PolicyVerdict, SimulatedEvidenceReachesNoLevelWhateverIsKnown) {
  const std::string known = "[tdx]\nimages = [\"mrtd=" + mrtd() + "\"]\n";
  for (const char* level : {"image", "weights", "auditable"}) {
    const Verdict verdict = judge(simulated(fmt::format("level_min = \"{}\"\n", level) + known));
    EXPECT_FALSE(verdict.accepted);
    EXPECT_EQ(check_of(verdict, "level").found, "declared");
  }
  // Without leave it is refused, and by that name.
  const Verdict refused = judge(parse_verify_policy(known, "p"));
  EXPECT_FALSE(refused.accepted);
  EXPECT_EQ(status_of(refused, "simulated"), CheckStatus::Failed);
}

TEST(PolicyVerdict, AStatusPassesWithListedAdvisoriesOnly) {
  SimulatorOptions options;
  options.tcb_status = "SWHardeningNeeded";
  options.advisories = {"INTEL-SA-00001"};
  const Verdict refused = judge(simulated(""), options);
  const std::string status = "[tdx]\naccepted_tcb_statuses = [\"SWHardeningNeeded\"]\n";
  ASSERT_FALSE(refused.advisories.empty());
  EXPECT_FALSE(judge(simulated(status), options).accepted);
  EXPECT_THAT(check_of(judge(simulated(status), options), "tcb").found,
              HasSubstr(refused.advisories[0]));
  const auto listed = [&status](const std::string& advisory) {
    return simulated(status + "accepted_advisories = [\"" + advisory + "\"]\n");
  };
  EXPECT_FALSE(judge(listed("INTEL-SA-99999"), options).accepted);
  EXPECT_TRUE(judge(listed(refused.advisories[0]), options).accepted);
  EXPECT_TRUE(judge(listed("any"), options).accepted);
}

// ---- Exceptions ---------------------------------------------------------------------------------

std::string exception(const std::string& check, const std::string& found,
                      const std::string& until = "2026-10-01T00:00:00Z") {
  return fmt::format(
      "[[exception]]\ncheck = \"{}\"\nfound = \"{}\"\nuntil = \"{}\"\nreason = \"on the way\"\n",
      check, found, until);
}

TEST(PolicyException, IsShownInTheVerdictAndEndsIt) {
  SimulatorOptions options;
  options.tcb_status = "OutOfDate";
  const std::string found = check_of(judge(simulated(""), options), "tcb").found;
  const Verdict verdict = judge(simulated(exception("tcb", found)), options);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(status_of(verdict, "tcb"), CheckStatus::Excepted);
  EXPECT_THAT(explain(verdict), HasSubstr("EXCEPTED  tcb: " + found));
  EXPECT_THAT(explain(verdict), HasSubstr("until 2026-10-01T00:00:00Z: on the way"));
  EXPECT_THAT(summary(verdict), HasSubstr("EXCEPTED tcb"));
  EXPECT_THAT(to_json(verdict), HasSubstr("\"excepted\":[{\"check\":\"tcb\""));
  EXPECT_LE(verdict.holds_until, 1790812800);
}

TEST(PolicyException, TakesOnlyTheValueItNamesAndOnlyInItsTime) {
  SimulatorOptions options;
  options.tcb_status = "OutOfDate";
  const std::string found = check_of(judge(simulated(""), options), "tcb").found;
  EXPECT_FALSE(judge(simulated(exception("tcb", found + " ")), options).accepted);
  EXPECT_FALSE(judge(simulated(exception("tcb", "OutOfDate")), options).accepted);
  EXPECT_FALSE(judge(simulated(exception("abi", found)), options).accepted);
  const Verdict ended = judge(simulated(exception("tcb", found, "2026-09-20T00:00:00Z")), options);
  EXPECT_FALSE(ended.accepted);
  EXPECT_THAT(check_of(ended, "tcb").note, HasSubstr("exception ended 2026-09-20"));
}

TEST(PolicyException, NeverTakesRevoked) {
  SimulatorOptions options;
  options.tcb_status = "Revoked";
  const std::string found = check_of(judge(simulated(""), options), "tcb").found;
  EXPECT_THAT(found, StartsWith("Revoked"));
  EXPECT_FALSE(judge(simulated(exception("tcb", found)), options).accepted);
}

// ---- Freshness ----------------------------------------------------------------------------------

TEST(PolicyFreshness, EvidenceMustBeOverARecentBeaconWhenThePolicyAsks) {
  VerifyPolicy policy = simulated("[freshness]\nrequire_beacon = true\nbeacon_age_s_max = 60\n");
  EXPECT_EQ(status_of(judge(policy), "freshness"), CheckStatus::Failed);
  const auto with = [&policy](const Nonce& id, UnixTime at) {
    policy.tdx.acceptance.beacons = {{id, at}};
    return judge(policy);
  };
  const Nonce nonce = attestation::test::statement().nonce;
  const Verdict fresh = with(nonce, kNow - 60);
  EXPECT_TRUE(fresh.accepted) << explain(fresh);
  EXPECT_EQ(fresh.holds_until, kNow);
  EXPECT_FALSE(with(nonce, kNow - 61).accepted);
  EXPECT_TRUE(with(nonce, kNow + kClockSkewS).accepted);
  EXPECT_FALSE(with(nonce, kNow + kClockSkewS + 1).accepted);
  EXPECT_FALSE(with(Nonce{}, kNow).accepted);
}

// ---- Until when ---------------------------------------------------------------------------------

TEST(PolicyVerdict, HoldsUntilItsFirstPartEnds) {
  const Verdict verdict = judge(simulated(""));
  EXPECT_GE(verdict.holds_until, kNow);
  EXPECT_LE(verdict.holds_until, attestation::test::statement().encryption_key_expires_at);
  // A second later the same evidence is refused.
  const Simulator sim = attestation::test::simulator();
  const auto at = [&](UnixTime now) {
    return verify(attestation::test::sound_evidence(sim), attestation::test::statement(),
                  attestation::test::roots_of(sim), now, simulated("").tdx);
  };
  EXPECT_TRUE(at(verdict.holds_until).accepted);
  EXPECT_FALSE(at(verdict.holds_until + 1).accepted);

  const SnpSimulator snp = attestation::test::snp_simulator();
  const auto snp_at = [&](UnixTime now) {
    return verify_snp(attestation::test::snp_evidence(snp),
                      TrustRoots::with_test_root(snp.root_der()).value(), now, simulated("").snp);
  };
  const UnixTime end = snp_at(kNow).holds_until;
  EXPECT_LT(end, kForever);
  EXPECT_TRUE(snp_at(end).accepted);
  EXPECT_FALSE(snp_at(end + 1).accepted);
}

}  // namespace
}  // namespace nostril::client
