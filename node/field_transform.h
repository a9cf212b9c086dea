#pragma once

#include "base/rng.h"
#include "node/api_exchange.h"

#include "face/field_encryption.h"
#include "face/legacy_signature.h"

namespace nostril::node {

/// The field encryption of NEAR AI Cloud and Phala (face/field_encryption.h), for requests with
/// X-Signing-Algo and X-Client-Pub-Key, at the paths whose fields are defined; elsewhere it is
/// refused. Requests of another version (X-E2EE-Version) are passed over. Both are borrowed.
[[nodiscard]] ApiTransformMaker field_transforms(const face::LegacySigner& signer, Rng& rng);

/// The value of a header; an error when it comes twice.
[[nodiscard]] Result<std::optional<std::string_view>, ApiRefusal> single_header(
    const net::HttpHeaders& headers, std::string_view name);

}  // namespace nostril::node
