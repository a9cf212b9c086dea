#pragma once

#include "schnorr/aead.h"
#include "schnorr/secret.h"
#include "schnorr/types.h"
#include "schnorr/x25519.h"

#include <optional>
#include <string_view>
#include <utility>

namespace nostril {

/// HPKE (RFC 9180), base mode, one suite: DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001,
/// AES-256-GCM 0x0002. Composed from parts that OpenSSL 3.0 has; it has no HPKE of its own.
inline constexpr std::uint16_t kHpkeKem = 0x0020;
inline constexpr std::uint16_t kHpkeKdf = 0x0001;
inline constexpr std::uint16_t kHpkeAead = 0x0002;

/// Either side of one encapsulation. Messages are sealed, or opened, in their order.
/// Threads: one object, one thread.
class HpkeContext {
 public:
  /// SetupBaseS with a given ephemeral key, which must be used once. Its public key is `enc`.
  /// Nothing when `to` is of small order.
  [[nodiscard]] static std::optional<HpkeContext> send(const X25519PublicKey& to,
                                                       std::string_view info,
                                                       const X25519Key& ephemeral);
  /// SetupBaseR. Nothing when `enc` is of small order.
  [[nodiscard]] static std::optional<HpkeContext> receive(const X25519Key& key,
                                                          const X25519PublicKey& enc,
                                                          std::string_view info);

  void seal(Bytes& out, ByteSpan aad, ByteSpan plaintext) { messages_.seal(out, aad, plaintext); }

  [[nodiscard]] std::optional<Bytes> open(ByteSpan aad, ByteSpan sealed) {
    return messages_.open(aad, sealed);
  }

  /// RFC 9180 5.3, 32 bytes.
  [[nodiscard]] SecretBytes<32> export_secret(std::string_view context) const;

 private:
  HpkeContext(GcmSequence messages, SecretBytes<32> exporter)
      : messages_(std::move(messages)), exporter_(std::move(exporter)) {}

  [[nodiscard]] static HpkeContext schedule(const SecretBytes<32>& shared, std::string_view info);

  GcmSequence messages_;
  SecretBytes<32> exporter_;
};

/// What answers an encapsulated request (RFC 9458 4.4): key and nonce come from a secret exported
/// by the request's context, its `enc`, and 32 random bytes of the answerer.
inline constexpr std::size_t kResponseNonceBytes = 32;
[[nodiscard]] GcmSequence response_sequence(
    const SecretBytes<32>& exported, const X25519PublicKey& enc,
    std::span<const std::uint8_t, kResponseNonceBytes> nonce);

}  // namespace nostril
