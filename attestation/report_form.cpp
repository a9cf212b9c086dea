#include "attestation/report_form.h"

#include "attestation/app_identity.h"
#include "base/base64.h"
#include "base/hex.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::string_view kPemStart = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kTinfoilFormat = "https://tinfoil.sh/predicate/attestation/v3";
constexpr std::string_view kSpaces = " \t\r\n";

const Json& null_value() {
  static const Json kNull;
  return kNull;
}

/// The end of the string that begins at `at` (a quote), behind its closing quote.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

/// The end of the value that begins at `at`: the comma or bracket that follows it.
std::size_t end_of_value(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(text, at);
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) return at;
    if (c == '}' || c == ']') --depth;
    ++at;
  }
  return at;
}

std::size_t skip(std::string_view text, std::size_t at, std::string_view what) {
  return std::min(text.find_first_not_of(what, at), text.size());
}

}  // namespace

std::string_view to_string(ReportError error) {
  switch (error) {
    case ReportError::TooLarge:
      return "too large";
    case ReportError::UnknownForm:
      return "not a report of a known form";
    case ReportError::MissingField:
      return "a field is missing or of another type";
    case ReportError::BadEncoding:
      return "a field is not well encoded";
    case ReportError::TooManyParts:
      return "too many machines or GPUs";
  }
  return "unknown";
}

std::string_view ReportFields::text(std::string_view name) {
  const auto out = object_ == nullptr ? std::nullopt : object_->find_string(name);
  if (!out) fail(ReportError::MissingField);
  return out.value_or("");
}

Bytes ReportFields::hex(std::string_view name) {
  auto out = decode_hex(text(name));
  if (!out) fail(ReportError::BadEncoding);
  return std::move(out).value_or(Bytes{});
}

Bytes ReportFields::base64(std::string_view name) {
  auto out = decode_base64(text(name));
  if (!out) fail(ReportError::BadEncoding);
  return std::move(out).value_or(Bytes{});
}

const Json& ReportFields::array(std::string_view name) {
  const Json* out = find(name);
  if (out != nullptr && out->is_array()) return *out;
  fail(ReportError::MissingField);
  return null_value();
}

std::vector<GpuEvidence> read_gpus(const Json& list, ReportFields& fields) {
  if (!list.is_array()) fields.fail(ReportError::MissingField);
  if (list.items().size() > kGpuReportCountMax) {
    fields.fail(ReportError::TooManyParts);
    return {};
  }
  std::vector<GpuEvidence> out;
  for (const Json& item : list.items()) {
    ReportFields gpu(&item);
    out.push_back({gpu.base64("evidence"), gpu.base64("certificate")});
    if (gpu.error()) fields.fail(*gpu.error());
  }
  return out;
}

ReportApp read_dstack_app(const Json* log, const Json* info, const Json* vm_config) {
  // tcb_info is an object, or a string that holds its text.
  Json parsed;
  const Json* tcb_info = info == nullptr ? nullptr : info->find("tcb_info");
  if (const auto text = tcb_info == nullptr ? std::nullopt : tcb_info->string()) {
    parsed = Json::parse(*text).value_or(Json());
    tcb_info = &parsed;
  }
  if (log == nullptr && tcb_info != nullptr) log = tcb_info->find("event_log");
  ReportApp out;
  out.log = log == nullptr ? failure(EventLogError::NotJson) : read_event_log(*log);
  if (tcb_info != nullptr) out.compose = tcb_info->find_string("app_compose").value_or("");
  if (vm_config == nullptr && info != nullptr) vm_config = info->find("vm_config");
  if (const auto text = vm_config == nullptr ? std::nullopt : vm_config->string()) {
    out.mr_config = mr_config_of(*text);
  }
  return out;
}

std::optional<std::string_view> raw_member(std::string_view object, std::string_view name) {
  std::size_t at = skip(object, 0, kSpaces);
  if (at == object.size() || object[at] != '{') return std::nullopt;
  ++at;
  while (at < object.size()) {
    at = skip(object, at, kSpaces);
    if (at == object.size() || object[at] != '"') return std::nullopt;
    const std::size_t key_end = end_of_string(object, at);
    const std::string_view key = object.substr(at + 1, key_end - at - 2);
    const std::size_t value = skip(object, key_end, " \t\r\n:");
    const std::size_t end = end_of_value(object, value);
    if (key == name) {
      const std::string_view out = object.substr(value, end - value);
      return out.substr(0, out.find_last_not_of(kSpaces) + 1);
    }
    at = end + 1;
  }
  return std::nullopt;
}

Result<ParsedReport, ReportError> parse_report(std::string_view text, ByteSpan nonce) {
  if (text.size() > kReportBytesMax) return failure(ReportError::TooLarge);
  if (text.starts_with(kPemStart)) return parse_ra_tls(text);
  if (text.starts_with('\0')) return parse_dstack_attestation(as_bytes(text), nonce);
  const auto json = Json::parse(text);
  if (!json || !json->is_object()) return failure(ReportError::UnknownForm);
  const auto has = [&json](std::string_view name) { return json->find(name) != nullptr; };
  if (json->find_string("format") == kTinfoilFormat) return parse_tinfoil_report(*json, text);
  if (has("gateway_attestation") && has("model_attestations")) return parse_near_report(*json);
  if (has("intel_quote") && has("signing_address")) return parse_phala_report(*json);
  if (has("e2e_pubkey") && has("evidence")) return parse_chutes_report(*json, nonce);
  if (has("quote") && has("event_log")) return parse_dstack_report(*json, nonce);
  if (const auto hex = json->find_string("attestation")) {
    const auto container = decode_hex(*hex);
    if (!container) return failure(ReportError::BadEncoding);
    return parse_dstack_attestation(*container, nonce);
  }
  return failure(ReportError::UnknownForm);
}

}  // namespace nostril::attestation
