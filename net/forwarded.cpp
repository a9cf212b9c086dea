#include "net/forwarded.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace nostril::net {

namespace {

constexpr std::size_t kHopsMax = 64;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80".
std::optional<PeerAddress> parse_node(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_port(rest.substr(1)))) return std::nullopt;
    return PeerAddress::parse(text.substr(1, end - 1));
  }
  const std::size_t colon = text.find(':');
  const bool has_port = colon != std::string_view::npos && colon == text.rfind(':');
  if (has_port && !is_port(text.substr(colon + 1))) return std::nullopt;
  return PeerAddress::parse(has_port ? text.substr(0, colon) : text);
}

/// Of one hop: its address, or nothing where it can't be read.
using Hops = std::vector<std::optional<PeerAddress>>;

// At most kHopsMax: the rightmost count, a longer list is cut on the left.
void add(Hops& hops, std::optional<PeerAddress> hop) {
  if (hops.size() >= kHopsMax) hops.erase(hops.begin());
  hops.push_back(hop);
}

void add_list(Hops& hops, std::string_view value) {
  while (true) {
    const std::size_t comma = value.find(',');
    add(hops, parse_node(trimmed(value.substr(0, comma))));
    if (comma == std::string_view::npos) return;
    value.remove_prefix(comma + 1);
  }
}

/// One pass over the value of a Forwarded field. Quoted strings may hold commas, so it can be read
/// from the left only; what is not well-formed to its end says nothing at all, or a client's open
/// quote would swallow what the proxy added.
class ForwardedReader {
 public:
  explicit ForwardedReader(std::string_view text) : text_(text) {}

  // False: not well-formed.
  bool read(Hops& hops) {
    while (true) {
      std::optional<PeerAddress> hop;
      do {
        if (!read_pair(hop)) return false;
      } while (take(';'));
      add(hops, hop);
      if (text_.empty()) return true;
      if (!take(',')) return false;
    }
  }

 private:
  bool take(char c) {
    text_ = trimmed(text_);
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    text_ = trimmed(text_);
    return true;
  }

  std::string_view take_token() {
    const std::size_t end = std::min(text_.size(), text_.find_first_of(" \t,;=\""));
    const std::string_view token = text_.substr(0, end);
    text_.remove_prefix(end);
    return token;
  }

  std::optional<std::string> take_quoted() {
    std::string out;
    for (std::size_t i = 1; i < text_.size(); ++i) {
      if (text_[i] == '"') {
        text_.remove_prefix(i + 1);
        return out;
      }
      if (text_[i] == '\\' && ++i >= text_.size()) break;
      out += text_[i];
    }
    return std::nullopt;
  }

  bool read_pair(std::optional<PeerAddress>& hop) {
    const std::string_view name = take_token();
    if (!is_http_token(name) || !text_.starts_with('=')) return false;
    text_.remove_prefix(1);
    std::optional<std::string> value;
    if (text_.starts_with('"')) {
      value = take_quoted();
    } else {
      value = std::string(take_token());
    }
    if (!value || value->empty()) return false;
    if (same_name(name, "for")) hop = parse_node(*value);
    text_ = trimmed(text_);
    return true;
  }

  std::string_view text_;
};

Hops hops_of(const HttpHeaders& headers, ForwardedHeader header) {
  static constexpr std::array<std::string_view, 4> kNames = {"", "x-forwarded-for", "x-real-ip",
                                                             "forwarded"};
  const std::string_view name = kNames.at(static_cast<std::size_t>(header));
  Hops hops;
  for (const HttpHeader& field : headers.fields()) {
    if (!same_name(field.name, name)) continue;
    if (header == ForwardedHeader::XForwardedFor) {
      add_list(hops, field.value);
    } else if (header == ForwardedHeader::XRealIp) {
      add(hops, parse_node(trimmed(field.value)));
    } else if (!ForwardedReader(field.value).read(hops)) {
      add(hops, std::nullopt);
    }
  }
  return hops;
}

}  // namespace

std::optional<ForwardedHeader> forwarded_header_named(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, ForwardedHeader>, 4> kHeaders = {
      {{"", ForwardedHeader::None},
       {"x-forwarded-for", ForwardedHeader::XForwardedFor},
       {"x-real-ip", ForwardedHeader::XRealIp},
       {"forwarded", ForwardedHeader::Forwarded}}};
  for (const auto& [known, header] : kHeaders) {
    if (same_name(known, name)) return header;
  }
  return std::nullopt;
}

PeerAddress client_of(const PeerAddress& peer, const HttpHeaders& headers,
                      const TrustedProxies& proxies) {
  if (proxies.header == ForwardedHeader::None || !proxies.ranges.contain(peer)) return peer;
  Hops hops = hops_of(headers, proxies.header);
  PeerAddress client = peer;
  while (!hops.empty() && hops.back() && proxies.ranges.contain(client)) {
    client = *hops.back();
    hops.pop_back();
  }
  return client;
}

}  // namespace nostril::net
