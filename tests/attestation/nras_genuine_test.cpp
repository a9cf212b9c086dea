// Answers of NVIDIA's attestation service, from the shared vectors: every case of nras/cases.json
// and the files beside it, at the clock the case gives.
#include "attestation/nras.h"
#include "base/hex.h"
#include "tests/attestation/mutation.h"
#include "tests/attestation/vector_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace nostril::attestation {
namespace {

constexpr const char* kCases = "vectors/attestation/nras/cases.json";
constexpr UnixTime kNow = 1782698888;  // of tinfoil-1gpu
constexpr const char* kNonce = "080c405ce6789e1761445180029523df3ae49576043f7f0868413a38e5e9a84e";

std::string read(const std::string& name) {
  return test::read_vector("nras/" + name);
}

NrasEvidence tinfoil() {
  return {read("tinfoil-1gpu.json"), read("tinfoil-1gpu.jwks.json")};
}

NrasPolicy with_nonce(std::string_view hex) {
  NrasPolicy out;
  out.nonce = decode_hex(hex).value();
  return out;
}

Verdict judge(const NrasEvidence& evidence, const NrasPolicy& policy, UnixTime now = kNow) {
  return verify_nras(evidence, TrustRoots::nvidia_service(), now, policy);
}

std::string why(const Verdict& verdict) {
  std::string out;
  for (const Check& check : verdict.checks) {
    if (check.status != CheckStatus::Failed) continue;
    out += fmt::format("{}{} ({:.44})", out.empty() ? "" : ", ", check.name, check.found);
  }
  return out;
}

void print(const std::string& id, const Verdict& verdict) {
  fmt::print("{:34} {:8} {}\n", id, verdict.accepted ? "accepted" : "refused", why(verdict));
}

std::string text_of(const Verdict& verdict, const std::string& name) {
  const Claim* claim = verdict.claim(name);
  return claim == nullptr ? std::string() : std::get<std::string>(claim->value);
}

void expect_claims(const Json& expect, const Verdict& verdict, const std::string& id) {
  EXPECT_EQ(text_of(verdict, "eat_nonce"), expect.find_string("eat_nonce")) << id;
  const std::map<std::string, std::string> names = {{"hwmodel", "model"},
                                                    {"ueid", "ueid"},
                                                    {"measres", "measurements"},
                                                    {"dbgstat", "debug"},
                                                    {"x-nvidia-gpu-driver-version", "driver"},
                                                    {"x-nvidia-gpu-vbios-version", "vbios"},
                                                    {"error", "error"}};
  for (const auto& [device, fields] : expect.find("devices")->members()) {
    for (const auto& [field, value] : fields.members()) {
      if (!names.contains(field)) continue;  // secboot: a check
      EXPECT_EQ(text_of(verdict, device + "." + names.at(field)), value.string()) << id << field;
    }
  }
}

TEST(GenuineNras, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kCases);
  const Json cases = test::read_vector_json("nras/cases.json");
  int count = 0;
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const Json& expect = *item.find("expect");
    const NrasEvidence evidence{read(std::string(*item.find_string("response"))),
                                read(std::string(*item.find_string("jwks")))};
    const Verdict verdict =
        judge(evidence, with_nonce(*item.find_string("expected_nonce")), *item.find_integer("now"));
    print(id, verdict);
    EXPECT_EQ(verdict.accepted, expect.find_string("verdict") == "accept") << explain(verdict);
    EXPECT_FALSE(verdict.simulated);
    EXPECT_EQ(verdict.find("signatures")->status, CheckStatus::Passed) << id;
    EXPECT_EQ(verdict.find("submodules")->status, CheckStatus::Passed) << id;
    EXPECT_EQ(verdict.find("overall_result")->status == CheckStatus::Passed,
              expect.find_boolean("overall"))
        << id;
    expect_claims(expect, verdict, id);
    ++count;
  }
  EXPECT_EQ(count, 5);
}

TEST(GenuineNras, TokensWithoutTheirKeySetAreRefused) {
  REQUIRE_SHARED(kCases);
  const std::vector<std::pair<std::string, UnixTime>> files = {
      {"near-2025-10-ppcie", 1759800515},
      {"near-2025-10", 1759774037},
      {"nvidia-sdk-v3-claims", 1749601863}};
  for (const auto& [name, now] : files) {
    const Verdict verdict = judge(
        {read("no-jwks/" + name + ".json"), read("tinfoil-1gpu.jwks.json")}, NrasPolicy{}, now);
    print("no-jwks/" + name, verdict);
    EXPECT_FALSE(verdict.accepted);
    EXPECT_EQ(verdict.find("key")->found, "key not in the set");
    // All that does not need the key is sound: also in the claims of version 3.
    for (const char* check : {"validity", "submodules", "overall_result", "device_results"}) {
      EXPECT_EQ(verdict.find(check)->status, CheckStatus::Passed) << name << explain(verdict);
    }
  }
}

TEST(GenuineNras, UnsignedTokensOfALocalVerifierAreRefused) {
  REQUIRE_SHARED(kCases);
  const std::string file = read("alg-none/dstack-gpu_attestation_h100.json");
  const std::string jwks = read("tinfoil-1gpu.jwks.json");
  const Verdict whole = judge({file, jwks}, NrasPolicy{});
  print("alg-none/dstack (whole file)", whole);
  EXPECT_FALSE(whole.accepted);
  EXPECT_EQ(whole.find("token_format")->found, "not an answer of NRAS");
  const Json json = Json::parse(file).value();
  const Verdict inner = judge({json.find("detached_eat")->dump(), jwks}, NrasPolicy{}, 1784207863);
  print("alg-none/dstack (its tokens)", inner);
  EXPECT_FALSE(inner.accepted);
  EXPECT_EQ(inner.find("token_algorithm")->status, CheckStatus::Failed);
}

TEST(GenuineNras, HoldsOnlyForItsHourItsNonceAndItsKeys) {
  REQUIRE_SHARED(kCases);
  const NrasPolicy policy = with_nonce(kNonce);
  const auto failed = [&](const NrasEvidence& evidence, const NrasPolicy& used, UnixTime now) {
    return why(judge(evidence, used, now));
  };
  EXPECT_EQ(failed(tinfoil(), policy, kNow), "");
  EXPECT_EQ(failed(tinfoil(), policy, 1782698883), "");  // iat
  EXPECT_EQ(failed(tinfoil(), policy, 1782702483), "");  // exp
  EXPECT_TRUE(failed(tinfoil(), policy, 1782698882).starts_with("validity"));
  EXPECT_TRUE(failed(tinfoil(), policy, 1782702484).starts_with("validity"));
  NrasPolicy fresh = policy;
  fresh.age_s_max = 4;
  EXPECT_TRUE(failed(tinfoil(), fresh, kNow).starts_with("validity"));

  EXPECT_TRUE(failed(tinfoil(), with_nonce(std::string(64, '0')), kNow).starts_with("nonce"));
  NrasEvidence other = tinfoil();
  other.key_set = read("venice-8gpu.jwks.json");
  EXPECT_EQ(failed(other, policy, kNow), "key (key not in the set)");
  const Verdict wrong_root = verify_nras(tinfoil(), TrustRoots::nvidia_manifests(), kNow, policy);
  EXPECT_EQ(wrong_root.find("key_chain")->found, "root not trusted");
}

TEST(GenuineNras, ListsOfModelsAndDevicesNarrowWhatIsTaken) {
  REQUIRE_SHARED(kCases);
  NrasPolicy policy = with_nonce(kNonce);
  policy.allowed_models = {"GH100"};
  policy.allowed_devices = {"645491728318197586580044110930866076104639838622"};
  EXPECT_TRUE(judge(tinfoil(), policy).accepted);
  policy.allowed_models = {"GB100"};
  EXPECT_EQ(judge(tinfoil(), policy).find("models")->status, CheckStatus::Failed);
  policy.allowed_models.clear();
  policy.allowed_devices = {"1"};
  EXPECT_EQ(judge(tinfoil(), policy).find("devices")->status, CheckStatus::Failed);
}

/// Bits of the whole answer. The container around the tokens is not signed: what changes there must
/// refuse as well.
TEST(GenuineNras, NoBitMayChange) {
  REQUIRE_SHARED(kCases);
  const NrasEvidence sound = tinfoil();
  const NrasPolicy policy = with_nonce(kNonce);
  std::map<std::string, int> refusals;
  for (const std::size_t bit : test::mutation_places(8 * sound.response.size(), 4000)) {
    NrasEvidence evidence = sound;
    evidence.response[bit / 8] = static_cast<char>(evidence.response[bit / 8] ^ (1 << (bit % 8)));
    const Verdict verdict = judge(evidence, policy);
    ASSERT_FALSE(verdict.accepted) << "bit " << bit << " of " << sound.response.substr(bit / 8, 20);
    for (const Check& check : verdict.checks) {
      if (check.status == CheckStatus::Failed) {
        ++refusals[check.name];
        break;
      }
    }
  }
  for (const auto& [name, times] : refusals) fmt::print("{:20} {}\n", name, times);
}

}  // namespace
}  // namespace nostril::attestation
