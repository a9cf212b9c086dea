#include "relay/admission.h"

#include "events/kinds.h"
#include "relay/store/record.h"

namespace nostril::relay {

namespace {

// NIP-70: a tag of the one element "-".
bool is_protected(const Event& event) {
  for (const Tags::View tag : event.tags) {
    if (tag.size() == 1 && tag.name() == "-") return true;
  }
  return false;
}

}  // namespace

std::string_view message_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::AuthKind:
      return "invalid: kind 22242 is never published";
    case Refusal::Protected:
      return "blocked: protected events need authentication, which this relay does not offer";
    case Refusal::Expired:
      return "invalid: the event has expired";
    case Refusal::InTheFuture:
      return "invalid: created_at is too far in the future";
    case Refusal::TooOld:
      return "invalid: created_at is too long ago";
    case Refusal::BlockedKind:
      return "blocked: this relay does not take events of this kind";
    case Refusal::BlockedAuthor:
      return "blocked: this relay does not take events of this author";
    case Refusal::UnknownAuthor:
      return "restricted: this relay takes events of certain authors only";
    case Refusal::RateLimited:
      return "rate-limited: slow down";
  }
  return "error: refused";
}

std::string_view name_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::AuthKind:
      return "auth_kind";
    case Refusal::Protected:
      return "protected";
    case Refusal::Expired:
      return "expired";
    case Refusal::InTheFuture:
      return "in_the_future";
    case Refusal::TooOld:
      return "too_old";
    case Refusal::BlockedKind:
      return "blocked_kind";
    case Refusal::BlockedAuthor:
      return "blocked_author";
    case Refusal::UnknownAuthor:
      return "unknown_author";
    case Refusal::RateLimited:
      return "rate_limited";
  }
  return "unknown";
}

std::optional<Refusal> Admission::refuse(const Event& event, std::int64_t now_s) const {
  if (event.kind == kinds::kAuth) return Refusal::AuthKind;
  if (rules_.blocked_kinds.contains(event.kind)) return Refusal::BlockedKind;
  if (rules_.blocked_authors.contains(event.pubkey)) return Refusal::BlockedAuthor;
  if (!rules_.allowed_authors.empty() && !rules_.allowed_authors.contains(event.pubkey)) {
    return Refusal::UnknownAuthor;
  }
  if (event.created_at > now_s + rules_.future_s_max) return Refusal::InTheFuture;
  if (rules_.past_s_max > 0 && event.created_at < now_s - rules_.past_s_max) return Refusal::TooOld;
  if (const auto expiration = expiration_of(event); expiration && *expiration <= now_s) {
    return Refusal::Expired;
  }
  if (is_protected(event)) return Refusal::Protected;
  return std::nullopt;
}

}  // namespace nostril::relay
