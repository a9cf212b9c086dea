#pragma once

#include "base/bytes.h"

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <span>

/// ECDSA as attestation uses it: P-256 with SHA-256 (Intel's quotes and JSON), P-384 with SHA-384
/// (AMD's reports). Keys and signatures are raw: big-endian x||y and r||s.
namespace nostril::attestation {

struct PkeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

using PkeyPtr = std::unique_ptr<EVP_PKEY, PkeyDeleter>;

enum class EcCurve : std::uint8_t { P256, P384 };

/// The key, or null when x||y is not a point of the curve.
PkeyPtr ec_public_key(EcCurve curve, ByteSpan xy);

/// False for a wrong signature, and for r or s out of range.
bool verify_p256(EVP_PKEY* key, ByteSpan message, std::span<const std::uint8_t, 64> signature);
bool verify_p384(EVP_PKEY* key, ByteSpan message, std::span<const std::uint8_t, 96> signature);

}  // namespace nostril::attestation
