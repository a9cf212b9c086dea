// Sec-WebSocket-Extensions: what the server answers to any offer, a client of ours understands, and
// never as more than was offered.
#include "base/check.h"
#include "net/ws_deflate_offer.h"

#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::net;
  if (size < 1) return 0;
  const int window_bits = 9 + data[0] % 7;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  HttpHeaders headers;
  const std::size_t line = text.find('\n');  // two fields
  headers.add("Sec-WebSocket-Extensions", std::string(text.substr(0, line)));
  if (line != std::string_view::npos)
    headers.add("sec-websocket-extensions", std::string(text.substr(line + 1)));
  static_cast<void>(read_ws_deflate_answer(headers));
  const auto answer = answer_ws_deflate(headers, window_bits);
  if (!answer || !*answer) return 0;
  CHECK(text.find("permessage-deflate") != std::string_view::npos);
  CHECK(is_http_field_value((*answer)->text));
  const WsDeflateAgreement& agreement = (*answer)->agreement;
  CHECK(agreement.server_no_context_takeover && agreement.client_no_context_takeover);
  CHECK(agreement.server_window_bits >= 8 && agreement.server_window_bits <= window_bits);
  HttpHeaders answered;
  answered.add("Sec-WebSocket-Extensions", (*answer)->text);
  const auto read = read_ws_deflate_answer(answered);
  CHECK(read && *read && (*read)->client_no_context_takeover);
  CHECK((*read)->server_window_bits >= agreement.server_window_bits);
  return 0;
}
