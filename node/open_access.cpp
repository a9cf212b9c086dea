#include "node/open_access.h"

#include "base/hex.h"
#include "schnorr/hash.h"
#include "schnorr/keys.h"

#include <algorithm>
#include <array>
#include <memory>

namespace nostril::node {

Result<ApiCaller, ApiRefusal> OpenAccess::admit(const net::HttpRequest& /*request*/,
                                                const net::PeerAddress& peer) {
  ApiCaller out;
  const auto group = net::peer_group(peer);
  out.line.bytes = tagged_hash("nostril/https/line/1", group).bytes;
  // Two callers behind one address must not learn of each other's prompts.
  std::array<std::uint8_t, 16> salt{};
  rng_.fill(salt);
  out.cache_salt = encode_hex(ByteSpan(salt));
  return out;
}

Result<ApiBooking, ApiRefusal> OpenAccess::book(const ApiCaller& /*caller*/, const LiveOffer& offer,
                                                std::string_view /*body*/) {
  settlement::ChannelTerms terms;
  terms.signer = Keypair::generate(rng_).public_key();
  terms.node = node_;
  terms.asset = offer.offer.asset;
  rng_.fill(terms.salt);
  return ApiBooking{std::make_shared<ChannelBook>(terms, Amount::from(Amount::kMax).value()),
                    nullptr};
}

}  // namespace nostril::node
