#include "face/sse_rewriter.h"

#include "base/bytes.h"
#include "base/check.h"

using nostril::face::SseRewriter;

namespace {

/// Nothing when it failed.
std::optional<std::string> rewritten(std::string_view text, std::size_t step) {
  SseRewriter rewriter([](std::string_view) { return std::optional<std::string>("X"); }, 256);
  std::string out;
  while (!text.empty()) {
    const std::string_view some = text.substr(0, step);
    text.remove_prefix(some.size());
    if (!rewriter.feed(some, out)) return std::nullopt;
  }
  if (!rewriter.finish(out)) return std::nullopt;
  return out;
}

}  // namespace

/// Splits make no difference, and the result holds no data but ours.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = nostril::as_text({data + 1, size - 1});
  const auto whole = rewritten(text, text.size() + 1);
  CHECK(rewritten(text, data[0] % 16 + 1) == whole);
  if (whole) CHECK(rewritten(*whole, whole->size() + 1) == whole);
  return 0;
}
