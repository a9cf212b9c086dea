#pragma once

#include "base/check.h"

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <span>

namespace nostril {

struct FreeEvpKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

using EvpKey = std::unique_ptr<EVP_PKEY, FreeEvpKey>;

/// OpenSSL's object of a key of Curve25519 (`type`: EVP_PKEY_X25519 or EVP_PKEY_ED25519) for the
/// length of one call; it wipes its copy when freed. Inside of this folder only.
inline EvpKey raw_private_key(int type, std::span<const std::uint8_t, 32> secret) {
  EvpKey key(EVP_PKEY_new_raw_private_key(type, nullptr, secret.data(), secret.size()));
  CHECK(key != nullptr);
  return key;
}

inline EvpKey raw_public_key(int type, std::span<const std::uint8_t, 32> bytes) {
  return EvpKey(EVP_PKEY_new_raw_public_key(type, nullptr, bytes.data(), bytes.size()));
}

inline void read_raw_public_key(const EvpKey& key, std::span<std::uint8_t, 32> out) {
  std::size_t size = out.size();
  CHECK(EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size) == 1 && size == out.size());
}

}  // namespace nostril
