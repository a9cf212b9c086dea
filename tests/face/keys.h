#pragma once

#include "schnorr/hash.h"
#include "tests/schnorr/vectors.h"

#include "face/aci_encryption.h"
#include "face/legacy_signature.h"

#include <string_view>

namespace nostril::face::test {

inline SecretBytes<32> secret_of(std::string_view name) {
  const Digest digest = sha256(name);
  return SecretBytes<32>(digest.span());
}

inline SecretBytes<32> secret_filled(std::uint8_t byte) {
  SecretBytes<32> out;
  std::ranges::fill(out.expose_mutable(), byte);
  return out;
}

/// The keys of tests/face/vectors.json: SHA-256 of their names.
inline LegacySigner signer() {
  return {*EcdsaKey::from_secret(secret_of("ecdsa")), Ed25519Key::from_seed(secret_of("ed25519"))};
}

inline AciKeys aci_keys() {
  return {X25519Key::from_secret(secret_filled(3)), *EcdsaKey::from_secret(secret_of("ecdsa"))};
}

inline Json parsed(std::string_view text) {
  auto out = Json::parse(text);
  CHECK(out.has_value());
  return *std::move(out);
}

}  // namespace nostril::face::test
