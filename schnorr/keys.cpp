#include "schnorr/keys.h"

#include "base/check.h"
#include "schnorr/hash.h"
#include "schnorr/secp256k1_context.h"

#include <secp256k1_ecdh.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include <algorithm>
#include <cstring>

namespace nostril {

namespace {

/// The library's type as our wiped bytes hold it, for the length of one call.
class LibraryKeypair {
 public:
  LibraryKeypair() = default;

  explicit LibraryKeypair(std::span<const std::uint8_t, sizeof(secp256k1_keypair)> bytes) {
    std::ranges::copy(bytes, std::begin(value_.data));
  }

  ~LibraryKeypair() { wipe(value_.data); }

  LibraryKeypair(const LibraryKeypair&) = delete;
  LibraryKeypair& operator=(const LibraryKeypair&) = delete;

  secp256k1_keypair* get() { return &value_; }

  [[nodiscard]] const secp256k1_keypair* get() const { return &value_; }

  [[nodiscard]] std::span<const std::uint8_t, sizeof(secp256k1_keypair)> bytes() const {
    return value_.data;
  }

 private:
  secp256k1_keypair value_{};
};

/// NIP-44 wants the bare x coordinate, not the library's hash of the point.
int copy_x(unsigned char* output, const unsigned char* x32, const unsigned char* /*y32*/,
           void* /*data*/) {
  std::memcpy(output, x32, 32);
  return 1;
}

}  // namespace

const secp256k1_context* signing_context() {
  static const secp256k1_context* const kInstance = [] {
    secp256k1_context* made = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    CHECK(made != nullptr);
    SecretBytes<32> seed;
    SystemRng().fill(seed.expose_mutable());
    CHECK(secp256k1_context_randomize(made, seed.expose().data()) == 1);
    return made;
  }();
  return kInstance;
}

Keypair Keypair::generate(Rng& rng) {
  SecretBytes<32> secret;
  std::optional<Keypair> made;
  // A random value is no key with probability 2^-128: a second failure is a broken generator.
  for (int attempt = 0; attempt < 2 && !made; ++attempt) {
    rng.fill(secret.expose_mutable());
    made = from_secret(secret.expose());
  }
  CHECK(made.has_value());
  return std::move(*made);
}

std::optional<Keypair> Keypair::from_secret(ByteSpan secret) {
  static_assert(kLibraryKeypairBytes == sizeof(secp256k1_keypair));
  if (secret.size() != 32) return std::nullopt;
  LibraryKeypair keypair;
  if (secp256k1_keypair_create(signing_context(), keypair.get(), secret.data()) != 1) {
    return std::nullopt;
  }
  secp256k1_xonly_pubkey point;
  PublicKey public_key;
  CHECK(secp256k1_keypair_xonly_pub(signing_context(), &point, nullptr, keypair.get()) == 1);
  CHECK(secp256k1_xonly_pubkey_serialize(signing_context(), public_key.bytes.data(), &point) == 1);
  return Keypair(SecretBytes<32>(secret.first<32>()),
                 SecretBytes<kLibraryKeypairBytes>(keypair.bytes()), public_key);
}

SecretBytes<32> Keypair::derive_secret(std::string_view label) const {
  const HmacKey root(as_bytes("nostril/derived/1"));
  SecretBytes<32> prk(root.mac({secret_.expose()}).span());
  SecretBytes<32> out;
  hkdf_expand(prk.expose(), as_bytes(label), out.expose_mutable());
  return out;
}

Keypair Keypair::duplicate() const {
  return {secret_.duplicate(), keypair_.duplicate(), public_key_};
}

Signature Keypair::sign(const Digest& message, Rng& rng) const {
  std::array<std::uint8_t, 32> aux{};
  rng.fill(aux);
  return sign_with_aux(message.span(), aux);
}

Signature Keypair::sign_with_aux(ByteSpan message, const std::array<std::uint8_t, 32>& aux) const {
  const LibraryKeypair keypair(keypair_.expose());
  std::array<std::uint8_t, 32> randomness = aux;  // the parameter block wants a mutable pointer
  secp256k1_schnorrsig_extraparams parameters = SECP256K1_SCHNORRSIG_EXTRAPARAMS_INIT;
  parameters.ndata = randomness.data();
  Signature out;
  CHECK(secp256k1_schnorrsig_sign_custom(signing_context(), out.bytes.data(), message.data(),
                                         message.size(), keypair.get(), &parameters) == 1);
  return out;
}

std::optional<SecretBytes<32>> Keypair::shared_x(const PublicKey& peer) const {
  std::array<std::uint8_t, 33> compressed{0x02};  // lift_x: the point with even y
  std::ranges::copy(peer.bytes, compressed.begin() + 1);
  secp256k1_pubkey point;
  if (secp256k1_ec_pubkey_parse(signing_context(), &point, compressed.data(), compressed.size()) !=
      1) {
    return std::nullopt;
  }
  SecretBytes<32> out;
  CHECK(secp256k1_ecdh(signing_context(), out.expose_mutable().data(), &point,
                       secret_.expose().data(), copy_x, nullptr) == 1);
  return out;
}

}  // namespace nostril
