#pragma once

#include "attestation/statement.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::attestation {

/// Evidence kinds. The kind is the node's word; the trust root decides, and both must agree.
inline constexpr std::string_view kKindTdx = "tdx";
inline constexpr std::string_view kKindSimulatedTdx = "sim-tdx";
inline constexpr std::string_view kKindSnp = "snp";
inline constexpr std::string_view kKindSimulatedSnp = "sim-snp";

/// The kind is one of AMD SEV-SNP: `cpu_quote` is an attestation report.
constexpr bool is_snp_kind(std::string_view kind) {
  return kind == kKindSnp || kind == kKindSimulatedSnp;
}

/// Upper bounds, checked before any parsing. A quote is 5 to 8 KB, a GPU report 4 to 5 KB.
inline constexpr std::size_t kQuoteBytesMax = 16U << 10U;
inline constexpr std::size_t kGpuReportBytesMax = 16U << 10U;
inline constexpr std::size_t kGpuReportCountMax = 16;
inline constexpr std::size_t kGpuChainBytesMax = 16U << 10U;
/// Of NVSwitches: their reports and chains are as large as GPUs' are.
inline constexpr std::size_t kSwitchCountMax = 16;
inline constexpr std::size_t kGpuManifestCountMax = 4;
/// One about each certificate of 16 GPUs and 16 switches, and about their manifests' signers.
inline constexpr std::size_t kOcspCountMax = 64;
inline constexpr std::size_t kCollateralTextBytesMax = 256U << 10U;
inline constexpr std::size_t kIssuerChainBytesMax = 64U << 10U;
inline constexpr std::size_t kCrlBytesMax = 1U << 20U;
inline constexpr std::size_t kKindBytesMax = 16;
inline constexpr std::size_t kVekBytesMax = 16U << 10U;
inline constexpr std::size_t kAppLogBytesMax = 256U << 10U;
inline constexpr std::size_t kAppComposeBytesMax = 256U << 10U;
inline constexpr std::size_t kMrConfigBytesMax = 16U << 10U;

/// What Intel says about a platform: TCB levels, quoting enclave, revocations. Signed by Intel, so
/// it may come from anywhere: the node, a relay, a file. Stale collateral is refused by its dates.
struct Collateral {
  /// Exact signed text of the inner "tcbInfo" object; the signature is raw r||s, big-endian.
  std::string tcb_info;
  std::array<std::uint8_t, 64> tcb_info_signature{};
  /// PEM, signer first, then the root.
  std::string tcb_info_issuer_chain;
  /// Exact signed text of the inner "enclaveIdentity" object.
  std::string qe_identity;
  std::array<std::uint8_t, 64> qe_identity_signature{};
  std::string qe_identity_issuer_chain;
  /// DER. The PCK CA and root certificates that sign them come from the quote itself.
  std::vector<std::uint8_t> root_ca_crl;
  std::vector<std::uint8_t> pck_crl;

  bool operator==(const Collateral&) const = default;
};

/// AMD's word for the key that signed an SNP report. Signed by AMD, so it may come from anywhere.
struct SnpCertificates {
  /// DER of the VCEK or VLEK certificate.
  std::vector<std::uint8_t> vek;
  /// PEM, ASK or ASVK, then ARK, as AMD's key server gives them; empty: AMD's own are taken.
  std::string chain;
  /// DER of the CRL of the ARK; empty: revocation is not checked.
  std::vector<std::uint8_t> crl;

  bool operator==(const SnpCertificates&) const = default;
};

/// What a dstack guest hands over of its boot and of the application on it. Nobody's word: it
/// counts as far as it agrees with the registers that the quote signs (app_identity.h).
struct AppDocuments {
  /// JSON (event_log.h); never empty.
  std::string event_log;
  /// The exact text of app-compose.json; empty: not handed over.
  std::string compose;
  /// The "mr-config" document that MRCONFIGID (version 3) or HOST_DATA names; empty: none.
  std::string mr_config;

  bool operator==(const AppDocuments&) const = default;
};

/// Documents of vendors that evidence may name instead of holding them; the numbers are of the
/// sections that they stand for (pack.h).
enum class DocumentKind : std::uint8_t {
  Manifest = 6,     ///< one of `gpu_manifests`
  OcspAnswers = 9,  ///< all of `ocsp_answers`
  Collateral = 16,  ///< Intel's
};

struct NamedDocument {
  DocumentKind kind = DocumentKind::Manifest;
  /// As its vendor's service names it, "NV_GPU_DRIVER_GH100_550.90.07", or what we call it; for
  /// people: the digest decides.
  std::string name;
  Digest sha256;

  bool operator==(const NamedDocument&) const = default;
};

inline constexpr std::size_t kDocumentNameBytesMax = 64;
/// The manifests, the OCSP answers, the collateral.
inline constexpr std::size_t kDocumentCountMax = kGpuManifestCountMax + 2;

/// 1 to 64 letters, digits, "-", "_" and ".".
bool is_document_name(std::string_view name);

/// All that a node hands over so that a stranger can judge it. Untrusted bytes.
struct Evidence {
  /// One of the kinds above.
  std::string kind;
  /// What the node claims its quote commits to. A client copies it, overwrites what it knows better
  /// (node key, N and its expiry from the offer, its own nonce), and passes that as `expected`.
  Statement statement;
  /// TDX quote, version 4 or 5, or SNP report: what carries report_data.
  std::vector<std::uint8_t> cpu_quote;
  /// Raw SPDM request and response of each GPU, in index order.
  std::vector<std::vector<std::uint8_t>> gpu_reports;
  /// The five certificates of each, leaf first, DER joined (gpu_certificates.h).
  std::vector<std::vector<std::uint8_t>> gpu_chains;
  /// NVIDIA's reference manifests for the drivers and VBIOSes of these GPUs, each once (rim.h).
  /// Signed by NVIDIA, so they may come from anywhere.
  std::vector<std::vector<std::uint8_t>> gpu_manifests;
  /// The same of the NVSwitches between them; only beside reports of GPUs.
  std::vector<std::vector<std::uint8_t>> switch_reports;
  std::vector<std::vector<std::uint8_t>> switch_chains;
  /// OCSP answers about certificates of both and of the manifests' signers (ocsp.h); as above.
  std::vector<std::vector<std::uint8_t>> ocsp_answers;
  /// With a TDX quote.
  std::optional<Collateral> collateral;
  /// With an SNP report, and only there.
  std::optional<SnpCertificates> snp;
  /// Text of the model manifest (attestation/model_manifest.h); empty: not handed over.
  std::string manifest;
  /// Of a dstack guest.
  std::optional<AppDocuments> app;
  /// The agent's words about the virtual machine (JSON), for other services' verifiers; never
  /// packed.
  std::string vm_config = {};
  /// What is to be put in its place before the evidence is judged (vendor_documents.h); as long as
  /// one is here, verify() refuses. By rising kind.
  std::vector<NamedDocument> documents;

  bool operator==(const Evidence&) const = default;
};

/// Every part within the bounds above, and a kind named. What is not cannot be packed, and verify()
/// refuses it unread.
bool within_limits(const Evidence& evidence);
bool within_limits(const AppDocuments& app);

}  // namespace nostril::attestation
