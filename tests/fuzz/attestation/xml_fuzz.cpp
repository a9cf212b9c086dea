#include "attestation/xml.h"

#include "attestation/xml_signature.h"
#include "base/bytes.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>
#include <string>

// What is read has a canonical form that reads back to itself; each of its parts has one, which is
// well-formed by itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::attestation;
  const auto document = XmlDocument::parse(nostril::as_text({data, size}));
  if (!document) return 0;
  const std::string whole = canonicalize(*document, 0);
  // References may grow: "&" to "&amp;" within the bound of what is read.
  if (whole.size() <= kXmlBytesMax) {
    const auto again = XmlDocument::parse(whole);
    CHECK(again && canonicalize(*again, 0) == whole);
    CHECK(again->nodes().size() == document->nodes().size());
  }
  constexpr std::size_t kPartsMax = 16;
  for (std::size_t i = 0; i < document->nodes().size() && i < kPartsMax; ++i) {
    if (document->nodes()[i].is_text) continue;
    const std::string part = canonicalize(*document, i);
    // A part has the declarations of all that is around it, which may be too many.
    const auto again = XmlDocument::parse(part);
    CHECK(again || again.error() == XmlError::TooMany || again.error() == XmlError::TooLarge);
  }
  if (const auto signature = read_xml_signature(*document)) {
    CHECK(document->nodes()[signature->element].parent == 0);
    (void)digest_signed_content(*document, *signature);
  }
  return 0;
}
