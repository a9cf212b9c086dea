#pragma once

#include "attestation/acceptance.h"
#include "attestation/checklist.h"
#include "attestation/evidence.h"
#include "attestation/snp_report.h"
#include "attestation/trust_roots.h"
#include "attestation/verdict.h"
#include "attestation/x509.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// AMD SEV-SNP: a report, the certificate of the key that signed it, and AMD's word for that key.
///
///   ARK -> ASK  -> VCEK -> report      a key of the chip, at one patch level (TCB)
///   ARK -> ASVK -> VLEK -> report      a key of the cloud provider, at one patch level
namespace nostril::attestation {

/// Untrusted bytes.
struct SnpEvidence {
  std::vector<std::uint8_t> report;
  SnpCertificates certificates;
};

/// Patch level that one product must have.
struct SnpTcbMinimum {
  SnpProduct product = SnpProduct::Milan;
  SnpTcb tcb;
};

/// What the caller will accept. The defaults refuse whatever is not proven.
struct SnpPolicy {
  /// Take reports under a root that is not AMD's. The root must also have been given in TrustRoots.
  bool accept_simulated = false;
  /// Guests that may be moved to another machine by a migration agent.
  bool allow_migratable = false;
  /// Guests that may run on a machine with SMT; the usual case.
  bool allow_smt = true;
  /// The guest's policy must bind it to one socket.
  bool require_single_socket = false;
  /// Reports whose chip id the host has masked.
  bool allow_masked_chip = false;
  /// Without AMD's CRL the verdict refuses.
  bool require_crl = false;
  /// Lowest firmware ABI that the guest's policy demands, major and minor.
  std::uint8_t abi_major_min = 0;
  std::uint8_t abi_minor_min = 0;
  std::uint8_t vmpl_max = 0;
  std::uint32_t guest_svn_min = 0;
  /// Bits of platform_info that must be set, and that must be clear.
  std::uint64_t platform_info_required = 0;
  std::uint64_t platform_info_forbidden = 0;
  /// Lowest patch levels, of reported and launch TCB; empty: any. A product that is not listed
  /// then fails.
  std::vector<SnpTcbMinimum> tcb_minimums;
  /// Known-good launch measurements; empty: any, and the verdict's level stays Declared.
  std::vector<Measurement> allowed_measurements;
  /// Known-good HOST_DATA; empty: any.
  std::vector<std::array<std::uint8_t, 32>> allowed_host_data;
  /// Machines, by the whole chip id; empty: any.
  std::vector<std::array<std::uint8_t, 64>> allowed_chip_ids;
  /// Cloud providers (CSP id of a VLEK); empty: any.
  std::vector<std::string> allowed_csp_ids;
  /// The end of report_data (64 bytes: all of it); empty: not looked at.
  std::vector<std::uint8_t> nonce;
  Level level_min = Level::Declared;
  Acceptance acceptance;
};

/// Judges a report. Pure: no clock, no file, no network; safe from any thread. Never throws on any
/// bytes. About 2 ms: one P-384 and two RSA signatures.
Verdict verify_snp(const SnpEvidence& evidence, const TrustRoots& roots, UnixTime now,
                   const SnpPolicy& policy);

/// Lists the checks that examine_snp() makes: those of verify_snp() but for
/// list_acceptance_checks().
void list_snp_checks(Checklist& checks, const SnpPolicy& policy);

/// Makes them and fills the verdict's claims. Which kind of root the certificates end in; nothing
/// when that root is not trusted or the report is malformed.
std::optional<TrustRoots::Class> examine_snp(const SnpEvidence& evidence, const TrustRoots& roots,
                                             UnixTime now, const SnpPolicy& policy,
                                             Verdict& verdict);

/// What a VCEK or VLEK certificate says, in extensions 1.3.6.1.4.1.3704.1.*:
///   .1 structure version, INTEGER     .2 product, IA5String, "Milan-B0", "Genoa", "Turin"
///   .3.1 bootloader  .3.2 tee  .3.3 snp  .3.8 microcode  .3.9 fmc, INTEGER 0..255
///   .3.4 to .3.7 reserved             .4 HWID, raw bytes: VCEK only; 64, Turin 8
///   .5 CSP id, IA5String: VLEK only
struct VekExtensions {
  SnpProduct product = SnpProduct::Milan;
  SnpTcb tcb;
  Bytes hwid;          ///< VCEK
  std::string csp_id;  ///< VLEK
};

/// Nothing when a part is missing, doubled, malformed, or of the other kind of key.
std::optional<VekExtensions> vek_extensions(const Certificate& certificate, SnpSigner signer);

/// Common names below and including the root; a test root signs nothing under AMD's names.
struct AmdNames {
  std::string root;
  std::string issuer;
  std::string leaf;
};

AmdNames amd_names(TrustRoots::Class root_class, SnpSigner signer, SnpProduct product);

/// Marks of simulated evidence; no genuine chip or provider has them.
inline constexpr std::array<std::uint8_t, 8> kSimulatorChip = {'N', 'O', 'T', '-',
                                                               'T', 'E', 'E', '!'};
inline constexpr std::string_view kSimulatorCsp = "NOT A TEE";

/// "host_data" where the policy lists what it may be: else the report is refused.
std::vector<std::string> fixed_registers(const SnpPolicy& policy);

}  // namespace nostril::attestation
