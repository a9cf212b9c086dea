#include "client/collateral_fetch.h"

#include "attestation/report_form.h"
#include "base/percent.h"
#include "client/http_get.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

using attestation::Collateral;

/// The documents of one report; what failed first is kept, and nothing is asked after it.
class Fetcher {
 public:
  Fetcher(net::Loop& loop, const CollateralCall& call) : loop_(loop), call_(call) {}

  void add_intel(ByteSpan quote) {
    const auto platform = attestation::intel_platform(quote);
    if (!platform) return;  // a quote that can't be read: the verdict says so
    const std::pair key(platform->fmspc, platform->ca);
    if (std::find(seen_.begin(), seen_.end(), key) != seen_.end()) return;
    if (seen_.size() == kFetchedPlatformsMax) {
      return fail("the report has more platforms than are asked about");
    }
    seen_.push_back(key);
    Collateral out;
    const auto tcb =
        get(call_.intel_url + intel_tcb_path(*platform), attestation::kTcbInfoChainHeader);
    const auto identity = get(call_.intel_url + attestation::intel_qe_identity_path(),
                              attestation::kQeIdentityChainHeader);
    const auto root_crl = get(call_.intel_root_crl_url);
    const auto pck_crl = get(call_.intel_url + intel_pck_crl_path(*platform));
    if (!error_.empty()) return;
    if (!put_tcb_info(out, as_bytes(tcb.body), tcb.chain) ||
        !put_qe_identity(out, as_bytes(identity.body), identity.chain)) {
      return fail(call_.intel_url + ": an answer is none of Intel's");
    }
    out.root_ca_crl = attestation::crl_from_answer(as_bytes(root_crl.body));
    out.pck_crl = attestation::crl_from_answer(as_bytes(pck_crl.body));
    out_.intel.push_back(std::move(out));
  }

  void add_amd(ByteSpan bytes, bool has_vek) {
    const auto report = attestation::parse_snp_report(bytes);
    if (!report) return;
    const auto product = report->cpuid ? attestation::product_of(*report->cpuid) : std::nullopt;
    const auto path = attestation::amd_vcek_path(*report);
    if (!has_vek && !path) {
      return fail("AMD's server can't be asked for the report's certificate: name it with --vcek");
    }
    if (!has_vek && out_.vek.empty()) out_.vek = bytes_of(get(call_.amd_url + *path).body);
    if (product && out_.crl.empty()) {
      out_.crl = attestation::crl_from_answer(
          as_bytes(get(call_.amd_url + amd_crl_path(report->signer, *product)).body));
    }
  }

  Result<FetchedCollateral, std::string> take() && {
    if (!error_.empty()) return failure(std::move(error_));
    return std::move(out_);
  }

 private:
  struct Document {
    std::string body;
    std::string chain;
  };

  static Bytes bytes_of(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
  }

  void fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
  }

  Document get(const std::string& url, const char* chain_header = nullptr) {
    if (!error_.empty()) return {};
    if (!is_safe_url(url)) {
      fail(url + ": neither https:// nor http:// to this machine");
      return {};
    }
    const GetCall call{url, {}, call_.ca_file, false, call_.ms_max};
    auto reply = http_get(loop_, call);
    if (!reply) {
      fail(url + ": " + reply.error());
      return {};
    }
    Document out{std::move(reply->body), {}};
    if (chain_header == nullptr) return out;
    auto chain = percent_decode(reply->headers.find(chain_header).value_or(""));
    if (!chain || chain->empty() || chain->size() > attestation::kIssuerChainBytesMax) {
      fail(fmt::format("{}: no issuer chain in {}", url, chain_header));
      return {};
    }
    out.chain = std::move(*chain);
    return out;
  }

  net::Loop& loop_;
  const CollateralCall& call_;
  std::vector<std::pair<std::array<std::uint8_t, 6>, std::string>> seen_;
  FetchedCollateral out_;
  std::string error_;
};

}  // namespace

Result<FetchedCollateral, std::string> fetch_collateral(net::Loop& loop, std::string_view report,
                                                        ByteSpan nonce,
                                                        const CollateralCall& call) {
  Fetcher fetcher(loop, call);
  const auto parsed = attestation::parse_report(report, nonce);
  if (!parsed) return FetchedCollateral{};  // the verdict says why
  for (const attestation::ReportPart& part : parsed->parts) {
    if (part.is_snp) {
      fetcher.add_amd(part.evidence, !part.vek.empty());
    } else {
      fetcher.add_intel(part.evidence);
    }
    if (part.post_boot) fetcher.add_intel(part.post_boot->quote);
  }
  return std::move(fetcher).take();
}

}  // namespace nostril::client
