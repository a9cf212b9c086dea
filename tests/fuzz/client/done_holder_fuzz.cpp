// DoneHolder: every byte comes out once and in order, and what was let go holds no [DONE] line.
// First byte: size of the pieces.
#include "base/check.h"
#include "client/gateway.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = std::max<std::size_t>(1, data[0]);
  const std::string text = std::string(reinterpret_cast<const char*>(data) + 1, size - 1);
  nostril::client::DoneHolder holder;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    out += holder.feed(std::string_view(text).substr(at, piece));
  }
  CHECK(("\n" + out).find("\ndata: [DONE]") == std::string::npos);
  out += holder.take();
  CHECK(out == text);
  return 0;
}
