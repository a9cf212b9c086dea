#pragma once

#include "attestation/nras.h"
#include "attestation/sim_key.h"
#include "attestation/sim_pki.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::attestation {

/// Deviations from a sound key, for tests of the verifier. The defaults are sound.
struct NrasSimulatorOptions {
  UnixTime leaf_not_before = kSimPkiNotBefore;
  UnixTime leaf_not_after = kSimPkiNotAfter;
  std::string leaf_name = "NOSTRIL TEST Attestation Service";
};

/// Answers as NVIDIA's attestation service gives them, under a test root (SimNvidiaRoot). Root,
/// names and models all say that there is no GPU.
///
/// Immutable after construction; const methods are safe from any thread. Same seed and options:
/// same text. Its keys protect nothing.
class NrasSimulator {
 public:
  explicit NrasSimulator(std::span<const std::uint8_t, 32> seed,
                         const NrasSimulatorOptions& options = {});

  /// The test root, DER.
  [[nodiscard]] const Bytes& root_der() const { return root_.der; }

  /// A sound answer on `count` GPUs over this nonce, with the key set.
  [[nodiscard]] NrasEvidence evidence(std::span<const std::uint8_t, 32> nonce, std::size_t count,
                                      UnixTime issued_at) const;

  // The parts, for tests that change them.
  [[nodiscard]] std::string key_set() const;
  [[nodiscard]] static std::string header();
  [[nodiscard]] static std::string device_claims(std::span<const std::uint8_t, 32> nonce,
                                                 std::size_t index, UnixTime issued_at);
  /// `devices`: their tokens, from GPU-0 on.
  [[nodiscard]] static std::string overall_claims(std::span<const std::uint8_t, 32> nonce,
                                                  std::span<const std::string> devices,
                                                  UnixTime issued_at);
  /// A token of these JSON texts, signed.
  [[nodiscard]] std::string token(std::string_view header, std::string_view claims) const;
  [[nodiscard]] static std::string response(std::string_view overall,
                                            std::span<const std::string> devices);

 private:
  SimNvidiaRoot root_;
  SimKey384 key_;
  Bytes leaf_;
};

}  // namespace nostril::attestation
