#include "client/report_fetch.h"

#include "base/hex.h"
#include "net/http_client.h"
#include "net/url.h"
#include "schnorr/hash.h"

#include <fmt/format.h>
#include <openssl/x509.h>

#include <utility>

namespace nostril::client {

namespace {

constexpr std::string_view kUsualPath = "/v1/attestation/report";
constexpr int kOk = 200;

bool is_loopback(std::string_view host) {
  return host == "127.0.0.1" || host == "::1" || host == "localhost";
}

/// RFC 3986: what is not unreserved is written as %XX.
std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

/// The query has a parameter of that name.
bool names(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    if (item.substr(0, item.find('=')) == name) return true;
    query.remove_prefix(std::min(item.size() + 1, query.size()));
  }
  return false;
}

/// One call, from start to end.
class Fetch {
 public:
  Fetch(net::Loop& loop, const ReportCall& call) : loop_(loop), call_(call), client_(loop, 1) {}

  Result<FetchedReport, std::string> run() {
    net::HttpCallbacks callbacks;
    callbacks.on_status = [this](int status, const net::HttpHeaders&) { status_ = status; };
    callbacks.on_data = [this](std::string_view bytes) {
      body_.append(bytes);
      return true;
    };
    callbacks.on_done = [this](const net::HttpCallResult& result) {
      result_ = result;
      loop_.stop();
    };
    client_.start(http_call(), std::move(callbacks));
    const net::TimerId limit = loop_.after(call_.ms_max, [this] { loop_.stop(); });
    loop_.run();
    loop_.cancel(limit);
    return outcome();
  }

 private:
  [[nodiscard]] net::HttpCall http_call() const {
    net::HttpCall out;
    out.url = call_.url;
    out.headers = {{"Accept", "application/json"}};
    if (!call_.api_key.empty()) out.headers.add("Authorization", "Bearer " + call_.api_key);
    out.ca_path = call_.ca_file;
    out.wants_peer_certificate = true;
    out.first_byte_ms_max = call_.ms_max;
    out.idle_ms_max = call_.ms_max;
    out.response_bytes_max = call_.bytes_max;
    return out;
  }

  Result<FetchedReport, std::string> outcome() {
    if (!result_) return failure(fmt::format("no whole answer within {} ms", call_.ms_max));
    if (!result_->ok()) {
      return failure(std::string(to_string(result_->error)) +
                     (result_->detail.empty() ? "" : ": " + result_->detail));
    }
    if (status_ != kOk) {
      const bool elsewhere = status_ >= 300 && status_ < 400;
      return failure(fmt::format("HTTP status {}{}", status_,
                                 elsewhere ? ": redirects are not followed" : ""));
    }
    FetchedReport out{std::move(body_), std::nullopt};
    if (call_.url.starts_with("https:")) {
      const auto chain = attestation::parse_pem_chain(result_->peer_certificate);
      if (chain && chain->size() == 1) out.peer = peer_key_of(chain->front());
      if (!out.peer) return failure(std::string("the peer's certificate can't be read"));
    }
    return out;
  }

  net::Loop& loop_;
  const ReportCall& call_;
  net::HttpClient client_;
  int status_ = 0;
  std::string body_;
  std::optional<net::HttpCallResult> result_;
};

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
  if (!https && !is_loopback(url->host)) {
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
  return Fetch(loop, call).run();
}

}  // namespace nostril::client
