#include "relay/relay_address.h"

#include "net/url.h"

namespace nostril::relay {

std::optional<RelayAddress> RelayAddress::of(std::string_view url) {
  const auto parsed = net::parse_url(url);
  if (!parsed) return std::nullopt;
  if (parsed->scheme != net::UrlScheme::Ws && parsed->scheme != net::UrlScheme::Wss) {
    return std::nullopt;
  }
  std::string path = parsed->target;
  while (!path.empty() && path.back() == '/') path.pop_back();
  return RelayAddress{parsed->authority() + path};
}

}  // namespace nostril::relay
