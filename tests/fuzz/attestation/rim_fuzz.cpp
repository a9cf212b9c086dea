#include "attestation/rim.h"

#include "attestation/rim_simulator.h"
#include "attestation/xml_signature.h"
#include "base/check.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/rim_fixtures.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using namespace nostril::attestation;  // NOLINT(google-build-using-namespace): a program of its own

const RimSimulator& simulator() {
  static const RimSimulator kSimulator(test::filled(7));
  return kSimulator;
}

std::string sound() {
  RimSimulatorTag tag;
  tag.measurements = {{3, "", {test::measurement(0x30)}},
                      {40, "", {test::measurement(0x40), test::measurement(0x41)}}};
  return std::string(nostril::as_text(simulator().manifest(tag)));
}

/// What the signature covers.
std::string signed_content(std::string_view text) {
  const auto document = XmlDocument::parse(text);
  const auto signature = document ? read_xml_signature(*document) : std::nullopt;
  return signature ? canonicalize(*document, 0, signature->element) : std::string();
}

void check(std::string_view text) {
  static const TrustRoots kRoots = TrustRoots::with_test_root(simulator().root_der()).value();
  static const std::string kContent = signed_content(sound());
  const auto judged = test::judge_rim(nostril::as_bytes(text), RimKind::Driver, kRoots, test::kNow);
  CHECK(judged.verified.has_value() == judged.verdict.accepted);
  CHECK(!judged.verified || text.starts_with('{') || signed_content(text) == kContent);
  CHECK(!explain(judged.verdict).empty() && !to_json(judged.verdict).empty());
}

/// Signed only where one signature can be put before the root's end tag.
void sign_and_parse(std::string_view text) {
  constexpr std::size_t kTagBytesMax = 32U << 10U;
  const auto document = XmlDocument::parse(text);
  const bool fits = document && document->nodes()[0].end > 1 && text.size() < kTagBytesMax &&
                    text.find("Signature") == std::string_view::npos;
  if (fits) (void)parse_rim(simulator().sign(text));
}

}  // namespace

// The first byte says what the rest is: 0 a whole manifest or answer; 1 a tag, signed by the
// simulator so that its meaning is reached; else text put into a sound manifest at a place that the
// next two bytes say. Nothing is accepted but what the simulator signed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string kSound = sound();
  if (size < 3) return 0;
  const std::string_view rest = nostril::as_text({data + 1, size - 1});
  if (data[0] % 3 == 0) {
    check(rest);
  } else if (data[0] % 3 == 1) {
    sign_and_parse(rest);
  } else {
    const std::size_t place = (std::size_t{data[1]} << 8U | data[2]) % kSound.size();
    const std::string_view text = rest.substr(2);
    std::string changed = kSound;
    changed.replace(place, text.size(), text);
    check(changed);
  }
  return 0;
}
