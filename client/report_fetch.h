#pragma once

#include "attestation/combined_report.h"
#include "attestation/x509.h"
#include "base/bytes.h"
#include "base/result.h"
#include "net/loop.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Asking a provider for its attestation report over HTTPS, so that the answer is fresh (a nonce of
/// the caller's own) and of the connection that brought it (its TLS key).
namespace nostril::client {

/// The key of a certificate, as reports bind it: SHA-256 of its SubjectPublicKeyInfo. Nothing when
/// it has none.
[[nodiscard]] std::optional<attestation::PeerKey> peer_key_of(
    const attestation::Certificate& certificate);

/// The URL to ask, with what the provider's API wants in its query:
///
///   …/v1/attestation/report                   nonce, model, include_tls_fingerprint=true (https)
///   …/tee/attestation (Venice, NanoGPT)       nonce, model
///   …/.well-known/tinfoil-attestation         nonce
///   any other                                 nonce, and model when it is given
///
/// `base` without a path stands for /v1/attestation/report; what its query names already stays,
/// but it may not name a nonce. https, or http to 127.0.0.1, ::1 or localhost. An error is a line
/// for the user.
[[nodiscard]] Result<std::string, std::string> report_url(std::string_view base, ByteSpan nonce,
                                                          std::string_view model);

struct ReportCall {
  std::string url;                ///< from report_url()
  std::string ca_file;            ///< PEM roots; empty: the system's
  std::string api_key;            ///< sent as Authorization: Bearer; empty: none. Never logged.
  std::uint64_t ms_max = 30'000;  ///< from the start to the last byte
  std::size_t bytes_max = attestation::kReportBytesMax;
};

struct FetchedReport {
  std::string body;
  /// Of the TLS connection; none over http.
  std::optional<attestation::PeerKey> peer;
};

/// Asks and waits: runs `loop` until the answer is whole, or refused. Only a status of 200 is an
/// answer; redirects are not followed. An error is a line for the user.
[[nodiscard]] Result<FetchedReport, std::string> fetch_report(net::Loop& loop,
                                                              const ReportCall& call);

}  // namespace nostril::client
