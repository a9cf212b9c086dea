// Server-sent events and URLs: bounded, and the same events however the bytes are cut.
#include "net/sse.h"

#include "base/check.h"
#include "base/percent.h"
#include "net/url.h"

#include <cstdint>
#include <string>
#include <vector>

namespace {

using nostril::net::SseEvent;
using nostril::net::SseLimits;
using nostril::net::SseParser;

std::string outcome(std::string_view bytes, std::size_t piece) {
  constexpr SseLimits kLimits{64, 200};
  SseParser parser(kLimits);
  std::vector<SseEvent> events;
  bool good = true;
  while (!bytes.empty() && good) {
    good = parser.feed(bytes.substr(0, piece), events);
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  std::string out;
  for (const SseEvent& event : events) {
    CHECK(event.data.size() <= kLimits.event_bytes_max);
    out += event.event + "|" + event.data + "|" + event.id + "\n";
  }
  return out + (good ? "good" : "failed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = outcome(bytes, size);
  CHECK(outcome(bytes, 1) == whole);
  CHECK(outcome(bytes, std::size_t{2} + data[0]) == whole);
  const auto decoded = nostril::percent_decode(bytes);
  CHECK(!decoded || decoded->size() <= bytes.size());
  static_cast<void>(nostril::net::parse_host_port(bytes));
  if (const auto url = nostril::net::parse_url(bytes)) {
    const auto again = nostril::net::parse_url(url->to_string());
    CHECK(again && again->to_string() == url->to_string());
  }
  return 0;
}
