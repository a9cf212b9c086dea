#include "node/snp_certificate_table.h"

#include "base/check.h"

#include <cstddef>
#include <cstdint>

// Any bytes as a host's table: refused, or what an event can carry.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = nostril::node::parse_snp_certificate_table(nostril::ByteSpan(data, size));
  if (!read) return 0;
  nostril::attestation::Evidence evidence;
  evidence.kind = nostril::attestation::kKindSnp;
  evidence.snp = *read;
  CHECK(nostril::attestation::within_limits(evidence));
  return 0;
}
