#include "relay/admin_desk.h"

#include "base/json.h"
#include "base/log.h"
#include "relay/ingest.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::string_view kType = "application/nostr+json+rpc";

net::HttpResponse with_headers(int status, std::string body) {
  net::HttpResponse out{status, {}, std::move(body)};
  out.headers.add("Content-Type", "application/json");
  out.headers.add("Cache-Control", "no-store");
  // No cookie and no password speaks here: a page of any origin may ask with a signature of its
  // own.
  out.headers.add("Access-Control-Allow-Origin", "*");
  return out;
}

net::HttpResponse refused(int status, std::string_view why) {
  JsonWriter w;
  w.begin_object().key("error").string(why).end_object();
  auto out = with_headers(status, std::move(w).take());
  if (status == 401) out.headers.add("WWW-Authenticate", "Nostr");
  return out;
}

}  // namespace

net::HttpResponse admin_is_busy() {
  return refused(503, "too many requests wait for management");
}

AdminDesk::AdminDesk(Moderation& moderation, const Membership* membership, ManagedRelay& relay,
                     UsedRequests& used, const Clock& clock)
    : moderation_(moderation),
      membership_(membership),
      relay_(relay),
      clock_(clock),
      management_(moderation, relay),
      used_(used),
      began_after_s_(used.until_s()),
      // It lets pass what was made later than that many seconds after its start.
      replays_(began_after_s_ - kNip98FutureSeconds),
      thread_([this] { run(); }) {}

AdminDesk::~AdminDesk() {
  stop();
}

void AdminDesk::stop() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

bool AdminDesk::is_management(const net::HttpRequest& request) {
  if (request.method != "POST") return false;
  auto type = request.headers.find("Content-Type").value_or("");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return net::equals_ignoring_case(type, kType);
}

void AdminDesk::run() {
  while (auto requests = queue_.wait_all(1)) {
    for (auto& request : *requests) {
      std::visit([this](auto& one) { take(std::move(one)); }, request);
    }
  }
}

void AdminDesk::take(MemberRequest&& request) {
  const auto verified = VerifiedEvent::verify(std::move(request.event), verifier_);
  if (!verified || membership_ == nullptr) {
    request.reply(false, std::string(kWrongSignature));
    return;
  }
  auto verdict = membership_->judge(verified->event(), *moderation_.lists(), clock_.unix_s());
  if (verdict.change) {
    const std::array changes = {std::move(*verdict.change)};
    if (const auto changed = relay_.change_lists(changes); !changed) {
      log(LogLevel::Error, "members: {}", public_text(changed.error()));
      verdict = {false, "error: the list of members can't be written", {}};
    }
  }
  request.reply(verdict.accepted, std::move(verdict.text));
}

net::HttpResponse AdminDesk::answer(const AdminRequest& request) {
  const auto caller = caller_of(request);
  if (!caller) {
    unauthorised_.add();
    if (const auto left_out = refusal_lines_.pass(clock_.monotonic_ms())) {
      log(LogLevel::Warning, "management: a request is refused with {}{}", caller.error().status,
          and_more(*left_out));
    }
    return caller.error();
  }
  return with_headers(200, management_.answer(*caller, request.body));
}

Result<PublicKey, net::HttpResponse> AdminDesk::caller_of(const AdminRequest& request) {
  constexpr std::string_view kScheme = "Nostr ";
  const std::string_view header = request.authorization;
  if (header.size() < kScheme.size() ||
      !net::equals_ignoring_case(header.substr(0, kScheme.size()), kScheme)) {
    return failure(refused(401, "sign the request: Authorization: Nostr … (NIP-98)"));
  }
  const AdminRules rules = relay_.present_config().admin_rules();
  const std::int64_t now_s = clock_.unix_s();
  Result<Nip98Token, Nip98Error> token = failure(Nip98Error::WrongTarget);
  for (const std::string& url : rules.urls) {
    token = read_nip98(header.substr(kScheme.size()), {url, "POST"}, now_s, verifier_);
    if (token || token.error() != Nip98Error::WrongTarget) break;
  }
  if (!token) return failure(refused(401, to_string(token.error())));
  // Before the token is used up: who may call nothing takes no place among those remembered.
  if (!management_.knows(token->pubkey)) {
    return failure(refused(403, "this key may not manage this relay, see [admin] keys"));
  }
  if (const auto body = check_payload(*token, sha256(request.body)); !body) {
    return failure(refused(401, to_string(body.error())));
  }
  // A token is good for one change. To show something twice does no harm, and of two requests of
  // one second a client makes the same token.
  const auto call = parse_management_call(request.body);
  if (call && !only_shows(call->method)) {
    if (auto used = use_up(*token, now_s); !used) return failure(std::move(used.error()));
  }
  return token->pubkey;
}

Result<void, net::HttpResponse> AdminDesk::use_up(const Nip98Token& token, std::int64_t now_s) {
  if (token.created_at <= began_after_s_) {
    const std::int64_t wait_s = std::max<std::int64_t>(1, replays_.opens_in_s(now_s));
    auto out = refused(503, fmt::format("the relay has started since this was signed, and can't "
                                        "know whether it was used before: sign again in {} s",
                                        wait_s));
    out.headers.add("Retry-After", std::to_string(wait_s));
    return failure(std::move(out));
  }
  if (const auto fresh = replays_.admit(token, now_s); !fresh) {
    return failure(refused(401, to_string(fresh.error())));
  }
  if (!used_.raise(token.created_at)) {
    return failure(refused(503, "the relay's disk does not take that this request is used"));
  }
  return {};
}

}  // namespace nostril::relay
