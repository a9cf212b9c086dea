#include "attestation/vendor_services.h"
#include "base/check.h"
#include "base/percent.h"

#include <cstddef>
#include <cstdint>

// Any bytes as a vendor's answer: what is taken from it lies inside of it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::attestation;
  const nostril::ByteSpan bytes(data, size);
  const auto text = nostril::as_text(bytes);
  const auto answer = parse_signed_answer(text, "tcbInfo");
  CHECK(!answer || text.find(answer->text) != std::string_view::npos);
  CHECK(crl_from_answer(bytes).size() <= size);
  const auto decoded = nostril::percent_decode(text);
  CHECK(!decoded || decoded->size() <= size);
  return 0;
}
