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

struct ReportQuery {
  SigningAlgorithm algorithm = SigningAlgorithm::Ecdsa;
  std::optional<ReportNonce> nonce;  ///< none: the server draws one, and may serve a kept report
  bool include_tls_fingerprint = false;
};

inline constexpr std::size_t kReportQueryBytesMax = 4096;

/// The part of the target behind '?', empty when there is none. Parameters: `signing_algo`,
/// `nonce` (64 hex digits of either case), `signing_address` (must be ours: 404),
/// `include_tls_fingerprint` ("true" or "false"). Others are passed over, one named twice is
/// refused. Values of ours need no percent sign; one that has it is a wrong value.
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
};

/// The flat form with `all_attestations` and `model_attestations` (of one, this machine), so that
/// verifiers of either form read it. `with_gateway`: `gateway_attestation` too, for those who ask
/// the gateway's form of a machine that is both: there the event log is a text, as dstack's agent
/// gives it.
[[nodiscard]] std::string report_json(const LegacyReport& report, const LegacySigner& signer,
                                      bool with_gateway);

}  // namespace nostril::face
