#include "node/report_info.h"

#include "attestation/event_log.h"
#include "attestation/tdx_quote.h"
#include "base/hex.h"
#include "base/json.h"

#include <optional>
#include <string_view>
#include <utility>

namespace nostril::node {

namespace {

using attestation::BootRecord;
using attestation::Evidence;

std::optional<BootRecord> boot_record_of(const Evidence& evidence) {
  if (!evidence.app) return std::nullopt;
  const auto log = attestation::parse_event_log(evidence.app->event_log);
  if (!log) return std::nullopt;
  auto record = attestation::read_boot_record(*log);
  if (!record) return std::nullopt;
  return *std::move(record);
}

void write_text(JsonWriter& out, std::string_view name, std::string_view text) {
  if (!text.empty()) out.key(name).string(text);
}

std::string key_provider_info(const BootRecord& boot) {
  if (boot.key_provider.empty()) return {};
  JsonWriter out;
  out.begin_object().key("name").string(boot.key_provider);
  out.key("id").string(encode_hex(boot.key_provider_id)).end_object();
  return std::move(out).take();
}

/// Of the application and the image, in `info` and again in `tcb_info`.
void write_hashes(JsonWriter& out, const std::optional<BootRecord>& boot) {
  if (!boot) return;
  out.key("compose_hash").string(encode_hex(boot->compose_hash));
  if (boot->os_image_hash) out.key("os_image_hash").string(encode_hex(*boot->os_image_hash));
}

void write_registers(JsonWriter& out, const Evidence& evidence) {
  const auto quote = attestation::parse_tdx_quote(evidence.cpu_quote);
  if (!quote) return;  // of another platform
  const attestation::Measurements& measured = quote->td.measurements;
  out.key("mrtd").string(encode_hex(measured.mrtd));
  for (std::size_t i = 0; i < measured.rtmr.size(); ++i) {
    out.key("rtmr" + std::to_string(i)).string(encode_hex(measured.rtmr.at(i)));
  }
}

std::string name_of(std::string_view compose) {
  const auto parsed = Json::parse(compose);
  return parsed ? std::string(parsed->find_string("name").value_or("")) : std::string();
}

}  // namespace

std::string vm_config_of(const Evidence& evidence) {
  if (!evidence.vm_config.empty() || !evidence.app || evidence.app->mr_config.empty()) {
    return evidence.vm_config;
  }
  JsonWriter out;
  out.begin_object().key("mr_config").string(evidence.app->mr_config).end_object();
  return std::move(out).take();
}

std::string full_event_log(const Evidence& evidence) {
  if (!evidence.app) return "[]";
  auto log = attestation::parse_event_log(evidence.app->event_log);
  if (!log) return evidence.app->event_log;
  for (attestation::LoggedEvent& event : *log) event.digest_given = true;
  return attestation::to_json(*log);
}

std::string report_info(const Evidence& evidence) {
  const auto boot = boot_record_of(evidence);
  const std::string compose = evidence.app ? evidence.app->compose : std::string();
  JsonWriter out;
  out.begin_object();
  if (boot) {
    out.key("app_id").string(encode_hex(boot->app_id));
    write_text(out, "instance_id", boot->instance_id);
    write_text(out, "key_provider_info", key_provider_info(*boot));
  }
  write_hashes(out, boot);
  write_text(out, "app_name", name_of(compose));
  write_text(out, "vm_config", vm_config_of(evidence));
  out.key("tcb_info").begin_object();
  write_registers(out, evidence);
  write_hashes(out, boot);
  if (evidence.app) out.key("event_log").raw(full_event_log(evidence));
  write_text(out, "app_compose", compose);
  out.end_object().end_object();
  return std::move(out).take();
}

}  // namespace nostril::node
