#include "base/check.h"
#include "settlement/evm/rlp.h"

using namespace nostril;                   // NOLINT(google-build-using-namespace)
using namespace nostril::settlement::evm;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int kDepthMax = 20;

/// Whatever is read, written again, is the same bytes.
bool copy(RlpReader reader, RlpWriter& out, int depth) {
  while (!reader.empty()) {
    RlpReader as_list = reader;
    if (const auto string = reader.string()) {
      out.string(*string);
      continue;
    }
    const auto items = as_list.list();
    RlpWriter inner;
    if (!items || depth == 0 || !copy(*items, inner, depth - 1)) return false;
    out.list(inner);
    reader = as_list;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan input(data, size);
  RlpWriter out;
  if (copy(RlpReader(input), out, kDepthMax)) {
    CHECK(out.bytes() == Bytes(input.begin(), input.end()));
  }
  const auto number = RlpReader(input).number(~Uint128{0});
  if (number) {
    RlpWriter again;
    again.number(*number);
    CHECK(again.bytes() == Bytes(input.begin(), input.begin() + again.bytes().size()));
  }
  return 0;
}
