#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/types.h"

#include "face/api_error.h"
#include "face/legacy_signature.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// `GET /v1/attestation/report` as NEAR AI Cloud and Phala serve it, from evidence that the caller
/// collected. Threads: any.
namespace nostril::face {

/// What a quote is made over.
using ReportData = FixedBytes<struct ReportDataTag, 64>;
using ReportNonce = std::array<std::uint8_t, 32>;

/// The same report as each of the two writes it. NEAR's repeats it as a gateway's and as a model's,
/// and the event log is an array. Phala's proxy in front of an engine has no gateway (readers take
/// one for NEAR's form), and its readers hand `event_log` and `vm_config` on to dstack's verifier
/// as the texts that dstack's agent gave.
enum class ReportForm : std::uint8_t { Near, Phala };

struct ReportQuery {
  SigningAlgorithm algorithm = SigningAlgorithm::Ecdsa;
  std::optional<ReportNonce> nonce;  ///< none: the server draws one, and may serve a kept report
  bool include_tls_fingerprint = false;
  ReportForm form = ReportForm::Near;
};

inline constexpr std::size_t kReportQueryBytesMax = 4096;

/// The part of the target behind '?', empty when there is none. Parameters: `signing_algo`,
/// `nonce` (64 hex digits of either case), `signing_address` (must be ours: 404),
/// `include_tls_fingerprint` ("true" or "false" in either case, "1" or "0"), `version` ("1" or "2":
/// Phala's, of which 2 always includes the fingerprint). Others are passed over, one named twice is
/// refused. Values of ours need no percent sign; one that has it is a wrong value.
/// The form is Phala's for who names a version.
[[nodiscard]] Result<ReportQuery, ApiError> parse_report_query(std::string_view query,
                                                               const LegacySigner& signer);

/// The same names for all queries here: the value of `name`, or nothing. A name given twice or an
/// overlong query is an error.
[[nodiscard]] Result<std::optional<std::string_view>, ApiError> query_value(std::string_view query,
                                                                            std::string_view name);

/// | 0..31                                                              | 32..63 |
/// | signing address, zeros behind; or SHA-256(address, SPKI's SHA-256) | nonce  |
[[nodiscard]] ReportData legacy_report_data(const LegacySigner& signer, SigningAlgorithm algorithm,
                                            const ReportNonce& nonce,
                                            const std::optional<Digest>& tls_spki);

/// One GPU's evidence as NVIDIA's verifiers take it.
struct ReportGpu {
  Bytes report;
  Bytes certificates;  ///< the chain in PEM
};

struct LegacyReport {
  std::string model;
  SigningAlgorithm algorithm = SigningAlgorithm::Ecdsa;
  ReportNonce nonce{};
  std::optional<Digest> tls_spki;  ///< when the report data names it
  std::string tls_certificate;     ///< PEM, beside it
  std::string ohttp_key_config;    ///< ohttp.h; empty: none. Signed by the Ed25519 key
  Bytes quote;                     ///< over legacy_report_data()
  std::vector<ReportGpu> gpus;     ///< over the nonce
  std::string gpu_architecture = "HOPPER";
  std::string event_log = "[]";  ///< JSON
  std::string info = "{}";       ///< JSON: tcb_info with the app's compose text, where there is one
  std::string vm_config;         ///< as dstack's agent has it; empty: not known
};

/// Flat, and the same in `all_attestations` (of one, this machine). In NEAR's form again in
/// `model_attestations`, and in `gateway_attestation`, since this machine is both: there the event
/// log is a text. In Phala's `quote` stands beside it.
[[nodiscard]] std::string report_json(const LegacyReport& report, const LegacySigner& signer,
                                      ReportForm form);

}  // namespace nostril::face
