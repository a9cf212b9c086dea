// NEAR AI Cloud, and the form it shares with Phala, RedPill, Venice and NanoGPT.
#include "attestation/report_form.h"
#include "base/hex.h"
#include "schnorr/hash.h"
#include "schnorr/keccak.h"

#include <algorithm>
#include <set>

namespace nostril::attestation {

namespace {

constexpr std::size_t kEthereumAddressBytes = 20;
constexpr std::size_t kEd25519KeyBytes = 32;
constexpr std::size_t kSecp256k1KeyBytes = 64;
constexpr std::size_t kHalf = 32;
constexpr std::size_t kActionsMax = 4096;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

void append(Bytes& out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// "0x" and mixed case (EIP-55) are Ethereum's way to write it.
Bytes read_address(ReportFields& fields) {
  const std::string text = lower(fields.text("signing_address"));
  const std::string_view digits = text.starts_with("0x") ? std::string_view(text).substr(2) : text;
  auto out = decode_hex(digits);
  if (!out || (out->size() != kEthereumAddressBytes && out->size() != kEd25519KeyBytes)) {
    fields.fail(ReportError::BadEncoding);
    return Bytes(kEd25519KeyBytes);
  }
  return std::move(*out);
}

/// The address that a public key has: itself (ed25519), or the end of its Keccak-256 (secp256k1).
std::string address_of(const Bytes& key) {
  if (key.size() == kEd25519KeyBytes) return encode_hex(key);
  const bool marked = key.size() == kSecp256k1KeyBytes + 1 && key[0] == 4;
  if (!marked && key.size() != kSecp256k1KeyBytes) return "a key of unknown form";
  const Digest digest = keccak256(ByteSpan(key).last(kSecp256k1KeyBytes));
  return encode_hex(ByteSpan(digest.bytes).last(kEthereumAddressBytes));
}

ReportBinding read_binding(ReportFields& fields, const Bytes& address) {
  ReportBinding out;
  out.nonce = fields.hex("request_nonce");
  Bytes start;
  if (fields.find("tls_cert_fingerprint") != nullptr) {
    const Bytes fingerprint = fields.hex("tls_cert_fingerprint");
    out.tls_spki = Digest::from(fingerprint);
    if (!out.tls_spki) fields.fail(ReportError::BadEncoding);
    const Digest digest = Sha256().update(ByteSpan(address)).update(fingerprint).finish();
    start.assign(digest.bytes.begin(), digest.bytes.end());
    out.rule = "SHA-256(signing address, TLS fingerprint), nonce";
  } else {
    start = address;
    start.resize(kHalf);
    out.rule = "signing address, zeros, nonce";
  }
  append(start, *out.nonce);
  out.start = std::move(start);
  if (fields.find("report_data") != nullptr) out.copy = fields.hex("report_data");
  return out;
}

/// An action as the machine hashes it: no spaces, members sorted or, by older software, as they
/// stand. Objects inside are not in use.
bool append_action(std::string& out, const Json& action, bool sorted) {
  std::vector<const Json::Member*> members;
  for (const Json::Member& member : action.members()) members.push_back(&member);
  if (sorted) std::ranges::sort(members, {}, &Json::Member::first);
  const auto is_flat = [](const Json& value) { return !value.is_object(); };
  out += "{";
  for (const Json::Member* member : members) {
    const auto& [key, value] = *member;
    const auto items = value.items();
    if (!is_flat(value) || !std::all_of(items.begin(), items.end(), is_flat)) return false;
    if (out.back() != '{') out += ",";
    append_json_string(out, key);
    out += ":" + value.dump();
  }
  out += "}";
  return action.is_object();
}

std::optional<Digest> digest_of_actions(const Json& actions, bool sorted) {
  std::string text = "[";
  for (const Json& action : actions.items()) {
    if (text.size() > 1) text += ",";
    if (!append_action(text, action, sorted)) return std::nullopt;
  }
  return sha256(text + "]");
}

/// Digest and files of the list of actions; false when it is of another form. Either way to write
/// the list commits to all of it: the machine's own word says which one it took.
bool read_actions(const Json& actions, PostBoot& out) {
  if (actions.items().size() > kActionsMax) return false;
  const auto sorted = digest_of_actions(actions, true);
  const auto plain = digest_of_actions(actions, false);
  if (!sorted || !plain) return false;
  out.actions_sha256 = encode_hex(*plain) == out.claimed_sha256 ? *plain : *sorted;
  std::set<std::string> files;
  for (const Json& action : actions.items()) {
    if (action.find_string("action") == "compose_up") {
      files.emplace(action.find_string("file_sha256").value_or(""));
    }
  }
  out.action_count = actions.items().size();
  out.files.assign(files.begin(), files.end());
  return true;
}

PostBoot read_post_boot(const Json& object, ReportFields& machine) {
  PostBoot out;
  ReportFields fields(&object);
  out.quote = fields.hex("quote");
  const Json* log = fields.find("event_log");
  out.log = log == nullptr ? failure(EventLogError::NotJson) : read_event_log(*log);
  out.claimed_sha256 = fields.text("actions_hash");
  out.binding.nonce = fields.hex("nonce");
  out.binding.copy = fields.hex("report_data");
  out.binding.rule = "SHA-256(actions), nonce";
  if (!read_actions(fields.array("actions"), out)) fields.fail(ReportError::BadEncoding);
  Bytes start(out.actions_sha256.bytes.begin(), out.actions_sha256.bytes.end());
  append(start, *out.binding.nonce);
  out.binding.start = std::move(start);
  if (fields.error()) machine.fail(*fields.error());
  return out;
}

/// {"nonce","evidence_list":[…]} as text.
void read_nvidia_payload(ReportFields& fields, ReportPart& part) {
  if (fields.find("nvidia_payload") == nullptr) return;
  part.lists_gpus = true;
  const auto payload = Json::parse(fields.text("nvidia_payload"));
  if (!payload) return fields.fail(ReportError::BadEncoding);
  ReportFields gpus(&*payload);
  // The nonce that the whole report was asked for, whatever the payload says.
  part.gpu_nonce = *part.binding.nonce;
  part.equalities.push_back({"gpu_payload_nonce", std::string(gpus.text("nonce")),
                             encode_hex(part.gpu_nonce), "nvidia_payload, nonce"});
  part.gpus = read_gpus(gpus.array("evidence_list"), gpus);
  if (gpus.error()) fields.fail(*gpus.error());
}

Result<ReportPart, ReportError> read_machine(const Json& machine) {
  ReportFields fields(&machine);
  ReportPart out;
  out.evidence = fields.hex("intel_quote");
  const Bytes address = read_address(fields);
  out.binding = read_binding(fields, address);
  out.claims.push_back({"signing_address", encode_hex(address), "report, bound by report_data"});
  if (fields.find("signing_public_key") != nullptr) {
    out.equalities.push_back({"signing_key", address_of(fields.hex("signing_public_key")),
                              encode_hex(address), "signing_public_key"});
    out.claims.push_back({"signing_public_key", std::string(fields.text("signing_public_key")),
                          "report, bound by its address"});
  }
  if (out.binding.tls_spki) {
    out.claims.push_back(
        {"tls_spki_sha256", encode_hex(*out.binding.tls_spki), "report, bound by report_data"});
  }
  out.app =
      read_dstack_app(fields.find("event_log"), fields.find("info"), fields.find("vm_config"));
  read_nvidia_payload(fields, out);
  if (const Json* post_boot = fields.find("compose_manager_attestation")) {
    out.post_boot = read_post_boot(*post_boot, fields);
  }
  if (fields.error()) return failure(*fields.error());
  return out;
}

}  // namespace

Result<ParsedReport, ReportError> parse_near_report(const Json& report) {
  auto gateway = read_machine(*report.find("gateway_attestation"));
  if (!gateway) return failure(gateway.error());
  gateway->name = "gateway";
  ParsedReport out{"near", {}};
  out.parts.push_back(std::move(*gateway));
  const auto models = report.find("model_attestations")->items();
  if (models.empty()) return failure(ReportError::MissingField);
  if (models.size() >= kReportPartCountMax) return failure(ReportError::TooManyParts);
  for (std::size_t i = 0; i < models.size(); ++i) {
    auto part = read_machine(models[i]);
    if (!part) return failure(part.error());
    part->name = i == 0 ? "model" : "model" + std::to_string(i + 1);
    // The gateway's connection to it is not the caller's.
    part->binding.faces_caller = false;
    out.parts.push_back(std::move(*part));
  }
  return out;
}

Result<ParsedReport, ReportError> parse_phala_report(const Json& report) {
  auto first = read_machine(report);
  if (!first) return failure(first.error());
  ParsedReport out{"phala", {}};
  out.parts.push_back(std::move(*first));
  const Json* all = report.find("all_attestations");
  if (all == nullptr) return out;
  if (all->items().size() > kReportPartCountMax) return failure(ReportError::TooManyParts);
  for (const Json& item : all->items()) {
    auto part = read_machine(item);
    if (!part) return failure(part.error());
    // The first one stands there a second time.
    if (part->evidence == out.parts.front().evidence) continue;
    out.parts.front().name = "model";
    part->name = "model" + std::to_string(out.parts.size() + 1);
    part->binding.faces_caller = false;
    out.parts.push_back(std::move(*part));
  }
  return out;
}

}  // namespace nostril::attestation
