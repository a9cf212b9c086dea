#pragma once

#include "attestation/verdict.h"
#include "base/bytes.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace nostril::attestation {

/// Strict parser of AMD SEV-SNP attestation reports, versions 2 to 5 (SEV Secure Nested Paging
/// Firmware ABI, table ATTESTATION_REPORT). It takes apart and judges nothing but the form: what
/// the ABI reserves must be zero. Integers are little-endian.
///
///   off  size field                           off  size field
///   000     4 version, 2 to 5                 160    32 report_id_ma
///   004     4 guest_svn                       180     8 reported_tcb
///   008     8 policy                          188     3 CPUID family, model, stepping; from v3
///   010    16 family_id                       1a0    64 chip_id
///   020    16 image_id                        1e0     8 committed_tcb
///   030     4 vmpl, 0 to 3                    1e8     3 current build, minor, major
///   034     4 signature algorithm, 1          1ec     3 committed build, minor, major
///   038     8 current_tcb                     1f0     8 launch_tcb
///   040     8 platform_info                   1f8     8 launch mitigations; from v5
///   048     4 flags                           200     8 current mitigations; from v5
///   050    64 report_data                     2a0    72 R, little-endian, 48 used
///   090    48 measurement                     2e8    72 S, little-endian, 48 used
///   0c0    32 host_data                       330   368 zero
///   0e0    48 id_key_digest                   4a0       end
///   110    48 author_key_digest
///   140    32 report_id                       signed: 000 to 29f
///
/// flags: bit 0 author key, 1 masked chip key, 2 to 4 signing key (0 VCEK, 1 VLEK).
inline constexpr std::size_t kSnpReportBytes = 0x4a0;

enum class SnpReportError : std::uint8_t {
  WrongSize,
  UnsupportedVersion,
  ReservedNotZero,
  UnsupportedAlgorithm,
  UnsupportedSigner,
  BadVmpl,
  BadSignatureEncoding,
};

std::string_view to_string(SnpReportError error);

enum class SnpProduct : std::uint8_t { Milan, Genoa, Turin };

std::string_view to_string(SnpProduct product);

/// The product of that name, exactly as AMD writes it.
std::optional<SnpProduct> parse_snp_product(std::string_view name);

enum class SnpSigner : std::uint8_t {
  Vcek,  ///< a key of the chip
  Vlek,  ///< a key of the cloud provider
};

/// Security version numbers of a platform. `fmc` is Turin's only, else zero.
struct SnpTcb {
  std::uint8_t fmc = 0;
  std::uint8_t bootloader = 0;
  std::uint8_t tee = 0;
  std::uint8_t snp = 0;
  std::uint8_t microcode = 0;

  bool operator==(const SnpTcb&) const = default;
};

/// Every number of `a` is at least that of `b`.
bool reaches(const SnpTcb& a, const SnpTcb& b);

using RawSnpTcb = std::array<std::uint8_t, 8>;

/// Milan, Genoa: 0 bootloader, 1 tee, 6 snp, 7 microcode.
/// Turin: 0 fmc, 1 bootloader, 2 tee, 3 snp, 7 microcode. Nothing when another byte is not zero.
std::optional<SnpTcb> decode_snp_tcb(const RawSnpTcb& raw, SnpProduct product);

/// Bits of SnpReport::policy: what the guest's owner allowed the host.
inline constexpr std::uint64_t kSnpPolicySmt = 1ULL << 16U;
inline constexpr std::uint64_t kSnpPolicyMigrate = 1ULL << 18U;
inline constexpr std::uint64_t kSnpPolicyDebug = 1ULL << 19U;
inline constexpr std::uint64_t kSnpPolicySingleSocket = 1ULL << 20U;

/// Bits of SnpReport::platform_info.
inline constexpr std::uint64_t kSnpPlatformSmt = 1U << 0U;
inline constexpr std::uint64_t kSnpPlatformTsme = 1U << 1U;
inline constexpr std::uint64_t kSnpPlatformEcc = 1U << 2U;
inline constexpr std::uint64_t kSnpPlatformRaplOff = 1U << 3U;
inline constexpr std::uint64_t kSnpPlatformCiphertextHiding = 1U << 4U;
/// Memory was found free of aliases at boot (the answer to BadRAM).
inline constexpr std::uint64_t kSnpPlatformAliasCheck = 1U << 5U;
inline constexpr std::uint64_t kSnpPlatformTio = 1U << 7U;

struct SnpCpuid {
  std::uint8_t family = 0;
  std::uint8_t model = 0;
  std::uint8_t stepping = 0;
};

/// Nothing for a processor that is none of the three.
std::optional<SnpProduct> product_of(const SnpCpuid& cpuid);

struct SnpFirmware {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  std::uint8_t build = 0;
};

/// A report taken apart. `signed_part` borrows from the bytes given to parse_snp_report().
struct SnpReport {
  std::uint32_t version = 0;
  std::uint32_t guest_svn = 0;
  /// Bits 0 to 7 ABI minor, 8 to 15 ABI major; the others above.
  std::uint64_t policy = 0;
  std::array<std::uint8_t, 16> family_id{};
  std::array<std::uint8_t, 16> image_id{};
  std::uint8_t vmpl = 0;
  RawSnpTcb current_tcb{};
  RawSnpTcb reported_tcb{};
  RawSnpTcb committed_tcb{};
  RawSnpTcb launch_tcb{};
  std::uint64_t platform_info = 0;
  bool author_key = false;
  bool masked_chip_key = false;
  SnpSigner signer = SnpSigner::Vcek;
  std::array<std::uint8_t, 64> report_data{};
  Measurement measurement{};
  std::array<std::uint8_t, 32> host_data{};
  Measurement id_key_digest{};
  Measurement author_key_digest{};
  std::array<std::uint8_t, 32> report_id{};
  std::array<std::uint8_t, 32> report_id_ma{};
  std::optional<SnpCpuid> cpuid;  ///< from version 3
  std::array<std::uint8_t, 64> chip_id{};
  SnpFirmware current;
  SnpFirmware committed;
  std::uint64_t launch_mitigations = 0;   ///< from version 5
  std::uint64_t current_mitigations = 0;  ///< from version 5
  ByteSpan signed_part;
  std::array<std::uint8_t, 96> signature{};  ///< r||s, big-endian
};

Result<SnpReport, SnpReportError> parse_snp_report(ByteSpan report);

}  // namespace nostril::attestation
