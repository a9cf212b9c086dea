#pragma once

#include "attestation/app_identity.h"
#include "attestation/evidence.h"
#include "attestation/gpu_verify.h"
#include "attestation/snp_verify.h"
#include "attestation/verify.h"
#include "base/bytes.h"
#include "schnorr/types.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Whole attestation answers of inference providers, as their services give them: one verdict over
/// every quote, event log, compose text and GPU in it.
///
/// What is understood, and what report_data must be (‖ joins bytes):
///
///   near       {gateway_attestation, model_attestations[]} of NEAR AI Cloud: the gateway and each
///              model node is a machine of its own, each as below
///   phala      {signing_address, intel_quote, nvidia_payload, …} of Phala, RedPill, NanoGPT,
///   Venice,
///              NEAR direct:  address, padded with zeros to 32 ‖ nonce; with tls_cert_fingerprint
///              SHA-256(address ‖ fingerprint) ‖ nonce
///   tinfoil    attestation/v3:  SHA-256(tls_key_fp ‖ hpke_key ‖ nonce ‖ gpu_evidence_hash
///              ‖ nvswitch_evidence_hash, each that is there) ‖ 32 zero bytes
///   chutes     {e2e_pubkey, evidence}:  begins with SHA-256(nonce as hex text ‖ e2e_pubkey text)
///   dstack     GetQuote's answer or its container:  what was asked for; must carry the nonce
///   ra-tls     a certificate of dstack (PEM):  SHA-512("ratls-cert:" ‖ SubjectPublicKeyInfo)
///
/// Checks and claims have the names they have alone (verify.h, snp_verify.h, app_identity.h,
/// gpu_verify.h). In a report of several machines they begin with the machine: "gateway.",
/// "model.", "model2.", …; those of a second quote, made after the boot, begin with "post_boot."
/// behind that.
namespace nostril::attestation {

inline constexpr std::size_t kReportBytesMax = 2U << 20U;
/// Machines of one report.
inline constexpr std::size_t kReportPartCountMax = 16;

/// The key of the TLS connection that brought the report.
struct PeerKey {
  Digest spki_sha256;
};

/// Applications, compose files, images, machines: Policy::app and Policy::acceptance, whatever the
/// machine.
struct ReportPolicy {
  Policy tdx;
  SnpPolicy snp;
  /// Its nonce is the report's own.
  GpuPolicy gpu;
  /// Take a report without having asked for it by a nonce of one's own: it may be old.
  bool allow_any_nonce = false;
  /// Take a report that binds a TLS key without knowing the key of one's own connection.
  bool allow_any_peer = false;
};

/// Untrusted bytes and the caller's own; all borrowed for the call.
struct ReportInput {
  std::string_view report;
  /// Intel's, of any number of platforms; each quote takes that of its own FMSPC.
  std::span<const Collateral> collateral;
  /// AMD: certificate of the VCEK or VLEK (DER), its issuers (PEM; empty: AMD's own) and CRL.
  ByteSpan vek;
  std::string_view vek_chain;
  ByteSpan crl;
  /// NVIDIA's reference manifests.
  std::span<const Bytes> rims;
  /// What the caller asked for; empty: nothing.
  ByteSpan nonce;
  std::optional<PeerKey> peer;
  /// Of every vendor: processors, GPUs and manifests.
  const TrustRoots& roots;
  UnixTime now;
  const ReportPolicy& policy;
};

/// Judges a report whole: every machine in it must pass. Pure: no clock, no file, no network; never
/// throws on any bytes. What is no report of a known form has one check, `report_format`, failed.
Verdict verify_report(const ReportInput& input);

}  // namespace nostril::attestation
