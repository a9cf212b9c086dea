// WebSocket frames and handshakes: bounded, and the same events however the bytes are cut.
#include "base/check.h"
#include "net/utf8.h"
#include "net/ws_codec.h"

#include <cstdint>
#include <string>
#include <vector>

namespace {

using nostril::net::WsDecoder;
using nostril::net::WsEventKind;
using nostril::net::WsRole;

constexpr std::size_t kMessageBytesMax = 300;

std::string outcome(std::vector<std::uint8_t> bytes, WsRole role, std::size_t piece_bytes) {
  WsDecoder decoder(role, kMessageBytesMax);
  std::string out;
  std::span<std::uint8_t> rest(bytes);
  while (!rest.empty()) {
    std::span<std::uint8_t> piece = rest.first(std::min(rest.size(), piece_bytes));
    rest = rest.subspan(piece.size());
    for (;;) {
      const auto next = decoder.next(piece);
      if (!next) return out + "error " + std::string(to_string(next.error()));
      if (!*next) break;
      const auto& event = **next;
      CHECK(event.payload.size() <= kMessageBytesMax);
      CHECK(event.kind != WsEventKind::Text || nostril::net::is_utf8(event.payload));
      out += std::to_string(static_cast<int>(event.kind)) + ":" + std::to_string(event.close_code) +
             ":";
      out.append(event.payload).append("\n");
      if (event.kind == WsEventKind::Close) return out;
    }
    CHECK(piece.empty());
  }
  return out;
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
  static_cast<void>(nostril::net::check_ws_handshake_response(text, "dGhlIHNhbXBsZSBub25jZQ=="));
  return 0;
}
