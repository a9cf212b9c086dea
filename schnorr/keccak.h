#pragma once

#include "base/bytes.h"
#include "schnorr/types.h"

namespace nostril {

/// Keccak-256 as Ethereum uses it: Keccak with the padding it had before FIPS 202 (0x01), capacity
/// 512 bits. Not SHA3-256, whose padding differs; OpenSSL 3.0 has only that one. For addresses in
/// other people's attestation reports; not tuned, no secrets.
[[nodiscard]] Digest keccak256(ByteSpan data);

}  // namespace nostril
