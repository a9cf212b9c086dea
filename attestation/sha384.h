#pragma once

#include "base/bytes.h"

#include <array>
#include <cstdint>
#include <initializer_list>

namespace nostril::attestation {

/// SHA-384 (FIPS 180-4) and SHA-512 of the parts in their order, without a join.
std::array<std::uint8_t, 48> sha384(std::initializer_list<ByteSpan> parts);
std::array<std::uint8_t, 64> sha512(std::initializer_list<ByteSpan> parts);

}  // namespace nostril::attestation
