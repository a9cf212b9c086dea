#include "client/chain/rpc_client.h"

#include "base/check.h"
#include "client/http_get.h"
#include "net/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril::client::chain {

namespace {

using settlement::evm::RpcLimits;
using settlement::evm::RpcRefusal;

constexpr std::size_t kEndpointsMax = 8;
constexpr int kOk = 200;

std::size_t wanted(const RpcSettings& settings) {
  return settings.agree == 0 ? settings.urls.size() / 2 + 1 : settings.agree;
}

}  // namespace

/// The same call at every endpoint, until all have answered or time is up.
class RpcClient::Round {
 public:
  Round(RpcClient& owner, std::string_view method, const std::string& params)
      : owner_(owner),
        id_(owner.next_id_++),
        body_(settlement::evm::rpc_request(id_, method, params)),
        answers_(owner.settings_.urls.size(), failure(RpcRefusal{false, 0, "no answer in time"})),
        calls_(owner.settings_.urls.size()) {}

  std::vector<Answer> run() {
    for (std::size_t i = 0; i < calls_.size(); ++i) start(i);
    const net::TimerId limit =
        owner_.loop_.after(owner_.settings_.ms_max, [this] { owner_.loop_.stop(); });
    if (!owner_.stopped_) owner_.loop_.run();
    owner_.loop_.cancel(limit);
    for (const Call& call : calls_) owner_.http_.cancel(call.id);
    return std::move(answers_);
  }

 private:
  struct Call {
    net::CallId id = net::CallId::None;
    int status = 0;
    std::string body;
  };

  void start(std::size_t i) {
    net::HttpCall call;
    call.method = "POST";
    call.url = owner_.settings_.urls[i];
    call.headers = {{"content-type", "application/json"}};
    call.body = body_;
    call.ca_path = owner_.settings_.ca_file;
    call.connect_ms_max = owner_.settings_.ms_max;
    call.first_byte_ms_max = owner_.settings_.ms_max;
    call.idle_ms_max = owner_.settings_.ms_max;
    call.response_bytes_max = RpcLimits::kAnswerBytesMax;
    net::HttpCallbacks callbacks;
    callbacks.on_status = [this, i](int status, const net::HttpHeaders&) {
      calls_[i].status = status;
    };
    callbacks.on_data = [this, i](std::string_view bytes) {
      calls_[i].body.append(bytes);
      return true;
    };
    callbacks.on_done = [this, i](const net::HttpCallResult& result) { done(i, result); };
    calls_[i].id = owner_.http_.start(std::move(call), std::move(callbacks));
  }

  void done(std::size_t i, const net::HttpCallResult& result) {
    Call& call = calls_[i];
    call.id = net::CallId::None;
    if (!result.ok()) {
      // Not its detail: that may hold the address.
      answers_[i] = failure(RpcRefusal{false, 0, std::string(to_string(result.error))});
    } else {
      answers_[i] = settlement::evm::parse_rpc_answer(call.body, id_);
      if (!answers_[i] && !answers_[i].error().by_endpoint && call.status != kOk) {
        answers_[i] = failure(RpcRefusal{false, 0, fmt::format("HTTP status {}", call.status)});
      }
    }
    if (++ended_ == calls_.size()) owner_.loop_.stop();
  }

  RpcClient& owner_;
  const std::uint64_t id_;
  const std::string body_;
  std::vector<Answer> answers_;
  std::vector<Call> calls_;
  std::size_t ended_ = 0;
};

std::optional<std::string> RpcClient::problem(const RpcSettings& settings) {
  if (settings.urls.empty() || settings.urls.size() > kEndpointsMax) {
    return "rpc: 1 to 8 addresses of Ethereum endpoints";
  }
  for (const std::string& url : settings.urls) {
    if (!is_safe_url(url)) return "rpc: https://… , or http:// to this machine itself";
  }
  if (settings.agree > settings.urls.size()) {
    return "rpc_agree: more than there are endpoints";
  }
  return std::nullopt;
}

RpcClient::RpcClient(RpcSettings settings)
    : settings_(std::move(settings)), agree_(wanted(settings_)), http_(loop_) {
  CHECK(!problem(settings_));
}

std::vector<RpcClient::Answer> RpcClient::ask_all(std::string_view method,
                                                  const std::string& params) {
  return Round(*this, method, params).run();
}

void RpcClient::pause(std::uint64_t ms) {
  if (stopped_) return;
  const net::TimerId timer = loop_.after(ms, [this] { loop_.stop(); });
  loop_.run();
  loop_.cancel(timer);
}

void RpcClient::stop() {
  stopped_ = true;
  loop_.stop();
}

RpcFailure RpcClient::disagreement(std::string_view method) const {
  std::string text = fmt::format("endpoints disagree about {}: ", method);
  for (const std::string& url : settings_.urls) text.append(shown_endpoint(url)).append(" ");
  text.append("- nothing is believed until they agree; remove the one that is wrong");
  return {RpcFailure::Kind::Disagree, std::move(text)};
}

RpcFailure RpcClient::too_few(std::string_view method, const std::vector<Answer>& answers) const {
  if (stopped_) return {RpcFailure::Kind::Stopped, "stopped"};
  std::string text = fmt::format("{}: ", method);
  bool refused = false;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const std::string why = answers[i] ? "an answer of another form" : answers[i].error().message;
    text.append(
        fmt::format("{}{}: {}", i == 0 ? "" : "; ", shown_endpoint(settings_.urls[i]), why));
    refused = refused || (!answers[i] && answers[i].error().by_endpoint);
  }
  if (refused) return {RpcFailure::Kind::Refused, std::move(text)};
  text.append(". Is the endpoint up, and its address right?");
  return {RpcFailure::Kind::Unreachable, std::move(text)};
}

std::string shown_endpoint(std::string_view url) {
  const auto parsed = net::parse_url(url);
  if (!parsed) return "(no address)";
  return fmt::format("{}://{}", net::to_string(parsed->scheme), parsed->authority());
}

}  // namespace nostril::client::chain
