#pragma once

#include "base/rng.h"
#include "node/api_exchange.h"
#include "schnorr/types.h"

namespace nostril::node {

/// Serves all who come, for nothing: each answer has a channel of its own, whose throw-away payer
/// nobody will ask. An address is one line at the engine, an address of IPv6 its /64.
class OpenAccess final : public ApiAccess {
 public:
  /// Borrowed.
  OpenAccess(const PublicKey& node, Rng& rng) : node_(node), rng_(rng) {}

  Result<ApiCaller, ApiRefusal> admit(const net::HttpRequest& request,
                                      const net::PeerAddress& peer) override;
  Result<ApiBooking, ApiRefusal> book(const ApiCaller& caller, const LiveOffer& offer,
                                      std::string_view body) override;

 private:
  const PublicKey node_;
  Rng& rng_;
};

}  // namespace nostril::node
