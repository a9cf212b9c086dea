#pragma once

#include "base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

/// Keys of the simulator: derived from a seed, sign deterministically. They protect nothing, so
/// they take no care against side channels; never use them for anything else.
namespace nostril::attestation {

/// What a certificate needs of a key, whatever its kind. DER.
class SimCertKey {
 public:
  SimCertKey() = default;
  virtual ~SimCertKey() = default;
  SimCertKey(const SimCertKey&) = default;
  SimCertKey& operator=(const SimCertKey&) = default;
  SimCertKey(SimCertKey&&) = default;
  SimCertKey& operator=(SimCertKey&&) = default;

  /// SubjectPublicKeyInfo.
  [[nodiscard]] virtual Bytes public_key_info() const = 0;
  /// AlgorithmIdentifier of its signatures.
  [[nodiscard]] virtual Bytes algorithm() const = 0;
  /// A signature as the content of a BIT STRING.
  [[nodiscard]] virtual Bytes sign_certificate(ByteSpan body) const = 0;
};

enum class SimCurve : std::uint8_t { P256, P384 };

/// An ECDSA key: P-256 with SHA-256, or P-384 with SHA-384.
template <SimCurve kCurve>
class SimEcKey final : public SimCertKey {
 public:
  static constexpr std::size_t kBytes = kCurve == SimCurve::P256 ? 32 : 48;

  SimEcKey(std::span<const std::uint8_t, 32> seed, std::string_view label);

  /// x||y.
  [[nodiscard]] const std::array<std::uint8_t, 2 * kBytes>& public_xy() const { return public_; }

  /// Raw r||s, big-endian. The nonce is a hash of key and message.
  [[nodiscard]] std::array<std::uint8_t, 2 * kBytes> sign(ByteSpan message) const;

  [[nodiscard]] Bytes public_key_info() const override;
  [[nodiscard]] Bytes algorithm() const override;
  [[nodiscard]] Bytes sign_certificate(ByteSpan body) const override;

 private:
  std::array<std::uint8_t, kBytes> secret_{};
  std::array<std::uint8_t, 2 * kBytes> public_{};
};

extern template class SimEcKey<SimCurve::P256>;
extern template class SimEcKey<SimCurve::P384>;

using SimKey = SimEcKey<SimCurve::P256>;
using SimKey384 = SimEcKey<SimCurve::P384>;

/// An RSA key of 2048 bits: RSASSA-PSS, SHA-384, 48 bytes of salt, as AMD's roots sign. Making one
/// takes about 0.1 s.
class SimRsaKey final : public SimCertKey {
 public:
  SimRsaKey(std::span<const std::uint8_t, 32> seed, std::string_view label);
  ~SimRsaKey() override;
  SimRsaKey(const SimRsaKey&) = delete;
  SimRsaKey& operator=(const SimRsaKey&) = delete;
  SimRsaKey(SimRsaKey&&) = delete;
  SimRsaKey& operator=(SimRsaKey&&) = delete;

  [[nodiscard]] Bytes public_key_info() const override;
  [[nodiscard]] Bytes algorithm() const override;
  [[nodiscard]] Bytes sign_certificate(ByteSpan body) const override;

 private:
  struct Numbers;
  std::unique_ptr<const Numbers> numbers_;
};

}  // namespace nostril::attestation
