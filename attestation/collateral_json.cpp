#include "attestation/collateral_json.h"

#include "base/hex.h"
#include "base/json.h"

namespace nostril::attestation {

namespace {

/// Takes members out of the object; remembers the first that is missing or malformed.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  std::string_view text(std::string_view name) {
    const auto found = object_.find_string(name);
    if (!found) fail(CollateralJsonError::MissingField);
    return found.value_or("");
  }

  Bytes bytes(std::string_view name) {
    const auto out = decode_hex(text(name));
    if (!out) fail(CollateralJsonError::BadHex);
    return out.value_or(Bytes{});
  }

  void signature(std::string_view name, std::array<std::uint8_t, 64>& out) {
    if (!decode_hex(text(name), out)) fail(CollateralJsonError::BadHex);
  }

  [[nodiscard]] std::optional<CollateralJsonError> error() const { return error_; }

 private:
  void fail(CollateralJsonError error) {
    if (!error_) error_ = error;
  }

  const Json& object_;
  std::optional<CollateralJsonError> error_;
};

}  // namespace

std::string_view to_string(CollateralJsonError error) {
  switch (error) {
    case CollateralJsonError::NotJson:
      return "not JSON";
    case CollateralJsonError::MissingField:
      return "a field of the collateral is missing";
    case CollateralJsonError::BadHex:
      return "malformed hex in the collateral";
  }
  return "unknown";
}

Result<Collateral, CollateralJsonError> parse_collateral_json(std::string_view text) {
  const auto json = Json::parse(text);
  if (!json) return failure(CollateralJsonError::NotJson);
  Members members(*json);
  Collateral out;
  out.tcb_info = members.text("tcb_info");
  members.signature("tcb_info_signature", out.tcb_info_signature);
  out.tcb_info_issuer_chain = members.text("tcb_info_issuer_chain");
  out.qe_identity = members.text("qe_identity");
  members.signature("qe_identity_signature", out.qe_identity_signature);
  out.qe_identity_issuer_chain = members.text("qe_identity_issuer_chain");
  out.root_ca_crl = members.bytes("root_ca_crl");
  out.pck_crl = members.bytes("pck_crl");
  if (const auto error = members.error()) return failure(*error);
  return out;
}

}  // namespace nostril::attestation
