// dstack itself: GetQuote, the attestation container, RA-TLS certificates.
#include "attestation/der.h"
#include "attestation/ra_tls.h"
#include "attestation/report_form.h"
#include "attestation/sha384.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <openssl/x509.h>

#include <algorithm>
#include <memory>

namespace nostril::attestation {

namespace {

constexpr std::string_view kPemEnd = "-----END CERTIFICATE-----";
constexpr std::size_t kReportDataBytes = 64;

/// What is asked for is all there is: the nonce, and zeros where it is shorter.
ReportBinding binding_of_nonce(ByteSpan nonce) {
  ReportBinding out;
  out.rule = "nonce, zeros";
  out.names_keys = false;
  if (nonce.empty() || nonce.size() > kReportDataBytes) return out;
  Bytes start(nonce.begin(), nonce.end());
  out.nonce = start;
  start.resize(kReportDataBytes);
  out.start = std::move(start);
  return out;
}

ParsedReport one_part(ReportPart part) {
  ParsedReport out{"dstack", {}};
  out.parts.push_back(std::move(part));
  return out;
}

/// The OCTET STRING inside the extension.
std::optional<ByteSpan> octets_of(const Certificate& certificate, const char* oid) {
  const auto extension = extension_of(certificate, oid);
  if (!extension) return std::nullopt;
  der::Reader reader(*extension);
  const auto out = reader.next(der::kOctetString);
  return out && reader.at_end() ? out : std::nullopt;
}

Bytes spki_of(const Certificate& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der);
  if (size <= 0) return {};
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace

Result<ParsedReport, ReportError> parse_dstack_report(const Json& report, ByteSpan nonce) {
  ReportFields fields(&report);
  ReportPart part;
  part.evidence = fields.hex("quote");
  part.binding = binding_of_nonce(nonce);
  if (fields.find("report_data") != nullptr) part.binding.copy = fields.hex("report_data");
  part.app =
      read_dstack_app(fields.find("event_log"), fields.find("info"), fields.find("vm_config"));
  if (fields.error()) return failure(*fields.error());
  return one_part(std::move(part));
}

Result<ParsedReport, ReportError> parse_dstack_attestation(ByteSpan bytes, ByteSpan nonce) {
  auto container = parse_dstack_container(bytes);
  if (!container) return failure(ReportError::BadEncoding);
  ReportPart part;
  part.is_snp = container->platform == DstackContainer::Platform::Snp;
  part.evidence = std::move(container->evidence);
  part.binding = binding_of_nonce(nonce);
  part.binding.copy.assign(container->report_data.begin(), container->report_data.end());
  if (part.is_snp) {
    auto& certificates = container->certificates;
    if (!certificates.empty()) part.vek = certificates.back();
    part.app = ReportApp{std::move(container->runtime_events), {}, std::move(container->mr_config)};
  } else {
    part.app = ReportApp{std::move(container->log), {}, {}};
  }
  return one_part(std::move(part));
}

std::array<std::uint8_t, 64> ra_tls_report_data(ByteSpan spki) {
  return sha512({as_bytes("ratls-cert:"), spki});
}

Result<ParsedReport, ReportError> parse_ra_tls(std::string_view pem) {
  // The certificates above it are the application's own: the quote vouches for the leaf's key.
  const std::size_t end = pem.find(kPemEnd);
  if (end == std::string_view::npos) return failure(ReportError::BadEncoding);
  const auto chain = parse_pem_chain(pem.substr(0, end + kPemEnd.size()));
  if (!chain || chain->size() != 1) return failure(ReportError::BadEncoding);
  const Certificate& leaf = chain->front();
  const auto quote = octets_of(leaf, kRaTlsQuoteOid);
  const auto log = octets_of(leaf, kRaTlsEventLogOid);
  const Bytes spki = spki_of(leaf);
  if (!quote || !log || spki.empty()) return failure(ReportError::MissingField);
  ReportPart part;
  part.evidence.assign(quote->begin(), quote->end());
  part.app = ReportApp{parse_event_log(as_text(*log)), {}, {}};
  part.binding.takes_nonce = false;
  part.binding.tls_spki = sha256(ByteSpan(spki));
  part.binding.rule = "SHA-512(\"ratls-cert:\", public key)";
  const auto digest = ra_tls_report_data(spki);
  part.binding.start.emplace(digest.begin(), digest.end());
  part.claims.push_back(
      {"tls_spki_sha256", encode_hex(*part.binding.tls_spki), "certificate, bound by report_data"});
  ParsedReport out{"ra-tls", {}};
  out.parts.push_back(std::move(part));
  return out;
}

}  // namespace nostril::attestation
