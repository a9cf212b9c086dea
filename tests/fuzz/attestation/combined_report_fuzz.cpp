#include "attestation/combined_report.h"

#include "attestation/report_form.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>

// Nobody's signature is in the input: whatever the form, no policy accepts it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::attestation;
  static const TrustRoots kRoots = TrustRoots::vendors();
  static const ReportPolicy kPolicy = [] {
    ReportPolicy out;
    out.allow_any_nonce = true;
    out.allow_any_peer = true;
    out.tdx.allow_unchecked_tcb = true;
    return out;
  }();
  const std::string_view text = nostril::as_text({data, size});
  const nostril::Bytes nonce(32, 7);
  const ReportInput input{text, {}, {}, {}, {}, {}, nonce, {}, kRoots, 1790000000, kPolicy};
  CHECK(!verify_report(input).accepted);
  if (const auto member = raw_member(text, "gpu")) {
    CHECK(member->size() <= text.size());
  }
  return 0;
}
