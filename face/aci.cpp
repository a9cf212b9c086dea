#include "face/aci.h"

#include "base/check.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include "face/canonical_json.h"

#include <algorithm>

namespace nostril::face {

namespace {

std::string sha256_text(ByteSpan digest) {
  return "sha256:" + encode_hex(digest);
}

void write_optional(JsonWriter& out, std::string_view name,
                    const std::optional<std::string>& text) {
  out.key(name);
  if (text) {
    out.string(*text);
  } else {
    out.null();
  }
}

void write_event(JsonWriter& out, std::string_view type, const Digest& body) {
  out.begin_object().key("body_hash").string(sha256_text(body.bytes));
  out.key("type").string(type).end_object();
}

/// Members by name, as the canonical form has them.
std::string receipt_json(const AciReceipt& receipt, const std::optional<std::string>& signature) {
  JsonWriter out;
  out.begin_object().key("api_version").string(kAciVersion);
  write_optional(out, "chat_id", receipt.chat_id);
  out.key("endpoint").string(receipt.endpoint).key("event_log").begin_array();
  write_event(out, "request.received", receipt.received);
  if (receipt.forwarded) write_event(out, "request.forwarded", *receipt.forwarded);
  write_event(out, "response.returned", receipt.returned);
  out.end_array().key("key_id").string(receipt.key_id);
  out.key("method").string(receipt.method);
  write_optional(out, "model", receipt.model);
  out.key("receipt_id").string(receipt.id);
  out.key("served_at").integer(receipt.served_at);
  if (signature) out.key("signature").string(*signature);
  out.key("workload_keyset_digest").string(receipt.keyset_digest).end_object();
  return std::move(out).take();
}

ApiError invalid_request(std::string_view message) {
  return {400, "invalid_request_error", message};
}

/// `provider` without our members.
Result<std::string, ApiError> other_constraints(const Json& provider) {
  JsonWriter out;
  out.begin_object();
  for (const auto& [name, value] : provider.members()) {
    if (!name.starts_with("aci_")) {
      out.key(name).value(value);
    } else if (name == "aci_verified") {
      if (!value.boolean()) return failure(invalid_request("aci_verified must be true or false"));
    } else if (name == "aci_session_ids") {
      if (!value.is_array() || value.items().empty() ||
          provider.find_boolean("aci_verified") == false) {
        return failure(invalid_request("aci_session_ids is not valid"));
      }
      return failure(ApiError{412, "session_not_accepted", "This service has no sessions"});
    } else {
      return failure(invalid_request("Unknown aci_ constraint"));
    }
  }
  out.end_object();
  return std::move(out).take();
}

}  // namespace

std::string keyset_json(const AciKeyset& keyset) {
  JsonWriter out;
  out.begin_object().key("e2ee_public_keys").begin_array();
  for (const AciEncryptionKey& key : keyset.encryption_keys) {
    out.begin_object().key("algo").string(key.algorithm).key("key_id").string(key.id);
    out.key("public_key").string(key.public_key).end_object();
  }
  out.end_array().key("not_after").integer(keyset.not_after);
  out.key("receipt_signing_keys").begin_array();
  for (const AciReceiptKey& key : keyset.receipt_keys) {
    out.begin_object().key("algo").string("ed25519").key("key_id").string(key.id);
    out.key("public_key").string(encode_hex(key.key)).end_object();
  }
  out.end_array();
  write_optional(out, "subject", keyset.subject);
  out.key("tls_public_keys").begin_array();
  for (const AciTlsKey& key : keyset.tls_keys) {
    out.begin_object();
    if (key.domain) out.key("domain").string(*key.domain);
    out.key("spki_sha256").string(encode_hex(key.spki)).end_object();
  }
  out.end_array().end_object();
  return std::move(out).take();
}

std::string keyset_digest(const AciKeyset& keyset) {
  return sha256_text(sha256(keyset_json(keyset)).bytes);
}

std::string aci_statement(std::string_view keyset_digest, const std::optional<ReportNonce>& nonce) {
  JsonWriter out;
  out.begin_object().key("keyset_digest").string(keyset_digest).key("nonce");
  if (nonce) {
    out.string(encode_hex(*nonce));
  } else {
    out.null();
  }
  out.key("purpose").string("aci.report_data.v1").end_object();
  return std::move(out).take();
}

ReportData aci_report_data(std::string_view keyset_digest,
                           const std::optional<ReportNonce>& nonce) {
  ReportData out;
  std::ranges::copy(sha256(aci_statement(keyset_digest, nonce)).bytes, out.bytes.begin());
  return out;
}

Result<std::optional<ReportNonce>, ApiError> parse_aci_query(std::string_view query) {
  const auto value = query_value(query, "nonce");
  if (!value) return failure(invalid_request(value.error().message));
  if (!*value) return std::nullopt;
  ReportNonce nonce{};
  if (!decode_hex(**value, nonce)) {
    return failure(invalid_request("nonce must be 64 lowercase hex digits"));
  }
  return nonce;
}

std::string aci_report_json(const AciReport& report) {
  const std::string digest = keyset_digest(report.keyset);
  const ReportData data = aci_report_data(digest, report.nonce);
  JsonWriter out;
  out.begin_object().key("api_version").string(kAciVersion);
  out.key("workload_keyset_digest").string(digest);
  out.key("attestation").begin_object().key("tee_type").string(report.tee);
  out.key("workload_keyset").raw(keyset_json(report.keyset));
  out.key("report_data").string(encode_hex(ByteSpan(data.bytes).first(Digest::kSize)));
  out.key("source_provenance").begin_object();
  write_optional(out, "repo_url", report.provenance.repo_url);
  write_optional(out, "repo_commit", report.provenance.repo_commit);
  write_optional(out, "image_digest", report.provenance.image_digest);
  out.key("image_provenance").null().end_object();
  out.key("evidence").raw(report.evidence).end_object();
  out.key("service_capabilities").begin_object().key("supported_e2ee_versions").begin_array();
  if (report.field_encryption) out.string("2");
  out.end_array().key("serving").string("direct").end_object().end_object();
  return std::move(out).take();
}

std::string sign_receipt(const AciReceipt& receipt, const Ed25519Key& key) {
  const Ed25519Signature signature = key.sign(as_bytes(receipt_json(receipt, std::nullopt)));
  return receipt_json(receipt, encode_hex(signature));
}

bool verify_receipt(std::string_view json, const Ed25519PublicKey& key) {
  JsonLimits limits;
  limits.bytes_max = kAciReceiptBytesMax;
  const auto document = Json::parse(json, limits);
  if (!document || document->find_string("api_version") != kAciVersion) return false;
  const auto hex = document->find_string("signature");
  const auto signature = hex ? from_hex<Ed25519Signature>(*hex) : std::nullopt;
  const auto signed_form = canonical_json_without(*document, "signature");
  return signature && signed_form && ed25519_verify(key, as_bytes(*signed_form), *signature);
}

Result<std::string, ApiError> take_constraints(std::string_view body, const Json& document) {
  const Json* provider = document.find("provider");
  const auto is_ours = [](const Json::Member& member) { return member.first.starts_with("aci_"); };
  if (provider == nullptr || std::ranges::none_of(provider->members(), is_ours)) {
    return std::string(body);
  }
  const auto rest = other_constraints(*provider);
  if (!rest) return failure(rest.error());
  JsonWriter out;
  out.begin_object();
  for (const auto& [name, value] : document.members()) {
    if (name != "provider") {
      out.key(name).value(value);
    } else if (*rest != "{}") {
      out.key(name).raw(*rest);
    }
  }
  out.end_object();
  return std::move(out).take();
}

}  // namespace nostril::face
