// TailHolder: every byte comes out once and in order, and what was let go holds no end.
// First byte: size of the pieces.
#include "client/gateway/tail_holder.h"

#include "base/check.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nostril::client::Tail;
  if (size == 0) return 0;
  const std::size_t piece = std::max<std::size_t>(1, data[0]);
  const std::string text = std::string(reinterpret_cast<const char*>(data) + 1, size - 1);
  nostril::client::TailHolder holder([](std::string_view line) {
    if (line == "data: [DONE]") return Tail::End;
    return line == "data: {}" ? Tail::Maybe : Tail::No;
  });
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    out += holder.feed(std::string_view(text).substr(at, piece));
  }
  CHECK(("\n" + out).find("\ndata: [DONE]\n") == std::string::npos);
  out += holder.take();
  CHECK(out == text);
  return 0;
}
