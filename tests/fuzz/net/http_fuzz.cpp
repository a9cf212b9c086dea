// HTTP requests: never more memory than the limits, the same outcome however the bytes are cut, and
// whatever form the target had, a path and a host for who answers.
#include "net/http.h"

#include "base/check.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace {

using nostril::net::HttpLimits;
using nostril::net::HttpRequest;
using nostril::net::HttpRequestParser;

// What came out, as one text.
std::string outcome(std::string_view bytes, std::size_t piece) {
  constexpr HttpLimits kLimits{1'024, 16, 512};
  HttpRequestParser parser(kLimits);
  std::string out;
  while (!bytes.empty()) {
    std::string_view offered = bytes.substr(0, piece);
    const auto used = parser.feed(offered);
    if (!used) return out + "error " + std::string(to_string(used.error()));
    CHECK(*used <= offered.size() && (*used == offered.size() || parser.done()));
    bytes.remove_prefix(*used);
    if (!parser.done()) continue;
    const HttpRequest request = parser.take();
    CHECK(request.body.size() <= kLimits.body_bytes_max);
    CHECK(request.headers.fields().size() <= kLimits.headers_count_max);
    CHECK(request.target.starts_with('/') || request.target == "*");
    CHECK(request.target == request.path || request.target == request.path + "?" + request.query);
    CHECK(request.headers.count("Host") == 1 || request.http_1_0);
    out += request.method + " " + request.path + "?" + request.query + "\n";
    for (const auto& field : request.headers.fields()) {
      CHECK(nostril::net::is_http_token(field.name) &&
            nostril::net::is_http_field_value(field.value));
      out += field.name + ":" + field.value + "\n";
    }
    out += request.body;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = outcome(bytes, size);
  CHECK(outcome(bytes, 1) == whole);
  CHECK(outcome(bytes, std::size_t{2} + data[0]) == whole);
  return 0;
}
