#pragma once

#include "attestation/evidence.h"
#include "attestation/statement.h"
#include "attestation/tcb_info.h"
#include "attestation/verdict.h"
#include "base/bytes.h"
#include "base/rng.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace nostril::attestation {

/// Deviations from a sound platform, for tests of the verifier and of clients. The defaults are
/// sound.
struct SimulatorOptions {
  UnixTime leaf_not_before = 1577836800;  // 2020-01-01
  UnixTime leaf_not_after = 2524607999;   // 2049-12-31 23:59:59
  bool pck_ca_is_ca = true;
  std::string leaf_name = "NOSTRIL TEST PCK Certificate";
  /// 6 bytes as lower-case hex.
  std::string fmspc = "514d00000000";
  /// 4, or 5 with a TD 1.5 report.
  std::uint16_t quote_version = 4;
  /// [0] TDX module SVN, [1] its major version, [2] the rest of the platform's TDX part.
  std::array<std::uint8_t, 16> tee_tcb_svn = {3, 1, 2};
  /// TD attributes: bit 0 debug, bit 28 SEPT_VE_DISABLE, bit 29 migratable.
  std::uint64_t td_attributes = 0x10000000;
  /// Statuses the simulated TCB info and QE identity give this platform.
  std::string tcb_status = "UpToDate";
  std::string module_status = "UpToDate";
  std::string qe_status = "UpToDate";
  /// Of the platform's TCB level.
  std::vector<std::string> advisories = {};
  /// SGX quotes: the enclave's debug attribute.
  bool enclave_debug = false;
  bool revoke_pck = false;
  bool revoke_pck_ca = false;
  /// Seconds that collateral lives after the moment it is made for.
  std::int64_t collateral_life_s = 30LL * 86400;
};

/// A TEE that is none: makes structurally complete TDX evidence and SGX quotes under a test root of
/// its own, so that development machines and tests run the verifier's one code path. It must be
/// asked for by name; nothing chooses it. Its root is named kTestRootName, its FMSPC is
/// 514d00000000 and its QE vendor id is not Intel's, so it cannot pass for genuine even with a
/// mistake in the trust roots.
///
/// Immutable after construction; const methods are safe from any thread. Same seed and options:
/// same bytes (signatures are derived, not random). Its keys protect nothing.
class Simulator {
 public:
  /// Fresh keys from `rng`.
  explicit Simulator(Rng& rng, const SimulatorOptions& options = {});
  /// Keys derived from `seed`.
  explicit Simulator(std::span<const std::uint8_t, 32> seed, const SimulatorOptions& options = {});
  ~Simulator();
  Simulator(Simulator&&) noexcept;
  Simulator& operator=(Simulator&&) noexcept;
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  /// The test root, DER: hand it to TrustRoots::with_test_root().
  [[nodiscard]] std::vector<std::uint8_t> root_der() const;

  /// A TDX quote over `report_data`.
  [[nodiscard]] std::vector<std::uint8_t> tdx_quote(std::span<const std::uint8_t, 64> report_data,
                                                    const Measurements& measurements) const;

  /// An SGX quote, version 3, of an enclave that is none.
  [[nodiscard]] Bytes sgx_quote(std::span<const std::uint8_t, 64> report_data,
                                const Digest& mrenclave) const;

  /// TCB info, QE identity and CRLs, issued an hour before `now` (clocks differ).
  [[nodiscard]] Collateral collateral(UnixTime now, IntelTee tee = IntelTee::Tdx) const;

  /// All of it: kind "sim-tdx", a quote that commits to `statement`, collateral of `now`.
  /// `statement.gpu_evidence` must be the digest of `gpu_reports`.
  [[nodiscard]] Evidence evidence(const Statement& statement, UnixTime now,
                                  const Measurements& measurements = {},
                                  std::vector<std::vector<std::uint8_t>> gpu_reports = {}) const;

 private:
  struct Platform;
  std::unique_ptr<const Platform> platform_;
};

}  // namespace nostril::attestation
