#pragma once

#include "attestation/evidence.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "base/json.h"
#include "tests/support/shared_data.h"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::attestation::test {

/// A file of the shared attestation vectors.
inline std::string read_vector(const std::string& name) {
  return nostril::test::read_file(nostril::test::shared_path("vectors/attestation/" + name));
}

inline Bytes read_vector_bytes(const std::string& name) {
  const std::string text = read_vector(name);
  return {text.begin(), text.end()};
}

inline Json read_vector_json(const std::string& name) {
  return Json::parse(read_vector(name)).value();
}

/// `bytes` changed as a case's list of patches says: {"truncate"}, {"append"}, {"offset","xor"}.
inline Bytes patched(Bytes bytes, const Json* patches) {
  if (patches == nullptr) return bytes;
  for (const Json& patch : patches->items()) {
    if (const auto size = patch.find_integer("truncate")) {
      bytes.resize(static_cast<std::size_t>(*size));
    } else if (const auto more = patch.find_string("append")) {
      const Bytes tail = decode_hex(*more).value();
      bytes.insert(bytes.end(), tail.begin(), tail.end());
    } else {
      const Bytes bits = decode_hex(*patch.find_string("xor")).value();
      const auto offset = static_cast<std::size_t>(*patch.find_integer("offset"));
      for (std::size_t i = 0; i < bits.size(); ++i) bytes.at(offset + i) ^= bits[i];
    }
  }
  return bytes;
}

/// Names of our checks, one of which must refuse, by the error class of the vectors; empty for a
/// class we do not know.
inline std::vector<std::string> checks_for(std::string_view error) {
  static const std::map<std::string, std::vector<std::string>, std::less<>> kChecks = {
      {"malformed", {"quote_format", "revocation"}},
      {"unsupported_quote", {"quote_format"}},
      {"trailing_bytes", {"quote_format"}},
      {"quote_signature", {"quote_signature"}},
      {"qe_report_data", {"qe_report_data"}},
      {"qe_report_signature", {"qe_report_signature"}},
      {"cert_not_yet_valid", {"pck_chain"}},
      {"service_td_not_allowed", {"service_td"}},
      {"tcb_not_supported", {"tcb"}},
      {"fmspc_mismatch", {"tcb"}},
      {"tee_type_mismatch", {"tcb_info"}},
      {"collateral_signature", {"tcb_info"}},
      {"collateral_not_yet_valid", {"tcb_info", "qe_identity"}},
      {"no_crl", {"revocation"}},
      {"crl_signature", {"revocation", "pck_chain"}},
      {"chain_broken", {"revocation", "vek_chain"}},
      {"untrusted_root", {"tcb_info", "qe_identity"}},
      {"crl_expired", {"revocation", "tcb_info", "qe_identity"}},
      {"debug_not_allowed", {"debug"}},
      {"report_signature", {"report_signature"}},
      {"cert_not_valid_at_time", {"vek_chain"}},
  };
  const auto found = kChecks.find(error);
  return found == kChecks.end() ? std::vector<std::string>{} : found->second;
}

/// The members of a case's collateral as its patches make them.
inline std::map<std::string, std::string> collateral_fields(const Json& item) {
  const auto load = [](std::string_view name) {
    return read_vector_json("intel/" + std::string(name));
  };
  std::map<std::string, std::string> fields;
  const Json whole = load(*item.find_string("collateral"));
  for (const auto& [key, value] : whole.members()) fields[key] = *value.string();
  if (const Json* from = item.find("collateral_field_from")) {
    for (const auto& [key, file] : from->members()) {
      fields[key] = *load(*file.string()).find_string(key);
    }
  }
  if (const Json* values = item.find("collateral_field_value")) {
    for (const auto& [key, value] : values->members()) fields[key] = *value.string();
  }
  return fields;
}

/// The same as JSON text.
/// The same of collateral that was made here.
inline std::map<std::string, std::string> collateral_fields(const Collateral& collateral) {
  return {{"tcb_info", collateral.tcb_info},
          {"tcb_info_signature", encode_hex(collateral.tcb_info_signature)},
          {"tcb_info_issuer_chain", collateral.tcb_info_issuer_chain},
          {"qe_identity", collateral.qe_identity},
          {"qe_identity_signature", encode_hex(collateral.qe_identity_signature)},
          {"qe_identity_issuer_chain", collateral.qe_identity_issuer_chain},
          {"root_ca_crl", encode_hex(collateral.root_ca_crl)},
          {"pck_crl", encode_hex(collateral.pck_crl)}};
}

inline std::string to_json(const std::map<std::string, std::string>& fields) {
  JsonWriter json;
  json.begin_object();
  for (const auto& [key, value] : fields) json.key(key).string(value);
  json.end_object();
  return std::move(json).take();
}

}  // namespace nostril::attestation::test
