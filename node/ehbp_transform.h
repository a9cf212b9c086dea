#pragma once

#include "base/rng.h"
#include "node/api_exchange.h"
#include "schnorr/x25519.h"

namespace nostril::node {

/// Encrypted HTTP bodies (face/ehbp.h) of the HTTPS face: around all other encryptions, of requests
/// whose head names an encapsulated key. Answers are sealed as they come, refusals too; what can't
/// be opened is refused in the clear, which tells nothing but that.
///
/// `key` is made at each start and lives in this process only. The protocol does not say a request
/// is new: one that is sent again is answered again, to the client's key, until the next start. TLS
/// below and credentials that serve once (events/nip98.h) prevent it. Borrowed, both.
[[nodiscard]] ApiTransformMaker ehbp_transforms(const X25519Key& key, Rng& rng);

/// `GET /.well-known/hpke-keys`.
[[nodiscard]] ApiRoute ehbp_keys_route(const X25519Key& key);

}  // namespace nostril::node
