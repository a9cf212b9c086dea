#include "net/proxy_protocol.h"

#include <algorithm>
#include <charconv>

namespace nostril::net {

namespace {

using Header = Result<std::optional<ProxyHeader>, ProxyError>;

constexpr std::string_view kSignature1 = "PROXY ";
constexpr std::string_view kSignature2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kLineBytesMax = 107;  // with CRLF
// Version 2: signature, version and command, family and protocol, length.
constexpr std::size_t kFixedBytes = 16;
constexpr std::size_t kAddresses4Bytes = 12;  // two addresses, two ports
constexpr std::size_t kAddresses6Bytes = 36;

std::uint8_t byte_at(std::string_view text, std::size_t at) {
  return static_cast<std::uint8_t>(text[at]);
}

std::uint16_t u16_at(std::string_view text, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(text, at) << 8U | byte_at(text, at + 1));
}

// Up to the next space, which goes too; all when there is none.
std::string_view take_word(std::string_view& text) {
  const std::size_t end = std::min(text.size(), text.find(' '));
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(text.size(), end + 1));
  return word;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool has_zero = text.size() > 1 && text.front() == '0';
  if (error != std::errc{} || end != text.data() + text.size() || has_zero) return std::nullopt;
  return value;
}

// Where the proxy's two sides are of different families it writes an IPv4 address as an IPv6 one.
std::optional<PeerAddress> parse_address(std::string_view text, bool is_v4) {
  const bool has_colon = text.find(':') != std::string_view::npos;
  return has_colon == is_v4 ? std::nullopt : PeerAddress::parse(text);
}

// Without its signature and CRLF.
Header parse_line(std::string_view line) {
  const std::string_view family = take_word(line);
  if (family == "UNKNOWN") return ProxyHeader{};
  if (family != "TCP4" && family != "TCP6") return failure(ProxyError::BadLine);
  auto source = parse_address(take_word(line), family == "TCP4");
  const auto destination = parse_address(take_word(line), family == "TCP4");
  const auto source_port = parse_port(take_word(line));
  const auto destination_port = parse_port(line);
  if (!source || !destination || !source_port || !destination_port) {
    return failure(ProxyError::BadAddress);
  }
  source->port = *source_port;
  return ProxyHeader{source};
}

PeerAddress address_at(std::string_view text, std::size_t bytes) {
  PeerAddress out;
  if (bytes == 4) out.ip[10] = out.ip[11] = 0xFF;
  std::copy_n(text.begin(), bytes, out.ip.end() - static_cast<std::ptrdiff_t>(bytes));
  return out;
}

// A whole one.
Header parse_binary(std::string_view head) {
  const unsigned command = byte_at(head, 12) & 0x0FU;
  const unsigned family = byte_at(head, 13);
  const std::string_view body = head.substr(kFixedBytes);
  if (command == 0) return ProxyHeader{};
  const bool is_v4 = family == 0x11;
  if (!is_v4 && family != 0x21) {
    if (family == 0) return ProxyHeader{};
    return failure(ProxyError::BadFamily);
  }
  if (body.size() < (is_v4 ? kAddresses4Bytes : kAddresses6Bytes)) {
    return failure(ProxyError::WrongLength);
  }
  const std::size_t bytes = is_v4 ? 4 : 16;
  PeerAddress source = address_at(body, bytes);
  source.port = u16_at(body, 2 * bytes);
  return ProxyHeader{source};
}

bool may_become(std::string_view head, std::string_view signature) {
  return signature.starts_with(head.substr(0, signature.size()));
}

}  // namespace

std::string_view to_string(ProxyError error) {
  switch (error) {
    case ProxyError::NoHeader:
      return "no PROXY header";
    case ProxyError::BadLine:
      return "not a line of version 1";
    case ProxyError::BadAddress:
      return "not an address or port";
    case ProxyError::BadVersion:
      return "unknown version";
    case ProxyError::BadCommand:
      return "unknown command";
    case ProxyError::BadFamily:
      return "not TCP over IPv4 or IPv6";
    case ProxyError::WrongLength:
      return "too short for its addresses";
    case ProxyError::TooLong:
      return "too long";
  }
  return "unknown";
}

// As far as is known yet: of version 1 a byte at a time, since its end is not known.
std::size_t ProxyHeaderReader::wanted_bytes() const {
  if (head_.starts_with('P') || head_.empty()) return head_.size() + 1;
  if (head_.size() < kFixedBytes) return kFixedBytes;
  return kFixedBytes + u16_at(head_, 14);
}

std::optional<ProxyError> ProxyHeaderReader::check_start() const {
  if (may_become(head_, kSignature1)) {
    if (head_.size() > kLineBytesMax) return ProxyError::TooLong;
    return std::nullopt;
  }
  if (!may_become(head_, kSignature2)) return ProxyError::NoHeader;
  if (head_.size() < kFixedBytes) return std::nullopt;
  if (byte_at(head_, 12) >> 4U != 2) return ProxyError::BadVersion;
  if ((byte_at(head_, 12) & 0x0FU) > 1) return ProxyError::BadCommand;
  if (wanted_bytes() > kProxyHeaderBytesMax) return ProxyError::TooLong;
  return std::nullopt;
}

Header ProxyHeaderReader::feed(std::string_view& bytes) {
  while (true) {
    const std::size_t missing = wanted_bytes() - head_.size();
    if (missing == 0) return parse_binary(head_);
    if (bytes.empty()) return std::optional<ProxyHeader>{};
    const std::size_t taken = std::min(missing, bytes.size());
    head_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (const auto error = check_start()) return failure(*error);
    if (head_.starts_with(kSignature1) && head_.ends_with("\r\n")) {
      std::string_view line = head_;
      line.remove_prefix(kSignature1.size());
      line.remove_suffix(2);
      return parse_line(line);
    }
  }
}

}  // namespace nostril::net
