#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::net {

// NOLINTNEXTLINE(readability-identifier-naming)
enum class UrlScheme : std::uint8_t { Ws, Wss, Http, Https, kWs = Ws, kWss = Wss };

enum class UrlError : std::uint8_t { TooLong, BadScheme, UserInfo, BadHost, BadPort, BadTarget };

inline constexpr std::size_t kUrlBytesMax = 2'048;

/// An absolute ws, wss, http or https URL (RFC 3986, narrowed): no user info, no fragment, ASCII
/// only, host a DNS name, IPv4 or bracketed IPv6 literal. Host and scheme are lowered; nothing is
/// decoded.
struct Url {
  UrlScheme scheme = UrlScheme::Ws;
  std::string host;  ///< without brackets
  std::uint16_t port = 0;
  std::string target;  ///< path and query, at least "/"

  [[nodiscard]] bool secure() const {
    return scheme == UrlScheme::Wss || scheme == UrlScheme::Https;
  }

  /// The Host header: brackets round IPv6, the port unless it is the scheme's own.
  [[nodiscard]] std::string authority() const;
  [[nodiscard]] std::string to_string() const;
};

/// Where to listen: a numeric address, without its brackets, and a port.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

/// "127.0.0.1:8443", "[::]:8443".
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view text);

Result<Url, UrlError> parse_url(std::string_view text);
std::string_view to_string(UrlError error);
std::string_view to_string(UrlScheme scheme);

}  // namespace nostril::net
