#include "relay/relay_address.h"

#include "net/loopback.h"
#include "net/url.h"

#include <fmt/format.h>

namespace nostril::relay {

namespace {

constexpr std::string_view kLoopback = "[loopback]:";  // no URL has a host that reads so

std::string loopback_text(std::uint16_t port) {
  return fmt::format("{}{}", kLoopback, port);
}

bool is_relay_url(const net::Url& url) {
  return url.scheme == net::UrlScheme::Ws || url.scheme == net::UrlScheme::Wss;
}

std::string path_of(const net::Url& url) {
  std::string path = url.target;
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path;
}

// In the terms of an address that is on loopback, or is not.
std::string host_of(const net::Url& url, bool on_loopback) {
  if (on_loopback && net::is_loopback(url.host)) return loopback_text(url.port);
  return url.authority();
}

}  // namespace

std::optional<RelayAddress> RelayAddress::of(std::string_view url) {
  const auto parsed = net::parse_url(url);
  if (!parsed || !is_relay_url(*parsed)) return std::nullopt;
  return RelayAddress(parsed->authority() + path_of(*parsed));
}

RelayAddress RelayAddress::on_loopback(std::uint16_t port) {
  return RelayAddress(loopback_text(port));
}

bool RelayAddress::is_on_loopback() const {
  return text_.starts_with(kLoopback);
}

bool RelayAddress::is_named_by(std::string_view url) const {
  const auto parsed = net::parse_url(url);
  return parsed && is_relay_url(*parsed) &&
         host_of(*parsed, is_on_loopback()) + path_of(*parsed) == text_;
}

bool RelayAddress::has_host_of(std::string_view url) const {
  const auto parsed = net::parse_url(url);
  return parsed && host_of(*parsed, is_on_loopback()) == text_.substr(0, text_.find('/'));
}

}  // namespace nostril::relay
