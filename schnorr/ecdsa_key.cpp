#include "schnorr/ecdsa_key.h"

#include "base/check.h"
#include "schnorr/keccak.h"
#include "schnorr/secp256k1_context.h"

#include <secp256k1_ecdh.h>
#include <secp256k1_recovery.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

namespace nostril {

namespace {

constexpr std::uint8_t kFirstV = 27;

int copy_x(unsigned char* output, const unsigned char* x32, const unsigned char* /*y32*/,
           void* /*data*/) {
  std::memcpy(output, x32, 32);
  return 1;
}

EcdsaPublicKey serialize(const secp256k1_pubkey& point) {
  EcdsaPublicKey out;
  std::size_t size = out.bytes.size();
  CHECK(secp256k1_ec_pubkey_serialize(secp256k1_context_static, out.bytes.data(), &size, &point,
                                      SECP256K1_EC_UNCOMPRESSED) == 1);
  CHECK(size == out.bytes.size());
  return out;
}

/// Only the uncompressed form: libsecp256k1 also takes the hybrid one (06, 07).
std::optional<secp256k1_pubkey> parse(const EcdsaPublicKey& key) {
  secp256k1_pubkey point;
  if (key.bytes[0] != 0x04 || secp256k1_ec_pubkey_parse(secp256k1_context_static, &point,
                                                        key.bytes.data(), key.bytes.size()) != 1) {
    return std::nullopt;
  }
  return point;
}

bool is_low_s(const secp256k1_ecdsa_recoverable_signature& signature) {
  secp256k1_ecdsa_signature plain;
  secp256k1_ecdsa_recoverable_signature_convert(secp256k1_context_static, &plain, &signature);
  return secp256k1_ecdsa_signature_normalize(secp256k1_context_static, nullptr, &plain) == 0;
}

}  // namespace

EcdsaKey EcdsaKey::generate(Rng& rng) {
  std::optional<EcdsaKey> made;
  for (int attempt = 0; attempt < 2 && !made; ++attempt) {
    SecretBytes<32> secret;
    rng.fill(secret.expose_mutable());
    made = from_secret(std::move(secret));
  }
  CHECK(made.has_value());
  return std::move(*made);
}

std::optional<EcdsaKey> EcdsaKey::from_secret(SecretBytes<32> secret) {
  secp256k1_pubkey point;
  if (secp256k1_ec_pubkey_create(signing_context(), &point, secret.expose().data()) != 1) {
    return std::nullopt;
  }
  return EcdsaKey(std::move(secret), serialize(point));
}

EcdsaKey EcdsaKey::of(const Keypair& key) {
  SecretBytes<32> secret(key.expose_secret());
  auto made = from_secret(secret.duplicate());
  CHECK(made.has_value());  // a keypair's secret is in range
  const bool y_is_odd = (made->public_key_.bytes.back() & 1U) != 0;
  if (!y_is_odd) return std::move(*made);
  CHECK(secp256k1_ec_seckey_negate(signing_context(), secret.expose_mutable().data()) == 1);
  auto even = from_secret(std::move(secret));
  CHECK(even.has_value());
  return std::move(*even);
}

EthereumAddress EcdsaKey::address() const {
  return ethereum_address(public_key_);
}

EthereumSignature EcdsaKey::sign_personal(std::string_view text) const {
  return sign_digest(eip191_digest(text));
}

EthereumSignature EcdsaKey::sign_digest(const Digest& digest) const {
  secp256k1_ecdsa_recoverable_signature signature;
  CHECK(secp256k1_ecdsa_sign_recoverable(signing_context(), &signature, digest.bytes.data(),
                                         secret_.expose().data(), nullptr, nullptr) == 1);
  EthereumSignature out;
  int recovery = 0;
  CHECK(secp256k1_ecdsa_recoverable_signature_serialize_compact(signing_context(), out.bytes.data(),
                                                                &recovery, &signature) == 1);
  CHECK(recovery == 0 || recovery == 1);  // 2 and 3: r above the order, chance 2^-128
  out.bytes.back() = static_cast<std::uint8_t>(kFirstV + recovery);
  return out;
}

std::optional<SecretBytes<32>> EcdsaKey::shared_x(const EcdsaPublicKey& peer) const {
  const auto point = parse(peer);
  if (!point) return std::nullopt;
  SecretBytes<32> out;
  CHECK(secp256k1_ecdh(signing_context(), out.expose_mutable().data(), &*point,
                       secret_.expose().data(), copy_x, nullptr) == 1);
  return out;
}

EthereumAddress ethereum_address(const EcdsaPublicKey& key) {
  const Digest digest = keccak256(ByteSpan(key.bytes).subspan(1));
  EthereumAddress out;
  std::ranges::copy(ByteSpan(digest.bytes).last(EthereumAddress::kSize), out.bytes.begin());
  return out;
}

std::optional<EcdsaPublicKey> lift_x(std::span<const std::uint8_t, 32> x) {
  constexpr std::uint8_t kEven = 0x02;
  std::array<std::uint8_t, 33> compressed{kEven};
  std::ranges::copy(x, compressed.begin() + 1);
  secp256k1_pubkey point;
  if (secp256k1_ec_pubkey_parse(secp256k1_context_static, &point, compressed.data(),
                                compressed.size()) != 1) {
    return std::nullopt;
  }
  return serialize(point);
}

bool is_point(const EcdsaPublicKey& key) {
  return parse(key).has_value();
}

Digest eip191_digest(std::string_view text) {
  std::string message =
      "\x19"
      "Ethereum Signed Message:\n" +
      std::to_string(text.size());
  message += text;
  return keccak256(as_bytes(message));
}

std::optional<EthereumAddress> recover_personal(std::string_view text,
                                                const EthereumSignature& signature) {
  return recover_digest(eip191_digest(text), signature);
}

std::optional<EthereumAddress> recover_digest(const Digest& digest,
                                              const EthereumSignature& signature) {
  const int recovery = signature.bytes.back() - kFirstV;
  if (recovery != 0 && recovery != 1) return std::nullopt;
  secp256k1_ecdsa_recoverable_signature parsed;
  if (secp256k1_ecdsa_recoverable_signature_parse_compact(secp256k1_context_static, &parsed,
                                                          signature.bytes.data(), recovery) != 1 ||
      !is_low_s(parsed)) {
    return std::nullopt;
  }
  secp256k1_pubkey point;
  if (secp256k1_ecdsa_recover(secp256k1_context_static, &point, &parsed, digest.bytes.data()) !=
      1) {
    return std::nullopt;
  }
  return ethereum_address(serialize(point));
}

}  // namespace nostril
