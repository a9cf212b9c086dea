#include "face/attestation_report.h"

#include "base/base64.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include "face/text.h"

#include <algorithm>

namespace nostril::face {

namespace {

ApiError bad_request(std::string_view message) {
  return {400, "bad_request", message};
}

std::optional<bool> parse_switch(std::string_view text) {
  const std::string lower = ascii_lower(text);
  if (lower == "true" || lower == "1") return true;
  if (lower == "false" || lower == "0") return false;
  return std::nullopt;
}

Result<ReportQuery, ApiError> read_algorithm(ReportQuery query, std::string_view text) {
  const auto algorithm = parse_signing_algorithm(text);
  if (!algorithm) {
    return failure(bad_request("Invalid signing algorithm. Must be 'ed25519' or 'ecdsa'"));
  }
  query.algorithm = *algorithm;
  return query;
}

/// NVIDIA's request for attestation, which clients pass on as it is.
std::string nvidia_payload(const LegacyReport& report) {
  JsonWriter out;
  out.begin_object().key("nonce").string(encode_hex(report.nonce));
  out.key("evidence_list").begin_array();
  for (const ReportGpu& gpu : report.gpus) {
    out.begin_object().key("certificate").string(encode_base64(gpu.certificates));
    out.key("evidence").string(encode_base64(gpu.report));
    out.key("arch").string(report.gpu_architecture).end_object();
  }
  out.end_array().key("arch").string(report.gpu_architecture).end_object();
  return std::move(out).take();
}

std::string without_braces(const JsonWriter& object) {
  const std::string& text = object.text();
  return text.substr(1, text.size() - 2);
}

enum class LogForm : std::uint8_t { Array, Text };

/// The members, without the braces.
std::string report_members(const LegacyReport& report, const LegacySigner& signer, ReportForm form,
                           LogForm log) {
  JsonWriter out;
  out.begin_object();
  out.key("model_name").string(report.model);
  out.key("signing_address").string(signer.address(report.algorithm));
  out.key("signing_algo").string(to_string(report.algorithm));
  out.key("signing_public_key").string(signer.public_key(report.algorithm));
  out.key("request_nonce").string(encode_hex(report.nonce));
  out.key("intel_quote").string(encode_hex(report.quote));
  const ReportData data =
      legacy_report_data(signer, report.algorithm, report.nonce, report.tls_spki);
  out.key("report_data").string(encode_hex(data));
  out.key("nvidia_payload").string(nvidia_payload(report));
  out.key("event_log");
  if (log == LogForm::Text) {
    out.string(report.event_log);
  } else {
    out.raw(report.event_log);
  }
  out.key("info").raw(report.info);
  if (report.tls_spki) out.key("tls_cert_fingerprint").string(encode_hex(*report.tls_spki));
  out.key("vm_config").string(report.vm_config);
  if (form == ReportForm::Phala) out.key("quote").string(encode_hex(report.quote));
  out.end_object();
  return without_braces(out);
}

}  // namespace

Result<std::optional<std::string_view>, ApiError> query_value(std::string_view query,
                                                              std::string_view name) {
  if (query.size() > kReportQueryBytesMax) return failure(bad_request("Query too long"));
  std::optional<std::string_view> found;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t mark = std::min(pair.find('='), pair.size());
    if (pair.substr(0, mark) != name) continue;
    if (found) return failure(bad_request("A parameter is given twice"));
    found = pair.substr(std::min(mark + 1, pair.size()));
  }
  return found;
}

Result<ReportQuery, ApiError> parse_report_query(std::string_view query,
                                                 const LegacySigner& signer) {
  ReportQuery out;
  const auto algorithm = query_value(query, "signing_algo");
  const auto nonce = query_value(query, "nonce");
  const auto address = query_value(query, "signing_address");
  const auto tls = query_value(query, "include_tls_fingerprint");
  const auto version = query_value(query, "version");
  for (const auto* value : {&algorithm, &nonce, &address, &tls, &version}) {
    if (!*value) return failure(value->error());
  }
  if (*algorithm) {
    auto read = read_algorithm(out, **algorithm);
    if (!read) return read;
    out = *read;
  }
  if (*nonce) {
    ReportNonce bytes{};
    const auto decoded = decode_hex(ascii_lower(**nonce));
    if (!decoded) return failure(bad_request("Nonce must be hex-encoded"));
    if (decoded->size() != bytes.size()) return failure(bad_request("Nonce must be 32 bytes"));
    std::ranges::copy(*decoded, bytes.begin());
    out.nonce = bytes;
  }
  if (*address && ascii_lower(**address) != signer.address(out.algorithm)) {
    return failure(ApiError{404, "not_found", "Signing address not found on this server"});
  }
  if (*tls) {
    const auto include = parse_switch(**tls);
    if (!include) return failure(bad_request("include_tls_fingerprint must be true or false"));
    out.include_tls_fingerprint = *include;
  }
  if (*version) {
    if (**version != "1" && **version != "2") return failure(bad_request("version must be 1 or 2"));
    out.include_tls_fingerprint = out.include_tls_fingerprint || **version == "2";
    out.form = ReportForm::Phala;
  }
  return out;
}

ReportData legacy_report_data(const LegacySigner& signer, SigningAlgorithm algorithm,
                              const ReportNonce& nonce, const std::optional<Digest>& tls_spki) {
  ReportData out;
  const Bytes address = signer.address_bytes(algorithm);
  if (tls_spki) {
    const Digest digest = Sha256().update(ByteSpan(address)).update(tls_spki->span()).finish();
    std::ranges::copy(digest.bytes, out.bytes.begin());
  } else {
    std::ranges::copy(address, out.bytes.begin());
  }
  std::ranges::copy(nonce, out.bytes.begin() + 32);
  return out;
}

namespace {

/// The key configuration with the signature of an address that reports bind.
std::string ohttp_members(std::string_view config, const LegacySigner& signer) {
  const std::string hex = encode_hex(as_bytes(config));
  JsonWriter out;
  out.begin_object().key("ohttp_key_config").string(hex);
  out.key("ohttp_attestation").begin_object().key("signing_algo").string("ed25519");
  out.key("signing_key").string(signer.public_key(SigningAlgorithm::Ed25519));
  out.key("key_config").string(hex);
  out.key("signature").string(encode_hex(signer.ed25519().sign(as_bytes(config))));
  out.end_object().end_object();
  return without_braces(out);
}

}  // namespace

std::string report_json(const LegacyReport& report, const LegacySigner& signer, ReportForm form) {
  const bool near = form == ReportForm::Near;
  const std::string members =
      report_members(report, signer, form, near ? LogForm::Array : LogForm::Text);
  std::string out = "{" + members;
  out += ",\"all_attestations\":[{" + members + "}]";
  if (near) {
    out += ",\"model_attestations\":[{" + members + "}]";
    out += ",\"gateway_attestation\":{" + report_members(report, signer, form, LogForm::Text) + "}";
  }
  if (!report.tls_certificate.empty()) {
    out += ",\"tls_certificate\":";
    append_json_string(out, report.tls_certificate);
  }
  if (!report.ohttp_key_config.empty()) out += "," + ohttp_members(report.ohttp_key_config, signer);
  return out + "}";
}

}  // namespace nostril::face
