#include "node/collateral.h"

#include "attestation/amd_certificates.h"
#include "attestation/collateral.h"
#include "attestation/gpu_certificates.h"
#include "attestation/gpu_references.h"
#include "attestation/gpu_report.h"
#include "attestation/rim.h"
#include "attestation/snp_report.h"
#include "attestation/snp_verify.h"
#include "attestation/tdx_quote.h"
#include "attestation/tdx_verify.h"
#include "attestation/verify.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

using attestation::Certificate;
using attestation::Collateral;
using attestation::Evidence;
using attestation::IntelTee;
using attestation::RimKind;
using attestation::SnpCertificates;
using attestation::SnpReport;

constexpr std::uint8_t kDerSequence = 0x30;
constexpr std::size_t kSignatureDigits = 128;
constexpr std::size_t kTurinHwidBytes = 8;

/// A quote's platform, from its PCK certificate.
struct IntelPlatform {
  std::vector<Certificate> chain;  // leaf, PCK CA, root
  std::array<std::uint8_t, 6> fmspc{};
  std::string ca;  // "platform" or "processor"
};

std::optional<IntelPlatform> platform_of(ByteSpan quote) {
  const auto view = attestation::parse_tdx_quote(quote);
  if (!view) return std::nullopt;
  auto chain = attestation::parse_pem_chain(view->pck_chain);
  if (!chain || chain->size() != 3) return std::nullopt;
  const auto extension = attestation::sgx_extension(chain->front());
  if (!extension) return std::nullopt;
  IntelPlatform out;
  const std::string name = attestation::common_name((*chain)[1]);
  out.ca = name.find("Processor") == std::string::npos ? "platform" : "processor";
  out.fmspc = extension->fmspc;
  out.chain = std::move(*chain);
  return out;
}

bool put_tcb_info(Collateral& out, const VendorDocument& document) {
  auto answer = parse_signed_answer(as_text(document.body), "tcbInfo");
  if (!answer) return false;
  out.tcb_info = std::move(answer->text);
  out.tcb_info_signature = answer->signature;
  out.tcb_info_issuer_chain = document.chain;
  return true;
}

bool put_qe_identity(Collateral& out, const VendorDocument& document) {
  auto answer = parse_signed_answer(as_text(document.body), "enclaveIdentity");
  if (!answer) return false;
  out.qe_identity = std::move(answer->text);
  out.qe_identity_signature = answer->signature;
  out.qe_identity_issuer_chain = document.chain;
  return true;
}

VendorRequest crl_request(std::string name, std::string url, const Certificate& issuer) {
  return {
      std::move(name), std::move(url), nullptr,
      [&issuer](const VendorDocument& document, std::int64_t now_s) {
        return attestation::parse_crl(crl_from_answer(document.body), issuer, now_s).has_value();
      }};
}

/// Whose ARK signs the CRL, and where it lies at AMD's.
struct AmdPlace {
  std::string product;
  std::string path;  // "vcek" or "vlek"
};

AmdPlace place_of(const SnpReport& report, attestation::SnpProduct product) {
  return {std::string(to_string(product)),
          report.signer == attestation::SnpSigner::Vcek ? "vcek" : "vlek"};
}

/// A manifest that a GPU's report must be compared with.
struct WantedRim {
  RimKind kind = RimKind::Driver;
  std::string version;
  std::string chip;
  std::string id;  // as NVIDIA's service names it

  bool operator==(const WantedRim&) const = default;
};

/// Text out of a report, on its way into a URL and a file's name.
bool is_plain(std::string_view id) {
  return std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  });
}

/// Those of all GPUs, each once.
std::vector<WantedRim> wanted_rims(const std::vector<GpuAnswer>& gpus) {
  std::vector<WantedRim> out;
  for (const GpuAnswer& gpu : gpus) {
    const auto report = attestation::parse_gpu_report(gpu.report);
    const auto chip = attestation::gpu_chip(gpu.chain);
    if (!report || !chip) {
      log(LogLevel::Error, "collateral: a GPU's report or certificates are none that clients read");
      continue;
    }
    for (const RimKind kind : {RimKind::Driver, RimKind::Vbios}) {
      const std::string& version = kind == RimKind::Driver ? report->driver : report->vbios;
      WantedRim wanted{kind, version, *chip, attestation::rim_id(kind, *report, *chip)};
      if (!is_plain(wanted.id)) {
        log(LogLevel::Error, "collateral: a GPU's report names no manifest that can be asked for");
      } else if (std::ranges::find(out, wanted) == out.end()) {
        out.push_back(std::move(wanted));
      }
    }
  }
  if (out.size() > attestation::kGpuManifestCountMax) {
    log(LogLevel::Error, "collateral: these GPUs need {} manifests; clients take {}", out.size(),
        attestation::kGpuManifestCountMax);
    out.resize(attestation::kGpuManifestCountMax);
  }
  return out;
}

class CollateralSource final : public EvidenceSource {
 public:
  CollateralSource(std::unique_ptr<EvidenceSource> source, CollateralSettings settings)
      : source_(std::move(source)), settings_(std::move(settings)), store_(settings_.store) {}

  Result<Evidence, std::string> evidence(const attestation::Statement& statement,
                                         std::int64_t now_s) override {
    auto out = source_->evidence(statement, now_s);
    if (!out) return out;
    if (attestation::is_snp_kind(out->kind)) {
      add_amd(*out, now_s);
    } else if (!out->collateral) {
      add_intel(*out, now_s);
    }
    return out;
  }

  Result<Evidence, std::string> quote(std::span<const std::uint8_t, 64> report_data,
                                      std::int64_t now_s) override {
    return source_->quote(report_data, now_s);
  }

  Result<std::vector<GpuAnswer>, std::string> gpus(const Digest& nonce) override {
    return source_->gpus(nonce);
  }

  std::vector<Bytes> gpu_manifests(const std::vector<GpuAnswer>& gpus,
                                   std::int64_t now_s) override {
    std::vector<Bytes> out;
    for (const WantedRim& wanted : wanted_rims(gpus)) {
      const auto document = obtain(rim_request(wanted), now_s);
      if (!document) continue;
      const auto rim = attestation::ParsedRim::parse(document->body);
      if (rim) out.emplace_back(rim->xml().begin(), rim->xml().end());
    }
    return out;
  }

  [[nodiscard]] std::string_view tee() const override { return source_->tee(); }

  [[nodiscard]] bool simulated() const override { return source_->simulated(); }

 private:
  std::optional<VendorDocument> obtain(const VendorRequest& request, std::int64_t now_s) {
    auto document = store_.obtain(request, now_s);
    if (document) return std::move(*document);
    log(LogLevel::Error, "collateral: {}", document.error());
    return std::nullopt;
  }

  [[nodiscard]] std::string intel_url(std::string_view path) const {
    return settings_.intel_url.empty() ? std::string()
                                       : fmt::format("{}{}", settings_.intel_url, path);
  }

  VendorRequest rim_request(const WantedRim& wanted) {
    std::string name = "rim-" + wanted.id;
    for (char& c : name) c = c == '_' || c == '.' ? '-' : c;
    const std::string url = settings_.nvidia_url.empty()
                                ? std::string()
                                : fmt::format("{}/v1/rim/{}", settings_.nvidia_url, wanted.id);
    return {name, url, nullptr, [this, &wanted](const VendorDocument& document, std::int64_t at_s) {
              const std::array<Bytes, 1> manifests = {document.body};
              attestation::GpuReferences references(manifests, settings_.roots, at_s, {});
              attestation::ChainCache cache;
              const auto* judged = references.find(wanted.kind, wanted.version, wanted.chip, cache);
              return judged != nullptr && judged->verified.has_value();
            }};
  }

  void add_intel(Evidence& evidence, std::int64_t now_s) {
    const auto platform = platform_of(evidence.cpu_quote);
    if (!platform) {
      log(LogLevel::Error, "collateral: the machine's quote is none that clients can read");
      return;
    }
    Collateral out;
    const auto tcb = obtain(tcb_request(*platform), now_s);
    const auto qe = obtain(qe_request(*platform), now_s);
    const auto root_crl =
        obtain(crl_request("root-ca-crl", settings_.intel_root_crl_url, platform->chain[2]), now_s);
    const auto pck_crl = obtain(
        crl_request("pck-crl-" + platform->ca,
                    intel_url("/sgx/certification/v4/pckcrl?ca=" + platform->ca + "&encoding=der"),
                    platform->chain[1]),
        now_s);
    if (!tcb || !qe || !root_crl || !pck_crl) return;
    if (!put_tcb_info(out, *tcb) || !put_qe_identity(out, *qe)) return;
    out.root_ca_crl = crl_from_answer(root_crl->body);
    out.pck_crl = crl_from_answer(pck_crl->body);
    evidence.collateral = std::move(out);
  }

  VendorRequest tcb_request(const IntelPlatform& platform) {
    const std::string fmspc = encode_hex(platform.fmspc);
    return {"tdx-tcb-" + fmspc, intel_url("/tdx/certification/v4/tcb?fmspc=" + fmspc),
            "TCB-Info-Issuer-Chain",
            [this, &platform](const VendorDocument& document, std::int64_t now_s) {
              Collateral parts;
              if (!put_tcb_info(parts, document)) return false;
              const auto info = attestation::check_tcb_info(parts, IntelTee::Tdx, settings_.roots,
                                                            platform.chain[2], now_s);
              return info && info->document.fmspc == platform.fmspc;
            }};
  }

  VendorRequest qe_request(const IntelPlatform& platform) {
    return {"tdx-qe-identity", intel_url("/tdx/certification/v4/qe/identity"),
            "SGX-Enclave-Identity-Issuer-Chain",
            [this, &platform](const VendorDocument& document, std::int64_t now_s) {
              Collateral parts;
              return put_qe_identity(parts, document) &&
                     attestation::check_qe_identity(parts, IntelTee::Tdx, settings_.roots,
                                                    platform.chain[2], now_s)
                         .has_value();
            }};
  }

  void add_amd(Evidence& evidence, std::int64_t now_s) {
    const auto report = attestation::parse_snp_report(evidence.cpu_quote);
    if (!report || !evidence.snp) {
      log(LogLevel::Error, "collateral: the machine's report is none that clients can read");
      return;
    }
    if (evidence.snp->vek.empty()) add_vcek(evidence, *report, now_s);
    if (evidence.snp->vek.empty() || !evidence.snp->crl.empty()) return;
    add_amd_crl(*evidence.snp, *report, now_s);
  }

  void add_vcek(Evidence& evidence, const SnpReport& report, std::int64_t now_s) {
    const auto product = report.cpuid ? attestation::product_of(*report.cpuid) : std::nullopt;
    if (report.signer != attestation::SnpSigner::Vcek || !product || report.masked_chip_key) {
      log(LogLevel::Error,
          "collateral: the host gave no certificate for the report's key, and AMD's server can't "
          "be asked for it: a VLEK, a masked chip, or a report of version 2");
      return;
    }
    auto vcek = obtain(vcek_request(evidence, report, *product), now_s);
    if (vcek) evidence.snp->vek = std::move(vcek->body);
  }

  VendorRequest vcek_request(const Evidence& evidence, const SnpReport& report,
                             attestation::SnpProduct product) {
    const AmdPlace place = place_of(report, product);
    const bool turin = product == attestation::SnpProduct::Turin;
    const ByteSpan chip =
        ByteSpan(report.chip_id).first(turin ? kTurinHwidBytes : report.chip_id.size());
    const auto tcb =
        attestation::decode_snp_tcb(report.reported_tcb, product).value_or(attestation::SnpTcb{});
    const std::string levels = fmt::format(
        "blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}{}", tcb.bootloader, tcb.tee, tcb.snp,
        tcb.microcode, turin ? fmt::format("&fmcSPL={:02}", tcb.fmc) : std::string());
    const std::string name =
        fmt::format("vcek-{}-{}-{}", place.product, encode_hex(chip).substr(0, 32),
                    encode_hex(report.reported_tcb));
    const std::string url = settings_.amd_url.empty()
                                ? std::string()
                                : fmt::format("{}/vcek/v1/{}/{}?{}", settings_.amd_url,
                                              place.product, encode_hex(chip), levels);
    return {name, url, nullptr,
            [this, &evidence](const VendorDocument& document, std::int64_t at_s) {
              attestation::SnpEvidence judged{evidence.cpu_quote, *evidence.snp};
              judged.certificates.vek = document.body;
              const auto verdict = attestation::verify_snp(judged, settings_.roots, at_s, {});
              return std::ranges::all_of(
                  std::array{"vek_chain", "report_signature", "tcb", "hardware_id"},
                  [&verdict](const char* check) {
                    return verdict.find(check)->status == attestation::CheckStatus::Passed;
                  });
            }};
  }

  void add_amd_crl(SnpCertificates& out, const SnpReport& report, std::int64_t now_s) {
    const auto vek = attestation::parse_certificate(out.vek);
    if (!vek) return;
    const std::string pem = out.chain.empty()
                                ? attestation::amd_issuer_chain(
                                      attestation::common_name(X509_get_issuer_name(vek->get())))
                                : out.chain;
    const auto chain = attestation::parse_pem_chain(pem);
    const auto extensions = attestation::vek_extensions(*vek, report.signer);
    if (!chain || chain->size() != 2 || !extensions) return;
    const AmdPlace place = place_of(report, extensions->product);
    const std::string url =
        settings_.amd_url.empty()
            ? std::string()
            : fmt::format("{}/{}/v1/{}/crl", settings_.amd_url, place.path, place.product);
    const auto crl = obtain(
        crl_request(fmt::format("crl-{}-{}", place.path, place.product), url, (*chain)[1]), now_s);
    if (crl) out.crl = crl_from_answer(crl->body);
  }

  std::unique_ptr<EvidenceSource> source_;
  CollateralSettings settings_;
  CollateralStore store_;
};

}  // namespace

std::optional<SignedAnswer> parse_signed_answer(std::string_view body, std::string_view member) {
  while (body.ends_with('\n') || body.ends_with('\r')) body.remove_suffix(1);
  const std::string head = fmt::format("{{\"{}\":", member);
  constexpr std::string_view kMiddle = ",\"signature\":\"";
  constexpr std::string_view kEnd = "\"}";
  const std::size_t tail_bytes = kMiddle.size() + kSignatureDigits + kEnd.size();
  if (!body.starts_with(head) || !body.ends_with(kEnd) || body.size() < head.size() + tail_bytes) {
    return std::nullopt;
  }
  const std::string_view tail = body.substr(body.size() - tail_bytes);
  SignedAnswer out;
  if (!tail.starts_with(kMiddle) ||
      !decode_hex(tail.substr(kMiddle.size(), kSignatureDigits), out.signature)) {
    return std::nullopt;
  }
  body.remove_suffix(tail_bytes);
  body.remove_prefix(head.size());
  if (!body.starts_with('{') || !body.ends_with('}')) return std::nullopt;
  out.text = body;
  return out;
}

Bytes crl_from_answer(ByteSpan body) {
  if (!body.empty() && body.front() != kDerSequence) {
    std::string_view text = as_text(body);
    while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
    if (auto der = decode_hex(text)) return std::move(*der);
  }
  return {body.begin(), body.end()};
}

bool lacks_collateral(const Evidence& evidence) {
  const bool gpus = !evidence.gpu_reports.empty() && evidence.gpu_manifests.empty();
  return gpus || (evidence.snp ? evidence.snp->vek.empty() : !evidence.collateral);
}

std::unique_ptr<EvidenceSource> with_collateral(std::unique_ptr<EvidenceSource> source,
                                                CollateralSettings settings) {
  return std::make_unique<CollateralSource>(std::move(source), std::move(settings));
}

}  // namespace nostril::node
