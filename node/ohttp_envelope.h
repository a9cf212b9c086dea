#pragma once

#include "base/rng.h"
#include "node/api_exchange.h"
#include "node/api_server.h"
#include "schnorr/x25519.h"

#include <cstddef>
#include <vector>

namespace nostril::node {

/// Oblivious HTTP (face/ohttp.h) of the HTTPS face: a request to /ohttp holds another one, for any
/// path of the face but /ohttp itself; its answer, refusals too, is sealed. What can't be opened is
/// refused in the clear, which tells nothing but that. An `Authorization` outside stands in place
/// of one inside, so that a relay may pay for its clients.
///
///   message/ohttp-req          the answer leaves whole, streams too: `whole_bytes_max` at most
///   message/ohttp-chunked-req  streams leave as they come
///
/// `key` is made at each start and lives in this process only. Borrowed, both.
[[nodiscard]] ApiEnvelope ohttp_envelope(const X25519Key& key, Rng& rng,
                                         std::size_t whole_bytes_max);

/// `GET /.well-known/ohttp-gateway`, and its other name.
[[nodiscard]] std::vector<ApiRoute> ohttp_key_routes(const X25519Key& key);

}  // namespace nostril::node
