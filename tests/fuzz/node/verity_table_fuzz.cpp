#include "base/bytes.h"
#include "base/check.h"
#include "base/hex.h"
#include "node/verity.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

// Any text as a verity target's parameters: refused, or a device that evidence can carry, and never
// one whose reads the root hash does not hold.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril;
  const std::string_view text = as_text(ByteSpan(data, size));
  const auto device = node::parse_verity_table(text);
  if (!device) return 0;
  CHECK(attestation::parse_verity(attestation::print_verity(*device)) == *device);
  // As arguments the words may stand: a description of a key, or a device of that name.
  const std::string_view options = text.substr(text.rfind(encode_hex(device->root)));
  const bool argued = options.find("_desc") != options.npos || options.find("fec_") != options.npos;
  CHECK(argued || options.find("ignore_corruption") == options.npos);
  CHECK(argued || options.find("check_at_most_once") == options.npos);
  return 0;
}
