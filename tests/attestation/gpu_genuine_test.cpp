// Reports of real GPUs with NVIDIA's certificates and reference values, from the shared vectors:
// every case of nvidia/cases.json, at a moment when all manifests are past their first day.
#include "attestation/gpu_certificates.h"
#include "attestation/gpu_verify.h"
#include "base/hex.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/attestation/mutation.h"
#include "tests/attestation/vector_case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

constexpr const char* kCases = "vectors/attestation/nvidia/cases.json";
constexpr UnixTime kThen = 1770000000;  // 2026-02-02

Bytes read_gpu(std::string_view name) {
  return test::read_vector_bytes("nvidia/" + std::string(name));
}

/// Manifests of a case, in the order of the members.
std::vector<Bytes> case_rims(const Json& item) {
  std::vector<Bytes> out;
  for (const char* member : {"driver_rim", "vbios_rim"}) {
    if (const auto file = item.find_string(member)) out.push_back(read_gpu(*file));
  }
  return out;
}

GpuEvidence case_evidence(const Json& item) {
  return {test::patched(read_gpu(*item.find_string("report")), item.find("report_patch")),
          read_gpu(*item.find_string("chain"))};
}

Verdict judge_case(const Json& item, GpuPolicy policy) {
  policy.nonce = decode_hex(*item.find_string("nonce")).value();
  const std::vector<GpuEvidence> gpus = {case_evidence(item)};
  const std::vector<Bytes> rims = case_rims(item);
  return verify_gpus({gpus, rims, TrustRoots::vendors(), kThen, policy});
}

/// What can be taken away without a forgery: what the vectors have no data for.
GpuPolicy lenient() {
  GpuPolicy out;
  out.allow_missing_rims = true;
  out.allow_missing_fwid = true;
  out.allow_unchecked_switches = true;
  return out;
}

/// The check that must refuse, by the error class of the vectors.
std::string check_for(std::string_view error) {
  static const std::map<std::string, std::string, std::less<>> kChecks = {
      {"report signature", "gpu_signature"},
      {"nonce", "gpu_nonce"},
      {"issuer mismatch 0", "gpu_chain"},
  };
  const auto found = kChecks.find(error);
  return found == kChecks.end() ? std::string() : found->second;
}

std::vector<std::int64_t> integers(const Json* list) {
  std::vector<std::int64_t> out;
  if (list == nullptr) return out;
  for (const Json& item : list->items()) out.push_back(*item.integer());
  return out;
}

/// What the report says of itself.
void expect_claims(const Json& expect, const Verdict& verdict, const std::string& id) {
  for (const char* name :
       {"driver", "vbios", "driver_rim_id", "vbios_rim_id", "nonce", "nvdec0", "protected_pcie"}) {
    const Claim* claim = verdict.claim(name);
    const auto found =
        claim ? std::optional<std::string_view>(std::get<std::string>(claim->value)) : std::nullopt;
    EXPECT_EQ(found, expect.find_string(name)) << id << " " << name;
  }
  for (const char* name : {"opaque_version", "feature_flag", "measurement_blocks"}) {
    const Claim* claim = verdict.claim(name);
    const auto found = claim ? std::optional(std::get<std::int64_t>(claim->value)) : std::nullopt;
    EXPECT_EQ(found, expect.find_integer(name)) << id << " " << name;
  }
}

/// Those of the case, by the reference values; the vectors count what the manifests at hand cover.
void expect_references(const Json& expect, const Verdict& verdict, const std::string& id) {
  const Claim* count = verdict.claim("rim_checked");
  if (const auto wanted = expect.find_integer("rim_checked")) {
    ASSERT_NE(count, nullptr) << id;
    EXPECT_EQ(std::get<std::int64_t>(count->value), wanted) << id;
  }
  const auto mismatches = integers(expect.find("rim_mismatch_indices"));
  const Check* check = verdict.find("gpu_measurements");
  EXPECT_EQ(check->status == CheckStatus::Failed, !mismatches.empty()) << id;
  if (mismatches.empty()) return;
  EXPECT_TRUE(check->found.ends_with(fmt::format("mismatch at {}", fmt::join(mismatches, ", "))))
      << id << ": " << check->found;
}

TEST(GenuineGpu, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kCases);
  const Json cases = test::read_vector_json("nvidia/cases.json");
  int count = 0;
  for (const Json& item : cases.find("gpu")->items()) {
    const std::string id(*item.find_string("id"));
    const Json& expect = *item.find("expect");
    const Verdict verdict = judge_case(item, lenient());
    const Verdict strict = judge_case(item, GpuPolicy{});
    fmt::print("{:36} {:8} by default {:8} {}\n", id, verdict.accepted ? "accepted" : "refused",
               strict.accepted ? "accepted" : "refused", test::why(verdict));
    const bool matches = integers(expect.find("rim_mismatch_indices")).empty();
    EXPECT_EQ(verdict.accepted, *expect.find_boolean("ok") && matches) << id << explain(verdict);
    EXPECT_EQ(strict.accepted, id == "h100-550.90.07") << id << "\n" << explain(strict);
    EXPECT_FALSE(verdict.simulated) << id;
    if (const auto error = expect.find_string("error")) {
      EXPECT_EQ(test::status_of(verdict, check_for(*error)), CheckStatus::Failed) << id;
    } else {
      expect_claims(expect, verdict, id);
      expect_references(expect, verdict, id);
    }
    ++count;
  }
  EXPECT_GE(count, 20);
}

struct Genuine {
  std::vector<GpuEvidence> gpus = {
      {read_gpu("reports/h100-550.90.07.bin"), read_gpu("chains/h100-550.90.07.pem")}};
  std::vector<Bytes> rims = {read_gpu("rims/NV_GPU_DRIVER_GH100_550.90.07.xml"),
                             read_gpu("rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml")};

  [[nodiscard]] Verdict judge(const GpuPolicy& policy = {}, UnixTime now = kThen,
                              const TrustRoots& roots = TrustRoots::vendors()) const {
    return verify_gpus({gpus, rims, roots, now, policy});
  }
};

TEST(GenuineGpu, IsMeasuredWhenItsReferenceValuesMatch) {
  REQUIRE_SHARED(kCases);
  GpuPolicy policy;
  policy.level_min = Level::ImageMeasured;
  policy.driver_min = "550.90";
  const Verdict verdict = Genuine().judge(policy);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(verdict.level, Level::ImageMeasured);
  EXPECT_EQ(std::get<std::string>(verdict.claim("ueid")->value),
            "478176379286082186618948445787393647364802107249");
  policy.driver_min = "550.100";
  EXPECT_EQ(test::status_of(Genuine().judge(policy), "gpu_driver"), CheckStatus::Failed);
}

TEST(GenuineGpu, NeedsBothManifests) {
  REQUIRE_SHARED(kCases);
  for (const std::size_t left_out : {0U, 1U}) {
    Genuine genuine;
    genuine.rims.erase(genuine.rims.begin() + static_cast<std::ptrdiff_t>(left_out));
    const Verdict verdict = genuine.judge();
    EXPECT_FALSE(verdict.accepted);
    EXPECT_EQ(test::status_of(verdict, left_out == 0 ? "gpu_driver_rim" : "gpu_vbios_rim"),
              CheckStatus::NotChecked);
    EXPECT_EQ(test::status_of(verdict, "gpu_measurements"), CheckStatus::NotChecked);
  }
  Genuine genuine;
  genuine.rims.push_back({'x'});
  EXPECT_EQ(test::status_of(genuine.judge(), "gpu_rims"), CheckStatus::Failed);
}

TEST(GenuineGpu, ManifestsOfExpiredSignersAreThePolicysMatter) {
  REQUIRE_SHARED(kCases);
  constexpr UnixTime kLater = 1785000000;  // 2026-07-25: the driver's signer ended in June
  GpuPolicy policy;
  EXPECT_TRUE(Genuine().judge(policy, kLater).accepted);
  policy.refuse_expired_rims = true;
  EXPECT_TRUE(Genuine().judge(policy, kThen).accepted);
  const Verdict verdict = Genuine().judge(policy, kLater);
  EXPECT_EQ(test::status_of(verdict, "driver_rim_signer"), CheckStatus::Failed);
  EXPECT_EQ(test::status_of(verdict, "gpu_driver_rim"), CheckStatus::Failed);
}

TEST(GenuineGpu, RootsOfOnePurposeDoNotServeTheOther) {
  REQUIRE_SHARED(kCases);
  const Verdict device = Genuine().judge({}, kThen, TrustRoots::nvidia_devices());
  EXPECT_EQ(test::status_of(device, "gpu_chain"), CheckStatus::Passed);
  EXPECT_EQ(device.find("driver_rim_chain")->found, "root not trusted");
  const Verdict manifests = Genuine().judge({}, kThen, TrustRoots::nvidia_manifests());
  EXPECT_EQ(manifests.find("gpu_chain")->found, "root not trusted");
  const auto test_root = test::roots_of(test::gpu_simulator());
  EXPECT_FALSE(Genuine().judge(test::simulated_gpu_policy(), kThen, test_root).accepted);
}

TEST(GenuineGpu, TheSameGpuTwiceIsRefused) {
  REQUIRE_SHARED(kCases);
  Genuine genuine;
  genuine.gpus.push_back(genuine.gpus.front());
  const Verdict verdict = genuine.judge();
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(test::status_of(verdict, "gpu_distinct"), CheckStatus::Failed);
}

TEST(GenuineGpu, NoByteOfAReportMayChange) {
  REQUIRE_SHARED(kCases);
  Genuine genuine;
  genuine.rims.clear();
  const GpuPolicy policy = lenient();
  ASSERT_TRUE(genuine.judge(policy).accepted);
  Bytes& report = genuine.gpus[0].report;
  for (const std::size_t at : test::mutation_places(report.size(), 500)) {
    const auto bit = static_cast<std::uint8_t>(1U << (at % 8));
    report[at] ^= bit;
    ASSERT_FALSE(genuine.judge(policy).accepted) << "byte " << at;
    report[at] ^= bit;
  }
  EXPECT_EQ(report.size(), 4117U);
}

TEST(GenuineGpu, NoByteOfAChainMayChange) {
  REQUIRE_SHARED(kCases);
  Genuine genuine;
  genuine.rims.clear();
  const GpuPolicy policy = lenient();
  genuine.gpus[0].chain = join_chain(parse_gpu_chain(genuine.gpus[0].chain).value());
  ASSERT_TRUE(genuine.judge(policy).accepted);
  Bytes& chain = genuine.gpus[0].chain;
  for (const std::size_t at : test::mutation_places(chain.size(), 500)) {
    const auto bit = static_cast<std::uint8_t>(1U << (at % 8));
    chain[at] ^= bit;
    ASSERT_FALSE(genuine.judge(policy).accepted) << "byte " << at;
    chain[at] ^= bit;
  }
}

}  // namespace
}  // namespace nostril::attestation
