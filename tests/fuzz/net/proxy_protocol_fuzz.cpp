// PROXY headers: the same outcome however the bytes are cut, and no byte behind the header taken.
#include "net/proxy_protocol.h"

#include "base/check.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace {

using nostril::net::kProxyHeaderBytesMax;
using nostril::net::ProxyHeaderReader;

// What came out, and how many bytes it took.
std::string outcome(std::string_view bytes, std::size_t piece) {
  ProxyHeaderReader reader;
  std::size_t used = 0;
  while (used < bytes.size()) {
    const std::string_view offered = bytes.substr(used, piece);
    std::string_view left = offered;
    const auto header = reader.feed(left);
    used += offered.size() - left.size();
    if (!header) return std::string(to_string(header.error()));
    CHECK(used <= kProxyHeaderBytesMax);
    if (!*header) {
      CHECK(left.empty());
      continue;
    }
    const auto& source = (**header).source;
    return (source ? source->ip_string() + " " + std::to_string(source->port) : "own") + " " +
           std::to_string(used);
  }
  return "more";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = outcome(bytes, std::max<std::size_t>(size, 1));
  CHECK(outcome(bytes, 1) == whole);
  CHECK(outcome(bytes, std::size_t{2} + data[0]) == whole);
  return 0;
}
