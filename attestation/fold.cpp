#include "attestation/fold.h"

#include "base/base64.h"
#include "base/hex.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace nostril::attestation {

namespace {

enum class Run : std::uint8_t { Hex = 1, Base64Lines = 2 };

constexpr std::size_t kHexDigitsMin = 16;
constexpr std::size_t kLineChars = 64;
constexpr unsigned kLengthBits = 7;
/// More bytes of a length would be above any text.
constexpr std::size_t kLengthBytesMax = 4;

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool is_base64(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
         c == '/';
}

void append_length(Bytes& out, std::size_t length) {
  for (; length >> kLengthBits != 0; length >>= kLengthBits) {
    out.push_back(static_cast<std::uint8_t>(length | 1U << kLengthBits));
  }
  out.push_back(static_cast<std::uint8_t>(length));
}

void append(Bytes& out, ByteSpan bytes) {
  append_length(out, bytes.size());
  out.insert(out.end(), bytes.begin(), bytes.end());
}

std::string in_lines(ByteSpan bytes) {
  const std::string unbroken = encode_base64(bytes);
  std::string out;
  out.reserve(unbroken.size() + unbroken.size() / kLineChars + 1);
  for (std::size_t at = 0; at < unbroken.size(); at += kLineChars) {
    out.append(unbroken, at, kLineChars);
    out.push_back('\n');
  }
  return out;
}

/// Text that becomes `bytes`.
struct Found {
  std::size_t text_size = 0;
  Run kind = Run::Hex;
  Bytes bytes = {};
};

std::size_t hex_digits(std::string_view text) {
  const auto* end = std::find_if_not(text.begin(), text.end(), is_hex);
  return static_cast<std::size_t>(end - text.begin());
}

Found find_hex(std::string_view text) {
  const std::size_t digits = hex_digits(text) / 2 * 2;
  if (digits < kHexDigitsMin) return {};
  return {digits, Run::Hex, decode_hex(text.substr(0, digits)).value_or(Bytes{})};
}

/// Length of the line that `text` begins with, with its LF; 0: it is none of base64.
std::size_t base64_line(std::string_view text, bool& full) {
  const std::size_t end = text.substr(0, kLineChars + 1).find('\n');
  if (end == std::string_view::npos || end == 0) return 0;
  const std::string_view line = text.substr(0, end);
  const std::string_view digits = line.substr(0, line.find('='));
  if (!std::all_of(digits.begin(), digits.end(), is_base64)) return 0;
  full = digits.size() == kLineChars;
  return end + 1;
}

Found find_base64(std::string_view text) {
  std::size_t size = 0;
  std::size_t last = 0;
  for (bool full = true; full; size += last) {
    last = base64_line(text.substr(size), full);
    if (last == 0) break;
  }
  auto bytes = decode_base64_lines(text.substr(0, size));
  if (!bytes) {
    size -= last;
    bytes = decode_base64_lines(text.substr(0, size));
  }
  if (!bytes || size <= kLineChars) return {};
  return {size, Run::Base64Lines, std::move(*bytes)};
}

/// Reads what fold() wrote; any deviation makes ok() false for good.
class Reader {
 public:
  explicit Reader(ByteSpan rest) : rest_(rest) {}

  ByteSpan take() {
    std::size_t length = 0;
    for (std::size_t i = 0; i < kLengthBytesMax && !rest_.empty(); ++i) {
      const std::uint8_t byte = take_byte();
      length |= static_cast<std::size_t>(byte & 0x7fU) << (kLengthBits * i);
      if (byte >> kLengthBits != 0) continue;
      if (length > rest_.size()) break;
      const ByteSpan out = rest_.first(length);
      rest_ = rest_.subspan(length);
      return out;
    }
    ok_ = false;
    rest_ = {};
    return {};
  }

  std::uint8_t take_byte() {
    const std::uint8_t out = rest_.front();
    rest_ = rest_.subspan(1);
    return out;
  }

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  [[nodiscard]] bool ok() const { return ok_; }

 private:
  ByteSpan rest_;
  bool ok_ = true;
};

void append_text(Bytes& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace

Bytes fold(ByteSpan bytes) {
  const std::string_view text = as_text(bytes);
  Bytes out;
  std::size_t literal = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    Found run;
    if (at == 0 || text[at - 1] == '\n') run = find_base64(text.substr(at));
    if (run.text_size == 0) run = find_hex(text.substr(at));
    if (run.text_size == 0) {
      at += std::max<std::size_t>(1, hex_digits(text.substr(at)));
      continue;
    }
    append(out, bytes.subspan(literal, at - literal));
    out.push_back(static_cast<std::uint8_t>(run.kind));
    append(out, run.bytes);
    at += run.text_size;
    literal = at;
  }
  if (literal < text.size()) append(out, bytes.subspan(literal));
  return out;
}

std::optional<Bytes> unfold(ByteSpan folded, std::size_t bytes_max) {
  Bytes out;
  Reader reader(folded);
  while (!reader.at_end()) {
    append_text(out, as_text(reader.take()));
    if (out.size() > bytes_max) return std::nullopt;
    if (reader.at_end()) break;
    const auto kind = static_cast<Run>(reader.take_byte());
    const ByteSpan run = reader.take();
    if (run.size() > bytes_max) return std::nullopt;
    append_text(out, kind == Run::Hex ? encode_hex(run) : in_lines(run));
    if (out.size() > bytes_max) return std::nullopt;
  }
  if (!reader.ok() || fold(out) != Bytes(folded.begin(), folded.end())) return std::nullopt;
  return out;
}

}  // namespace nostril::attestation
