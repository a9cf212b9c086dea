#include "relay/authentication.h"

#include "base/hex.h"
#include "events/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace nostril::relay {

namespace {

constexpr std::int64_t kAuthAgeSMax = 600;

// The value of the only tag of that name.
std::optional<std::string_view> only_value(const Event& event, std::string_view name) {
  std::optional<std::string_view> found;
  for (const Tags::View tag : event.tags) {
    if (tag.name() != name) continue;
    if (found) return std::nullopt;
    found = tag.value();
  }
  return found;
}

}  // namespace

std::string_view message_of(AuthError error) {
  switch (error) {
    case AuthError::NotOffered:
      return "error: this relay does not ask for authentication";
    case AuthError::WrongKind:
      return "invalid: authentication is an event of kind 22242";
    case AuthError::WrongTime:
      return "invalid: created_at is more than ten minutes from this relay's clock";
    case AuthError::WrongChallenge:
      return "invalid: the challenge is not this connection's";
    case AuthError::WrongRelay:
      return "invalid: the event was made for another relay";
    case AuthError::WrongSignature:
      return "invalid: the signature is wrong";
    case AuthError::TooManyKeys:
      return "restricted: too many keys on this connection";
    case AuthError::TooManyTries:
      return "rate-limited: too many authentications on this connection";
  }
  return "error: refused";
}

Result<PublicKey, AuthError> Authentication::key_of(UnverifiedEvent&& event,
                                                    std::string_view challenge,
                                                    std::int64_t now_s) const {
  const Event& shown = event.event();
  if (!is_offered()) return failure(AuthError::NotOffered);
  if (shown.kind != kinds::kAuth) return failure(AuthError::WrongKind);
  // created_at is any number: no difference is taken of it.
  if (shown.created_at < now_s - kAuthAgeSMax || shown.created_at > now_s + kAuthAgeSMax) {
    return failure(AuthError::WrongTime);
  }
  if (only_value(shown, "challenge") != challenge) return failure(AuthError::WrongChallenge);
  const auto relay = only_value(shown, "relay");
  if (!relay || !rules_->address->has_host_of(*relay)) return failure(AuthError::WrongRelay);
  Verifier verifier(0);
  const auto verified = VerifiedEvent::verify(std::move(event), verifier);
  if (!verified) return failure(AuthError::WrongSignature);
  return verified->event().pubkey;
}

std::string Authentication::text_of(AuthError error) const {
  const std::string_view text = message_of(error);
  if (error != AuthError::WrongRelay || rules_->port_url.empty()) return std::string(text);
  return fmt::format("{}: this one is called {}, until its operator sets `url`", text,
                     rules_->port_url);
}

bool Authentication::is_private(std::uint32_t kind) const {
  return is_offered() && std::ranges::binary_search(rules_->private_kinds, kind);
}

Sought Authentication::sought_by(const std::vector<Filter>& filters) const {
  const auto is_private_kind = [this](std::uint32_t kind) { return is_private(kind); };
  const auto can_be_public = [&](const Filter& filter) {
    return !filter.kinds || !std::ranges::all_of(*filter.kinds, is_private_kind);
  };
  const auto can_be_private = [&](const Filter& filter) {
    return !filter.kinds || std::ranges::any_of(*filter.kinds, is_private_kind);
  };
  if (!is_offered() || std::ranges::none_of(filters, can_be_private)) return Sought::Public;
  return std::ranges::any_of(filters, can_be_public) ? Sought::Any : Sought::PrivateOnly;
}

bool Reader::has(const PublicKey& key) const {
  return std::ranges::find(keys_, key) != keys_.end();
}

bool Reader::may_see(const Event& event) const {
  if (!rules_.is_private(event.kind) || has(event.pubkey)) return true;
  for (const Tags::View tag : event.tags) {
    if (tag.name() != "p" || !tag.value()) continue;
    const auto key = from_hex<PublicKey>(*tag.value());
    if (key && has(*key)) return true;
  }
  return false;
}

bool Reader::may_see(const RecordView& record) const {
  if (!rules_.is_private(record.kind()) || has(record.pubkey())) return true;
  bool is_party = false;
  record.for_each_tag([&](const RecordElement& name, const std::optional<RecordElement>& value,
                          std::uint32_t /*count*/) {
    is_party = name.equals("p") && value && value->is_hex &&
               std::ranges::any_of(keys_, [&](const PublicKey& key) {
                 return std::ranges::equal(key.bytes, value->bytes);
               });
    return !is_party;
  });
  return is_party;
}

}  // namespace nostril::relay
