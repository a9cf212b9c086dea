#include "attestation/der.h"

#include "base/check.h"

#include <array>

namespace nostril::attestation::der {

std::optional<Reader::Value> Reader::next() {
  if (rest_.size() < 2) return std::nullopt;
  const std::uint8_t tag = rest_[0];
  if ((tag & 0x1fU) == 0x1fU) return std::nullopt;  // long tags: not used here
  std::size_t length = rest_[1];
  std::size_t header = 2;
  if (length > 0x7f) {
    const std::size_t count = length & 0x7fU;
    if (count == 0 || count > 2 || rest_.size() < 2 + count) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < count; ++i) length = length << 8U | rest_[2 + i];
    header += count;
    const std::size_t smallest = count == 1 ? 0x80 : 0x100;
    if (length < smallest) return std::nullopt;
  }
  if (rest_.size() - header < length) return std::nullopt;
  const Value out{tag, rest_.subspan(header, length)};
  rest_ = rest_.subspan(header + length);
  return out;
}

std::optional<ByteSpan> Reader::next(std::uint8_t tag) {
  const auto found = next();
  if (!found || found->tag != tag) return std::nullopt;
  return found->content;
}

std::optional<std::uint32_t> to_uint32(ByteSpan integer_content) {
  ByteSpan bytes = integer_content;
  if (bytes.empty() || bytes[0] > 0x7f) return std::nullopt;
  if (bytes.size() > 1 && bytes[0] == 0) {
    if (bytes[1] <= 0x7f) return std::nullopt;
    bytes = bytes.subspan(1);
  }
  if (bytes.size() > 4) return std::nullopt;
  std::uint32_t out = 0;
  for (const std::uint8_t byte : bytes) out = out << 8U | byte;
  return out;
}

Bytes value(std::uint8_t tag, ByteSpan content) {
  CHECK(content.size() <= 0xffffff);
  Bytes out{tag};
  const std::size_t size = content.size();
  if (size > 0xffff) {
    out.insert(out.end(), {0x83, static_cast<std::uint8_t>(size >> 16U)});
  } else if (size > 0xff) {
    out.push_back(0x82);
  } else if (size > 0x7f) {
    out.push_back(0x81);
  }
  if (size > 0xff) out.push_back(static_cast<std::uint8_t>(size >> 8U));
  out.push_back(static_cast<std::uint8_t>(size));
  out.insert(out.end(), content.begin(), content.end());
  return out;
}

Bytes constructed(std::uint8_t tag, std::initializer_list<Bytes> parts) {
  Bytes content;
  for (const Bytes& part : parts) content.insert(content.end(), part.begin(), part.end());
  return value(tag, content);
}

Bytes positive_integer(ByteSpan big_endian) {
  while (big_endian.size() > 1 && big_endian[0] == 0) big_endian = big_endian.subspan(1);
  Bytes content;
  if (big_endian.empty() || big_endian[0] > 0x7f) content.push_back(0);
  content.insert(content.end(), big_endian.begin(), big_endian.end());
  return value(kInteger, content);
}

Bytes small_integer(std::uint32_t number) {
  const std::array<std::uint8_t, 4> bytes = {
      static_cast<std::uint8_t>(number >> 24U), static_cast<std::uint8_t>(number >> 16U),
      static_cast<std::uint8_t>(number >> 8U), static_cast<std::uint8_t>(number)};
  return positive_integer(bytes);
}

Bytes oid(ByteSpan arcs) {
  return value(kOid, arcs);
}

}  // namespace nostril::attestation::der
