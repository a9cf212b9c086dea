#include "client/report_fetch.h"

#include "base/hex.h"
#include "base/percent.h"
#include "client/http_get.h"
#include "net/url.h"
#include "schnorr/hash.h"

#include <fmt/format.h>
#include <openssl/x509.h>

#include <utility>

namespace nostril::client {

namespace {

constexpr std::string_view kUsualPath = "/v1/attestation/report";

/// The query has a parameter of that name.
bool names(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    if (item.substr(0, item.find('=')) == name) return true;
    query.remove_prefix(std::min(item.size() + 1, query.size()));
  }
  return false;
}

}  // namespace

std::optional<attestation::PeerKey> peer_key_of(const attestation::Certificate& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der);
  if (size <= 0) return std::nullopt;
  const Digest digest = sha256(ByteSpan(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return attestation::PeerKey{digest};
}

Result<std::string, std::string> report_url(std::string_view base, ByteSpan nonce,
                                            std::string_view model) {
  auto url = net::parse_url(base);
  if (!url) return failure(std::string(to_string(url.error())));
  const bool https = url->scheme == net::UrlScheme::Https;
  if (!https && url->scheme != net::UrlScheme::Http) {
    return failure(std::string("neither https:// nor http://"));
  }
  if (!is_safe_url(base)) {
    return failure(std::string("http:// only to this machine: anybody between could answer"));
  }
  if (url->target == "/") url->target = kUsualPath;
  const std::size_t mark = url->target.find('?');
  const std::string path = url->target.substr(0, mark);
  const std::string query = mark == std::string::npos ? "" : url->target.substr(mark + 1);
  if (names(query, "nonce")) {
    return failure(std::string("it names a nonce: leave that out, or name it with --nonce"));
  }
  std::string more;
  if (!model.empty() && !names(query, "model")) more += "&model=" + percent_encode(model);
  if (https && path.ends_with("/attestation/report") && !names(query, "include_tls_fingerprint")) {
    more += "&include_tls_fingerprint=true";
  }
  more += "&nonce=" + encode_hex(nonce);
  url->target = path + "?" + query + (query.empty() ? more.substr(1) : more);
  std::string out = url->to_string();
  if (out.size() > net::kUrlBytesMax) return failure(std::string("too long"));
  return out;
}

Result<FetchedReport, std::string> fetch_report(net::Loop& loop, const ReportCall& call) {
  GetCall get{call.url,      {{"Accept", "application/json"}}, call.ca_file, true, call.ms_max,
              call.bytes_max};
  if (!call.api_key.empty()) get.headers.add("Authorization", "Bearer " + call.api_key);
  auto reply = http_get(loop, get);
  if (!reply) return failure(reply.error());
  FetchedReport out{std::move(reply->body), std::nullopt};
  if (call.url.starts_with("https:")) {
    const auto chain = attestation::parse_pem_chain(reply->peer_certificate);
    if (chain && chain->size() == 1) out.peer = peer_key_of(chain->front());
    if (!out.peer) return failure(std::string("the peer's certificate can't be read"));
  }
  return out;
}

}  // namespace nostril::client
