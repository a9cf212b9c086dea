#include "net/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace nostril::net {

namespace {

constexpr std::size_t kHostBytesMax = 253;
constexpr std::size_t kLabelBytesMax = 63;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

std::uint16_t default_port(UrlScheme scheme) {
  return scheme == UrlScheme::Wss || scheme == UrlScheme::Https ? 443 : 80;
}

bool is_ipv6(const std::string& host) {
  std::array<unsigned char, 16> scratch{};
  return inet_pton(AF_INET6, host.c_str(), scratch.data()) == 1;
}

bool is_ipv4(const std::string& host) {
  std::array<unsigned char, 4> scratch{};
  return inet_pton(AF_INET, host.c_str(), scratch.data()) == 1;
}

// Labels of letters, digits, '-' and '_' (seen in the wild), not led or ended by '-'. All digits
// and dots: IPv4 only.
bool is_host_name(const std::string& host) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  if (host.find_first_not_of("0123456789.") == std::string::npos) return is_ipv4(host);
  std::string_view rest = host;
  while (true) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view label = rest.substr(0, dot);
    if (label.empty() || label.size() > kLabelBytesMax || label.front() == '-' ||
        label.back() == '-')
      return false;
    const auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    if (!std::all_of(label.begin(), label.end(), fits)) return false;
    if (dot == rest.size()) return true;
    rest.remove_prefix(dot + 1);
  }
}

std::optional<UrlScheme> parse_scheme(std::string_view name) {
  for (const UrlScheme scheme :
       {UrlScheme::Ws, UrlScheme::Wss, UrlScheme::Http, UrlScheme::Https}) {
    if (lowered(name) == to_string(scheme)) return scheme;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || result.ec != std::errc{} || result.ptr != text.data() + text.size() ||
      port == 0)
    return std::nullopt;
  return port;
}

}  // namespace

std::string_view to_string(UrlScheme scheme) {
  switch (scheme) {
    case UrlScheme::Ws:
      return "ws";
    case UrlScheme::Wss:
      return "wss";
    case UrlScheme::Http:
      return "http";
    case UrlScheme::Https:
      return "https";
  }
  return "";
}

std::string_view to_string(UrlError error) {
  switch (error) {
    case UrlError::TooLong:
      return "URL too long";
    case UrlError::BadScheme:
      return "URL scheme must be ws, wss, http or https";
    case UrlError::UserInfo:
      return "URL must not carry a user name";
    case UrlError::BadHost:
      return "bad host in URL";
    case UrlError::BadPort:
      return "bad port in URL";
    case UrlError::BadTarget:
      return "bad path in URL";
  }
  return "unknown";
}

std::string Url::authority() const {
  std::string out = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != default_port(scheme)) out.append(":").append(std::to_string(port));
  return out;
}

std::string Url::to_string() const {
  std::string out(net::to_string(scheme));
  return out.append("://").append(authority()).append(target);
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.find_first_of("[]") != std::string_view::npos) return std::nullopt;
  if (host.empty() || bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  HostPort out{std::string(host), 0};
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) return std::nullopt;
  return out;
}

Result<Url, UrlError> parse_url(std::string_view text) {
  if (text.size() > kUrlBytesMax) return failure(UrlError::TooLong);
  const std::size_t mark = text.find("://");
  if (mark == std::string_view::npos) return failure(UrlError::BadScheme);
  const std::optional<UrlScheme> scheme = parse_scheme(text.substr(0, mark));
  if (!scheme) return failure(UrlError::BadScheme);
  text.remove_prefix(mark + 3);

  const std::size_t authority_end = std::min(text.find_first_of("/?#"), text.size());
  const std::string_view authority = text.substr(0, authority_end);
  const std::string_view target = text.substr(authority_end);
  if (authority.find('@') != std::string_view::npos) return failure(UrlError::UserInfo);

  Url url;
  url.scheme = *scheme;
  std::string_view port_part;
  if (!authority.empty() && authority.front() == '[') {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return failure(UrlError::BadHost);
    url.host = lowered(authority.substr(1, close - 1));
    port_part = authority.substr(close + 1);
    if (!is_ipv6(url.host)) return failure(UrlError::BadHost);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    url.host = lowered(authority.substr(0, colon));
    port_part = authority.substr(colon);
    if (!is_host_name(url.host)) return failure(UrlError::BadHost);
  }
  url.port = default_port(*scheme);
  if (!port_part.empty()) {
    const std::optional<std::uint16_t> port =
        port_part.front() == ':' ? parse_port(port_part.substr(1)) : std::nullopt;
    if (!port) return failure(UrlError::BadPort);
    url.port = *port;
  }
  const auto fits = [](char c) {
    return c > 0x20 && c < 0x7F &&
           std::string_view("#\"<>\\^`{|}").find(c) == std::string_view::npos;
  };
  if (!std::all_of(target.begin(), target.end(), fits)) return failure(UrlError::BadTarget);
  if (target.empty() || target.front() != '/') url.target = "/";
  url.target.append(target);
  return url;
}

}  // namespace nostril::net
