#include "face/binary_http.h"

#include "base/check.h"

#include "face/text.h"

#include <optional>

namespace nostril::face {

namespace {

constexpr std::uint64_t kRequestKnown = 0;
constexpr std::uint64_t kResponseKnown = 1;
constexpr std::uint64_t kRequestParts = 2;
constexpr std::uint64_t kResponseParts = 3;

bool take_text(std::string_view& from, std::string_view& text) {
  std::uint64_t size = 0;
  if (!take_quic_number(from, size) || size > from.size()) return false;
  text = from.substr(0, size);
  from.remove_prefix(size);
  return true;
}

using Done = Result<void, BinaryHttpError>;

Done malformed() {
  return failure(BinaryHttpError::Malformed);
}

Done take_field(std::string_view& from, std::string_view name, BinaryFields& fields) {
  std::string_view value;
  if (name.empty() || !take_text(from, value)) return malformed();
  if (fields.size() == kBinaryFieldsMax) return failure(BinaryHttpError::TooManyFields);
  fields.emplace_back(name, value);
  return {};
}

/// Framing 0: none at all where the message ends before.
Done take_known_fields(std::string_view& from, BinaryFields& fields) {
  if (from.empty()) return {};
  std::string_view section;
  if (!take_text(from, section)) return malformed();
  while (!section.empty()) {
    std::string_view name;
    if (!take_text(section, name)) return malformed();
    if (auto taken = take_field(section, name, fields); !taken) return taken;
  }
  return {};
}

/// Framing 2: up to an empty name.
Done take_fields(std::string_view& from, BinaryFields& fields) {
  for (;;) {
    std::string_view name;
    if (!take_text(from, name)) return malformed();
    if (name.empty()) return {};
    if (auto taken = take_field(from, name, fields); !taken) return taken;
  }
}

Done take_contents(std::string_view& from, std::string& content) {
  for (;;) {
    std::string_view part;
    if (!take_text(from, part)) return malformed();
    if (part.empty()) return {};
    content += part;
  }
}

Done take_known_rest(std::string_view& from, BinaryRequest& out) {
  if (auto taken = take_known_fields(from, out.fields); !taken) return taken;
  std::string_view content;
  if (!from.empty() && !take_text(from, content)) return malformed();
  out.content = content;
  BinaryFields trailer;
  return take_known_fields(from, trailer);
}

Done take_rest(std::string_view& from, BinaryRequest& out) {
  if (auto taken = take_fields(from, out.fields); !taken) return taken;
  if (auto taken = take_contents(from, out.content); !taken) return taken;
  BinaryFields trailer;
  return take_fields(from, trailer);
}

void append_text(std::string& out, std::string_view text) {
  append_quic_number(out, text.size());
  out += text;
}

std::string encode_fields(const BinaryFields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    append_text(out, ascii_lower(name));
    append_text(out, value);
  }
  return out;
}

}  // namespace

bool take_quic_number(std::string_view& from, std::uint64_t& value) {
  if (from.empty()) return false;
  const auto first = static_cast<std::uint8_t>(from.front());
  const std::size_t size = std::size_t{1} << (first >> 6);
  if (from.size() < size) return false;
  value = first & 0x3fU;
  for (std::size_t i = 1; i < size; ++i) value = value << 8 | static_cast<std::uint8_t>(from[i]);
  from.remove_prefix(size);
  return true;
}

void append_quic_number(std::string& out, std::uint64_t value) {
  CHECK(value < (std::uint64_t{1} << 62));
  unsigned log = 0;  // of the size in bytes
  while (log < 3 && value >= std::uint64_t{1} << ((8U << log) - 2)) ++log;
  const unsigned size = 1U << log;
  for (unsigned i = 0; i < size; ++i) {
    auto byte = static_cast<std::uint8_t>(value >> (8 * (size - 1 - i)));
    if (i == 0) byte |= static_cast<std::uint8_t>(log << 6);
    out += static_cast<char>(byte);
  }
}

Result<BinaryRequest, BinaryHttpError> parse_binary_request(std::string_view message) {
  std::uint64_t framing = 0;
  if (!take_quic_number(message, framing) ||
      (framing != kRequestKnown && framing != kRequestParts)) {
    return failure(BinaryHttpError::Malformed);
  }
  BinaryRequest out;
  for (std::string* text : {&out.method, &out.scheme, &out.authority, &out.path}) {
    std::string_view part;
    if (!take_text(message, part)) return failure(BinaryHttpError::Malformed);
    *text = part;
  }
  const Done rest =
      framing == kRequestKnown ? take_known_rest(message, out) : take_rest(message, out);
  if (!rest) return failure(rest.error());
  if (message.find_first_not_of('\0') != std::string_view::npos) {
    return failure(BinaryHttpError::Malformed);
  }
  return out;
}

std::string binary_response(int status, const BinaryFields& fields, std::string_view content) {
  std::string out;
  append_quic_number(out, kResponseKnown);
  append_quic_number(out, static_cast<std::uint64_t>(status));
  append_text(out, encode_fields(fields));
  append_text(out, content);
  append_quic_number(out, 0);  // no trailer
  return out;
}

std::string binary_response_head(int status, const BinaryFields& fields) {
  std::string out;
  append_quic_number(out, kResponseParts);
  append_quic_number(out, static_cast<std::uint64_t>(status));
  out += encode_fields(fields);
  append_quic_number(out, 0);
  return out;
}

void append_binary_content(std::string& out, std::string_view content) {
  if (!content.empty()) append_text(out, content);
}

void append_binary_end(std::string& out) {
  append_quic_number(out, 0);  // of the content
  append_quic_number(out, 0);  // of the trailer
}

}  // namespace nostril::face
