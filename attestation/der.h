#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

/// The little DER (ITU-T X.690) that attestation reads and the simulator writes itself.
namespace nostril::attestation::der {

inline constexpr std::uint8_t kBoolean = 0x01;
inline constexpr std::uint8_t kInteger = 0x02;
inline constexpr std::uint8_t kBitString = 0x03;
inline constexpr std::uint8_t kOctetString = 0x04;
inline constexpr std::uint8_t kOid = 0x06;
inline constexpr std::uint8_t kEnumerated = 0x0a;
inline constexpr std::uint8_t kUtf8String = 0x0c;
inline constexpr std::uint8_t kUtcTime = 0x17;
inline constexpr std::uint8_t kGeneralizedTime = 0x18;
inline constexpr std::uint8_t kSequence = 0x30;
inline constexpr std::uint8_t kSet = 0x31;

/// Reads values one after the other. Definite, minimal lengths up to 65535 only.
class Reader {
 public:
  explicit Reader(ByteSpan data) : rest_(data) {}

  struct Value {
    std::uint8_t tag = 0;
    ByteSpan content;
  };

  /// The next value; nothing at the end and for bad encoding (then at_end() is false).
  std::optional<Value> next();
  /// The next value's content when it has this tag.
  std::optional<ByteSpan> next(std::uint8_t tag);

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  ByteSpan rest_;
};

/// A non-negative INTEGER's value up to 32 bits, minimally encoded.
std::optional<std::uint32_t> to_uint32(ByteSpan integer_content);

/// tag, length, content.
Bytes value(std::uint8_t tag, ByteSpan content);
/// The parts joined, inside `tag`.
Bytes constructed(std::uint8_t tag, std::initializer_list<Bytes> parts);
/// A positive INTEGER of these big-endian bytes.
Bytes positive_integer(ByteSpan big_endian);
Bytes small_integer(std::uint32_t number);
/// `arcs` is the encoded content of the OID.
Bytes oid(ByteSpan arcs);

}  // namespace nostril::attestation::der
