#include "schnorr/x25519.h"

#include "base/check.h"
#include "schnorr/evp_key.h"

namespace nostril {

X25519Key X25519Key::generate(Rng& rng) {
  SecretBytes<32> secret;
  rng.fill(secret.expose_mutable());
  return from_secret(std::move(secret));
}

X25519Key X25519Key::from_secret(SecretBytes<32> secret) {
  const EvpKey key = raw_private_key(EVP_PKEY_X25519, secret.expose());
  X25519PublicKey public_key;
  read_raw_public_key(key, public_key.bytes);
  return {std::move(secret), public_key};
}

std::optional<SecretBytes<32>> X25519Key::shared_secret(const X25519PublicKey& peer) const {
  struct FreeContext {
    void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  };

  const EvpKey ours = raw_private_key(EVP_PKEY_X25519, secret_.expose());
  const EvpKey theirs = raw_public_key(EVP_PKEY_X25519, peer.bytes);
  const std::unique_ptr<EVP_PKEY_CTX, FreeContext> context(EVP_PKEY_CTX_new(ours.get(), nullptr));
  CHECK(context != nullptr && theirs != nullptr);
  CHECK(EVP_PKEY_derive_init(context.get()) == 1);
  CHECK(EVP_PKEY_derive_set_peer(context.get(), theirs.get()) == 1);
  SecretBytes<32> out;
  std::size_t size = out.expose().size();
  // OpenSSL itself refuses the secret that is all zeros (RFC 7748, section 6.1).
  if (EVP_PKEY_derive(context.get(), out.expose_mutable().data(), &size) != 1) return std::nullopt;
  CHECK(size == out.expose().size());
  return out;
}

}  // namespace nostril
