#pragma once

#include "attestation/rim.h"
#include "attestation/sim_key.h"
#include "attestation/sim_pki.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::attestation {

/// Deviations from a sound signer, for tests of the verifier. The defaults are sound.
struct RimSimulatorOptions {
  UnixTime signer_not_before = kSimPkiNotBefore;
  UnixTime signer_not_after = kSimPkiNotAfter;
  /// The chain ends in another root, which nobody pins, as NVIDIA's "Debug Only" one.
  bool debug_root = false;
  bool issuer_is_ca = true;
  std::string signer_name = "NOSTRIL TEST RIM L4 Signer";
};

/// What a simulated manifest says.
struct RimSimulatorTag {
  /// Of a driver or a VBIOS: its form says which.
  std::string version = "550.90.07";
  std::string product = "GH100";
  std::string edition = "GPU";
  std::string manufacturer = std::string(kSimulatedVendor);
  std::vector<RimMeasurement> measurements;
};

/// Signs reference manifests as NVIDIA does, under a test root (SimNvidiaRoot). Root, names and
/// manufacturer all say that it is no TEE.
///
/// Immutable after construction; const methods are safe from any thread. Same seed and options:
/// same bytes. Its keys protect nothing.
class RimSimulator {
 public:
  explicit RimSimulator(std::span<const std::uint8_t, 32> seed,
                        const RimSimulatorOptions& options = {});

  /// The test root, DER.
  [[nodiscard]] const Bytes& root_der() const { return root_.der; }

  /// A signed manifest: the given measurements active, the rest of 0 to 63 not.
  [[nodiscard]] Bytes manifest(const RimSimulatorTag& tag) const;

  /// OCSP answers about the signer and the two CAs above it.
  [[nodiscard]] std::vector<Bytes> ocsp_answers(const SimOcsp& fields) const;

  /// The same without its Signature.
  [[nodiscard]] static std::string unsigned_tag(const RimSimulatorTag& tag);

  /// `document`, well-formed, with a Signature before the root's end tag.
  [[nodiscard]] Bytes sign(std::string_view document) const;

 private:
  SimNvidiaRoot root_;
  SimKey384 signer_;
  SimKey384 l3_;
  SimKey384 ca_;
  std::vector<Bytes> chain_;  ///< DER, signer first
};

}  // namespace nostril::attestation
