#include "schnorr/sealed_box.h"

#include "base/check.h"
#include "schnorr/aead.h"
#include "schnorr/hash.h"

namespace nostril {

namespace {

constexpr std::array<std::uint8_t, 16> kZeros{};

std::size_t nonce_bytes(BoxCipher cipher) {
  return cipher == BoxCipher::AesGcm ? kGcmNonceBytes : kXNonceBytes;
}

SecretBytes<32> hkdf_key(const SecretBytes<32>& shared, std::string_view info) {
  Digest prk = hkdf_extract({}, shared.expose());
  SecretBytes<32> key;
  hkdf_expand(prk.span(), as_bytes(info), key.expose_mutable());
  wipe(prk.bytes);
  return key;
}

SecretBytes<32> box_key(const BoxSuite& suite, const SecretBytes<32>& shared) {
  switch (suite.cipher) {
    case BoxCipher::AesGcm:
    case BoxCipher::XChaCha:
      break;
    case BoxCipher::NaclXChaCha:
    case BoxCipher::BareXChaCha:
      return hchacha20(shared.expose(), kZeros);
    case BoxCipher::NaclXSalsa:
      return hsalsa20(shared.expose(), kZeros);
  }
  return hkdf_key(shared, suite.info);
}

void seal_body(Bytes& out, const BoxSuite& suite, const SecretBytes<32>& shared, ByteSpan nonce,
               ByteSpan aad, ByteSpan plaintext) {
  CHECK(aad.empty() || suite.cipher == BoxCipher::AesGcm);
  const SecretBytes<32> key = box_key(suite, shared);
  switch (suite.cipher) {
    case BoxCipher::AesGcm:
      return aes_256_gcm_seal(out, key.expose(), nonce.first<12>(), aad, plaintext);
    case BoxCipher::XChaCha:
    case BoxCipher::BareXChaCha:
      return xchacha20_poly1305_seal(out, key.expose(), nonce.first<24>(), {}, plaintext);
    case BoxCipher::NaclXChaCha:
      return secretbox_seal(out, SecretboxCipher::XChaCha20, key.expose(), nonce.first<24>(),
                            plaintext);
    case BoxCipher::NaclXSalsa:
      return secretbox_seal(out, SecretboxCipher::XSalsa20, key.expose(), nonce.first<24>(),
                            plaintext);
  }
}

/// `rest`: nonce, ciphertext and tag.
std::optional<Bytes> open_body(const BoxSuite& suite, const SecretBytes<32>& shared, ByteSpan aad,
                               ByteSpan rest) {
  CHECK(aad.empty() || suite.cipher == BoxCipher::AesGcm);
  const SecretBytes<32> key = box_key(suite, shared);
  const ByteSpan nonce = rest.first(nonce_bytes(suite.cipher));
  const ByteSpan sealed = rest.subspan(nonce.size());
  switch (suite.cipher) {
    case BoxCipher::AesGcm:
      return aes_256_gcm_open(key.expose(), nonce.first<12>(), aad, sealed);
    case BoxCipher::XChaCha:
    case BoxCipher::BareXChaCha:
      return xchacha20_poly1305_open(key.expose(), nonce.first<24>(), {}, sealed);
    case BoxCipher::NaclXChaCha:
      return secretbox_open(SecretboxCipher::XChaCha20, key.expose(), nonce.first<24>(), sealed);
    case BoxCipher::NaclXSalsa:
      return secretbox_open(SecretboxCipher::XSalsa20, key.expose(), nonce.first<24>(), sealed);
  }
  return std::nullopt;
}

/// `point`: the ephemeral public key.
std::optional<Bytes> seal_with(const BoxSuite& suite, const std::optional<SecretBytes<32>>& shared,
                               ByteSpan point, ByteSpan aad, ByteSpan plaintext, Rng& rng) {
  if (!shared) return std::nullopt;
  Bytes nonce(nonce_bytes(suite.cipher));
  rng.fill(nonce);
  Bytes out(point.begin(), point.end());
  out.insert(out.end(), nonce.begin(), nonce.end());
  seal_body(out, suite, *shared, nonce, aad, plaintext);
  return out;
}

}  // namespace

std::optional<Bytes> seal_box(const BoxSuite& suite, const X25519PublicKey& to, ByteSpan aad,
                              ByteSpan plaintext, Rng& rng) {
  const X25519Key ephemeral = X25519Key::generate(rng);
  return seal_with(suite, ephemeral.shared_secret(to), ephemeral.public_key().bytes, aad, plaintext,
                   rng);
}

std::optional<Bytes> open_box(const BoxSuite& suite, const X25519Key& key, ByteSpan aad,
                              ByteSpan sealed) {
  if (sealed.size() < X25519PublicKey::kSize + nonce_bytes(suite.cipher) + kAeadTagBytes) {
    return std::nullopt;
  }
  const auto point = X25519PublicKey::from(sealed.first(X25519PublicKey::kSize));
  const auto shared = key.shared_secret(*point);
  if (!shared) return std::nullopt;
  return open_body(suite, *shared, aad, sealed.subspan(X25519PublicKey::kSize));
}

std::optional<Bytes> seal_ecdsa_box(std::string_view info, const EcdsaPublicKey& to, ByteSpan aad,
                                    ByteSpan plaintext, Rng& rng) {
  const EcdsaKey ephemeral = EcdsaKey::generate(rng);
  return seal_with({BoxCipher::AesGcm, info}, ephemeral.shared_x(to), ephemeral.public_key().bytes,
                   aad, plaintext, rng);
}

std::optional<Bytes> open_ecdsa_box(std::string_view info, const EcdsaKey& key, ByteSpan aad,
                                    ByteSpan sealed) {
  if (sealed.size() < EcdsaPublicKey::kSize + kGcmNonceBytes + kAeadTagBytes) return std::nullopt;
  const auto point = EcdsaPublicKey::from(sealed.first(EcdsaPublicKey::kSize));
  const auto shared = key.shared_x(*point);
  if (!shared) return std::nullopt;
  return open_body({BoxCipher::AesGcm, info}, *shared, aad, sealed.subspan(EcdsaPublicKey::kSize));
}

}  // namespace nostril
