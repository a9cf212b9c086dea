#include "node/dstack_agent.h"

#include "attestation/app_identity.h"
#include "attestation/dstack_container.h"
#include "attestation/event_log.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "base/json.h"
#include "node/http_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

namespace nostril::node {

namespace {

constexpr JsonLimits kReplyLimits = {kDstackReplyBytesMax, 16, 100'000};
constexpr int kOk = 200;
constexpr std::size_t kShownBytes = 120;

/// Text of a member that may be missing or null, at most so long. Nothing when it is something
/// else.
std::optional<std::string> text_member(const Json& object, std::string_view key,
                                       std::size_t bytes_max) {
  const Json* member = object.find(key);
  if (member == nullptr || member->is_null()) return std::string();
  const auto text = member->string();
  if (!text || text->size() > bytes_max) return std::nullopt;
  return std::string(*text);
}

Result<std::string, std::string> post(const std::filesystem::path& socket, const char* method,
                                      std::string body, std::uint64_t ms_max) {
  net::HttpCall call;
  call.method = "POST";
  call.url = std::string("http://dstack/") + method;
  call.unix_socket_path = socket.string();
  call.headers.add("Content-Type", "application/json");
  call.body = std::move(body);
  call.connect_ms_max = ms_max;
  call.first_byte_ms_max = ms_max;
  call.idle_ms_max = ms_max;
  call.response_bytes_max = kDstackReplyBytesMax;
  auto reply = http_request(std::move(call), ms_max);
  const std::string where = fmt::format("dstack's guest agent, {} {}: ", socket.string(), method);
  if (!reply) {
    return failure(where + reply.error() +
                   " (is the agent running, and may this user write to its socket?)");
  }
  if (reply->status != kOk) {
    return failure(
        fmt::format("{}status {}: {}", where, reply->status, reply->body.substr(0, kShownBytes)));
  }
  return std::move(reply->body);
}

Result<attestation::AppDocuments, std::string> bounded(attestation::AppDocuments out) {
  if (!attestation::within_limits(out)) {
    return failure(
        fmt::format("event log, compose text or mr-config of {}, {} and {} bytes: larger "
                    "than evidence takes",
                    out.event_log.size(), out.compose.size(), out.mr_config.size()));
  }
  return out;
}

/// Issuer first, the report's signer last; as evidence has them: the signer, then ASK and ARK. An
/// agent may leave the root out: clients then take AMD's certificates, which they have.
std::optional<attestation::SnpCertificates> certificates_of(const std::vector<std::string>& pems) {
  attestation::SnpCertificates out;
  if (pems.empty()) return out;
  const auto vek = attestation::parse_pem_chain(pems.back());
  if (!vek || vek->size() != 1) return std::nullopt;
  out.vek = vek->front().der;
  // AMD's key server and hosts give ASK before ARK, and clients want that order.
  for (const std::string& pem : std::span(pems).first(pems.size() - 1)) {
    const auto one = attestation::parse_pem_chain(pem);
    if (!one || one->size() != 1) return std::nullopt;
    const bool root = attestation::common_name(one->front()).starts_with("ARK-");
    out.chain = root ? out.chain + pem : pem + out.chain;
  }
  constexpr std::size_t kWholeChain = 3;
  if (pems.size() != kWholeChain) out.chain.clear();
  return out;
}

}  // namespace

Result<DstackQuote, std::string> parse_dstack_quote(std::string_view json,
                                                    std::span<const std::uint8_t, 64> report_data) {
  const auto reply = Json::parse(json, kReplyLimits);
  if (!reply || !reply->is_object()) return failure("GetQuote: not a JSON object");
  const auto quote_hex = text_member(*reply, "quote", 2 * attestation::kQuoteBytesMax);
  if (!quote_hex) return failure("GetQuote: no quote, or one that is too large");
  if (quote_hex->empty()) {
    return failure("GetQuote: an empty quote; this agent runs on no TDX guest");
  }
  auto quote = decode_hex(*quote_hex);
  if (!quote) return failure("GetQuote: the quote is not hex");
  const auto echo = text_member(*reply, "report_data", 2 * report_data.size());
  if (!echo || (!echo->empty() && *echo != encode_hex(report_data))) {
    return failure("GetQuote: the answer is for other report_data than was asked for");
  }
  auto event_log = text_member(*reply, "event_log", kDstackEventLogBytesMax);
  auto vm_config = text_member(*reply, "vm_config", kDstackEventLogBytesMax);
  if (!event_log || !vm_config) {
    return failure("GetQuote: event_log or vm_config is no string, or too large");
  }
  return DstackQuote{std::move(*quote), std::move(*event_log), std::move(*vm_config)};
}

Result<DstackInfo, std::string> parse_dstack_info(std::string_view json) {
  const auto reply = Json::parse(json, kReplyLimits);
  if (!reply || !reply->is_object()) return failure("Info: not a JSON object");
  const Json* tcb = reply->find("tcb_info");
  std::optional<Json> inner;
  // A string with an object in it, or the object.
  if (tcb != nullptr && tcb->is_string()) {
    auto parsed = Json::parse(*tcb->string(), kReplyLimits);
    if (!parsed) return failure("Info: tcb_info is not JSON");
    inner = std::move(*parsed);
    tcb = &*inner;
  }
  DstackInfo out;
  if (tcb == nullptr || !tcb->is_object()) return out;
  auto compose = text_member(*tcb, "app_compose", kDstackEventLogBytesMax);
  if (!compose) return failure("Info: app_compose is no string, or too large");
  out.app_compose = std::move(*compose);
  return out;
}

Result<attestation::AppDocuments, std::string> dstack_app(const DstackQuote& quote,
                                                          const DstackInfo& info) {
  auto log = attestation::parse_event_log(quote.event_log);
  if (!log) {
    return failure("GetQuote: the event log: " + std::string(to_string(log.error())));
  }
  for (attestation::LoggedEvent& event : *log) {
    if (event.is_runtime()) event.digest_given = false;
  }
  return bounded(
      {attestation::to_json(*log), info.app_compose, attestation::mr_config_of(quote.vm_config)});
}

Result<attestation::AppDocuments, std::string> dstack_snp_app(const DstackReport& report,
                                                              const DstackInfo& info) {
  attestation::EventLog log = report.events;
  for (attestation::LoggedEvent& event : log) event.digest_given = false;
  return bounded({attestation::to_json(log), info.app_compose, report.mr_config});
}

Result<DstackReport, std::string> parse_dstack_report(
    std::string_view json, std::span<const std::uint8_t, 64> report_data) {
  const auto reply = Json::parse(json, kReplyLimits);
  const auto hex = reply && reply->is_object()
                       ? text_member(*reply, "attestation", kDstackReplyBytesMax)
                       : std::nullopt;
  const auto bytes = hex ? decode_hex(*hex) : std::nullopt;
  if (!bytes) return failure("Attest: no attestation in hex");
  auto container = attestation::parse_dstack_container(*bytes);
  if (!container) return failure("Attest: the container is none that can be read");
  if (container->platform != attestation::DstackContainer::Platform::Snp) {
    return failure("Attest: it is not of SEV-SNP");
  }
  if (!std::ranges::equal(container->report_data, report_data)) {
    return failure("Attest: the answer is for other report_data than was asked for");
  }
  auto certificates = certificates_of(container->certificates);
  if (!certificates) return failure("Attest: its certificates are none that clients read");
  return DstackReport{std::move(*certificates), std::move(container->evidence),
                      std::move(container->mr_config), std::move(container->runtime_events)};
}

Result<DstackReport, std::string> dstack_report(const std::filesystem::path& socket,
                                                std::span<const std::uint8_t, 64> report_data,
                                                std::uint64_t ms_max) {
  const auto body =
      post(socket, "Attest", R"({"report_data":")" + encode_hex(report_data) + "\"}", ms_max);
  if (!body) return failure(body.error());
  return parse_dstack_report(*body, report_data);
}

Result<DstackQuote, std::string> dstack_quote(const std::filesystem::path& socket,
                                              std::span<const std::uint8_t, 64> report_data,
                                              std::uint64_t ms_max) {
  const auto body =
      post(socket, "GetQuote", R"({"report_data":")" + encode_hex(report_data) + "\"}", ms_max);
  if (!body) return failure(body.error());
  return parse_dstack_quote(*body, report_data);
}

Result<DstackInfo, std::string> dstack_info(const std::filesystem::path& socket,
                                            std::uint64_t ms_max) {
  const auto body = post(socket, "Info", "{}", ms_max);
  if (!body) return failure(body.error());
  return parse_dstack_info(*body);
}

}  // namespace nostril::node
