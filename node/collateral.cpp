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
#include "node/ocsp_subjects.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

/// What files' names have of a chip id.
constexpr std::size_t kNamedChipBytes = 16;
constexpr std::size_t kTurinHwidBytes = 8;

using attestation::Certificate;
using attestation::Collateral;
using attestation::Evidence;
using attestation::IntelPlatform;
using attestation::IntelTee;
using attestation::RimKind;
using attestation::SnpCertificates;
using attestation::SnpReport;

VendorRequest crl_request(std::string name, std::string url, const Certificate& issuer) {
  return {std::move(name), std::move(url), nullptr,
          [&issuer](const VendorDocument& document, std::int64_t now_s) {
            return attestation::parse_crl(attestation::crl_from_answer(document.body), issuer,
                                          now_s)
                .has_value();
          }};
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

/// Each once.
class WantedRims {
 public:
  void add(WantedRim wanted) {
    if (!is_plain(wanted.id)) {
      log(LogLevel::Error, "collateral: a report names no manifest that can be asked for");
    } else if (std::ranges::find(all_, wanted) == all_.end()) {
      all_.push_back(std::move(wanted));
    }
  }

  std::vector<WantedRim> take() && {
    if (all_.size() > attestation::kGpuManifestCountMax) {
      log(LogLevel::Error, "collateral: these GPUs need {} manifests; clients take {}", all_.size(),
          attestation::kGpuManifestCountMax);
      all_.resize(attestation::kGpuManifestCountMax);
    }
    return std::move(all_);
  }

 private:
  std::vector<WantedRim> all_;
};

std::vector<WantedRim> wanted_rims(const BoardAnswer& board) {
  WantedRims out;
  for (const GpuAnswer& gpu : board.gpus) {
    const auto report = attestation::parse_gpu_report(gpu.report);
    const auto chip = attestation::gpu_chip(gpu.chain);
    if (!report || !chip) {
      log(LogLevel::Error, "collateral: a GPU's report or certificates are none that clients read");
      continue;
    }
    for (const RimKind kind : {RimKind::Driver, RimKind::Vbios}) {
      const std::string& version = kind == RimKind::Driver ? report->driver : report->vbios;
      out.add({kind, version, *chip, attestation::rim_id(kind, *report, *chip)});
    }
  }
  for (const GpuAnswer& one : board.switches) {
    const auto report = attestation::parse_switch_report(one.report);
    if (!report) {
      log(LogLevel::Error, "collateral: an NVSwitch's report is none that clients read");
      continue;
    }
    out.add({RimKind::Switch, report->vbios, std::string(attestation::kSwitchChip),
             attestation::switch_rim_id(*report)});
  }
  return std::move(out).take();
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

  Result<BoardAnswer, std::string> board(const Digest& nonce) override {
    return source_->board(nonce);
  }

  BoardDocuments board_documents(const BoardAnswer& board, std::int64_t now_s) override {
    BoardDocuments out;
    for (const WantedRim& wanted : wanted_rims(board)) {
      const auto document = obtain(rim_request(wanted), now_s);
      if (!document) continue;
      const auto rim = attestation::ParsedRim::parse(document->body);
      if (rim) out.manifests.emplace_back(rim->xml().begin(), rim->xml().end());
    }
    out.ocsp = ocsp_answers(board, out.manifests, now_s);
    return out;
  }

  [[nodiscard]] std::string_view tee() const override { return source_->tee(); }

  [[nodiscard]] bool simulated() const override { return source_->simulated(); }

 private:
  std::optional<VendorDocument> obtain(const VendorRequest& request, std::int64_t now_s) {
    auto document = store_.obtain(request, now_s);
    if (document) return std::move(*document);
    log(LogLevel::Error, "collateral: {}", public_text(document.error()));
    return std::nullopt;
  }

  /// Answers about all certificates, or those that were kept: a responder that is away must not
  /// cost its time once for each.
  std::vector<Bytes> ocsp_answers(const BoardAnswer& board, const std::vector<Bytes>& manifests,
                                  std::int64_t now_s) {
    std::vector<Bytes> out;
    std::string url = settings_.nvidia_ocsp_url;
    for (const OcspSubject& subject : ocsp_subjects(board, manifests)) {
      if (out.size() == attestation::kOcspCountMax) break;
      auto document = store_.obtain(ocsp_vendor_request(subject, url), now_s);
      if (document) {
        out.push_back(std::move(document->body));
      } else if (!url.empty()) {
        log(LogLevel::Warning, "collateral: {}", public_text(document.error()));
        url.clear();
      }
    }
    return out;
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
    const auto platform = attestation::intel_platform(evidence.cpu_quote);
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
                    intel_url(attestation::intel_pck_crl_path(*platform)), platform->chain[1]),
        now_s);
    if (!tcb || !qe || !root_crl || !pck_crl) return;
    if (!attestation::put_tcb_info(out, tcb->body, tcb->chain) ||
        !attestation::put_qe_identity(out, qe->body, qe->chain))
      return;
    out.root_ca_crl = attestation::crl_from_answer(root_crl->body);
    out.pck_crl = attestation::crl_from_answer(pck_crl->body);
    evidence.collateral = std::move(out);
  }

  VendorRequest tcb_request(const IntelPlatform& platform) {
    const std::string fmspc = encode_hex(platform.fmspc);
    return {"tdx-tcb-" + fmspc, intel_url(attestation::intel_tcb_path(platform)),
            attestation::kTcbInfoChainHeader,
            [this, &platform](const VendorDocument& document, std::int64_t now_s) {
              Collateral parts;
              if (!attestation::put_tcb_info(parts, document.body, document.chain)) return false;
              const auto info = attestation::check_tcb_info(parts, IntelTee::Tdx, settings_.roots,
                                                            platform.chain[2], now_s);
              return info && info->document.fmspc == platform.fmspc;
            }};
  }

  VendorRequest qe_request(const IntelPlatform& platform) {
    return {"tdx-qe-identity", intel_url(attestation::intel_qe_identity_path()),
            attestation::kQeIdentityChainHeader,
            [this, &platform](const VendorDocument& document, std::int64_t now_s) {
              Collateral parts;
              return attestation::put_qe_identity(parts, document.body, document.chain) &&
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
    const auto path = attestation::amd_vcek_path(report);
    if (!path) {
      log(LogLevel::Error,
          "collateral: the host gave no certificate for the report's key, and AMD's server can't "
          "be asked for it: a VLEK, a masked chip, or a report of version 2");
      return;
    }
    auto vcek = obtain(vcek_request(evidence, report, *path), now_s);
    if (vcek) evidence.snp->vek = std::move(vcek->body);
  }

  [[nodiscard]] std::string amd_url(const std::string& path) const {
    return settings_.amd_url.empty() ? std::string() : settings_.amd_url + path;
  }

  VendorRequest vcek_request(const Evidence& evidence, const SnpReport& report,
                             const std::string& path) {
    const auto product = attestation::product_of(*report.cpuid);
    const bool turin = product == attestation::SnpProduct::Turin;
    const ByteSpan chip = ByteSpan(report.chip_id).first(turin ? kTurinHwidBytes : kNamedChipBytes);
    const std::string name = fmt::format("vcek-{}-{}-{}", to_string(*product), encode_hex(chip),
                                         encode_hex(report.reported_tcb));
    const std::string url = amd_url(path);
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
    const auto product = extensions->product;
    const std::string name =
        fmt::format("crl-{}-{}", report.signer == attestation::SnpSigner::Vcek ? "vcek" : "vlek",
                    to_string(product));
    const auto crl = obtain(
        crl_request(name, amd_url(attestation::amd_crl_path(report.signer, product)), (*chain)[1]),
        now_s);
    if (crl) out.crl = attestation::crl_from_answer(crl->body);
  }

  std::unique_ptr<EvidenceSource> source_;
  CollateralSettings settings_;
  CollateralStore store_;
};

}  // namespace

bool lacks_collateral(const Evidence& evidence) {
  const bool gpus = !evidence.gpu_reports.empty() && evidence.gpu_manifests.empty();
  return gpus || (evidence.snp ? evidence.snp->vek.empty() : !evidence.collateral);
}

std::unique_ptr<EvidenceSource> with_collateral(std::unique_ptr<EvidenceSource> source,
                                                CollateralSettings settings) {
  return std::make_unique<CollateralSource>(std::move(source), std::move(settings));
}

}  // namespace nostril::node
