#include "attestation/jwt.h"

#include "attestation/nras.h"
#include "attestation/nras_simulator.h"
#include "base/check.h"
#include "tests/attestation/fixtures.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace nostril::attestation;  // NOLINT(google-build-using-namespace): a program of its own

NrasPolicy policy() {
  NrasPolicy out;
  out.accept_simulated = true;
  const auto nonce = test::filled(0x55);
  out.nonce.assign(nonce.begin(), nonce.end());
  return out;
}

/// The tokens of an answer, whatever stands around them.
std::vector<std::string> tokens(std::string_view answer) {
  const auto json = nostril::Json::parse(answer);
  std::vector<std::string> out{std::string(*json->items()[0].items()[1].string())};
  for (const auto& [name, token] : json->items()[1].members()) {
    out.emplace_back(*token.string());
  }
  return out;
}

}  // namespace

// The first byte says what the rest is: 0 a token; 1 an answer; 2 a key set; 3 a header and 4
// claims of a device, signed by the simulator so that they are judged. No crash, and no answer is
// accepted but the simulator's own.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const NrasSimulator kSimulator(test::filled(7));
  static const auto kNonce = test::filled(0x55);
  static const NrasEvidence kSound = kSimulator.evidence(kNonce, 1, test::kNow);
  static const TrustRoots kRoots = TrustRoots::with_test_root(kSimulator.root_der()).value();
  static const NrasPolicy kPolicy = policy();
  if (size == 0) return 0;
  const std::string text(nostril::as_text({data + 1, size - 1}));
  NrasEvidence evidence = kSound;
  const unsigned kind = data[0] % 5;
  if (kind == 0) {
    const auto jwt = Jwt::parse(text);
    CHECK(!jwt || (jwt->claims.is_object() && text.starts_with(jwt->signed_part)));
    return 0;
  }
  if (kind == 1) {
    evidence.response = text;
  } else if (kind == 2) {
    evidence.key_set = text;
  } else {
    const std::string claims = NrasSimulator::device_claims(kNonce, 0, test::kNow);
    const std::vector<std::string> devices = {
        kind == 3 ? kSimulator.token(text, claims)
                  : kSimulator.token(NrasSimulator::header(), text)};
    evidence.response = NrasSimulator::response(
        kSimulator.token(NrasSimulator::header(),
                         NrasSimulator::overall_claims(kNonce, devices, test::kNow)),
        devices);
  }
  const Verdict verdict = verify_nras(evidence, kRoots, test::kNow, kPolicy);
  if (kind == 1) CHECK(!verdict.accepted || tokens(text) == tokens(kSound.response));
  CHECK(!explain(verdict).empty() && !to_json(verdict).empty());
  return 0;
}
