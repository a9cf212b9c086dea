#pragma once

#include "base/result.h"
#include "net/http.h"

#include <cstdint>
#include <optional>
#include <string>

namespace nostril::net {

// Sec-WebSocket-Extensions (RFC 6455 9.1) and what is agreed on in it about permessage-deflate
// (RFC 7692 7.1). Pure.

struct WsDeflateAgreement {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  int server_window_bits = 15;  ///< 8 to 15: the sender refers back 2^n bytes at most
  int client_window_bits = 15;

  friend bool operator==(const WsDeflateAgreement&, const WsDeflateAgreement&) = default;
};

struct WsDeflateAnswer {
  WsDeflateAgreement agreement;
  std::string text;  ///< value of the answer's Sec-WebSocket-Extensions
};

enum class WsExtensionError : std::uint8_t {
  Malformed,   ///< not the grammar of RFC 6455 9.1: the connection must fail
  NotOffered,  ///< the server chose an extension or parameters that it may not
};

/// Server side: takes the first offer of permessage-deflate whose parameters are known, well formed
/// and given once; nothing when there is none. Context takeover is refused both ways, which RFC
/// 7692 7.1.1 lets a server do unasked: so no connection has a window of its own, and one
/// compressed form serves all. `window_bits` is what our compressor uses; an offer of less is
/// agreed to.
Result<std::optional<WsDeflateAnswer>, WsExtensionError> answer_ws_deflate(
    const HttpHeaders& request, int window_bits);

/// Client side: the one offer we make; the server may ask for whatever it likes.
inline constexpr std::string_view kWsDeflateOffer = "permessage-deflate; client_max_window_bits";
/// What the server answered to it; nothing: no compression.
Result<std::optional<WsDeflateAgreement>, WsExtensionError> read_ws_deflate_answer(
    const HttpHeaders& answer);

}  // namespace nostril::net
