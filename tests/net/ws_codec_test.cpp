#include "net/ws_codec.h"

#include "net/utf8.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

namespace nostril::net {
namespace {

constexpr std::array<std::uint8_t, 4> kMask{0x37, 0xFA, 0x21, 0x3D};

/// What a stream of bytes means, as text: "T:hello", "E:reserved bits set", …
std::string describe(const WsEvent& event) {
  static const char* const kNames[] = {"T:", "B:", "i:", "o:", "C:"};
  std::string out = kNames[static_cast<int>(event.kind)];
  if (event.kind == WsEventKind::Close) out += std::to_string(event.close_code) + ":";
  return out.append(event.payload);
}

/// Feeds `bytes` in pieces of the given sizes (the last one repeats; 0: all at once).
std::vector<std::string> decode(
    std::string bytes, WsRole role = WsRole::Server, std::size_t bytes_max = 1'000,
    const std::function<std::size_t()>& next_piece = [] { return std::size_t{1} << 30; }) {
  WsDecoder decoder(role, bytes_max);
  std::vector<std::string> out;
  std::span<std::uint8_t> rest(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size());
  while (!rest.empty()) {
    const std::size_t take = std::min(rest.size(), next_piece());
    std::span<std::uint8_t> piece = rest.first(take);
    rest = rest.subspan(take);
    for (;;) {
      const auto next = decoder.next(piece);
      if (!next) {
        out.push_back("E:" + std::string(to_string(next.error())));
        return out;
      }
      if (!*next) break;
      out.push_back(describe(**next));
      if ((*next)->kind == WsEventKind::Close) return out;
    }
    EXPECT_TRUE(piece.empty());
  }
  return out;
}

using Events = std::vector<std::string>;

std::string frame(std::uint8_t first, std::string_view payload, bool masked = true) {
  std::string out;
  append_ws_frame(out, WsOpcode::Text, payload, masked ? std::optional(kMask) : std::nullopt);
  out[0] = static_cast<char>(first);
  return out;
}

TEST(WsDecoder, ReadsTheExamplesOfTheRfc) {
  // RFC 6455 5.7
  EXPECT_EQ(decode("\x81\x05\x48\x65\x6c\x6c\x6f", WsRole::Client), Events{"T:Hello"});
  EXPECT_EQ(decode("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), Events{"T:Hello"});
  EXPECT_EQ(decode("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", WsRole::Client), Events{"T:Hello"});
  EXPECT_EQ(decode("\x89\x05\x48\x65\x6c\x6c\x6f", WsRole::Client), Events{"i:Hello"});
  EXPECT_EQ(decode("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), Events{"o:Hello"});
}

TEST(WsDecoder, ReadsEmptyMessagesAndFragments) {
  EXPECT_EQ(decode(frame(0x81, "")), Events{"T:"});
  EXPECT_EQ(decode(frame(0x82, "")), Events{"B:"});
  EXPECT_EQ(decode(frame(0x01, "") + frame(0x00, "") + frame(0x80, "")), Events{"T:"});
  EXPECT_EQ(decode(frame(0x01, "a") + frame(0x00, "") + frame(0x80, "b")), Events{"T:ab"});
  EXPECT_EQ(decode(frame(0x02, "a") + frame(0x80, "b") + frame(0x81, "c")),
            (Events{"B:ab", "T:c"}));
}

TEST(WsDecoder, CountsSmallFragmentsAlsoOfWhatIsNotComplete) {
  WsDecoder decoder(WsRole::Server, 100'000);
  const auto count = [&](std::string bytes) {
    std::span<std::uint8_t> rest(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size());
    while (decoder.next(rest).value().has_value()) {
    }
    return decoder.take_small_fragments();
  };
  EXPECT_EQ(count(frame(0x81, "whole") + frame(0x89, "ping")), 0U);
  EXPECT_EQ(count(frame(0x01, "a") + frame(0x00, "") + frame(0x80, "the last")), 2U);
  EXPECT_EQ(count(frame(0x01, "a") + frame(0x00, "")), 2U);
  EXPECT_EQ(count(frame(0x00, std::string(kWsSmallFragmentBytes, 'x'))), 0U);
  EXPECT_EQ(count(frame(0x00, std::string(kWsSmallFragmentBytes - 1, 'x'))), 1U);
}

TEST(WsDecoder, DeliversControlFramesInsideAMessage) {
  EXPECT_EQ(decode(frame(0x01, "a") + frame(0x89, "p") + frame(0x00, "b") + frame(0x8A, "") +
                   frame(0x80, "c")),
            (Events{"i:p", "o:", "T:abc"}));
  EXPECT_EQ(decode(frame(0x01, "a") + frame(0x88, "")), Events{"C:1005:"});
}

TEST(WsDecoder, RefusesReservedBits) {
  for (const int bits : {0x10, 0x20, 0x40, 0x70}) {
    EXPECT_EQ(decode(frame(static_cast<std::uint8_t>(0x81 | bits), "x")),
              Events{"E:reserved bits set"})
        << bits;
  }
}

TEST(WsDecoder, RefusesUnknownOpcodes) {
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    EXPECT_EQ(decode(frame(static_cast<std::uint8_t>(0x80 | opcode), "")),
              Events{"E:unknown opcode"})
        << opcode;
  }
}

TEST(WsDecoder, RefusesTheWrongMasking) {
  EXPECT_EQ(decode(frame(0x81, "x", false), WsRole::Server),
            Events{"E:masking is wrong for this side"});
  EXPECT_EQ(decode(frame(0x81, "x", true), WsRole::Client),
            Events{"E:masking is wrong for this side"});
}

TEST(WsDecoder, RefusesContinuationsOutOfPlace) {
  EXPECT_EQ(decode(frame(0x80, "x")), Events{"E:continuation without a message"});
  EXPECT_EQ(decode(frame(0x00, "x")), Events{"E:continuation without a message"});
  EXPECT_EQ(decode(frame(0x81, "x") + frame(0x80, "y")),
            (Events{"T:x", "E:continuation without a message"}));
  EXPECT_EQ(decode(frame(0x01, "x") + frame(0x81, "y")), Events{"E:new message inside a message"});
  EXPECT_EQ(decode(frame(0x01, "x") + frame(0x02, "y")), Events{"E:new message inside a message"});
}

TEST(WsDecoder, RefusesBadControlFrames) {
  EXPECT_EQ(decode(frame(0x89, std::string(125, 'p'))).size(), 1U);
  EXPECT_EQ(decode(frame(0x89, std::string(126, 'p'))), Events{"E:control frame over 125 bytes"});
  EXPECT_EQ(decode(frame(0x8A, std::string(70'000, 'p'))),
            Events{"E:control frame over 125 bytes"});
  EXPECT_EQ(decode(frame(0x09, "p")), Events{"E:control frame fragmented"});
  EXPECT_EQ(decode(frame(0x08, "")), Events{"E:control frame fragmented"});
}

TEST(WsDecoder, RefusesLengthsThatAreNotShortest) {
  EXPECT_EQ(decode(std::string("\x81\x7E\x00\x7D", 4), WsRole::Client),
            Events{"E:length not in its shortest form"});
  EXPECT_EQ(
      decode(std::string("\x81\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF", 10), WsRole::Client, 1 << 20),
      Events{"E:length not in its shortest form"});
  EXPECT_EQ(decode(std::string("\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 10), WsRole::Client),
            Events{"E:message too big"});
}

TEST(WsDecoder, BoundsAMessageAlsoAcrossFragments) {
  const std::string half(500, 'h');
  EXPECT_EQ(decode(frame(0x81, std::string(1'000, 'x'))).size(), 1U);
  EXPECT_EQ(decode(frame(0x81, std::string(1'001, 'x'))), Events{"E:message too big"});
  EXPECT_EQ(decode(frame(0x01, half) + frame(0x80, half))[0], "T:" + half + half);
  EXPECT_EQ(decode(frame(0x01, half) + frame(0x00, half) + frame(0x80, "x")),
            Events{"E:message too big"});
  // Refused by the header: no payload is waited for.
  EXPECT_EQ(decode(frame(0x81, std::string(70'000, 'x')).substr(0, 14)),
            Events{"E:message too big"});
}

TEST(WsDecoder, BoundsEveryMessageAnew) {
  const std::string most(1'000, 'x');
  EXPECT_EQ(
      decode(frame(0x81, most) + frame(0x01, "a") + frame(0x80, "b") + frame(0x81, most)).size(),
      3U);
}

TEST(WsDecoder, ChecksUtf8OfTextOnly) {
  EXPECT_EQ(decode(frame(0x81, "\xC3\x28")), Events{"E:invalid UTF-8"});
  EXPECT_EQ(decode(frame(0x82, "\xC3\x28")), Events{"B:\xC3\x28"});
  // One character over two fragments is fine, half of one is not.
  EXPECT_EQ(decode(frame(0x01, "\xE2\x82") + frame(0x80, "\xAC")), Events{"T:\xE2\x82\xAC"});
  EXPECT_EQ(decode(frame(0x01, "\xE2\x82") + frame(0x80, "")), Events{"E:invalid UTF-8"});
}

TEST(WsDecoder, ChecksClosePayloads) {
  const auto close = [](std::string_view payload) { return decode(frame(0x88, payload)); };
  EXPECT_EQ(close(""), Events{"C:1005:"});
  EXPECT_EQ(close("\x03"), Events{"E:bad close payload"});
  EXPECT_EQ(close("\x03\xE8"), Events{"C:1000:"});
  EXPECT_EQ(close("\x03\xE8"
                  "bye"),
            Events{"C:1000:bye"});
  EXPECT_EQ(close("\x03\xE8\xC3\x28"), Events{"E:invalid UTF-8"});
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
                         3000, 3999, 4000, 4999}) {
    EXPECT_TRUE(is_ws_close_code(static_cast<std::uint16_t>(code))) << code;
  }
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65'535}) {
    const std::string payload{static_cast<char>(code >> 8), static_cast<char>(code)};
    EXPECT_EQ(close(payload), Events{"E:bad close code"}) << code;
  }
}

TEST(WsDecoder, NamesTheCloseCodeOfEachError) {
  EXPECT_EQ(close_code_of(WsError::BadUtf8), 1007);
  EXPECT_EQ(close_code_of(WsError::MessageTooBig), 1009);
  EXPECT_EQ(close_code_of(WsError::ReservedBits), 1002);
  EXPECT_EQ(close_code_of(WsError::BadCloseCode), 1002);
}

/// The slow twin: the whole stream at once, byte by byte, after the text of RFC 6455 5.
Events slow_decode(const std::string& bytes, WsRole role, std::size_t bytes_max) {
  Events out;
  std::size_t at = 0;
  std::string message;
  int message_opcode = -1;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const auto error = [&](WsError why) {
    out.push_back("E:" + std::string(to_string(why)));
    return out;
  };
  while (bytes.size() - at >= 2) {
    const int opcode = byte(at) & 15;
    const bool final = byte(at) >= 128;
    const bool masked = byte(at + 1) >= 128;
    std::uint64_t length = byte(at + 1) & 127;
    if ((byte(at) & 0x70) != 0) return error(WsError::ReservedBits);
    if ((opcode > 2 && opcode < 8) || opcode > 10) return error(WsError::UnknownOpcode);
    if (masked != (role == WsRole::Server)) return error(WsError::MaskWrong);
    if (opcode >= 8 && !final) return error(WsError::ControlFragmented);
    if (opcode >= 8 && length > 125) return error(WsError::ControlTooLong);
    if (opcode == 0 && message_opcode < 0) return error(WsError::ContinuationUnexpected);
    if ((opcode == 1 || opcode == 2) && message_opcode >= 0)
      return error(WsError::ContinuationExpected);
    std::size_t header = 2;
    if (length >= 126) header += length == 126 ? 2 : 8;
    if (bytes.size() - at < header + (masked ? 4 : 0)) return out;
    if (header > 2) {
      const std::uint64_t least = header == 4 ? 126 : 65'536;
      length = 0;
      for (std::size_t i = 2; i < header; ++i) length = length * 256 + byte(at + i);
      if (length < least) return error(WsError::LengthNotMinimal);
    }
    if (opcode < 8 && (length > bytes_max || message.size() + length > bytes_max))
      return error(WsError::MessageTooBig);
    const std::size_t mask_at = at + header;
    if (masked) header += 4;
    if (bytes.size() - at - header < length) return out;
    std::string payload;
    for (std::uint64_t i = 0; i < length; ++i) {
      const int mask = masked ? byte(mask_at + (i & 3)) : 0;
      payload.push_back(static_cast<char>(byte(at + header + i) ^ mask));
    }
    at += header + length;
    if (opcode >= 8) {
      if (opcode == 9) out.push_back("i:" + payload);
      if (opcode == 10) out.push_back("o:" + payload);
      if (opcode != 8) continue;
      if (payload.empty()) {
        out.push_back("C:1005:");
        return out;
      }
      if (payload.size() == 1) return error(WsError::BadClosePayload);
      const int code =
          static_cast<unsigned char>(payload[0]) * 256 + static_cast<unsigned char>(payload[1]);
      if (!is_ws_close_code(static_cast<std::uint16_t>(code))) return error(WsError::BadCloseCode);
      if (!is_utf8(payload.substr(2))) return error(WsError::BadUtf8);
      out.push_back("C:" + std::to_string(code) + ":" + payload.substr(2));
      return out;
    }
    if (opcode != 0) message_opcode = opcode;
    message += payload;
    if (!final) continue;
    if (message_opcode == 1 && !is_utf8(message)) return error(WsError::BadUtf8);
    out.push_back((message_opcode == 1 ? "T:" : "B:") + message);
    message.clear();
    message_opcode = -1;
  }
  return out;
}

TEST(WsDecoder, AgreesWithTheSlowTwinHoweverTheBytesAreCut) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return random() % n; };
  for (int round = 0; round < 3'000; ++round) {
    const WsRole role = below(2) == 0 ? WsRole::Server : WsRole::Client;
    std::string stream;
    bool open = false;
    for (std::size_t i = 0, frames = 1 + below(12); i < frames; ++i) {
      std::string payload(below(8) == 0 ? below(700) : below(30), 'a');
      for (char& c : payload) c = static_cast<char>('a' + below(26));
      if (below(20) == 0) payload += "\xE2\x82\xAC";
      std::uint8_t first = 0;
      if (below(4) == 0) {
        static constexpr std::uint8_t kControls[] = {0x89, 0x8A, 0x89, 0x88};
        first = kControls[below(4)];
        if (first == 0x88) payload = "\x03\xE8" + payload;
        payload.resize(std::min<std::size_t>(payload.size(), 125));
      } else {
        const bool final = below(3) != 0;
        first = static_cast<std::uint8_t>((final ? 0x80U : 0U) | (open ? 0U : 1U + below(2)));
        open = !final;
      }
      stream += frame(first, payload, role == WsRole::Server);
    }
    // Sometimes a bit is wrong or the end is missing.
    if (below(2) == 0)
      stream[below(std::min<std::size_t>(stream.size(), 40))] ^= static_cast<char>(1U << below(8));
    if (below(3) == 0) stream.resize(below(stream.size() + 1));
    const Events expected = slow_decode(stream, role, 1'000);
    ASSERT_EQ(decode(stream, role, 1'000), expected);
    ASSERT_EQ(decode(stream, role, 1'000, [] { return std::size_t{1}; }), expected);
    ASSERT_EQ(decode(stream, role, 1'000, [&] { return 1 + below(40); }), expected);
  }
}

TEST(WsEncoder, WritesTheShortestHeader) {
  for (const std::size_t bytes : {0U, 1U, 125U, 126U, 65'535U, 65'536U, 70'000U}) {
    const std::string payload(bytes, 'x');
    std::string out;
    append_ws_frame(out, WsOpcode::Text, payload);
    const std::size_t header = bytes < 126 ? 2 : bytes < 65'536 ? 4 : 10;
    EXPECT_EQ(out.size(), header + bytes);
    std::string header_only;
    append_ws_header(header_only, WsOpcode::Text, bytes);
    EXPECT_EQ(out.substr(0, header), header_only);
    EXPECT_EQ(decode(out, WsRole::Client, 1 << 20), Events{"T:" + payload});
    out.clear();
    append_ws_frame(out, WsOpcode::Binary, payload, kMask);
    EXPECT_EQ(decode(out, WsRole::Server, 1 << 20), Events{"B:" + payload});
  }
}

TEST(WsEncoder, CutsACloseReasonAtACharacter) {
  EXPECT_EQ(ws_close_payload(1000, "ok"),
            "\x03\xE8"
            "ok");
  std::string reason;
  while (reason.size() < 130) reason += "\xE2\x82\xAC";
  const std::string payload = ws_close_payload(1000, reason);
  EXPECT_LE(payload.size(), 125U);
  EXPECT_TRUE(is_utf8(payload.substr(2)));
  EXPECT_EQ(payload.size(), 2U + 123U);
  EXPECT_EQ(ws_close_payload(1000, "\xFF").size(), 2U);
}

TEST(Utf8, KnowsTheTable) {
  for (const std::string_view good :
       {"", "plain", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
        "12345678\xC3\xA9"
        "12345678"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const std::string_view bad :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xE0\xA0",
        "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x90\x80", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xFE", "\xFF", "1234567\x80", "12345678\xC3"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(Utf8, AgreesWithDecodingForAllShortStrings) {
  // Every 1- and 2-byte string, and 3-byte ones with an interesting lead, against a decoder of code
  // points.
  const auto slow = [](std::string_view s) {
    for (std::size_t i = 0; i < s.size();) {
      const auto at = [&](std::size_t k) {
        return i + k < s.size() ? static_cast<unsigned char>(s[i + k]) : 0U;
      };
      const unsigned lead = at(0);
      const std::size_t n = lead < 0x80              ? 1
                            : (lead & 0xE0U) == 0xC0 ? 2
                            : (lead & 0xF0U) == 0xE0 ? 3
                            : (lead & 0xF8U) == 0xF0 ? 4
                                                     : 0;
      if (n == 0 || i + n > s.size()) return false;
      unsigned point = n == 1 ? lead : lead & (0xFFU >> (n + 1));
      for (std::size_t k = 1; k < n; ++k) {
        if ((at(k) & 0xC0U) != 0x80) return false;
        point = point << 6U | (at(k) & 0x3FU);
      }
      static constexpr unsigned kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
      if (point < kLeast[n] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
        return false;
      i += n;
    }
    return true;
  };
  std::string s;
  for (int a = 0; a < 256; ++a) {
    s.assign(1, static_cast<char>(a));
    ASSERT_EQ(is_utf8(s), slow(s)) << a;
    for (int b = 0; b < 256; ++b) {
      s.resize(1);
      s.push_back(static_cast<char>(b));
      ASSERT_EQ(is_utf8(s), slow(s)) << a << " " << b;
      if (a < 0xC0 || a > 0xF8) continue;
      for (const int c : {0x00, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC0}) {
        s.resize(2);
        s.push_back(static_cast<char>(c));
        ASSERT_EQ(is_utf8(s), slow(s));
        s.push_back('\x80');
        ASSERT_EQ(is_utf8(s), slow(s));
      }
    }
  }
}

HttpRequest good_request() {
  HttpRequest request;
  request.method = "GET";
  request.target = request.path = "/";
  request.headers = {{"Host", "h"},
                     {"upgrade", "WebSocket"},
                     {"Connection", "keep-alive, Upgrade"},
                     {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                     {"Sec-WebSocket-Version", "13"}};
  return request;
}

HttpRequest request_with(const std::string& name, const std::string& value) {
  HttpRequest request = good_request();
  HttpHeaders changed;
  for (const HttpHeader& field : request.headers.fields()) {
    if (field.name != name) changed.add(field.name, field.value);
  }
  if (!value.empty()) changed.add(name, value);
  request.headers = changed;
  return request;
}

TEST(WsHandshake, AnswersTheExampleOfTheRfc) {
  EXPECT_EQ(ws_accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const auto answer = answer_ws_handshake(good_request());
  ASSERT_TRUE(answer);
  EXPECT_TRUE(check_ws_handshake_response(answer->text, "dGhlIHNhbXBsZSBub25jZQ=="));
  EXPECT_EQ(check_ws_handshake_response(answer->text, "AAAAAAAAAAAAAAAAAAAAAA==").error(),
            WsHandshakeError::BadAccept);
}

TEST(WsHandshake, RefusesEachMissingOrWrongPart) {
  const auto error_of = [](const HttpRequest& request) {
    return answer_ws_handshake(request).error();
  };
  EXPECT_EQ(error_of(request_with("upgrade", "")), WsHandshakeError::NoUpgrade);
  EXPECT_EQ(error_of(request_with("upgrade", "h2c")), WsHandshakeError::NoUpgrade);
  EXPECT_EQ(error_of(request_with("Connection", "")), WsHandshakeError::BadConnection);
  EXPECT_EQ(error_of(request_with("Connection", "keep-alive")), WsHandshakeError::BadConnection);
  EXPECT_EQ(error_of(request_with("Sec-WebSocket-Version", "")), WsHandshakeError::BadVersion);
  EXPECT_EQ(error_of(request_with("Sec-WebSocket-Version", "8")), WsHandshakeError::BadVersion);
  EXPECT_EQ(error_of(request_with("Sec-WebSocket-Key", "")), WsHandshakeError::BadKey);
  EXPECT_EQ(error_of(request_with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")),
            WsHandshakeError::BadKey);
  EXPECT_EQ(error_of(request_with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZTE=")),
            WsHandshakeError::BadKey);
  HttpRequest post = good_request();
  post.method = "POST";
  EXPECT_EQ(error_of(post), WsHandshakeError::NotGet);
  HttpRequest body = good_request();
  body.body = "x";
  EXPECT_EQ(error_of(body), WsHandshakeError::NotGet);
  HttpRequest old = good_request();
  old.http_1_0 = true;
  EXPECT_EQ(error_of(old), WsHandshakeError::NotGet);
  HttpRequest twice = good_request();
  twice.headers.add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
  EXPECT_EQ(error_of(twice), WsHandshakeError::BadKey);
}

TEST(WsHandshake, ClientRefusesWhatItDidNotAskFor) {
  const std::string key = "dGhlIHNhbXBsZSBub25jZQ==";
  const std::string good =
      "HTTP/1.1 101 Whatever\r\nupgrade: WEBSOCKET\r\nconnection: upgrade\r\nSec-WebSocket-Accept: "
      " s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n";
  const auto error_of = [&key](const std::string& head) {
    return check_ws_handshake_response(head, key).error();
  };
  EXPECT_TRUE(check_ws_handshake_response(good + "\r\n", key));
  EXPECT_EQ(error_of(good + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            WsHandshakeError::UnwantedExtension);
  EXPECT_EQ(error_of(good + "Sec-WebSocket-Protocol: x\r\n\r\n"),
            WsHandshakeError::UnwantedProtocol);
  EXPECT_EQ(error_of("HTTP/1.1 200 OK\r\n\r\n"), WsHandshakeError::BadStatus);
  EXPECT_EQ(error_of("HTTP/1.1 1012 X\r\n\r\n"), WsHandshakeError::BadStatus);
  EXPECT_EQ(error_of("HTTP/1.1 101\r\n\r\n"), WsHandshakeError::NoUpgrade);
  EXPECT_EQ(error_of(""), WsHandshakeError::BadStatus);
}

TEST(WsHandshake, ClientRequestIsAcceptedByOurServer) {
  const std::string text =
      ws_handshake_request("relay.example", "/x?y", "dGhlIHNhbXBsZSBub25jZQ==", {{"X-More", "1"}});
  HttpRequestParser parser{HttpLimits{}};
  const auto used = parser.feed(text);
  ASSERT_TRUE(used);
  ASSERT_TRUE(parser.done());
  const HttpRequest request = parser.take();
  EXPECT_EQ(request.target, "/x?y");
  EXPECT_TRUE(answer_ws_handshake(request));
}

}  // namespace
}  // namespace nostril::net
