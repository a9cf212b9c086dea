#pragma once

#include "attestation/ocsp.h"
#include "attestation/sim_key.h"
#include "attestation/statement.h"
#include "base/bytes.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Writes the certificates and CRLs of the simulator's PKI, byte by byte: X.509 v3.
namespace nostril::attestation {

inline constexpr UnixTime kSimPkiNotBefore = 1577836800;  // 2020-01-01
inline constexpr UnixTime kSimPkiNotAfter = 2524607999;   // 2049-12-31 23:59:59

struct SimCertificate {
  std::string subject;
  std::string issuer;
  std::uint32_t serial = 1;
  UnixTime not_before = 0;
  UnixTime not_after = 0;
  bool is_ca = false;
  std::uint32_t path_length = 0;
  /// Whole extensions of a leaf: the SGX one, or AMD's; empty otherwise.
  Bytes extensions;
};

Bytes make_certificate(const SimCertificate& fields, const SimCertKey& subject,
                       const SimCertKey& issuer);

/// The test root of all that NVIDIA signs: GPUs, manifests, tokens. Same seed: same root.
struct SimNvidiaRoot {
  explicit SimNvidiaRoot(std::span<const std::uint8_t, 32> seed);

  SimKey384 key;
  Bytes der;  ///< named kTestRootName, valid 2020 to 2049
};

struct SimCrl {
  std::string issuer;
  UnixTime this_update = 0;
  UnixTime next_update = 0;
  std::vector<std::uint32_t> revoked_serials;
};

Bytes make_crl(const SimCrl& fields, const SimCertKey& issuer);

/// An OCSP answer (attestation/ocsp.h) about one certificate, and its deviations.
struct SimOcsp {
  OcspStatus::Word word = OcspStatus::Word::Good;
  UnixTime this_update = kSimPkiNotBefore;
  UnixTime next_update = kSimPkiNotAfter;
  Bytes nonce;  ///< empty: none
  /// Signed by a responder of its own; else by the issuer.
  bool delegated = true;
  bool responder_has_purpose = true;  ///< id-kp-OCSPSigning
  UnixTime responder_not_after = kSimPkiNotAfter;
  /// The responder's certificate is by another key under the issuer's name.
  bool wrong_issuer = false;
  bool wrong_signature = false;
};

/// About `certificate`, DER, which `issuer` with the certificate `issuer_der` issued.
Bytes make_ocsp_answer(const SimOcsp& fields, ByteSpan certificate, ByteSpan issuer_der,
                       const SimKey384& issuer);

/// What the platform's PCK certificate says; the layout is in attestation/x509.h.
struct SimPlatformTcb {
  std::array<std::uint8_t, 16> component_svn{};
  std::uint16_t pce_svn = 0;
  Bytes ppid;
  Bytes fmspc;
};

Bytes make_sgx_extension(const SimPlatformTcb& tcb);

/// What a VCEK or VLEK certificate says; the layout is in attestation/snp_verify.h.
struct SimVek {
  std::string product;
  bool turin = false;
  std::uint8_t fmc = 0;  ///< Turin only
  std::uint8_t bootloader = 0;
  std::uint8_t tee = 0;
  std::uint8_t snp = 0;
  std::uint8_t microcode = 0;
  Bytes hwid;          ///< empty: none
  std::string csp_id;  ///< empty: none
};

Bytes make_vek_extensions(const SimVek& vek);

std::string to_pem(std::span<const Bytes> certificates);

}  // namespace nostril::attestation
