#include "attestation/tdx_quote.h"

#include "attestation/verify.h"
#include "base/check.h"
#include "tests/attestation/fixtures.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace {

using nostril::Bytes;
using nostril::ByteSpan;
using namespace nostril::attestation;  // NOLINT(google-build-using-namespace): a program of its own

Evidence sound_evidence(std::uint16_t version) {
  SimulatorOptions options;
  options.quote_version = version;
  return test::sound_evidence(test::simulator(options));
}

std::string_view chain_of(const TdxQuoteView& quote) {
  std::string_view chain = quote.pck_chain;
  if (chain.ends_with('\n')) chain.remove_suffix(1);
  return chain;
}

/// Padding, the chain's last LF and its NUL are the only freedom an accepted quote has.
bool is_same(const TdxQuoteView& quote, const Evidence& sound) {
  const auto known = parse_tdx_quote(sound.cpu_quote);
  CHECK(known);
  return std::equal(quote.signed_part.begin(), quote.signed_part.end(), known->signed_part.begin(),
                    known->signed_part.end()) &&
         chain_of(quote) == chain_of(*known);
}

}  // namespace

// Any bytes as a quote: no crash, and none but the simulator's own two quotes is accepted.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Evidence kSound4 = sound_evidence(4);
  static const Evidence kSound5 = sound_evidence(5);
  static const TrustRoots kRoots = test::roots_of(test::simulator());
  const ByteSpan bytes(data, size);
  const auto quote = parse_tdx_quote(bytes);
  if (!quote) return 0;
  Evidence evidence = kSound4;
  evidence.cpu_quote.assign(bytes.begin(), bytes.end());
  const Verdict verdict =
      verify(evidence, test::statement(), kRoots, test::kNow, test::simulated_policy());
  CHECK(!verdict.accepted || is_same(*quote, kSound4) || is_same(*quote, kSound5));
  CHECK(!explain(verdict).empty());
  return 0;
}
