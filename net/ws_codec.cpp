#include "net/ws_codec.h"

#include "base/base64.h"
#include "base/check.h"
#include "net/utf8.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>

namespace nostril::net {

namespace {

constexpr std::size_t kControlBytesMax = 125;
constexpr std::string_view kWsGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool is_control(WsOpcode opcode) {
  return (static_cast<std::uint8_t>(opcode) & 0x8U) != 0;
}

bool is_known(std::uint8_t opcode) {
  return opcode <= 0x2 || (opcode >= 0x8 && opcode <= 0xA);
}

// XORs with the mask, from the mask's byte `phase` on.
void apply_mask(std::span<std::uint8_t> bytes, const std::array<std::uint8_t, 4>& mask,
                std::size_t phase) {
  std::array<std::uint8_t, 8> pattern{};
  for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = mask[(phase + i) & 3U];
  std::uint64_t word_mask = 0;
  std::memcpy(&word_mask, pattern.data(), sizeof word_mask);
  std::size_t i = 0;
  for (; i + sizeof word_mask <= bytes.size(); i += sizeof word_mask) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    word ^= word_mask;
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
  for (; i < bytes.size(); ++i) bytes[i] ^= pattern[i & 7U];
}

std::string_view as_text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

WsEventKind kind_of(WsOpcode opcode) {
  switch (opcode) {
    case WsOpcode::Text:
      return WsEventKind::Text;
    case WsOpcode::Binary:
      return WsEventKind::Binary;
    case WsOpcode::Ping:
      return WsEventKind::Ping;
    case WsOpcode::Pong:
      return WsEventKind::Pong;
    default:
      return WsEventKind::Close;
  }
}

}  // namespace

std::string_view to_string(WsError error) {
  switch (error) {
    case WsError::ReservedBits:
      return "reserved bits set";
    case WsError::UnknownOpcode:
      return "unknown opcode";
    case WsError::MaskWrong:
      return "masking is wrong for this side";
    case WsError::LengthNotMinimal:
      return "length not in its shortest form";
    case WsError::ControlTooLong:
      return "control frame over 125 bytes";
    case WsError::ControlFragmented:
      return "control frame fragmented";
    case WsError::ContinuationUnexpected:
      return "continuation without a message";
    case WsError::ContinuationExpected:
      return "new message inside a message";
    case WsError::BadCloseCode:
      return "bad close code";
    case WsError::BadClosePayload:
      return "bad close payload";
    case WsError::BadUtf8:
      return "invalid UTF-8";
    case WsError::MessageTooBig:
      return "message too big";
    case WsError::BadDeflate:
      return "compressed data damaged";
  }
  return "unknown";
}

std::uint16_t close_code_of(WsError error) {
  switch (error) {
    case WsError::BadUtf8:
    case WsError::BadDeflate:
      return kWsCloseBadData;
    case WsError::MessageTooBig:
      return kWsCloseTooBig;
    default:
      return kWsCloseProtocolError;
  }
}

bool is_ws_close_code(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

Result<std::optional<WsEvent>, WsError> WsDecoder::next(std::span<std::uint8_t>& input) {
  for (;;) {
    auto event = next_piece(input);
    if (!is_inflating()) return event;
  }
}

Result<std::optional<WsEvent>, WsError> WsDecoder::next_piece(std::span<std::uint8_t>& input) {
  if (inflater_) return inflate(std::string_view(message_).substr(inflated_bytes_));
  if (deliver_from_message_) {  // the event delivered last time was in message_
    message_.clear();
    if (message_.capacity() > 4'096) message_.shrink_to_fit();
    deliver_from_message_ = false;
  }
  if (control_delivered_) {
    control_.clear();
    control_delivered_ = false;
  }
  for (;;) {
    if (!in_payload_) {
      const Result<bool, WsError> complete = read_header(input);
      if (!complete) return failure(complete.error());
      if (!*complete) return std::optional<WsEvent>{};
    }
    const std::size_t take =
        static_cast<std::size_t>(std::min<std::uint64_t>(frame_left_, input.size()));
    const std::span<std::uint8_t> piece = input.first(take);
    input = input.subspan(take);
    if (role_ == WsRole::Server) apply_mask(piece, mask_, mask_phase_);
    mask_phase_ = static_cast<std::uint8_t>((mask_phase_ + take) & 3U);
    frame_left_ -= take;

    std::string& joined = is_control(frame_opcode_) ? control_ : message_;
    const bool direct = frame_left_ == 0 && frame_final_ && joined.empty();  // all in one piece
    if (!direct) joined.append(as_text(piece));
    if (frame_left_ > 0) return std::optional<WsEvent>{};
    in_payload_ = false;
    if (!frame_final_) continue;  // more fragments follow
    return finish(direct ? as_text(piece) : std::string_view(joined), direct);
  }
}

// True: header_ is complete and checked, the payload follows.
Result<bool, WsError> WsDecoder::read_header(std::span<std::uint8_t>& input) {
  std::size_t need = 2;
  for (;;) {
    if (header_size_ >= 2) {
      const std::uint8_t short_length = header_[1] & 0x7FU;
      const std::size_t length_bytes = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
      const std::size_t mask_bytes = (header_[1] & 0x80U) != 0 ? 4 : 0;
      need = 2 + length_bytes + mask_bytes;
      if (header_size_ == need) break;
    }
    const std::size_t take = std::min(need - header_size_, input.size());
    if (take == 0) return false;
    std::copy_n(input.begin(), take, header_.begin() + header_size_);
    header_size_ = static_cast<std::uint8_t>(header_size_ + take);
    input = input.subspan(take);
    // What the first two bytes say can be refused before any more is read.
    if (header_size_ >= 2 && need == 2) {
      if (const std::optional<WsError> error = check_first_bytes()) return failure(*error);
    }
  }
  if (const std::optional<WsError> error = check_length(need)) return failure(*error);
  header_size_ = 0;
  in_payload_ = true;
  return true;
}

std::optional<WsError> WsDecoder::check_first_bytes() {
  const std::uint8_t opcode = header_[0] & 0x0FU;
  // RSV1: on the first frame of a message only (RFC 7692 6).
  const bool may_be_compressed = inflaters_ != nullptr && (opcode == 0x1 || opcode == 0x2);
  const bool compressed = may_be_compressed && (header_[0] & 0x40U) != 0;
  if ((header_[0] & (compressed ? 0x30U : 0x70U)) != 0) return WsError::ReservedBits;
  if (!is_known(opcode)) return WsError::UnknownOpcode;
  const bool masked = (header_[1] & 0x80U) != 0;
  if (masked != (role_ == WsRole::Server)) return WsError::MaskWrong;
  frame_opcode_ = WsOpcode{opcode};
  frame_final_ = (header_[0] & 0x80U) != 0;
  if (is_control(frame_opcode_)) {
    if (!frame_final_) return WsError::ControlFragmented;
    if ((header_[1] & 0x7FU) > kControlBytesMax) return WsError::ControlTooLong;
    return std::nullopt;
  }
  const bool in_message = message_opcode_ != WsOpcode::Continuation;
  if (frame_opcode_ == WsOpcode::Continuation)
    return in_message ? std::nullopt : std::optional(WsError::ContinuationUnexpected);
  if (in_message) return WsError::ContinuationExpected;
  message_compressed_ = compressed;
  return std::nullopt;
}

std::optional<WsError> WsDecoder::check_length(std::size_t header_bytes) {
  const std::uint8_t short_length = header_[1] & 0x7FU;
  std::uint64_t length = short_length;
  if (short_length >= 126) {
    const std::size_t length_bytes = short_length == 126 ? 2 : 8;
    length = 0;
    for (std::size_t i = 0; i < length_bytes; ++i) length = length << 8U | header_[2 + i];
    if (length < (short_length == 126 ? 126U : 65'536U)) return WsError::LengthNotMinimal;
  }
  if (!is_control(frame_opcode_)) {
    const std::size_t bytes_max =
        message_compressed_ ? deflated_bytes_max(message_bytes_max_) : message_bytes_max_;
    if (length > bytes_max || message_.size() > bytes_max - length) return WsError::MessageTooBig;
    if (message_opcode_ == WsOpcode::Continuation) message_opcode_ = frame_opcode_;
    if (!frame_final_ && length < kWsSmallFragmentBytes) ++small_fragments_;
  }
  if (role_ == WsRole::Server)
    std::copy_n(header_.begin() + static_cast<std::ptrdiff_t>(header_bytes) - 4, 4, mask_.begin());
  frame_left_ = length;
  mask_phase_ = 0;
  return std::nullopt;
}

Result<std::optional<WsEvent>, WsError> WsDecoder::finish(std::string_view payload, bool direct) {
  if (is_control(frame_opcode_)) return finish_control(payload, direct);
  message_kind_ = kind_of(message_opcode_);
  message_opcode_ = WsOpcode::Continuation;
  deliver_from_message_ = !direct;
  if (!message_compressed_) return deliver(message_kind_, payload);
  inflater_ = inflaters_->take();
  inflater_->begin(payload.size(), message_bytes_max_);
  return inflate(payload);
}

// Another piece. `payload` is what is left of message_, or of the input if it came in one piece.
Result<std::optional<WsEvent>, WsError> WsDecoder::inflate(std::string_view payload) {
  const Result<bool, WsInflateError> is_whole = inflater_->step(payload);
  if (is_whole && !*is_whole) {
    if (!deliver_from_message_) message_.assign(payload);
    deliver_from_message_ = true;
    inflated_bytes_ = message_.size() - payload.size();
    return std::optional<WsEvent>{};
  }
  const std::string_view text = inflater_->text();
  inflaters_->give_back(std::move(inflater_));
  if (is_whole) return deliver(message_kind_, text);
  return failure(is_whole.error() == WsInflateError::TooBig ? WsError::MessageTooBig
                                                            : WsError::BadDeflate);
}

Result<std::optional<WsEvent>, WsError> WsDecoder::deliver(WsEventKind kind,
                                                           std::string_view payload) {
  if (kind == WsEventKind::Text && !is_utf8(payload)) return failure(WsError::BadUtf8);
  return std::optional(WsEvent{kind, payload});
}

Result<std::optional<WsEvent>, WsError> WsDecoder::finish_control(std::string_view payload,
                                                                  bool direct) {
  WsEvent event;
  event.kind = kind_of(frame_opcode_);
  event.payload = payload;
  control_delivered_ = !direct;
  if (event.kind != WsEventKind::Close) return std::optional(event);
  event.close_code = kWsCloseNoStatus;
  if (payload.empty()) return std::optional(event);
  if (payload.size() == 1) return failure(WsError::BadClosePayload);
  event.close_code = static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8U |
                                                static_cast<unsigned char>(payload[1]));
  if (!is_ws_close_code(event.close_code)) return failure(WsError::BadCloseCode);
  event.payload = payload.substr(2);
  if (!is_utf8(event.payload)) return failure(WsError::BadUtf8);
  return std::optional(event);
}

namespace {

void append_header(std::string& out, WsOpcode opcode, std::uint64_t payload_bytes,
                   std::uint8_t mask_bit, WsPayload form) {
  std::array<char, kWsHeaderBytesMax> header{};
  std::size_t size = 2;
  header[0] = static_cast<char>((form == WsPayload::Compressed ? 0xC0U : 0x80U) |
                                static_cast<std::uint8_t>(opcode));
  std::size_t length_bytes = 0;
  if (payload_bytes < 126) {
    header[1] = static_cast<char>(mask_bit | payload_bytes);
  } else {
    length_bytes = payload_bytes < 65'536 ? 2 : 8;
    header[1] = static_cast<char>(mask_bit | (length_bytes == 2 ? 126U : 127U));
  }
  for (std::size_t i = 0; i < length_bytes; ++i)
    header[size++] = static_cast<char>(payload_bytes >> (8 * (length_bytes - 1 - i)) & 0xFFU);
  out.append(header.data(), size);
}

}  // namespace

void append_ws_header(std::string& out, WsOpcode opcode, std::uint64_t payload_bytes,
                      WsPayload form) {
  append_header(out, opcode, payload_bytes, 0, form);
}

void append_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload,
                     std::optional<std::array<std::uint8_t, 4>> mask, WsPayload form) {
  append_header(out, opcode, payload.size(), mask ? 0x80U : 0, form);
  if (mask) out.append(reinterpret_cast<const char*>(mask->data()), mask->size());
  const std::size_t start = out.size();
  out.append(payload);
  if (mask)
    apply_mask({reinterpret_cast<std::uint8_t*>(out.data()) + start, payload.size()}, *mask, 0);
}

std::string ws_close_payload(std::uint16_t code, std::string_view reason) {
  CHECK(is_ws_close_code(code));
  constexpr std::size_t kReasonBytesMax = kControlBytesMax - 2;
  if (reason.size() > kReasonBytesMax) {
    std::size_t cut = kReasonBytesMax;
    while (cut > 0 && (static_cast<unsigned char>(reason[cut]) & 0xC0U) == 0x80U) --cut;
    reason = reason.substr(0, cut);
  }
  std::string out;
  out.push_back(static_cast<char>(code >> 8U));
  out.push_back(static_cast<char>(code & 0xFFU));
  if (is_utf8(reason)) out.append(reason);  // the peer would have to fail the connection over it
  return out;
}

std::string ws_accept_key(std::string_view key) {
  std::string text(key);
  text.append(kWsGuid);
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) == 1 &&
        size == 20);
  return encode_base64(std::span<const std::uint8_t>(digest).first(size));
}

std::string_view to_string(WsHandshakeError error) {
  switch (error) {
    case WsHandshakeError::NotGet:
      return "WebSocket handshake must be an HTTP/1.1 GET without body";
    case WsHandshakeError::NoUpgrade:
      return "Upgrade: websocket missing";
    case WsHandshakeError::BadConnection:
      return "Connection: Upgrade missing";
    case WsHandshakeError::BadVersion:
      return "only WebSocket version 13 is spoken here";
    case WsHandshakeError::BadKey:
      return "bad Sec-WebSocket-Key";
    case WsHandshakeError::BadStatus:
      return "server did not switch protocols";
    case WsHandshakeError::BadAccept:
      return "bad Sec-WebSocket-Accept";
    case WsHandshakeError::UnwantedExtension:
      return "server chose an extension that was not offered";
    case WsHandshakeError::UnwantedProtocol:
      return "server chose a subprotocol that was not offered";
    case WsHandshakeError::BadExtension:
      return "bad Sec-WebSocket-Extensions";
  }
  return "unknown";
}

bool wants_websocket(const HttpRequest& request) {
  return request.headers.has_token("Upgrade", "websocket");
}

Result<WsHandshakeAnswer, WsHandshakeError> answer_ws_handshake(const HttpRequest& request,
                                                                const WsDeflateOptions& deflate) {
  const HttpHeaders& headers = request.headers;
  if (!wants_websocket(request)) return failure(WsHandshakeError::NoUpgrade);
  if (request.method != "GET" || request.http_1_0 || !request.body.empty())
    return failure(WsHandshakeError::NotGet);
  if (!headers.has_token("Connection", "upgrade")) return failure(WsHandshakeError::BadConnection);
  if (headers.count("Sec-WebSocket-Version") != 1 ||
      *headers.find("Sec-WebSocket-Version") != "13") {
    return failure(WsHandshakeError::BadVersion);
  }
  const std::string_view key = headers.find("Sec-WebSocket-Key").value_or("");
  const std::optional<Bytes> nonce = decode_base64(key);
  if (headers.count("Sec-WebSocket-Key") != 1 || !nonce || nonce->size() != 16)
    return failure(WsHandshakeError::BadKey);
  WsHandshakeAnswer answer;
  answer.text =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\nSec-WebSocket-Accept: " +
      ws_accept_key(key) + "\r\n";
  if (deflate.enabled) {
    const auto agreed = answer_ws_deflate(headers, deflate.window_bits);
    if (!agreed) return failure(WsHandshakeError::BadExtension);
    if (*agreed) {
      answer.text.append("Sec-WebSocket-Extensions: ").append((*agreed)->text).append("\r\n");
      answer.deflate = (*agreed)->agreement;
    }
  }
  answer.text += "\r\n";
  return answer;
}

std::string ws_handshake_request(std::string_view authority, std::string_view target,
                                 std::string_view key, const HttpHeaders& extra) {
  std::string out("GET ");
  out.append(target).append(" HTTP/1.1\r\nHost: ").append(authority);
  out.append(
         "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
         "13\r\nSec-WebSocket-Key: ")
      .append(key);
  out.append("\r\n");
  for (const HttpHeader& field : extra.fields()) {
    CHECK(is_http_token(field.name) && is_http_field_value(field.value));
    out.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  out.append("\r\n");
  return out;
}

namespace {

// The fields under a status line; nothing when one is malformed.
std::optional<HttpHeaders> read_fields(std::string_view lines) {
  HttpHeaders headers;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 2, lines.size()));
    if (line.empty()) break;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_http_token(line.substr(0, colon)))
      return std::nullopt;
    std::string_view value = line.substr(colon + 1);
    const std::size_t first = value.find_first_not_of(" \t");
    value = first == std::string_view::npos
                ? std::string_view{}
                : value.substr(first, value.find_last_not_of(" \t") - first + 1);
    headers.add(std::string(line.substr(0, colon)), std::string(value));
  }
  return headers;
}

}  // namespace

Result<std::optional<WsDeflateAgreement>, WsHandshakeError> check_ws_handshake_response(
    std::string_view head, std::string_view key, bool deflate_offered) {
  const std::size_t line_end = head.find("\r\n");
  const std::string_view status_line = head.substr(0, std::min(line_end, head.size()));
  if (status_line.substr(0, 12) != "HTTP/1.1 101" ||
      (status_line.size() > 12 && status_line[12] != ' ')) {
    return failure(WsHandshakeError::BadStatus);
  }
  head.remove_prefix(std::min(status_line.size() + 2, head.size()));
  const std::optional<HttpHeaders> headers = read_fields(head);
  if (!headers) return failure(WsHandshakeError::BadStatus);
  if (!headers->has_token("Upgrade", "websocket")) return failure(WsHandshakeError::NoUpgrade);
  if (!headers->has_token("Connection", "upgrade")) return failure(WsHandshakeError::BadConnection);
  if (headers->count("Sec-WebSocket-Accept") != 1 ||
      *headers->find("Sec-WebSocket-Accept") != ws_accept_key(key)) {
    return failure(WsHandshakeError::BadAccept);
  }
  if (headers->count("Sec-WebSocket-Protocol") != 0)
    return failure(WsHandshakeError::UnwantedProtocol);
  if (!deflate_offered && headers->count("Sec-WebSocket-Extensions") != 0)
    return failure(WsHandshakeError::UnwantedExtension);
  const auto agreed = read_ws_deflate_answer(*headers);
  if (agreed) return *agreed;
  return failure(agreed.error() == WsExtensionError::Malformed
                     ? WsHandshakeError::BadExtension
                     : WsHandshakeError::UnwantedExtension);
}

}  // namespace nostril::net
