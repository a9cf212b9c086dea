#include "relay/sync/relay_login.h"

#include "base/rng.h"
#include "events/kinds.h"

#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kChallengeBytesMax = 1'024;
constexpr unsigned kAnswersMax = 8;  // a connection: each is a signature

}  // namespace

void RelayLogin::begin() {
  pending_.reset();
  answers_ = 0;
  is_accepted_ = false;
}

std::optional<std::string> RelayLogin::answer(std::string_view challenge, std::int64_t now_s) {
  const bool is_one = !challenge.empty() && challenge.size() <= kChallengeBytesMax;
  if (key_ == nullptr || !is_one || answers_ >= kAnswersMax) return std::nullopt;
  ++answers_;
  EventDraft draft;
  draft.created_at = now_s;
  draft.kind = kinds::kAuth;
  draft.tags = {{"relay", url_}, {"challenge", std::string(challenge)}};
  SystemRng rng;
  const Event event = sign_event(std::move(draft), *key_, rng);
  pending_ = event.id;
  return auth_text(event);
}

RelayLogin::Outcome RelayLogin::on_ok(const relay_message::Ok& ok) {
  if (!pending_ || ok.id != *pending_) return Outcome::NotOurs;
  pending_.reset();
  is_accepted_ = ok.accepted;
  return ok.accepted ? Outcome::Accepted : Outcome::Refused;
}

bool is_auth_required(std::string_view reason) {
  return reason.starts_with("auth-required:");
}

}  // namespace nostril::relay
