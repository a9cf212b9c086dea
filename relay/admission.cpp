#include "relay/admission.h"

#include "base/json.h"
#include "events/kinds.h"
#include "relay/store/record.h"

#include <algorithm>
#include <bit>
#include <charconv>

namespace nostril::relay {

namespace {

// Of a repost's content, where that is an event, what is_protected() says. Read loosely: what is
// embedded need not be an event that we would take.
bool embeds_protected(const Event& event) {
  if (event.kind != kinds::kRepost && event.kind != kinds::kGenericRepost) return false;
  const auto embedded = Json::parse(event.content);
  const Json* tags = embedded ? embedded->find("tags") : nullptr;
  if (tags == nullptr) return false;
  return std::ranges::any_of(tags->items(), [](const Json& tag) {
    return tag.items().size() == 1 && tag.items().front().string() == "-";
  });
}

bool names_relay(const Event& event) {
  for (const Tags::View tag : event.tags) {
    if (tag.name() == "relay" && tag.value()) return true;
  }
  return false;
}

unsigned leading_zero_bits(const EventId& id) {
  unsigned bits = 0;
  for (const std::uint8_t byte : id.bytes) {
    bits += static_cast<unsigned>(std::countl_zero(byte));
    if (byte != 0) break;
  }
  return bits;
}

// NIP-13. Who aimed at less and was lucky has not done the work: that is what the third element is
// for.
bool has_work(const Event& event, unsigned bits_min) {
  if (bits_min == 0) return true;
  if (leading_zero_bits(event.id) < bits_min) return false;
  for (const Tags::View tag : event.tags) {
    if (tag.name() != "nonce" || tag.size() < 3) continue;
    const std::string_view text = tag[2];
    unsigned aimed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), aimed);
    return error == std::errc{} && end == text.data() + text.size() && aimed >= bits_min;
  }
  return true;
}

}  // namespace

bool is_protected(const Event& event) {
  for (const Tags::View tag : event.tags) {
    if (tag.size() == 1 && tag.name() == "-") return true;
  }
  return false;
}

std::string_view message_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::AuthKind:
      return "invalid: kind 22242 is never published";
    case Refusal::Protected:
      return "auth-required: this event is taken from its author only";
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
    case Refusal::LacksWork:
      return "pow: this relay wants more work, see min_pow_difficulty in its information";
    case Refusal::AuthRequired:
      return "auth-required: this relay takes events of authenticated clients only";
    case Refusal::RateLimited:
      return "rate-limited: slow down";
    case Refusal::EmbedsProtected:
      return "blocked: a repost may name a protected event, not hold it";
    case Refusal::AddressRateLimited:
      return "rate-limited: too many events from your address, slow down";
    case Refusal::KeyRateLimited:
      return "rate-limited: too many events of this key, slow down";
    case Refusal::TooLargeForKind:
      return "blocked: the event is larger than this relay takes of its kind";
    case Refusal::TooManyTags:
      return "blocked: the event has more tags of a name than this relay takes of its kind";
    case Refusal::BlockedWord:
      return "blocked: the content has a word that this relay does not take";
    case Refusal::Reported:
      return "blocked: moderators have reported this event or its author";
    case Refusal::BannedEvent:
      return "blocked: a moderator has removed this event";
    case Refusal::NamesNoRelay:
      return "invalid: a request to vanish names relays, and this one none";
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
    case Refusal::LacksWork:
      return "lacks_work";
    case Refusal::AuthRequired:
      return "auth_required";
    case Refusal::RateLimited:
      return "rate_limited";
    case Refusal::EmbedsProtected:
      return "embeds_protected";
    case Refusal::AddressRateLimited:
      return "address_rate_limited";
    case Refusal::KeyRateLimited:
      return "key_rate_limited";
    case Refusal::TooLargeForKind:
      return "too_large_for_kind";
    case Refusal::TooManyTags:
      return "too_many_tags";
    case Refusal::BlockedWord:
      return "blocked_word";
    case Refusal::Reported:
      return "reported";
    case Refusal::BannedEvent:
      return "banned_event";
    case Refusal::NamesNoRelay:
      return "names_no_relay";
  }
  return "unknown";
}

bool Admission::is_open_to_all(std::uint32_t kind) {
  return kind == kinds::kVanish;
}

// The configuration file and the moderators' lists are one list each: who closes the relay to all
// but some authors or kinds, in either place, has closed it.
std::optional<Refusal> Admission::refuse_by_list(const Event& event) const {
  if (rules_->blocked_kinds.contains(event.kind) ||
      lists_->disallowed_kinds->contains(event.kind) ||
      (!lists_->allowed_kinds->empty() && !lists_->allowed_kinds->contains(event.kind))) {
    return Refusal::BlockedKind;
  }
  if (lists_->banned_events->contains(event.id)) return Refusal::BannedEvent;
  if (is_open_to_all(event.kind)) return std::nullopt;
  if (rules_->blocked_authors.contains(event.pubkey) ||
      lists_->banned_keys->contains(event.pubkey)) {
    return Refusal::BlockedAuthor;
  }
  const bool is_closed =
      rules_->is_members_only || !rules_->allowed_authors.empty() || !lists_->allowed_keys->empty();
  if (is_closed && !rules_->allowed_authors.contains(event.pubkey) &&
      !lists_->allowed_keys->contains(event.pubkey) && !rules_->open_kinds.contains(event.kind)) {
    return Refusal::UnknownAuthor;
  }
  return std::nullopt;
}

std::optional<Refusal> Admission::refuse(const Event& event, std::int64_t now_s,
                                         bool is_from_author) const {
  if (event.kind == kinds::kAuth) return Refusal::AuthKind;
  if (const auto refusal = refuse_by_list(event)) return refusal;
  if (event.created_at > now_s + rules_->future_s_max) return Refusal::InTheFuture;
  if (rules_->past_s_max > 0 && event.created_at < now_s - rules_->past_s_max)
    return Refusal::TooOld;
  if (const auto expiration = expiration_of(event); expiration && *expiration <= now_s) {
    return Refusal::Expired;
  }
  if (!is_from_author && is_protected(event)) return Refusal::Protected;
  if (embeds_protected(event)) return Refusal::EmbedsProtected;
  if (event.kind == kinds::kVanish && !names_relay(event)) return Refusal::NamesNoRelay;
  if (!is_open_to_all(event.kind) && !has_work(event, rules_->work_bits_min)) {
    return Refusal::LacksWork;
  }
  return std::nullopt;
}

}  // namespace nostril::relay
