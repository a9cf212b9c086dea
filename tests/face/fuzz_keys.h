#pragma once

#include "schnorr/hash.h"

#include "face/aci_encryption.h"
#include "face/legacy_signature.h"

namespace nostril::face::test {

/// Fixed keys of fuzzers, which link no test library.
inline SecretBytes<32> fuzz_secret() {
  const Digest digest = sha256("fuzz");
  return SecretBytes<32>(digest.span());
}

inline LegacySigner fuzz_signer() {
  return {*EcdsaKey::from_secret(fuzz_secret()), Ed25519Key::from_seed(fuzz_secret())};
}

inline AciKeys fuzz_aci_keys() {
  return {X25519Key::from_secret(fuzz_secret()), *EcdsaKey::from_secret(fuzz_secret())};
}

}  // namespace nostril::face::test
