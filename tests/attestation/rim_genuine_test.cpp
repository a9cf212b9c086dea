// NVIDIA's own manifests, from the shared vectors: every one of nvidia/cases.json.
#include "attestation/rim.h"
#include "attestation/xml_signature.h"
#include "base/base64.h"
#include "schnorr/hash.h"
#include "tests/attestation/mutation.h"
#include "tests/attestation/rim_fixtures.h"
#include "tests/attestation/vector_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

constexpr const char* kCases = "vectors/attestation/nvidia/cases.json";
constexpr const char* kDriver = "NV_GPU_DRIVER_GH100_550.90.07";
constexpr const char* kVbios = "NV_GPU_VBIOS_1010_0200_882_96009F0001";
constexpr UnixTime kNow = 1735603200;            // 2024-12-31, within nearly every signer's life
constexpr UnixTime kVbiosNow = 1769904000;       // 2026-02-01
constexpr UnixTime kDriverExpired = 1780279710;  // a second after the driver's signer

Bytes rim(const std::string& name) {
  return test::read_vector_bytes("nvidia/rims/" + name + ".xml");
}

test::RimVerdict judge(ByteSpan bytes, UnixTime now = kNow, const RimPolicy& policy = {}) {
  return test::judge_rim(bytes, RimKind::Driver, TrustRoots::nvidia_manifests(), now, policy);
}

/// The check that must fail, by the vectors' words.
std::string check_for(std::string_view error) {
  if (error == "signature") return "signature";
  if (error == "digest mismatch") return "digest";
  return error.starts_with("root mismatch") ? "chain" : "unknown";
}

RimKind kind_of_file(std::string_view name) {
  return name.find("DRIVER") == std::string_view::npos ? RimKind::Vbios : RimKind::Driver;
}

std::vector<std::int64_t> indices(const Rim& rim) {
  std::vector<std::int64_t> out;
  for (const RimMeasurement& item : rim.measurements) out.push_back(item.index);
  return out;
}

std::vector<std::int64_t> wanted_indices(const Json& expect) {
  std::vector<std::int64_t> out;
  for (const Json& index : expect.find("active_indices")->items()) out.push_back(*index.integer());
  return out;
}

/// A moment at which the case's signer is valid.
UnixTime moment(const Json& expect) {
  const auto from = expect.find_string("valid_from");
  return from && from->starts_with("2026") ? kVbiosNow : kNow;
}

std::string why(const Verdict& verdict) {
  for (const Check& check : verdict.checks) {
    if (check.status == CheckStatus::Failed)
      return fmt::format("{} ({:.40})", check.name, check.found);
  }
  return {};
}

TEST(GenuineRim, EveryManifestOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kCases);
  const Json cases = test::read_vector_json("nvidia/cases.json");
  int count = 0;
  for (const Json& item : cases.find("rim")->items()) {
    const std::string name(*item.find_string("rim"));
    const Json& expect = *item.find("expect");
    const RimKind kind = kind_of_file(name);
    const auto judged = test::judge_rim(test::read_vector_bytes("nvidia/" + name), kind,
                                        TrustRoots::nvidia_manifests(), moment(expect));
    fmt::print("{:62} {:8} {}\n", name, judged.verified ? "accepted" : "refused",
               why(judged.verdict));
    EXPECT_EQ(judged.verified.has_value(), expect.find_boolean("ok")) << explain(judged.verdict);
    EXPECT_EQ(judged.verdict.accepted, judged.verified.has_value());
    if (judged.verified) {
      const Rim& found = judged.verified->rim;
      EXPECT_EQ(found.version, expect.find_string("colloquialVersion"));
      EXPECT_EQ(found.product, expect.find_string("product"));
      EXPECT_EQ(indices(found), wanted_indices(expect));
      EXPECT_EQ(found.kind, kind);
      EXPECT_EQ(judged.verified->root_class, TrustRoots::Class::Genuine);
    } else {
      const std::string check =
          fmt::format("{}_rim_{}", to_string(kind), check_for(*expect.find_string("error")));
      ASSERT_NE(judged.verdict.find(check), nullptr) << check;
      EXPECT_EQ(judged.check(check).status, CheckStatus::Failed) << explain(judged.verdict);
    }
    ++count;
  }
  EXPECT_EQ(count, 11);
}

TEST(GenuineRim, ReadsEveryAlternative) {
  REQUIRE_SHARED(kCases);
  const auto found = parse_rim(rim(kDriver));
  ASSERT_TRUE(found.has_value());
  std::size_t alternatives = 0;
  for (const RimMeasurement& item : found->measurements) alternatives += item.accepted.size();
  EXPECT_EQ(found->measurements.size(), 21U);
  EXPECT_GT(alternatives, 21U);
  ASSERT_NE(found->find(7), nullptr);
  EXPECT_EQ(encode_hex(found->find(7)->accepted.at(0)).substr(0, 16), "80161aac5e7509f0");
  EXPECT_EQ(found->find(6), nullptr);  // listed, not active
  EXPECT_EQ(found->manufacturer, kNvidia);
}

TEST(GenuineRim, IsRefusedWhenItsSignerIsNotYetValid) {
  REQUIRE_SHARED(kCases);
  const auto judged = judge(rim(kDriver), 1717207708);  // a second before
  EXPECT_FALSE(judged.verified.has_value());
  EXPECT_EQ(judged.check("driver_rim_chain").found, "certificate not yet valid");
  EXPECT_TRUE(judge(rim(kDriver), 1717207709).verified.has_value());
}

TEST(GenuineRim, IsTakenAfterItsSignerExpiredUnlessThePolicySaysNo) {
  REQUIRE_SHARED(kCases);
  const auto taken = judge(rim(kDriver), kDriverExpired);
  ASSERT_TRUE(taken.verified.has_value()) << explain(taken.verdict);
  EXPECT_TRUE(taken.verified->signer_expired);
  EXPECT_EQ(taken.check("driver_rim_signer").found, "expired, valid until 2026-06-01T02:08:29Z");
  EXPECT_FALSE(judge(rim(kDriver), kDriverExpired - 1).verified->signer_expired);

  const RimPolicy strict{true};
  const auto refused = judge(rim(kDriver), kDriverExpired, strict);
  EXPECT_FALSE(refused.verified.has_value());
  EXPECT_EQ(refused.check("driver_rim_signer").status, CheckStatus::Failed);
  EXPECT_TRUE(judge(rim(kDriver), kDriverExpired - 1, strict).verified.has_value());
}

TEST(GenuineRim, IsRefusedAsTheOtherKind) {
  REQUIRE_SHARED(kCases);
  const auto judged = judge(rim(kVbios), kVbiosNow);
  EXPECT_FALSE(judged.verified.has_value());
  EXPECT_EQ(judged.check("driver_rim_format").found, "manifest of vbios 96.00.9F.00.01 for GH100");
}

TEST(GenuineRim, IsRefusedUnderTheRootsOfOthers) {
  REQUIRE_SHARED(kCases);
  const auto judged =
      test::judge_rim(rim(kDriver), RimKind::Driver, TrustRoots::nvidia_service(), kNow);
  EXPECT_EQ(judged.check("driver_rim_chain").found, "root not trusted");
}

TEST(GenuineRim, MayHaveTheLineEndsOfAnotherSystem) {
  REQUIRE_SHARED(kCases);
  Bytes text;
  for (const std::uint8_t byte : rim(kDriver)) {
    if (byte == '\n') text.push_back('\r');
    text.push_back(byte);
  }
  EXPECT_TRUE(judge(text).verified.has_value());
}

/// NVIDIA's answer around a manifest.
std::string answer(std::string_view id, ByteSpan xml, std::string_view digest) {
  JsonWriter json;
  json.begin_object().key("id").string(id).key("rim").string(encode_base64(xml));
  json.key("sha256").string(digest).key("request_id").string("1").end_object();
  return std::move(json).take();
}

TEST(GenuineRim, ComesInTheAnswerOfNvidiasService) {
  REQUIRE_SHARED(kCases);
  const Bytes xml = rim(kDriver);
  const std::string digest = encode_hex(sha256(xml));
  const auto judged = judge(as_bytes(answer(kDriver, xml, digest)));
  ASSERT_TRUE(judged.verified.has_value()) << explain(judged.verdict);
  EXPECT_EQ(judged.verified->rim.id, kDriver);
  const std::string other = encode_hex(sha256(encode_base64(xml)));
  EXPECT_TRUE(parse_rim(as_bytes(answer(kDriver, xml, other))).has_value());

  const std::string wrong(64, '0');
  const auto error = [](const std::string& text) { return parse_rim(as_bytes(text)).error(); };
  EXPECT_EQ(error(answer(kDriver, xml, wrong)), RimError::BadAnswer);
  EXPECT_EQ(error(answer("", xml, digest)), RimError::BadAnswer);
  EXPECT_EQ(error(answer(kVbios, xml, digest)), RimError::BadId);
  EXPECT_EQ(error(answer("NV_GPU_DRIVER_GH100_550.90.08", xml, digest)), RimError::BadId);
  EXPECT_EQ(error("{}"), RimError::BadAnswer);
  EXPECT_EQ(error("{"), RimError::BadAnswer);
}

/// One bit of a byte, another one from byte to byte: all bits would take minutes.
TEST(GenuineRim, NoByteMayChange) {
  REQUIRE_SHARED(kCases);
  const Bytes sound = rim(kDriver);
  ASSERT_TRUE(judge(sound).verified.has_value());
  std::map<std::string, std::size_t> refusals;
  const auto places = test::mutation_places(sound.size(), 1000);
  for (const std::size_t at : places) {
    Bytes changed = sound;
    changed[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
    const auto judged = judge(changed);
    ASSERT_FALSE(judged.verified.has_value()) << "byte " << at;
    for (const Check& check : judged.verdict.checks) {
      if (check.status == CheckStatus::Failed) ++refusals[check.name];
    }
  }
  std::size_t count = 0;
  for (const auto& [name, times] : refusals) {
    fmt::print("{:24} {}\n", name, times);
    count += times;
  }
  EXPECT_EQ(count, places.size());
}

}  // namespace
}  // namespace nostril::attestation
