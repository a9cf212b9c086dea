// Reports of real machines with AMD's certificates, from the shared vectors: every case of
// snp/cases.json, at the clock the case gives.
#include "attestation/snp_verify.h"
#include "base/hex.h"
#include "tests/attestation/mutation.h"
#include "tests/attestation/snp_fixtures.h"
#include "tests/attestation/vector_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

constexpr const char* kCases = "vectors/attestation/snp/cases.json";

SnpEvidence case_evidence(const Json& item) {
  SnpEvidence out;
  out.report =
      test::patched(test::read_vector_bytes("snp/" + std::string(*item.find_string("report"))),
                    item.find("report_patch"));
  out.certificates.vek = test::read_vector_bytes("snp/" + std::string(*item.find_string("vcek")));
  out.certificates.chain = test::read_vector("snp/" + std::string(*item.find_string("ask"))) +
                           test::read_vector("snp/" + std::string(*item.find_string("ark")));
  return out;
}

SnpEvidence dstack() {
  SnpEvidence out;
  out.report = test::read_vector_bytes("snp/milan-v3-dstack.report.bin");
  out.certificates.vek = test::read_vector_bytes("snp/milan-v3-dstack.vcek.der");
  return out;
}

constexpr UnixTime kDstackNow = 1782864000;

struct Reason {
  std::string check;
  std::string found;  ///< empty: any
};

/// What must refuse, by the error class of the vectors.
Reason reason_for(std::string_view error) {
  static const std::map<std::string, Reason, std::less<>> kReasons = {
      {"debug_not_allowed", {"debug", "policy 0xb0000"}},
      {"report_signature", {"report_signature", "report signature"}},
      {"chain_broken", {"vek_chain", "certificate not signed by its issuer"}},
      {"cert_not_valid_at_time", {"vek_chain", "certificate not yet valid"}},
  };
  const auto found = kReasons.find(error);
  return found == kReasons.end() ? Reason{} : found->second;
}

std::string text_of(const Verdict& verdict, std::string_view name) {
  const Claim* claim = verdict.claim(name);
  return claim == nullptr ? std::string() : std::get<std::string>(claim->value);
}

std::int64_t number_of(const Verdict& verdict, std::string_view name) {
  const Claim* claim = verdict.claim(name);
  return claim == nullptr ? -1 : std::get<std::int64_t>(claim->value);
}

void expect_claims(const Json& expect, const Verdict& verdict, const std::string& id) {
  for (const char* name : {"product", "measurement", "report_data", "host_data", "policy",
                           "platform_info", "chip_id"}) {
    EXPECT_EQ(text_of(verdict, name), expect.find_string(name)) << id << " " << name;
  }
  EXPECT_EQ(number_of(verdict, "report_version"), expect.find_integer("report_version")) << id;
  for (const auto& [part, value] : expect.find("tcb")->members()) {
    EXPECT_EQ(number_of(verdict, "tcb." + part), value.integer()) << id << " " << part;
  }
}

TEST(GenuineSnp, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kCases);
  const Json cases = test::read_vector_json("snp/cases.json");
  int count = 0;
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const Verdict verdict =
        verify_snp(case_evidence(item), TrustRoots::amd(), *item.find_integer("now"), SnpPolicy{});
    const Json& expect = *item.find("expect");
    fmt::print("{:34} {:8} {}\n", id, verdict.accepted ? "accepted" : "refused",
               test::why(verdict));
    EXPECT_EQ(verdict.accepted, expect.find_boolean("ok")) << id << "\n" << explain(verdict);
    EXPECT_FALSE(verdict.simulated) << id;
    if (verdict.accepted) {
      expect_claims(expect, verdict, id);
    } else {
      const Reason reason = reason_for(*expect.find_string("error"));
      const Check* check = verdict.find(reason.check);
      ASSERT_NE(check, nullptr) << id;
      EXPECT_EQ(check->status, CheckStatus::Failed) << id << "\n" << explain(verdict);
      EXPECT_EQ(check->found, reason.found) << id;
    }
    ++count;
  }
  EXPECT_GE(count, 14);
}

TEST(GenuineSnp, NeedsNoFileButTheVcek) {
  REQUIRE_SHARED(kCases);
  EXPECT_TRUE(verify_snp(dstack(), TrustRoots::amd(), kDstackNow, SnpPolicy{}).accepted);
}

TEST(GenuineSnp, ListsOfMeasurementsRaiseTheLevel) {
  REQUIRE_SHARED(kCases);
  SnpPolicy policy;
  policy.allowed_measurements = {parse_snp_report(dstack().report)->measurement};
  policy.level_min = Level::ImageMeasured;
  // HOST_DATA names the application that this image starts.
  const Verdict open = verify_snp(dstack(), TrustRoots::amd(), kDstackNow, policy);
  EXPECT_FALSE(open.accepted);
  EXPECT_TRUE(refuses(*open.find("open_registers")));
  policy.allowed_host_data = {parse_snp_report(dstack().report)->host_data};
  const Verdict verdict = verify_snp(dstack(), TrustRoots::amd(), kDstackNow, policy);
  EXPECT_EQ(verdict.level, Level::ImageMeasured) << explain(verdict);
}

TEST(GenuineSnp, IsRefusedWhenOnlyTheTestRootIsTrusted) {
  REQUIRE_SHARED(kCases);
  const TrustRoots roots = test::roots_of(test::snp_simulator());
  const Verdict verdict = verify_snp(dstack(), roots, kDstackNow, test::simulated_snp_policy());
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.find("vek_chain")->found, "root not trusted");
}

TEST(GenuineSnp, ReadsTheTurinCertificate) {
  REQUIRE_SHARED("vectors/attestation/snp/turin.vcek.der");
  const auto certificate = parse_certificate(test::read_vector_bytes("snp/turin.vcek.der"));
  ASSERT_TRUE(certificate.has_value());
  const auto extensions = vek_extensions(*certificate, SnpSigner::Vcek);
  ASSERT_TRUE(extensions.has_value());
  EXPECT_EQ(extensions->product, SnpProduct::Turin);
  EXPECT_EQ(extensions->hwid.size(), 8U);
  EXPECT_EQ(extensions->tcb.microcode, 9);
  EXPECT_FALSE(vek_extensions(*certificate, SnpSigner::Vlek).has_value());
}

TEST(GenuineSnp, NoBitOfAReportMayChange) {
  REQUIRE_SHARED(kCases);
  const SnpEvidence sound = dstack();
  const TrustRoots roots = TrustRoots::amd();
  const SnpPolicy policy;
  for (const std::size_t bit : test::mutation_places(8 * sound.report.size(), 2000)) {
    SnpEvidence evidence = sound;
    evidence.report[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    const Verdict verdict = verify_snp(evidence, roots, kDstackNow, policy);
    ASSERT_FALSE(verdict.accepted) << "bit " << bit;
  }
}

}  // namespace
}  // namespace nostril::attestation
