#pragma once

#include "attestation/evidence.h"
#include "base/result.h"

#include <string_view>

namespace nostril::attestation {

enum class CollateralJsonError : std::uint8_t { NotJson, MissingField, BadHex };

std::string_view to_string(CollateralJsonError error);

/// Collateral as one JSON object, the form in which tools pass it on. Strings all: `tcb_info` and
/// `qe_identity`, the exact signed text; `tcb_info_signature` and `qe_identity_signature`, 128 hex
/// digits; `tcb_info_issuer_chain` and `qe_identity_issuer_chain`, PEM; `root_ca_crl` and
/// `pck_crl`, hex of the DER. Other members are not looked at.
Result<Collateral, CollateralJsonError> parse_collateral_json(std::string_view text);

}  // namespace nostril::attestation
