#include "schnorr/hpke.h"

#include "base/check.h"
#include "schnorr/hash.h"

#include <algorithm>

namespace nostril {

namespace {

constexpr std::string_view kVersion = "HPKE-v1";
constexpr std::array<std::uint8_t, 5> kKemSuite{'K', 'E', 'M', 0x00, 0x20};
using Suite = std::array<std::uint8_t, 10>;

constexpr Suite suite_of(HpkeAead aead) {
  return {'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, static_cast<std::uint8_t>(aead)};
}

SecretBytes<32> labeled_extract(ByteSpan suite, ByteSpan salt, std::string_view label,
                                ByteSpan ikm) {
  Digest prk = HmacKey(salt).mac({as_bytes(kVersion), suite, as_bytes(label), ikm});
  SecretBytes<32> out(prk.span());
  wipe(prk.bytes);
  return out;
}

template <std::size_t N>
SecretBytes<N> labeled_expand(ByteSpan suite, const SecretBytes<32>& prk, std::string_view label,
                              ByteSpan info) {
  Bytes text{0, static_cast<std::uint8_t>(N)};
  for (const ByteSpan part : {as_bytes(kVersion), suite, as_bytes(label), info}) {
    text.insert(text.end(), part.begin(), part.end());
  }
  SecretBytes<N> out;
  hkdf_expand(prk.expose(), text, out.expose_mutable());
  return out;
}

GcmKeySize key_size(HpkeAead aead) {
  return aead == HpkeAead::Aes128Gcm ? GcmKeySize::Bits128 : GcmKeySize::Bits256;
}

/// ExtractAndExpand of DHKEM, over what both sides know: enc and the receiver's public key.
SecretBytes<32> kem_secret(const SecretBytes<32>& dh, const X25519PublicKey& enc,
                           const X25519PublicKey& receiver) {
  Bytes context(enc.bytes.begin(), enc.bytes.end());
  context.insert(context.end(), receiver.bytes.begin(), receiver.bytes.end());
  const SecretBytes<32> prk = labeled_extract(kKemSuite, {}, "eae_prk", dh.expose());
  return labeled_expand<32>(kKemSuite, prk, "shared_secret", context);
}

}  // namespace

std::optional<HpkeContext> HpkeContext::send(const X25519PublicKey& to, std::string_view info,
                                             const X25519Key& ephemeral, HpkeAead aead) {
  const auto dh = ephemeral.shared_secret(to);
  if (!dh) return std::nullopt;
  return schedule(kem_secret(*dh, ephemeral.public_key(), to), info, aead);
}

std::optional<HpkeContext> HpkeContext::receive(const X25519Key& key, const X25519PublicKey& enc,
                                                std::string_view info, HpkeAead aead) {
  const auto dh = key.shared_secret(enc);
  if (!dh) return std::nullopt;
  return schedule(kem_secret(*dh, enc, key.public_key()), info, aead);
}

HpkeContext HpkeContext::schedule(const SecretBytes<32>& shared, std::string_view info,
                                  HpkeAead aead) {
  const Suite suite = suite_of(aead);
  Bytes context{0};  // mode_base
  const SecretBytes<32> psk_hash = labeled_extract(suite, {}, "psk_id_hash", {});
  const SecretBytes<32> info_hash = labeled_extract(suite, {}, "info_hash", as_bytes(info));
  for (const auto* hash : {&psk_hash, &info_hash}) {
    context.insert(context.end(), hash->expose().begin(), hash->expose().end());
  }
  const SecretBytes<32> secret = labeled_extract(suite, shared.expose(), "secret", {});
  SecretBytes<32> key;
  if (aead == HpkeAead::Aes128Gcm) {
    const auto half = labeled_expand<16>(suite, secret, "key", context);
    std::ranges::copy(half.expose(), key.expose_mutable().begin());
  } else {
    key = labeled_expand<32>(suite, secret, "key", context);
  }
  return {GcmSequence(std::move(key),
                      labeled_expand<kGcmNonceBytes>(suite, secret, "base_nonce", context),
                      key_size(aead)),
          labeled_expand<32>(suite, secret, "exp", context), aead};
}

SecretBytes<32> HpkeContext::export_secret(std::string_view context) const {
  return labeled_expand<32>(suite_of(aead_), exporter_, "sec", as_bytes(context));
}

SecretBytes<16> HpkeContext::export_short_secret(std::string_view context) const {
  return labeled_expand<16>(suite_of(aead_), exporter_, "sec", as_bytes(context));
}

GcmSequence response_sequence(ByteSpan exported, const X25519PublicKey& enc, ByteSpan nonce,
                              HpkeAead aead) {
  const std::size_t key_bytes = hpke_key_bytes(aead);
  CHECK(exported.size() == key_bytes && nonce.size() == key_bytes);
  Bytes salt(enc.bytes.begin(), enc.bytes.end());
  salt.insert(salt.end(), nonce.begin(), nonce.end());
  Digest prk = hkdf_extract(salt, exported);
  const HmacKey expander(prk.span());
  wipe(prk.bytes);
  SecretBytes<32> key;
  SecretBytes<kGcmNonceBytes> base;
  hkdf_expand(expander, as_bytes("key"), key.expose_mutable().first(key_bytes));
  hkdf_expand(expander, as_bytes("nonce"), base.expose_mutable());
  return {std::move(key), std::move(base), key_size(aead)};
}

}  // namespace nostril
