// Tokens of the simulator: each rule broken alone, and everything signed again.
#include "attestation/nras.h"

#include "attestation/nras_simulator.h"
#include "base/base64.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::filled;
using test::kNow;

const NrasSimulator& simulator() {
  static const NrasSimulator kSimulator(filled(7));
  return kSimulator;
}

std::array<std::uint8_t, 32> nonce() {
  return filled(0x55);
}

NrasPolicy policy() {
  NrasPolicy out;
  out.accept_simulated = true;
  const auto wanted = nonce();
  out.nonce.assign(wanted.begin(), wanted.end());
  return out;
}

TrustRoots roots() {
  return TrustRoots::with_test_root(simulator().root_der()).value();
}

NrasEvidence sound() {
  return simulator().evidence(nonce(), 2, kNow - 5);
}

Verdict judge(const NrasEvidence& evidence, const NrasPolicy& used = policy()) {
  return verify_nras(evidence, roots(), kNow, used);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// The first check that failed, or that was missed although required.
std::string refusal(const Verdict& verdict) {
  for (const CheckStatus status : {CheckStatus::Failed, CheckStatus::NotChecked}) {
    for (const Check& check : verdict.checks) {
      if (refuses(check) && check.status == status) return check.name;
    }
  }
  return "accepted";
}

using Change = std::function<std::string(std::string)>;

std::string same(std::string text) {
  return text;
}

Change swap_text(std::string from, std::string to) {
  return [=](std::string text) { return replaced(std::move(text), from, to); };
}

/// Claims changed before they are signed: of both devices, of the overall token.
NrasEvidence changed(const Change& device, const Change& overall,
                     const std::string& header = NrasSimulator::header()) {
  std::vector<std::string> devices;
  for (std::size_t i = 0; i < 2; ++i) {
    devices.push_back(
        simulator().token(header, device(NrasSimulator::device_claims(nonce(), i, kNow - 5))));
  }
  const std::string claims = overall(NrasSimulator::overall_claims(nonce(), devices, kNow - 5));
  return {NrasSimulator::response(simulator().token(header, claims), devices),
          simulator().key_set()};
}

TEST(Nras, OfTheSimulatorIsSoundUnderItsRootOnly) {
  const Verdict verdict = judge(sound());
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_EQ(verdict.level, Level::Declared);
  EXPECT_EQ(refusal(verify_nras(sound(), TrustRoots::nvidia_service(), kNow, policy())),
            "key_chain");
  NrasPolicy strict = policy();
  strict.accept_simulated = false;
  EXPECT_EQ(refusal(judge(sound(), strict)), "simulated");
  EXPECT_EQ(refusal(judge(changed(same, same))), "accepted");
}

TEST(Nras, WithoutANonceOfOursDoesNotLookAtIt) {
  NrasPolicy any = policy();
  any.nonce.clear();
  const Verdict verdict = judge(sound(), any);
  EXPECT_TRUE(verdict.accepted);
  EXPECT_EQ(verdict.find("nonce")->status, CheckStatus::NotChecked);
  // Tokens of one answer must still agree.
  EXPECT_EQ(refusal(judge(changed(swap_text("\"eat_nonce\":\"5", "\"eat_nonce\":\"6"), same), any)),
            "nonce");
}

TEST(Nras, RefusesEachClaimThatIsNotAsItMustBe) {
  struct Case {
    std::string from;
    std::string to;
    std::string check;
  };

  const std::vector<Case> cases = {
      {"\"measres\":\"success\"", "\"measres\":\"fail\"", "device_results"},
      {"\"measres\":\"success\",", "", "device_results"},
      {"\"dbgstat\":\"disabled\"", "\"dbgstat\":\"enabled\"", "device_results"},
      {"\"secboot\":true", "\"secboot\":false", "device_results"},
      {"\"secboot\":true", "\"secboot\":\"true\"", "device_results"},
      {"\"secboot\":true,", "", "device_results"},
      {"arch-check\":true", "arch-check\":false", "device_results"},
      {"nonce-match\":true", "nonce-match\":null", "device_results"},
      {"driver-rim-cert-validated\":true", "driver-rim-cert-validated\":false", "device_results"},
      {"\"secboot\"", "\"x-nvidia-gpu-anything-new\":false,\"secboot\"", "device_results"},
      {"\"secboot\"", "\"x-nvidia-error-details\":{\"message\":\"NO\"},\"secboot\"",
       "device_results"},
      {"https://nras", "https://nros", "issuer"},
      {"\"iss\":", "\"isx\":", "issuer"},
      {"\"iat\":", "\"iax\":", "validity"},
      {"\"exp\":", "\"exx\":", "validity"},
      {"\"nbf\":1", "\"nbf\":9", "validity"},
      {"\"iat\":1", "\"iat\":-1", "validity"},
      {"\"eat_nonce\":\"5", "\"eat_nonce\":\"6", "nonce"},
      {"\"ueid\":\"100", "\"uxid\":\"100", "devices"},
      {"\"hwmodel\":\"NOT A TEE\"", "\"hwmodel\":\"GH100\"", "platform"}};
  for (const Case& item : cases) {
    EXPECT_EQ(refusal(judge(changed(swap_text(item.from, item.to), same))), item.check) << item.to;
  }
}

TEST(Nras, TakesTheChainsOfVersionThree) {
  const auto state = [](std::string_view status, std::string_view ocsp) {
    return swap_text("\"x-nvidia-gpu-driver-rim-cert-validated\":true",
                     "\"x-nvidia-gpu-driver-rim-cert-chain\":{\"x-nvidia-cert-status\":\"" +
                         std::string(status) + "\",\"x-nvidia-cert-ocsp-status\":\"" +
                         std::string(ocsp) + "\"}");
  };
  EXPECT_EQ(refusal(judge(changed(state("valid", "good"), same))), "accepted");
  EXPECT_EQ(refusal(judge(changed(state("expired", "good"), same))), "device_results");
  EXPECT_EQ(refusal(judge(changed(state("valid", "revoked"), same))), "device_results");
}

TEST(Nras, RefusesAnOverallTokenThatDoesNotVouchForItsDevices) {
  const auto refused = [](const std::string& from, const std::string& to) {
    return refusal(judge(changed(same, swap_text(from, to))));
  };
  EXPECT_EQ(refused("att-result\":true", "att-result\":false"), "overall_result");
  EXPECT_EQ(refused("att-result\":true", "att-result\":1"), "overall_result");
  EXPECT_EQ(refused("\"GPU-1\"", "\"GPU-2\""), "submodules");
  EXPECT_EQ(refused("SHA-256", "SHA-512"), "submodules");
  EXPECT_EQ(refused("SHA-256", "SHA256"), "accepted");
  EXPECT_EQ(refused("DIGEST", "JWT"), "submodules");
  EXPECT_EQ(refused("\"submods\":", "\"submodz\":"), "submodules");
}

TEST(Nras, RefusesDevicesThatWereAddedLeftOutOrExchanged) {
  const auto token = [](std::size_t index) {
    return simulator().token(NrasSimulator::header(),
                             NrasSimulator::device_claims(nonce(), index, kNow - 5));
  };
  const std::vector<std::string> two = {token(0), token(1)};
  const std::string overall = simulator().token(
      NrasSimulator::header(), NrasSimulator::overall_claims(nonce(), two, kNow - 5));
  const auto with = [&](const std::vector<std::string>& devices) {
    return refusal(judge({NrasSimulator::response(overall, devices), simulator().key_set()}));
  };
  EXPECT_EQ(with(two), "accepted");
  EXPECT_EQ(with({two[0]}), "submodules");
  EXPECT_EQ(with({two[0], two[1], token(2)}), "submodules");
  EXPECT_EQ(with({two[1], two[0]}), "submodules");
  EXPECT_EQ(with({}), "token_format");

  // One GPU that answers for two.
  const std::vector<std::string> twins = {token(0), token(0)};
  const std::string vouched = simulator().token(
      NrasSimulator::header(), NrasSimulator::overall_claims(nonce(), twins, kNow - 5));
  EXPECT_EQ(refusal(judge({NrasSimulator::response(vouched, twins), simulator().key_set()})),
            "devices");
}

TEST(Nras, RefusesHeadersThatSayMoreOrElse) {
  const auto with = [](const std::string& header) {
    return refusal(judge(changed(same, same, header)));
  };
  const std::string kid = "\"kid\":\"nostril-test-key-not-a-tee\"";
  EXPECT_EQ(with("{" + kid + ",\"alg\":\"ES384\",\"typ\":\"JWT\"}"), "accepted");
  for (const std::string& header :
       {"{" + kid + ",\"alg\":\"none\"}", "{" + kid + ",\"alg\":\"es384\"}",
        "{" + kid + ",\"alg\":\"HS384\"}", "{" + kid + ",\"alg\":\"ES256\"}", "{" + kid + "}"}) {
    EXPECT_EQ(with(header), "token_format") << header;
    EXPECT_EQ(judge(changed(same, same, header)).find("token_algorithm")->status,
              CheckStatus::Failed)
        << header;
  }
  for (const std::string& header :
       {std::string("{\"alg\":\"ES384\"}"), "{" + kid + ",\"alg\":\"ES384\",\"crit\":[]}",
        "{" + kid + ",\"alg\":\"ES384\",\"jku\":\"https://x\"}",
        "{" + kid + ",\"alg\":\"ES384\",\"typ\":\"X\"}",
        "{" + kid + "," + kid + ",\"alg\":\"ES384\"}", std::string("[]"),
        std::string("{\"kid\":\"\",\"alg\":\"ES384\"}")}) {
    EXPECT_EQ(with(header), "token_format") << header;
  }
  EXPECT_EQ(with("{\"kid\":\"another\",\"alg\":\"ES384\"}"), "key");
}

TEST(Nras, RefusesKeySetsThatDoNotHoldTheKey) {
  const auto with = [](const std::string& key_set) {
    return refusal(judge({sound().response, key_set}));
  };
  const std::string set = simulator().key_set();
  EXPECT_EQ(with(set), "accepted");
  const std::string key = set.substr(9, set.size() - 11);  // within {"keys":[ and ]}
  EXPECT_EQ(with("{\"keys\":[" + key + "," + key + "]}"), "key");
  EXPECT_EQ(with("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"other\"}," + key + "]}"), "accepted");
  EXPECT_EQ(with("{\"keys\":[]}"), "key");
  EXPECT_EQ(with("{}"), "key");
  EXPECT_EQ(with(""), "key");
  EXPECT_EQ(with("{\"keys\":{}}"), "key");
  EXPECT_EQ(with(set + std::string(kKeySetBytesMax, ' ')), "key");
  EXPECT_EQ(with(replaced(set, "P-384", "P-256")), "key");
  EXPECT_EQ(with(replaced(set, "\"EC\"", "\"OKP\"")), "key");
  EXPECT_EQ(with(replaced(set, "\"x\":", "\"z\":")), "key");
  EXPECT_EQ(with(replaced(set, "\"x5c\":[\"", "\"x5c\":[\"A")), "key");
  EXPECT_EQ(with(replaced(set, "\"x5c\"", "\"x5d\"")), "key");

  // The set of another service, under the same key id.
  EXPECT_EQ(with(NrasSimulator(filled(8)).key_set()), "key_chain");
  // Another key than the certificate's.
  const std::string other = NrasSimulator(filled(8)).key_set();
  const std::string x = other.substr(other.find("\"x\":"), 70);
  EXPECT_EQ(with(replaced(set, set.substr(set.find("\"x\":"), 70), x)), "key");
}

TEST(Nras, RefusesAKeyOutsideOfItsCertificatesLifeOrName) {
  const auto with = [](const NrasSimulatorOptions& options) {
    const NrasSimulator other(filled(7), options);
    return judge(other.evidence(nonce(), 1, kNow)).find("key_chain")->found;
  };
  NrasSimulatorOptions expired;
  expired.leaf_not_after = kNow - 1;
  EXPECT_EQ(with(expired), "certificate expired");
  NrasSimulatorOptions early;
  early.leaf_not_before = kNow + 1;
  EXPECT_EQ(with(early), "certificate not yet valid");
  NrasSimulatorOptions named;
  named.leaf_name = "NVIDIA Attestation Service GPU GH100";
  EXPECT_EQ(with(named), "certificate of the wrong name");
}

TEST(Nras, RefusesAnotherSignature) {
  const NrasSimulator other(filled(8));  // same key id, another key
  const std::vector<std::string> devices = {
      other.token(NrasSimulator::header(), NrasSimulator::device_claims(nonce(), 0, kNow - 5))};
  const std::string overall = simulator().token(
      NrasSimulator::header(), NrasSimulator::overall_claims(nonce(), devices, kNow - 5));
  EXPECT_EQ(refusal(judge({NrasSimulator::response(overall, devices), simulator().key_set()})),
            "signatures");
}

TEST(Nras, RefusesAnswersOfAnotherForm) {
  const auto with = [](const std::string& response) {
    return refusal(judge({response, simulator().key_set()}));
  };
  const std::string text = sound().response;
  EXPECT_EQ(with(" " + text + "\n"), "accepted");  // white space of JSON
  EXPECT_EQ(with(""), "token_format");
  EXPECT_EQ(with("[]"), "token_format");
  EXPECT_EQ(with("{}"), "token_format");
  EXPECT_EQ(with(replaced(text, "[\"JWT\"", "[\"JWE\"")), "token_format");
  EXPECT_EQ(with(replaced(text, "\"GPU-0\"", "\"GPU 0\"")), "token_format");
  EXPECT_EQ(with(replaced(text, "\"GPU-1\"", "\"GPU-0\"")), "token_format");  // a key twice
  EXPECT_EQ(with(text.substr(0, text.size() - 1) + ",{}]"), "token_format");
  EXPECT_EQ(with(text + std::string(kNrasResponseBytesMax, ' ')), "token_format");
  EXPECT_EQ(refusal(judge(simulator().evidence(nonce(), kGpuReportCountMax, kNow))), "accepted");
  EXPECT_EQ(refusal(judge(simulator().evidence(nonce(), kGpuReportCountMax + 1, kNow))),
            "token_format");
}

TEST(Jwt, HasThreePartsInStrictBase64) {
  const std::string claims = R"({"a":1})";
  const std::string token = simulator().token(NrasSimulator::header(), claims);
  const auto jwt = Jwt::parse(token);
  ASSERT_TRUE(jwt.has_value());
  EXPECT_EQ(jwt->claims.find_integer("a"), 1);
  EXPECT_EQ(jwt->signed_part, token.substr(0, token.rfind('.')));
  const auto error = [](const std::string& text) { return Jwt::parse(text).error(); };
  EXPECT_EQ(error(""), JwtError::Malformed);
  EXPECT_EQ(error(token + "."), JwtError::Malformed);
  EXPECT_EQ(error(token + "="), JwtError::Malformed);
  EXPECT_EQ(error(token + "AAAA"), JwtError::Malformed);
  EXPECT_EQ(error("." + token), JwtError::Malformed);
  EXPECT_EQ(error(token.substr(0, token.rfind('.'))), JwtError::Malformed);
  EXPECT_EQ(error(token.substr(0, token.rfind('.') + 1)), JwtError::Malformed);
  EXPECT_EQ(error(replaced(token, ".", ". ")), JwtError::Malformed);
  EXPECT_EQ(error(simulator().token(NrasSimulator::header(), "[1]")), JwtError::Malformed);
  EXPECT_EQ(error(simulator().token(NrasSimulator::header(), R"({"a":1,"a":2})")),
            JwtError::Malformed);
  EXPECT_EQ(error(token + std::string(kJwtBytesMax, 'A')), JwtError::TooLarge);
}

}  // namespace
}  // namespace nostril::attestation
