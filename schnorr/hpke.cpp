#include "schnorr/hpke.h"

#include "schnorr/hash.h"

#include <algorithm>

namespace nostril {

namespace {

constexpr std::string_view kVersion = "HPKE-v1";
constexpr std::array<std::uint8_t, 5> kKemSuite{'K', 'E', 'M', 0x00, 0x20};
constexpr std::array<std::uint8_t, 10> kSuite{'H',  'P',  'K',  'E',  0x00,
                                              0x20, 0x00, 0x01, 0x00, 0x02};

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
                                             const X25519Key& ephemeral) {
  const auto dh = ephemeral.shared_secret(to);
  if (!dh) return std::nullopt;
  return schedule(kem_secret(*dh, ephemeral.public_key(), to), info);
}

std::optional<HpkeContext> HpkeContext::receive(const X25519Key& key, const X25519PublicKey& enc,
                                                std::string_view info) {
  const auto dh = key.shared_secret(enc);
  if (!dh) return std::nullopt;
  return schedule(kem_secret(*dh, enc, key.public_key()), info);
}

HpkeContext HpkeContext::schedule(const SecretBytes<32>& shared, std::string_view info) {
  Bytes context{0};  // mode_base
  const SecretBytes<32> psk_hash = labeled_extract(kSuite, {}, "psk_id_hash", {});
  const SecretBytes<32> info_hash = labeled_extract(kSuite, {}, "info_hash", as_bytes(info));
  for (const auto* hash : {&psk_hash, &info_hash}) {
    context.insert(context.end(), hash->expose().begin(), hash->expose().end());
  }
  const SecretBytes<32> secret = labeled_extract(kSuite, shared.expose(), "secret", {});
  return {GcmSequence(labeled_expand<32>(kSuite, secret, "key", context),
                      labeled_expand<kGcmNonceBytes>(kSuite, secret, "base_nonce", context)),
          labeled_expand<32>(kSuite, secret, "exp", context)};
}

SecretBytes<32> HpkeContext::export_secret(std::string_view context) const {
  return labeled_expand<32>(kSuite, exporter_, "sec", as_bytes(context));
}

GcmSequence response_sequence(const SecretBytes<32>& exported, const X25519PublicKey& enc,
                              std::span<const std::uint8_t, kResponseNonceBytes> nonce) {
  Bytes salt(enc.bytes.begin(), enc.bytes.end());
  salt.insert(salt.end(), nonce.begin(), nonce.end());
  Digest prk = hkdf_extract(salt, exported.expose());
  const HmacKey expander(prk.span());
  wipe(prk.bytes);
  SecretBytes<32> key;
  SecretBytes<kGcmNonceBytes> base;
  hkdf_expand(expander, as_bytes("key"), key.expose_mutable());
  hkdf_expand(expander, as_bytes("nonce"), base.expose_mutable());
  return {std::move(key), std::move(base)};
}

}  // namespace nostril
