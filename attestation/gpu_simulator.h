#pragma once

#include "attestation/gpu_report.h"
#include "attestation/gpu_verify.h"
#include "attestation/sim_key.h"
#include "attestation/sim_pki.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nostril::attestation {

/// Deviations from a sound GPU, for tests of the verifier. The defaults are sound: a Hopper with
/// its video decoder NVDEC0 off, without protected PCIe.
struct GpuSimulatorOptions {
  bool blackwell = false;
  std::string driver = "550.90.07";
  /// As the report has it: "96.00.9F.00.01".
  std::array<std::uint8_t, 8> vbios = {0x00, 0x9f, 0x00, 0x96, 0x01, 0, 0, 0};
  bool nvdec0 = false;
  /// Field 21; nothing: the report has none.
  std::optional<bool> protected_pcie = false;
  /// Field 36.
  std::optional<std::uint16_t> features = 0;
  std::optional<std::uint16_t> opaque_version = 1;
  std::size_t switch_link_count = 0;
  /// Switches of the board, each at two of a GPU's links; sets the field of links in their place.
  std::size_t switch_count = 0;
  /// Of these: one that the first GPU does not name, one that names other GPUs.
  bool hidden_switch = false;
  bool odd_switch = false;
  bool states_fwid = true;
  /// What the report says of the firmware; else what the certificate says.
  std::optional<Measurement> fwid;
  /// Flag of a Blackwell certificate.
  bool debug = false;
  /// Digest at an index (from 0 on) that is not the reference value.
  std::optional<std::uint8_t> wrong_index;
  /// Name of the chip in the leaf certificate; else as in all of them.
  std::string leaf_chip;
  UnixTime leaf_not_before = 1577836800;  // 2020-01-01
  UnixTime leaf_not_after = 2524607999;   // 2049-12-31 23:59:59
  bool brom_is_ca = true;
};

/// GPUs that are none: SPDM reports with their certificates under a test root of its own, as
/// Simulator makes TDX quotes. Root and names all say that it is no TEE.
///
/// Immutable after construction; const methods are safe from any thread. Same seed and options:
/// same bytes. Its keys protect nothing.
class GpuSimulator {
 public:
  explicit GpuSimulator(std::span<const std::uint8_t, 32> seed,
                        const GpuSimulatorOptions& options = {});
  ~GpuSimulator();
  GpuSimulator(GpuSimulator&&) noexcept;
  GpuSimulator& operator=(GpuSimulator&&) noexcept;
  GpuSimulator(const GpuSimulator&) = delete;
  GpuSimulator& operator=(const GpuSimulator&) = delete;

  /// The test root, DER; of devices and of manifests.
  [[nodiscard]] Bytes root_der() const;

  /// A signed report of GPU `index` over this nonce.
  [[nodiscard]] Bytes report(std::size_t index, std::span<const std::uint8_t, 32> nonce) const;

  /// `report` with its last 96 bytes replaced by GPU `index`' signature of those before.
  [[nodiscard]] Bytes sign(std::size_t index, Bytes report) const;

  /// The five certificates of GPU `index`, leaf first, DER joined.
  [[nodiscard]] Bytes chain(std::size_t index) const;

  /// Reports and chains of GPUs 0 to `count` - 1.
  [[nodiscard]] std::vector<GpuEvidence> evidence(std::size_t count,
                                                  std::span<const std::uint8_t, 32> nonce) const;

  /// Reports and chains of the board's switches.
  [[nodiscard]] std::vector<GpuEvidence> switches(std::span<const std::uint8_t, 32> nonce) const;

  /// OCSP answers about BROM, provisioner and identity of GPU `index`, and about the signer and the
  /// two CAs of the manifests.
  [[nodiscard]] std::vector<Bytes> ocsp_answers(std::size_t index, const SimOcsp& fields) const;

  /// Answers about BROM, provisioner and identity of switch `index`, which GPUs share, too.
  [[nodiscard]] std::vector<Bytes> switch_ocsp_answers(std::size_t index,
                                                       const SimOcsp& fields) const;

  /// Reference manifests of driver and VBIOS, and of the switches' BIOS if there are some, signed
  /// under the same root.
  [[nodiscard]] std::vector<Bytes> manifests() const;

  /// The reference value at an index (from 0 on).
  [[nodiscard]] static Measurement reference(std::uint8_t index);

 private:
  [[nodiscard]] Bytes switch_chain(std::size_t index) const;

  struct Platform;
  std::unique_ptr<const Platform> platform_;
};

}  // namespace nostril::attestation
