#pragma once

#include "schnorr/aead.h"
#include "schnorr/secret.h"
#include "schnorr/types.h"
#include "schnorr/x25519.h"

#include <optional>
#include <string_view>
#include <utility>

namespace nostril {

/// HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM
/// 0x0002 or AES-128-GCM 0x0001. Composed from parts that OpenSSL 3.0 has; it has no HPKE of its
/// own.
inline constexpr std::uint16_t kHpkeKem = 0x0020;
inline constexpr std::uint16_t kHpkeKdf = 0x0001;

enum class HpkeAead : std::uint16_t { Aes128Gcm = 0x0001, Aes256Gcm = 0x0002 };

/// Bytes of a key, and of what a key is made from.
[[nodiscard]] constexpr std::size_t hpke_key_bytes(HpkeAead aead) {
  return aead == HpkeAead::Aes128Gcm ? 16 : 32;
}

/// Either side of one encapsulation. Messages are sealed, or opened, in their order.
/// Threads: one object, one thread.
class HpkeContext {
 public:
  /// SetupBaseS with a given ephemeral key, which must be used once. Its public key is `enc`.
  /// Nothing when `to` is of small order.
  [[nodiscard]] static std::optional<HpkeContext> send(const X25519PublicKey& to,
                                                       std::string_view info,
                                                       const X25519Key& ephemeral,
                                                       HpkeAead aead = HpkeAead::Aes256Gcm);
  /// SetupBaseR. Nothing when `enc` is of small order.
  [[nodiscard]] static std::optional<HpkeContext> receive(const X25519Key& key,
                                                          const X25519PublicKey& enc,
                                                          std::string_view info,
                                                          HpkeAead aead = HpkeAead::Aes256Gcm);

  void seal(Bytes& out, ByteSpan aad, ByteSpan plaintext) { messages_.seal(out, aad, plaintext); }

  [[nodiscard]] std::optional<Bytes> open(ByteSpan aad, ByteSpan sealed) {
    return messages_.open(aad, sealed);
  }

  /// RFC 9180 5.3, 32 bytes.
  [[nodiscard]] SecretBytes<32> export_secret(std::string_view context) const;
  /// The same, 16 bytes: another secret, not the half of it.
  [[nodiscard]] SecretBytes<16> export_short_secret(std::string_view context) const;

 private:
  HpkeContext(GcmSequence messages, SecretBytes<32> exporter, HpkeAead aead)
      : messages_(std::move(messages)), exporter_(std::move(exporter)), aead_(aead) {}

  [[nodiscard]] static HpkeContext schedule(const SecretBytes<32>& shared, std::string_view info,
                                            HpkeAead aead);

  GcmSequence messages_;
  SecretBytes<32> exporter_;
  HpkeAead aead_;
};

/// What answers an encapsulated request (RFC 9458 4.4): key and nonce come from a secret exported
/// by the request's context, its `enc`, and random bytes of the answerer. CHECK: secret and nonce
/// have hpke_key_bytes().
inline constexpr std::size_t kResponseNonceBytes = 32;
[[nodiscard]] GcmSequence response_sequence(ByteSpan exported, const X25519PublicKey& enc,
                                            ByteSpan nonce, HpkeAead aead = HpkeAead::Aes256Gcm);

}  // namespace nostril
