#include "schnorr/ecdsa_check.h"

#include "base/check.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>

#include <cstddef>

namespace nostril {

namespace {

std::optional<secp256k1_pubkey> parse(const CompressedPublicKey& key) {
  secp256k1_pubkey point;
  if (secp256k1_ec_pubkey_parse(secp256k1_context_static, &point, key.bytes.data(),
                                key.bytes.size()) != 1) {
    return std::nullopt;
  }
  return point;
}

}  // namespace

std::optional<CompressedPublicKey> recover_ecdsa(const Digest& digest,
                                                 std::span<const std::uint8_t, 64> signature,
                                                 int recovery) {
  if (recovery < 0 || recovery > 3) return std::nullopt;
  secp256k1_ecdsa_recoverable_signature parsed;
  secp256k1_pubkey point;
  if (secp256k1_ecdsa_recoverable_signature_parse_compact(secp256k1_context_static, &parsed,
                                                          signature.data(), recovery) != 1 ||
      secp256k1_ecdsa_recover(secp256k1_context_static, &point, &parsed, digest.bytes.data()) !=
          1) {
    return std::nullopt;
  }
  CompressedPublicKey out;
  std::size_t size = out.bytes.size();
  CHECK(secp256k1_ec_pubkey_serialize(secp256k1_context_static, out.bytes.data(), &size, &point,
                                      SECP256K1_EC_COMPRESSED) == 1);
  return out;
}

bool verify_ecdsa(const Digest& digest, std::span<const std::uint8_t, 64> signature,
                  const CompressedPublicKey& key) {
  const auto point = parse(key);
  secp256k1_ecdsa_signature parsed;
  if (!point || secp256k1_ecdsa_signature_parse_compact(secp256k1_context_static, &parsed,
                                                        signature.data()) != 1) {
    return false;
  }
  return secp256k1_ecdsa_verify(secp256k1_context_static, &parsed, digest.bytes.data(), &*point) ==
         1;  // the library refuses a high s
}

bool is_point(const CompressedPublicKey& key) {
  return parse(key).has_value();
}

}  // namespace nostril
