#pragma once

#include "base/result.h"
#include "net/http.h"
#include "net/ws_deflate.h"
#include "net/ws_deflate_offer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace nostril::net {

// RFC 6455 with permessage-deflate (RFC 7692) where agreed on, without subprotocols. Pure: no
// socket, no clock.

enum class WsOpcode : std::uint8_t {
  Continuation = 0x0,
  Text = 0x1,
  Binary = 0x2,
  Close = 0x8,
  Ping = 0x9,
  Pong = 0xA,
};

/// Our side. The server demands masked frames and sends unmasked ones; the client the other way
/// round.
enum class WsRole : std::uint8_t { Server, Client };

enum class WsEventKind : std::uint8_t { Text, Binary, Ping, Pong, Close };

struct WsEvent {
  WsEventKind kind = WsEventKind::Text;
  /// For Close: the reason text. Valid until the next call; of a compressed message, until the next
  /// call of any decoder with the same inflaters.
  std::string_view payload;
  std::uint16_t close_code = 0;  ///< Close only; 1005 when the peer gave none
};

inline constexpr std::uint16_t kWsCloseNormal = 1000;
inline constexpr std::uint16_t kWsCloseGoingAway = 1001;
inline constexpr std::uint16_t kWsCloseProtocolError = 1002;
inline constexpr std::uint16_t kWsCloseNoStatus = 1005;  ///< never on the wire
inline constexpr std::uint16_t kWsCloseAbnormal = 1006;  ///< never on the wire
inline constexpr std::uint16_t kWsCloseBadData = 1007;
inline constexpr std::uint16_t kWsClosePolicy = 1008;
inline constexpr std::uint16_t kWsCloseTooBig = 1009;
inline constexpr std::uint16_t kWsCloseInternal = 1011;
inline constexpr std::uint16_t kWsCloseServiceRestart = 1012;

enum class WsError : std::uint8_t {
  ReservedBits,
  UnknownOpcode,
  MaskWrong,
  LengthNotMinimal,
  ControlTooLong,
  ControlFragmented,
  ContinuationUnexpected,
  ContinuationExpected,
  BadCloseCode,
  BadClosePayload,
  BadUtf8,
  MessageTooBig,
  BadDeflate,
};

std::string_view to_string(WsError error);
/// The code of the Close frame to answer with: 1002, 1007 or 1009.
std::uint16_t close_code_of(WsError error);

/// Nobody sends a message in smaller pieces than this but to make work.
inline constexpr std::size_t kWsSmallFragmentBytes = 256;

/// Reads frames and joins fragments. Bytes come in pieces cut anywhere; a frame that lies whole in
/// one piece is unmasked in place and delivered without a copy. Text is checked as UTF-8 when the
/// message is complete. A compressed message is joined as it came and inflated when it is complete.
/// Memory: at most `message_bytes_max` (an eighth more where compressed) and 125 bytes, allocated
/// only as bytes arrive; and an inflater while that is at work.
class WsDecoder {
 public:
  /// With `inflaters` (outlive the decoder) messages may be compressed: agreed on by handshake.
  WsDecoder(WsRole role, std::size_t message_bytes_max, WsInflaters* inflaters = nullptr)
      : message_bytes_max_(message_bytes_max), inflaters_(inflaters), role_(role) {}

  /// Takes bytes off the front of `input` (and unmasks in it) until one event is complete or the
  /// input is used up (nothing). Call again until it returns nothing. After an error or a Close
  /// event the decoder must not be used further.
  Result<std::optional<WsEvent>, WsError> next(std::span<std::uint8_t>& input);

  /// The same for who has others to serve: returns nothing also when a piece of a compressed
  /// message has been inflated, some 0.2 ms of work. Then it is_inflating(), and the next call
  /// takes no input but goes on with it.
  Result<std::optional<WsEvent>, WsError> next_piece(std::span<std::uint8_t>& input);

  [[nodiscard]] bool is_inflating() const { return inflater_ != nullptr; }

  /// Frames below kWsSmallFragmentBytes that did not end their message, since the last call: of
  /// messages that are under way, too.
  [[nodiscard]] std::size_t take_small_fragments() { return std::exchange(small_fragments_, 0); }

  /// Of a message that is not complete.
  [[nodiscard]] std::size_t held_bytes() const {
    return message_.size() + control_.size() + (inflater_ ? inflater_->held_bytes() : 0);
  }

 private:
  Result<bool, WsError> read_header(std::span<std::uint8_t>& input);
  std::optional<WsError> check_first_bytes();
  std::optional<WsError> check_length(std::size_t header_bytes);
  Result<std::optional<WsEvent>, WsError> finish(std::string_view payload, bool direct);
  Result<std::optional<WsEvent>, WsError> finish_control(std::string_view payload, bool direct);
  Result<std::optional<WsEvent>, WsError> inflate(std::string_view payload);
  static Result<std::optional<WsEvent>, WsError> deliver(WsEventKind kind,
                                                         std::string_view payload);

  std::size_t message_bytes_max_;
  WsInflaters* inflaters_;
  std::unique_ptr<WsInflater> inflater_;  // while a message is inflated in part
  std::size_t inflated_bytes_ = 0;        // of message_, then
  std::string message_;                   // joined payload of the data message under way
  std::string control_;                   // payload of a control frame that came in pieces
  std::uint64_t frame_left_ = 0;
  std::size_t small_fragments_ = 0;
  std::array<std::uint8_t, 14> header_{};
  std::array<std::uint8_t, 4> mask_{};
  std::uint8_t header_size_ = 0;
  std::uint8_t mask_phase_ = 0;
  WsRole role_;
  WsOpcode frame_opcode_ = WsOpcode::Text;
  WsOpcode message_opcode_ = WsOpcode::Continuation;  // Continuation: no message under way
  WsEventKind message_kind_ = WsEventKind::Text;      // of one that is complete
  bool frame_final_ = false;
  bool in_payload_ = false;
  bool message_compressed_ = false;
  bool deliver_from_message_ = false;
  bool control_delivered_ = false;
};

/// Largest header: 2 + 8 length + 4 mask.
inline constexpr std::size_t kWsHeaderBytesMax = 14;

/// Whether a message's payload is a compressed one (RSV1).
enum class WsPayload : std::uint8_t { Plain, Compressed };

/// Appends the header of one final frame, unmasked (server to client).
void append_ws_header(std::string& out, WsOpcode opcode, std::uint64_t payload_bytes,
                      WsPayload form = WsPayload::Plain);
/// Appends one whole final frame; masked when `mask` is given (client to server).
void append_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload,
                     std::optional<std::array<std::uint8_t, 4>> mask = std::nullopt,
                     WsPayload form = WsPayload::Plain);
/// Payload of a Close frame: big-endian code, then the reason cut to 123 bytes at a character
/// border.
std::string ws_close_payload(std::uint16_t code, std::string_view reason);
/// Codes that may stand in a Close frame (RFC 6455 7.4 and the IANA registry): 1000-1003,
/// 1007-1014, 3000-4999.
[[nodiscard]] bool is_ws_close_code(std::uint16_t code);

/// Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2).
std::string ws_accept_key(std::string_view key);

enum class WsHandshakeError : std::uint8_t {
  NotGet,
  NoUpgrade,
  BadConnection,
  BadVersion,
  BadKey,
  BadStatus,
  BadAccept,
  UnwantedExtension,
  UnwantedProtocol,
  BadExtension,
};
std::string_view to_string(WsHandshakeError error);

/// Whether the request asks for a WebSocket at all ("Upgrade: websocket").
[[nodiscard]] bool wants_websocket(const HttpRequest& request);

struct WsHandshakeAnswer {
  std::string text;
  std::optional<WsDeflateAgreement> deflate;
};

/// Server side: the 101 answer. BadVersion is to be answered by 426 and Sec-WebSocket-Version: 13.
Result<WsHandshakeAnswer, WsHandshakeError> answer_ws_handshake(
    const HttpRequest& request, const WsDeflateOptions& deflate = {});

/// Client side: the request text. `key` is base64 of 16 random bytes.
std::string ws_handshake_request(std::string_view authority, std::string_view target,
                                 std::string_view key, const HttpHeaders& extra = {});
/// Client side: checks a whole response head (through the empty line) against the key sent, and
/// whether kWsDeflateOffer was. Returns what was agreed on about compression.
Result<std::optional<WsDeflateAgreement>, WsHandshakeError> check_ws_handshake_response(
    std::string_view head, std::string_view key, bool deflate_offered = false);

}  // namespace nostril::net
