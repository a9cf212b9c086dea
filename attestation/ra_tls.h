#pragma once

#include "base/bytes.h"

#include <array>
#include <cstdint>

/// RA-TLS as dstack has it: a certificate with the quote of the machine that its key was made in.
/// Each extension's value is the DER of an OCTET STRING (report_form.h reads them):
///
///   1.3.6.1.4.1.62397.1.1   TDX quote over ra_tls_report_data() of the certificate's key
///   1.3.6.1.4.1.62397.1.2   JSON of the event log (event_log.h)
namespace nostril::attestation {

inline constexpr const char* kRaTlsQuoteOid = "1.3.6.1.4.1.62397.1.1";
inline constexpr const char* kRaTlsEventLogOid = "1.3.6.1.4.1.62397.1.2";

/// SHA-512("ratls-cert:", SubjectPublicKeyInfo in DER).
[[nodiscard]] std::array<std::uint8_t, 64> ra_tls_report_data(ByteSpan spki);

}  // namespace nostril::attestation
