#include "client/evidence_chains.h"

#include "attestation/amd_certificates.h"
#include "attestation/gpu_certificates.h"
#include "attestation/jwt.h"
#include "attestation/quote_proof.h"
#include "attestation/report_form.h"
#include "attestation/rim.h"
#include "attestation/sgx_quote.h"
#include "attestation/tdx_quote.h"
#include "attestation/x509.h"
#include "attestation/xml.h"
#include "attestation/xml_signature.h"
#include "base/base64.h"
#include "base/json.h"

#include <openssl/bio.h>
#include <openssl/x509.h>

#include <memory>
#include <optional>

namespace nostril::client {

namespace {

using attestation::Certificate;
using Certificates = std::vector<Certificate>;

std::string subject_of(const Certificate& certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), BIO_free);
  if (text == nullptr) return {};
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate.get()), 0, XN_FLAG_RFC2253);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(text.get(), &bytes);
  return size <= 0 ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
}

void add(ShownChains& chains, const std::string& name, const Certificates& certificates) {
  std::vector<ShownCertificate> shown;
  for (const Certificate& certificate : certificates) {
    const auto validity = attestation::validity_of(certificate);
    if (!validity) return;
    shown.push_back({subject_of(certificate), validity->first, validity->last});
  }
  if (!shown.empty()) chains.insert_or_assign(name, std::move(shown));
}

void add_quote(ShownChains& chains, const std::string& prefix, ByteSpan quote) {
  std::string_view pem;
  const auto tdx = attestation::parse_tdx_quote(quote);
  const auto sgx = attestation::parse_sgx_quote(quote);
  if (tdx) pem = tdx->pck_chain;
  if (sgx) pem = sgx->pck_chain;
  const auto chain = attestation::parse_pem_chain(pem);
  if (chain) add(chains, prefix + "cpu", *chain);
}

void add_snp(ShownChains& chains, const std::string& prefix,
             const attestation::SnpCertificates& certificates) {
  auto leaf = attestation::parse_certificate(certificates.vek);
  if (!leaf) return;
  const std::string issuer = attestation::common_name(X509_get_issuer_name(leaf->get()));
  const std::string pem =
      certificates.chain.empty() ? attestation::amd_issuer_chain(issuer) : certificates.chain;
  Certificates all;
  all.push_back(std::move(*leaf));
  if (auto issuers = attestation::parse_pem_chain(pem)) {
    for (Certificate& certificate : *issuers) all.push_back(std::move(certificate));
  }
  add(chains, prefix + "cpu", all);
}

/// The manifest's XML, taken out of the service's answer when there is one around it.
std::string xml_of(ByteSpan rim) {
  const std::string_view text = as_text(rim);
  const auto answer = Json::parse(text);
  if (!answer) return std::string(text);
  const auto xml = decode_base64(answer->find_string("rim").value_or(""));
  return xml ? std::string(as_text(*xml)) : std::string();
}

void add_rim(ShownChains& chains, ByteSpan rim) {
  const auto parsed = attestation::parse_rim(rim);
  if (!parsed) return;
  const std::string xml = xml_of(rim);
  const auto document = attestation::XmlDocument::parse(xml);
  if (!document) return;
  const auto signature = attestation::read_xml_signature(*document);
  if (!signature) return;
  Certificates certificates;
  for (const Bytes& der : signature->certificates) {
    auto certificate = attestation::parse_certificate(der);
    if (!certificate) return;
    certificates.push_back(std::move(*certificate));
  }
  add(chains, "rim " + parsed->version, certificates);
}

/// `name`: "gpu" or "switch", with the machine's prefix.
void add_devices(ShownChains& chains, const std::string& name,
                 std::span<const attestation::GpuEvidence> devices) {
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const auto chain = attestation::parse_gpu_chain(devices[i].chain);
    if (chain) add(chains, name + std::to_string(i), *chain);
  }
}

std::vector<attestation::GpuEvidence> without_reports(const std::vector<Bytes>& chains) {
  std::vector<attestation::GpuEvidence> out;
  out.reserve(chains.size());
  for (const Bytes& chain : chains) out.push_back({{}, chain});
  return out;
}

}  // namespace

ShownChains chains_of_quote(ByteSpan quote) {
  ShownChains out;
  add_quote(out, "", quote);
  return out;
}

ShownChains chains_of_snp(const attestation::SnpEvidence& evidence) {
  ShownChains out;
  add_snp(out, "", evidence.certificates);
  return out;
}

ShownChains chains_of_gpus(std::span<const attestation::GpuEvidence> gpus,
                           std::span<const attestation::GpuEvidence> switches,
                           std::span<const Bytes> rims) {
  ShownChains out;
  add_devices(out, "gpu", gpus);
  add_devices(out, "switch", switches);
  for (const Bytes& rim : rims) add_rim(out, rim);
  return out;
}

ShownChains chains_of_nras(const attestation::NrasEvidence& evidence) {
  ShownChains out;
  const auto answer = Json::parse(evidence.response);
  const auto keys = attestation::KeySet::parse(evidence.key_set);
  if (!answer || !keys || answer->items().empty()) return out;
  const auto pair = answer->items().front().items();
  if (pair.size() != 2) return out;
  const auto text = pair[1].string();
  const auto token =
      text ? attestation::Jwt::parse(*text) : failure(attestation::JwtError::Malformed);
  if (!token) return out;
  if (const auto chain = keys->find(token->kid)) add(out, "nras", *chain);
  return out;
}

ShownChains chains_of_report(const attestation::ReportInput& input) {
  ShownChains out;
  const auto report = attestation::parse_report(input.report, input.nonce);
  if (!report) return out;
  for (const attestation::ReportPart& part : report->parts) {
    const std::string prefix = part.name.empty() ? "" : part.name + ".";
    if (part.is_snp) {
      attestation::SnpCertificates certificates;
      const auto own = attestation::parse_pem_chain(part.vek);
      if (own && own->size() == 1) certificates.vek = own->front().der;
      if (!input.vek.empty()) certificates.vek.assign(input.vek.begin(), input.vek.end());
      certificates.chain = input.vek_chain;
      add_snp(out, prefix, certificates);
    } else {
      add_quote(out, prefix, part.evidence);
    }
    add_devices(out, prefix + "gpu", part.gpus);
    if (part.post_boot) add_quote(out, prefix + "post_boot.", part.post_boot->quote);
  }
  for (const Bytes& rim : input.rims) add_rim(out, rim);
  return out;
}

ShownChains chains_of_evidence(const attestation::Evidence& evidence) {
  ShownChains out;
  if (evidence.snp) {
    add_snp(out, "", *evidence.snp);
  } else {
    add_quote(out, "", evidence.cpu_quote);
  }
  add_devices(out, "gpu", without_reports(evidence.gpu_chains));
  add_devices(out, "switch", without_reports(evidence.switch_chains));
  for (const Bytes& rim : evidence.gpu_manifests) add_rim(out, rim);
  return out;
}

}  // namespace nostril::client
