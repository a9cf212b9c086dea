#include "attestation/tcb_info.h"

#include "attestation/evidence.h"
#include "attestation/utc_time.h"
#include "base/hex.h"
#include "base/json.h"

#include <algorithm>
#include <limits>
#include <span>
#include <tuple>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr std::size_t kLevelCountMax = 64;
constexpr std::size_t kAdvisoryCountMax = 256;
constexpr std::size_t kAdvisoryBytesMax = 64;

constexpr std::array<std::pair<std::string_view, TcbStatus>, 9> kStatusWords = {{
    {"UpToDate", TcbStatus::UpToDate},
    {"SWHardeningNeeded", TcbStatus::SWHardeningNeeded},
    {"ConfigurationNeeded", TcbStatus::ConfigurationNeeded},
    {"ConfigurationAndSWHardeningNeeded", TcbStatus::ConfigurationAndSWHardeningNeeded},
    {"TDRelaunchAdvised", TcbStatus::TDRelaunchAdvised},
    {"TDRelaunchAdvisedConfigurationNeeded", TcbStatus::TDRelaunchAdvisedConfigurationNeeded},
    {"OutOfDate", TcbStatus::OutOfDate},
    {"OutOfDateConfigurationNeeded", TcbStatus::OutOfDateConfigurationNeeded},
    {"Revoked", TcbStatus::Revoked},
}};

/// Intel writes some hex in upper case, some in lower.
std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

template <std::size_t N>
bool read_hex(const Json& object, std::string_view key, std::array<std::uint8_t, N>& out) {
  const auto text = object.find_string(key);
  return text && text->size() == 2 * N && decode_hex(lower(*text), out);
}

template <typename T>
bool read_number(const Json& object, std::string_view key, T& out) {
  const auto number = object.find_integer(key);
  if (!number || *number < 0 || std::cmp_greater(*number, std::numeric_limits<T>::max())) {
    return false;
  }
  out = static_cast<T>(*number);
  return true;
}

bool read_time(const Json& object, std::string_view key, UnixTime& out) {
  const auto text = object.find_string(key);
  const auto time = text ? parse_iso_utc(*text) : std::nullopt;
  out = time.value_or(0);
  return time.has_value();
}

/// "tcbStatus" and the optional "advisoryIDs" of a level.
bool read_status(const Json& level, TcbStatus& status, std::vector<std::string>& advisories) {
  const auto word = level.find_string("tcbStatus");
  const auto known = word ? parse_tcb_status(*word) : std::nullopt;
  if (!known) return false;
  status = *known;
  const Json* ids = level.find("advisoryIDs");
  if (ids == nullptr) return true;
  if (!ids->is_array() || ids->items().size() > kAdvisoryCountMax) return false;
  for (const Json& id : ids->items()) {
    const auto text = id.string();
    if (!text || text->size() > kAdvisoryBytesMax) return false;
    advisories.emplace_back(*text);
  }
  return true;
}

bool read_components(const Json& tcb, std::string_view key, std::array<std::uint8_t, 16>& out) {
  const Json* list = tcb.find(key);
  if (list == nullptr || list->items().size() != out.size()) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!read_number(list->items()[i], "svn", out.at(i))) return false;
  }
  return true;
}

/// The elements of the array `key`, at least one and at most kLevelCountMax; else none.
std::span<const Json> read_levels(const Json& object, std::string_view key) {
  const Json* list = object.find(key);
  if (list == nullptr || list->items().size() > kLevelCountMax) return {};
  return list->items();
}

bool read_tcb_levels(const Json& info, IntelTee tee, std::vector<TcbLevel>& out) {
  for (const Json& item : read_levels(info, "tcbLevels")) {
    TcbLevel level;
    const Json* tcb = item.find("tcb");
    if (tcb == nullptr || !read_components(*tcb, "sgxtcbcomponents", level.sgx) ||
        (tee == IntelTee::Tdx && !read_components(*tcb, "tdxtcbcomponents", level.tdx)) ||
        !read_number(*tcb, "pcesvn", level.pce_svn) ||
        !read_status(item, level.status, level.advisories) ||
        (item.find("tcbDate") != nullptr && !read_time(item, "tcbDate", level.date))) {
      return false;
    }
    out.push_back(std::move(level));
  }
  std::stable_sort(out.begin(), out.end(), [](const TcbLevel& a, const TcbLevel& b) {
    return std::tie(a.sgx, a.pce_svn, a.tdx) > std::tie(b.sgx, b.pce_svn, b.tdx);
  });
  return !out.empty();
}

bool read_svn_levels(const Json& object, std::vector<SvnLevel>& out) {
  for (const Json& item : read_levels(object, "tcbLevels")) {
    SvnLevel level;
    const Json* tcb = item.find("tcb");
    if (tcb == nullptr || !read_number(*tcb, "isvsvn", level.isv_svn) ||
        !read_status(item, level.status, level.advisories)) {
      return false;
    }
    // A module or enclave is only ever one of these three.
    if (level.status != TcbStatus::UpToDate && level.status != TcbStatus::OutOfDate &&
        level.status != TcbStatus::Revoked) {
      return false;
    }
    out.push_back(std::move(level));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const SvnLevel& a, const SvnLevel& b) { return a.isv_svn > b.isv_svn; });
  return !out.empty();
}

bool read_module(const Json& object, TdxModule& out) {
  return read_hex(object, "mrsigner", out.mrsigner) &&
         read_hex(object, "attributes", out.attributes);
}

/// "TDX_01": the module's major version as two hex digits.
bool read_module_id(const Json& object, std::uint8_t& out) {
  const auto id = object.find_string("id");
  if (!id || id->size() != 6) return false;
  const std::string text = lower(*id);
  std::array<std::uint8_t, 1> version{};
  if (!text.starts_with("tdx_") || !decode_hex(std::string_view(text).substr(4), version)) {
    return false;
  }
  out = version[0];
  return true;
}

bool read_module_identities(const Json& info, std::vector<TdxModuleIdentity>& out) {
  const Json* list = info.find("tdxModuleIdentities");
  if (list == nullptr) return true;  // older TCB info has none
  if (!list->is_array() || list->items().size() > kLevelCountMax) return false;
  for (const Json& item : list->items()) {
    TdxModuleIdentity identity;
    if (!read_module_id(item, identity.major_version) || !read_module(item, identity.module) ||
        !read_svn_levels(item, identity.levels)) {
      return false;
    }
    out.push_back(std::move(identity));
  }
  return true;
}

bool read_modules(const Json& info, TcbInfo& out) {
  const Json* module = info.find("tdxModule");
  return module != nullptr && read_module(*module, out.module) &&
         read_module_identities(info, out.module_identities);
}

/// What both documents begin with: "id", "version", dates and the evaluation number.
template <typename Document>
std::optional<CollateralError> read_head(const Json& json, std::string_view id, int version,
                                         Document& out) {
  if (!json.is_object()) return CollateralError::Malformed;
  if (json.find_string("id") != id || json.find_integer("version") != version) {
    return CollateralError::WrongTee;
  }
  const bool ok = read_time(json, "issueDate", out.issued_at) &&
                  read_time(json, "nextUpdate", out.next_update) &&
                  read_number(json, "tcbEvaluationDataNumber", out.evaluation_number);
  return ok ? std::nullopt : std::optional(CollateralError::Malformed);
}

}  // namespace

std::string_view to_string(TcbStatus status) {
  for (const auto& [word, value] : kStatusWords) {
    if (value == status) return word;
  }
  return "unknown";
}

std::optional<TcbStatus> parse_tcb_status(std::string_view word) {
  for (const auto& [known, value] : kStatusWords) {
    if (known == word) return value;
  }
  return std::nullopt;
}

std::string_view to_string(CollateralError error) {
  switch (error) {
    case CollateralError::TooLarge:
      return "collateral too large";
    case CollateralError::Malformed:
      return "malformed collateral";
    case CollateralError::WrongTee:
      return "collateral of another TEE or version";
    case CollateralError::BadChain:
      return "collateral issuer chain";
    case CollateralError::BadSignature:
      return "collateral signature";
    case CollateralError::NotYetValid:
      return "collateral not yet valid";
    case CollateralError::Expired:
      return "collateral expired";
  }
  return "unknown";
}

Result<TcbInfo, CollateralError> parse_tcb_info(std::string_view text, IntelTee tee) {
  if (text.size() > kCollateralTextBytesMax) return failure(CollateralError::TooLarge);
  const auto json = Json::parse(text);
  if (!json) return failure(CollateralError::Malformed);
  TcbInfo out;
  const bool tdx = tee == IntelTee::Tdx;
  if (const auto error = read_head(*json, tdx ? "TDX" : "SGX", 3, out)) return failure(*error);
  const bool ok = read_hex(*json, "fmspc", out.fmspc) && read_hex(*json, "pceId", out.pce_id) &&
                  (!tdx || read_modules(*json, out)) && read_tcb_levels(*json, tee, out.levels);
  if (!ok) return failure(CollateralError::Malformed);
  return out;
}

Result<QeIdentity, CollateralError> parse_qe_identity(std::string_view text, IntelTee tee) {
  if (text.size() > kCollateralTextBytesMax) return failure(CollateralError::TooLarge);
  const auto json = Json::parse(text);
  if (!json) return failure(CollateralError::Malformed);
  QeIdentity out;
  const std::string_view id = tee == IntelTee::Tdx ? "TD_QE" : "QE";
  if (const auto error = read_head(*json, id, 2, out)) return failure(*error);
  const bool ok = read_hex(*json, "miscselect", out.miscselect) &&
                  read_hex(*json, "miscselectMask", out.miscselect_mask) &&
                  read_hex(*json, "attributes", out.attributes) &&
                  read_hex(*json, "attributesMask", out.attributes_mask) &&
                  read_hex(*json, "mrsigner", out.mrsigner) &&
                  read_number(*json, "isvprodid", out.isv_prod_id) &&
                  read_svn_levels(*json, out.levels);
  if (!ok) return failure(CollateralError::Malformed);
  return out;
}

}  // namespace nostril::attestation
