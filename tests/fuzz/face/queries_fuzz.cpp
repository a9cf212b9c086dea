#include "base/check.h"
#include "tests/face/fuzz_keys.h"

#include "face/aci.h"
#include "face/attestation_report.h"

using namespace nostril;

/// Small texts from outside: queries, a signed text, a signature's and a receipt's document.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const face::LegacySigner kSigner = face::test::fuzz_signer();
  const std::string_view text = as_text({data, size});
  (void)face::parse_report_query(text, kSigner);
  (void)face::parse_aci_query(text);
  if (const auto parsed = face::parse_signed_text(text)) CHECK(face::to_text(*parsed) == text);
  (void)face::verify_chat_signature(text);
  (void)face::verify_receipt(text, kSigner.ed25519().public_key());
  JsonLimits limits;
  limits.depth_max = 16;
  const auto document = Json::parse(text, limits);
  if (document) {
    const auto rest = face::take_constraints(text, *document);
    CHECK(!rest || Json::parse(*rest).has_value());
  }
  return 0;
}
