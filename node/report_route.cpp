#include "node/report_route.h"

#include "attestation/gpu_certificates.h"
#include "attestation/sim_pki.h"
#include "base/json.h"
#include "base/log.h"
#include "base/percent.h"
#include "net/url.h"
#include "node/report_info.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr std::string_view kHopper = "HOPPER";
constexpr std::string_view kBlackwell = "BLACKWELL";

ApiRefusal busy(std::int64_t wait_ms) {
  constexpr std::int64_t kMsPerSecond = 1000;
  ApiRefusal out(429, "rate_limited", "too many reports are asked for; come again");
  const std::int64_t wait_s =
      std::max<std::int64_t>(1, (wait_ms + kMsPerSecond - 1) / kMsPerSecond);
  out.headers.add("Retry-After", std::to_string(wait_s));
  return out;
}

face::ReportGpu to_report(const GpuAnswer& gpu) {
  face::ReportGpu out;
  out.report = gpu.report;
  std::vector<Bytes> chain;
  const auto parsed = attestation::parse_gpu_chain(gpu.chain);
  if (parsed) {
    for (const attestation::Certificate& certificate : *parsed) chain.push_back(certificate.der);
  }
  const std::string pem = attestation::to_pem(chain);
  out.certificates.assign(pem.begin(), pem.end());
  return out;
}

std::string_view architecture_of(const std::vector<GpuAnswer>& gpus) {
  const auto chip = gpus.empty() ? std::nullopt : attestation::gpu_chip(gpus.front().chain);
  return chip && chip->starts_with("GB") ? kBlackwell : kHopper;
}

}  // namespace

struct ReportRoute::Making {
  face::ReportQuery query;
  face::LegacyReport report;
  std::string problem;  ///< for the operator; empty: the report is whole
  std::string body;
  ApiReply reply;
};

ReportRoute::ReportRoute(Parts parts, std::int64_t reports_per_minute)
    : parts_(std::move(parts)), limit_(reports_per_minute) {}

ReportRoute::Form ReportRoute::form_of(const face::ReportQuery& query,
                                       const face::LegacyReport& report) {
  return {query.form, report.algorithm, report.tls_spki.has_value(), report.model};
}

Result<std::string, ApiRefusal> ReportRoute::model_of(std::string_view query) const {
  const auto asked = face::query_value(query, "model");
  if (!asked) return failure(ApiRefusal(asked.error()));
  if (*asked && !(*asked)->empty()) {
    const auto model = percent_decode(**asked);
    if (!model || !parts_.models.find_model(*model)) {
      return failure(ApiRefusal(404, "not_found", "this node serves no such model at present"));
    }
    return *model;
  }
  const auto offers = parts_.models.offered();
  return offers.empty() ? std::string() : offers.front().model;
}

void ReportRoute::answer(const net::HttpRequest& request, const net::PeerAddress& peer,
                         const ApiReply& reply) {
  const auto query = face::parse_report_query(request.query, *parts_.signer);
  if (!query) return reply(to_response(ApiRefusal(query.error())));
  auto model = model_of(request.query);
  if (!model) return reply(to_response(model.error()));
  const auto making = std::make_shared<Making>();
  making->query = *query;
  making->reply = reply;
  face::LegacyReport& report = making->report;
  report.model = *std::move(model);
  report.ohttp_key_config = parts_.ohttp_key_config;
  report.algorithm = query->algorithm;
  if (query->include_tls_fingerprint) {
    report.tls_spki = parts_.tls_spki;
    report.tls_certificate = parts_.tls_certificate();
  }
  if (query->nonce) {
    report.nonce = *query->nonce;
  } else {
    const auto kept = kept_.find(form_of(making->query, report));
    if (kept != kept_.end() && parts_.clock.unix_s() < kept->second.made_at_s + kKeptS) {
      return reply(json_response(200, kept->second.body));
    }
    parts_.rng.fill(report.nonce);
  }
  const std::int64_t wait_ms = limit_.take(peer, parts_.clock.monotonic_ms());
  if (wait_ms > 0) return reply(to_response(busy(wait_ms)));
  if (waiting_ >= kWaitingMax) return reply(to_response(busy(0)));
  make(making);
}

void ReportRoute::make(const std::shared_ptr<Making>& making) {
  const bool taken = parts_.background.run(
      [making, &source = parts_.source, signer = parts_.signer, now_s = parts_.clock.unix_s()] {
        face::LegacyReport& report = making->report;
        Digest nonce;
        nonce.bytes = report.nonce;
        const auto board = source.board(nonce);
        if (!board) {
          making->problem = board.error();
          return;
        }
        const auto data =
            face::legacy_report_data(*signer, report.algorithm, report.nonce, report.tls_spki);
        auto evidence = source.quote(data.span(), now_s);
        if (!evidence) {
          making->problem = evidence.error();
          return;
        }
        report.event_log = full_event_log(*evidence);
        report.info = report_info(*evidence);
        report.vm_config = vm_config_of(*evidence);
        report.quote = std::move(evidence->cpu_quote);
        for (const GpuAnswer& gpu : board->gpus) report.gpus.push_back(to_report(gpu));
        report.gpu_architecture = architecture_of(board->gpus);
        making->body = face::report_json(report, *signer, making->query.form);
      },
      [this, alive = std::weak_ptr(alive_), making] {
        if (!alive.expired()) made(*making);
      });
  if (!taken) return making->reply(to_response(busy(0)));
  ++waiting_;
}

void ReportRoute::made(const Making& making) {
  --waiting_;
  if (!making.problem.empty()) {
    log(LogLevel::Error, "no attestation report: {}", public_text(making.problem));
    ApiRefusal refusal(503, "server_error", "this machine gives no evidence at present");
    refusal.headers.add("Retry-After", "5");
    return making.reply(to_response(refusal));
  }
  if (!making.query.nonce) {
    const std::int64_t now_s = parts_.clock.unix_s();
    std::erase_if(kept_,
                  [now_s](const auto& one) { return one.second.made_at_s + kKeptS <= now_s; });
    kept_[form_of(making.query, making.report)] = {now_s, making.body};
  }
  making.reply(json_response(200, making.body));
}

}  // namespace nostril::node
