#pragma once

#include "base/bytes.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace nostril::attestation {

/// A P-256 key of the simulator: derived from a seed, signs deterministically. It protects nothing,
/// so it takes no care against side channels; never use it for anything else.
class SimKey {
 public:
  SimKey(std::span<const std::uint8_t, 32> seed, std::string_view label);

  /// x||y.
  [[nodiscard]] const std::array<std::uint8_t, 64>& public_xy() const { return public_; }

  /// ECDSA with SHA-256, raw r||s. The nonce is a hash of key and message.
  [[nodiscard]] std::array<std::uint8_t, 64> sign(ByteSpan message) const;

 private:
  std::array<std::uint8_t, 32> secret_{};
  std::array<std::uint8_t, 64> public_{};
};

}  // namespace nostril::attestation
