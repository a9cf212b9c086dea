#include "attestation/collateral_json.h"
#include "attestation/combined_report.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"
#include "schnorr/hash.h"

#include <openssl/x509.h>

#include <stdexcept>
#include <vector>

namespace nostril::client::cli {

namespace {

/// Every vendor's roots; one named by hand replaces them all, but for NVIDIA's manifests, which are
/// sound whatever the device is.
attestation::TrustRoots report_roots(const EvidenceOptions& options) {
  if (options.root.empty()) return attestation::TrustRoots::vendors();
  return read_roots(options.root).joined(attestation::TrustRoots::nvidia_manifests());
}

/// What --collateral names, told apart by content: Intel's as JSON, one certificate (VCEK or VLEK),
/// or its chain in PEM.
struct VendorFiles {
  std::vector<attestation::Collateral> intel;
  Bytes vek;
  std::string vek_chain;

  void add(const std::string& path) {
    Bytes bytes = read_bytes(path);
    if (const auto parsed = attestation::parse_collateral_json(as_text(bytes))) {
      intel.push_back(*parsed);
      return;
    }
    const auto pem = attestation::parse_pem_chain(as_text(bytes));
    if (pem && pem->size() > 1) {
      vek_chain = as_text(bytes);
    } else if (pem && pem->size() == 1) {
      vek = pem->front().der;
    } else if (attestation::parse_certificate(bytes)) {
      vek = std::move(bytes);
    } else {
      throw std::runtime_error(path + ": neither collateral as JSON nor certificates");
    }
  }
};

/// SHA-256 of the SubjectPublicKeyInfo: as 64 hex digits; or of that key itself, in hex or in a
/// file, where a certificate stands for its key.
attestation::PeerKey read_peer(const std::string& text) {
  if (const auto digest = from_hex<Digest>(text)) return {*digest};
  Bytes der = decode_hex(text).value_or(Bytes{});
  if (der.empty()) der = read_certificate(text);
  if (const auto certificate = attestation::parse_certificate(der)) {
    unsigned char* key = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate->get()), &key);
    if (size <= 0) throw std::runtime_error("--peer-spki: the certificate has no key");
    der.assign(key, key + size);
    OPENSSL_free(key);
  }
  const unsigned char* at = der.data();
  X509_PUBKEY* key = d2i_X509_PUBKEY(nullptr, &at, static_cast<long>(der.size()));
  const bool whole = key != nullptr && at == der.data() + der.size();
  X509_PUBKEY_free(key);
  if (!whole) throw std::runtime_error("--peer-spki: no SHA-256 in hex and no public key");
  return {sha256(ByteSpan(der))};
}

attestation::Verdict report_verdict(std::int64_t now_s, const EvidenceOptions& options) {
  const VerifyPolicy policy = read_policy(options, now_s);
  const Bytes report = read_bytes(options.report);
  VendorFiles files;
  for (const std::string& path : options.collaterals) files.add(path);
  if (!options.vcek.empty()) files.vek = read_certificate(options.vcek);
  if (!options.chain.empty()) files.vek_chain = as_text(read_bytes(options.chain));
  const Bytes crl = options.crl.empty() ? Bytes{} : read_bytes(options.crl);
  std::vector<Bytes> rims;
  for (const std::string& path : options.rims) rims.push_back(read_bytes(path));
  const Bytes nonce = read_nonce(options.nonce);
  const attestation::ReportPolicy rules{policy.tdx, policy.snp, policy.gpu, policy.allow_any_nonce,
                                        policy.allow_any_peer};
  const attestation::TrustRoots roots = report_roots(options);
  const auto peer = options.peer_spki.empty() ? std::optional<attestation::PeerKey>()
                                              : std::optional(read_peer(options.peer_spki));
  return attestation::verify_report({as_text(report), files.intel, files.vek, files.vek_chain, crl,
                                     rims, nonce, peer, roots, now_s, rules});
}

}  // namespace

int verify_report(Process& process, const EvidenceOptions& options) {
  return judge_files(process, options, options.report, report_verdict);
}

}  // namespace nostril::client::cli
