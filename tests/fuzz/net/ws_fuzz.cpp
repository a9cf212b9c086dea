// WebSocket frames and handshakes: bounded, and the same events however the bytes are cut.
#include "base/check.h"
#include "tests/fuzz/net/ws_events.h"

#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace nostril::net;

constexpr std::size_t kMessageBytesMax = 300;

std::string outcome(const std::vector<std::uint8_t>& bytes, WsRole role, std::size_t piece_bytes) {
  return events_of(WsDecoder(role, kMessageBytesMax), kMessageBytesMax, bytes, piece_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const WsRole role = (data[0] & 1U) != 0 ? WsRole::Client : WsRole::Server;
  const std::vector<std::uint8_t> bytes(data + 2, data + size);
  const std::string whole = outcome(bytes, role, size);
  CHECK(outcome(bytes, role, 1) == whole);
  CHECK(outcome(bytes, role, std::size_t{2} + data[1]) == whole);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(check_ws_handshake_response(text, "dGhlIHNhbXBsZSBub25jZQ=="));
  return 0;
}
