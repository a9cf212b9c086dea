#include "client/http_get.h"

#include "net/http_client.h"
#include "net/loopback.h"
#include "net/url.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace nostril::client {

namespace {

constexpr int kOk = 200;

/// One call, from start to end.
class Get {
 public:
  Get(net::Loop& loop, const GetCall& call) : loop_(loop), call_(call), client_(loop, 1) {}

  Result<GetReply, std::string> run() {
    net::HttpCallbacks callbacks;
    callbacks.on_status = [this](int status, const net::HttpHeaders& headers) {
      status_ = status;
      reply_.headers = headers;
    };
    callbacks.on_data = [this](std::string_view bytes) {
      reply_.body.append(bytes);
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
    out.headers = call_.headers;
    out.ca_path = call_.ca_file;
    out.wants_peer_certificate = call_.wants_peer_certificate;
    out.first_byte_ms_max = call_.ms_max;
    out.idle_ms_max = call_.ms_max;
    out.response_bytes_max = call_.bytes_max;
    return out;
  }

  Result<GetReply, std::string> outcome() {
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
    reply_.peer_certificate = result_->peer_certificate;
    return std::move(reply_);
  }

  net::Loop& loop_;
  const GetCall& call_;
  net::HttpClient client_;
  int status_ = 0;
  GetReply reply_;
  std::optional<net::HttpCallResult> result_;
};

}  // namespace

Result<GetReply, std::string> http_get(net::Loop& loop, const GetCall& call) {
  return Get(loop, call).run();
}

bool is_safe_url(std::string_view url) {
  const auto parsed = net::parse_url(url);
  return parsed && (parsed->scheme == net::UrlScheme::Https ||
                    (parsed->scheme == net::UrlScheme::Http && net::is_loopback(parsed->host)));
}

}  // namespace nostril::client
