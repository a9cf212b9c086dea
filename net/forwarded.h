#pragma once

#include "net/address_range.h"
#include "net/http.h"
#include "net/peer_address.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace nostril::net {

/// The one header in which our proxies say for whom they ask. One only: a proxy passes on whatever
/// its client wrote into the others.
enum class ForwardedHeader : std::uint8_t {
  None,
  XForwardedFor,
  XRealIp,
  Forwarded,  ///< RFC 7239
};
/// By its name, without case; "" is None.
[[nodiscard]] std::optional<ForwardedHeader> forwarded_header_named(std::string_view name);

/// Whose word counts for what.
struct TrustedProxies {
  AddressRanges ranges;
  ForwardedHeader header = ForwardedHeader::None;
};

/// Who asks: the peer itself, or, where that is a trusted proxy, the nearest hop that is none. Each
/// proxy adds the address it sees at the right end, so what stands left of the first untrusted one
/// may be invented. Where a header can't be read, the last hop that could: a client that sends
/// nonsense through a proxy is counted as the proxy. Its port is 0 if it is not the peer itself.
[[nodiscard]] PeerAddress client_of(const PeerAddress& peer, const HttpHeaders& headers,
                                    const TrustedProxies& proxies);

}  // namespace nostril::net
