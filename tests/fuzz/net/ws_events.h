#pragma once

#include "base/check.h"
#include "net/utf8.h"
#include "net/ws_codec.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nostril::net {

/// What a decoder makes of the bytes when they come in pieces of `piece_bytes`, as text to compare.
inline std::string events_of(WsDecoder decoder, std::size_t message_bytes_max,
                             std::vector<std::uint8_t> bytes, std::size_t piece_bytes) {
  std::string out;
  std::span<std::uint8_t> rest(bytes);
  while (!rest.empty()) {
    std::span<std::uint8_t> piece = rest.first(std::min(rest.size(), piece_bytes));
    rest = rest.subspan(piece.size());
    for (;;) {
      const auto next = decoder.next(piece);
      if (!next) return out + "error " + std::string(to_string(next.error()));
      if (!*next) break;
      const WsEvent& event = **next;
      CHECK(event.payload.size() <= message_bytes_max);
      CHECK(event.kind != WsEventKind::Text || is_utf8(event.payload));
      out += std::to_string(static_cast<int>(event.kind)) + ":" + std::to_string(event.close_code) +
             ":";
      out.append(event.payload).append("\n");
      if (event.kind == WsEventKind::Close) return out;
    }
    CHECK(piece.empty());
  }
  return out;
}

}  // namespace nostril::net
