#include "attestation/pack.h"

#include "base/base64.h"
#include "base/base85.h"
#include "base/check.h"

#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

using nostril::Bytes;
using nostril::ByteSpan;

Bytes frame_of(ByteSpan container) {
  Bytes frame(ZSTD_compressBound(container.size()));
  frame.resize(ZSTD_compress(frame.data(), frame.size(), container.data(), container.size(), 1));
  return frame;
}

void check(std::string_view packed) {
  using namespace nostril::attestation;
  const auto evidence = unpack_evidence(packed);
  if (!evidence) return;
  const auto again = unpack_evidence(pack_evidence(*evidence));
  CHECK(again && *again == *evidence);
}

}  // namespace

// The input as packed text, as a zstd frame and as a container of either version: a fuzzer does not
// write base64.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  check(nostril::as_text(bytes));
  const Bytes frame = frame_of(bytes);
  for (const ByteSpan one : {bytes, ByteSpan(frame)}) {
    check(nostril::encode_base64(one));
    check(nostril::encode_base85(one));
  }
  return 0;
}
