#pragma once

#include "attestation/sim_key.h"
#include "attestation/snp_verify.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nostril::attestation {

/// Deviations from a sound platform, for tests of the verifier. The defaults are sound: a Milan
/// with a VCEK.
struct SnpSimulatorOptions {
  SnpProduct product = SnpProduct::Milan;
  SnpSigner signer = SnpSigner::Vcek;
  std::uint32_t report_version = 3;
  /// What the report says.
  SnpTcb reported_tcb = {0, 4, 0, 23, 213};
  std::optional<SnpTcb> current_tcb;    ///< else as reported
  std::optional<SnpTcb> committed_tcb;  ///< else as reported
  std::optional<SnpTcb> launch_tcb;     ///< else as reported
  std::uint64_t policy = 0x30000;
  std::uint64_t platform_info = 0x25;
  std::uint32_t vmpl = 0;
  std::uint32_t guest_svn = 0;
  bool masked_chip = false;
  std::array<std::uint8_t, 32> host_data{};
  /// Family, model, stepping; else of the product.
  std::optional<SnpCpuid> cpuid;
  /// What the certificate says; else what the report says.
  std::optional<SnpTcb> certificate_tcb;
  std::string certificate_product;
  Bytes hwid;
  std::string csp_id = std::string(kSimulatorCsp);
  UnixTime leaf_not_before = 1577836800;  // 2020-01-01
  UnixTime leaf_not_after = 2524607999;   // 2049-12-31 23:59:59
  bool issuer_is_ca = true;
  bool revoke_issuer = false;
};

/// Keys of a simulated platform, from a seed. Immutable: simulators may share them. Making them
/// takes about 0.5 s (two RSA keys).
struct SnpSimKeys {
  explicit SnpSimKeys(std::span<const std::uint8_t, 32> from);

  std::array<std::uint8_t, 32> seed{};
  SimRsaKey root;
  SimRsaKey issuer;
  SimKey384 leaf;
};

/// A processor that is none: SNP reports with their certificates under a test root of its own, as
/// Simulator makes TDX quotes. Root, names, chip and provider all say that it is no TEE.
///
/// Immutable after construction; const methods are safe from any thread. Same keys and
/// options: same bytes. Its keys protect nothing.
class SnpSimulator {
 public:
  explicit SnpSimulator(std::shared_ptr<const SnpSimKeys> keys,
                        const SnpSimulatorOptions& options = {});
  ~SnpSimulator();
  SnpSimulator(SnpSimulator&&) noexcept;
  SnpSimulator& operator=(SnpSimulator&&) noexcept;
  SnpSimulator(const SnpSimulator&) = delete;
  SnpSimulator& operator=(const SnpSimulator&) = delete;

  /// The test root, DER.
  [[nodiscard]] Bytes root_der() const;

  /// A signed report of these contents.
  [[nodiscard]] Bytes report(std::span<const std::uint8_t, 64> report_data,
                             const Measurement& measurement) const;

  /// `report` with bytes 0x2a0 on replaced by a signature of those before.
  [[nodiscard]] Bytes sign(Bytes report) const;

  /// Report, certificate and chain; no CRL.
  [[nodiscard]] SnpEvidence evidence(std::span<const std::uint8_t, 64> report_data,
                                     const Measurement& measurement) const;

  /// All of it: kind "sim-snp", a report that commits to `statement`, the CRL of `now`.
  [[nodiscard]] Evidence evidence(const Statement& statement, UnixTime now,
                                  const Measurement& measurement = {}) const;

  /// The root's CRL, from an hour before `now` to a month after it.
  [[nodiscard]] Bytes crl(UnixTime now) const;

 private:
  struct Platform;
  std::unique_ptr<const Platform> platform_;
};

}  // namespace nostril::attestation
