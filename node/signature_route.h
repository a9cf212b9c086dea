#pragma once

#include "node/api_exchange.h"
#include "node/exchange_store.h"

#include <string>
#include <string_view>

namespace nostril::node {

/// `GET /v1/signature/{id}`: what was signed about the answer of that id, to who asked for it.
/// Query: `signing_algo` (ecdsa, ed25519; ecdsa if none); `parts`: "3", or "2" for the text of 2024
/// without the model. Without `parts` it is 3, but 2 for who names the `model` and no algorithm, as
/// Phala's verifiers do, and for a model whose name holds a colon: clients cut the text there.
/// Threads: the loop's only.
class SignatureRoute {
 public:
  /// Borrowed.
  SignatureRoute(ApiAccess& access, const ExchangeStore& store) : access_(access), store_(store) {}

  /// `prefix`: the route's path, before the id.
  [[nodiscard]] net::HttpResponse answer(const net::HttpRequest& request,
                                         const net::PeerAddress& peer,
                                         std::string_view prefix) const;

 private:
  ApiAccess& access_;
  const ExchangeStore& store_;
};

}  // namespace nostril::node
