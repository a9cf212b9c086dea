#pragma once

#include "attestation/ecdsa.h"
#include "base/bytes.h"

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <optional>

/// The keys and signatures that certificates here may have, read from their DER by ourselves: few
/// kinds, one encoding each. OpenSSL 3.0 could decode keys too, at more than the price of a P-256
/// verification each.
namespace nostril::attestation {

enum class KeyKind : std::uint8_t {
  P256,  ///< uncompressed point, curve by name
  P384,
  Rsa,  ///< rsaEncryption; 2048 to 8192 bits, exponent 3 or more, below 2^32
};

struct CertificateKey {
  KeyKind kind = KeyKind::P256;
  std::shared_ptr<EVP_PKEY> key;
};

/// `info`: a SubjectPublicKeyInfo, without tag and length. Nothing for any other key, also for a
/// point that is not on its curve.
std::optional<CertificateKey> read_public_key(ByteSpan info);

enum class SignatureKind : std::uint8_t {
  EcdsaSha256,
  EcdsaSha384,
  RsaSha256,  ///< PKCS #1 version 1.5
  PssSha384,  ///< RSASSA-PSS, MGF1 with SHA-384, salt of 48 bytes
};

/// `algorithm`: an AlgorithmIdentifier, without tag and length. Nothing for any other.
std::optional<SignatureKind> read_signature_kind(ByteSpan algorithm);

/// `key` signed `message`. False also when key and kind do not go together. `signature`: DER of
/// ECDSA, big-endian of RSA.
bool verify_signature(const CertificateKey& key, SignatureKind kind, ByteSpan message,
                      ByteSpan signature);

}  // namespace nostril::attestation
