#pragma once

#include "events/event.h"
#include "relay/moderation.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_set>

namespace nostril::relay {

/// Why an event is refused before its signature is looked at.
enum class Refusal : std::uint8_t {
  AuthKind,   ///< NIP-42: kind 22242 is for AUTH, and never shown to anybody
  Protected,  ///< NIP-70: taken from its author only
  Expired,    ///< NIP-40
  InTheFuture,
  TooOld,
  BlockedKind,
  BlockedAuthor,
  UnknownAuthor,  ///< not on the list, where there is one
  LacksWork,      ///< NIP-13
  AuthRequired,   ///< NIP-42
  RateLimited,
  EmbedsProtected,     ///< NIP-70: a repost with a protected event in it
  AddressRateLimited,  ///< ClientLimits
  KeyRateLimited,      ///< KeyLimits
  TooLargeForKind,     ///< ContentPolicy
  TooManyTags,         ///< likewise
  BlockedWord,         ///< likewise
  Reported,            ///< NIP-56, by enough moderators
  BannedEvent,         ///< by a moderator
  NamesNoRelay,        ///< NIP-62: a request to vanish from nowhere
};
inline constexpr std::size_t kRefusalCount = 20;

/// OK's fourth member, with NIP-01's prefix.
std::string_view message_of(Refusal refusal);
/// Its name in metrics.
std::string_view name_of(Refusal refusal);

/// NIP-70: a tag of the one element "-".
[[nodiscard]] bool is_protected(const Event& event);

struct AdmissionRules {
  std::int64_t future_s_max = 900;  ///< created_at after now
  std::int64_t past_s_max = 0;      ///< created_at before now, 0: any
  std::unordered_set<std::uint32_t> blocked_kinds;
  std::unordered_set<PublicKey, FixedBytesHash> blocked_authors;
  std::unordered_set<PublicKey, FixedBytesHash> allowed_authors;  ///< empty: everybody
  bool is_members_only = false;  ///< NIP-43: those, and who is on the moderators' list
  /// Taken from anybody even so: a relay list is of use where many look (NIP-65).
  std::unordered_set<std::uint32_t> open_kinds;
  unsigned work_bits_min = 0;  ///< leading zero bits of the id, and what its nonce tag aimed at
};

/// The cheap refusals: what the configuration says, and what moderators have said since. Pure,
/// cheap to copy. Threads: const, any.
class Admission {
 public:
  explicit Admission(AdmissionRules rules, std::shared_ptr<const ModerationLists> lists =
                                               std::make_shared<const ModerationLists>())
      : rules_(std::make_shared<const AdmissionRules>(std::move(rules))),
        lists_(std::move(lists)) {}

  [[nodiscard]] const AdmissionRules& rules() const { return *rules_; }

  [[nodiscard]] const ModerationLists& lists() const { return *lists_; }

  /// A request to vanish is anybody's right, also of those who may not write here (NIP-62).
  [[nodiscard]] static bool is_open_to_all(std::uint32_t kind);

  /// `is_from_author`: the connection has shown that it holds the author's key (NIP-42).
  [[nodiscard]] std::optional<Refusal> refuse(const Event& event, std::int64_t now_s,
                                              bool is_from_author) const;

 private:
  [[nodiscard]] std::optional<Refusal> refuse_by_list(const Event& event) const;

  std::shared_ptr<const AdmissionRules> rules_;
  std::shared_ptr<const ModerationLists> lists_;
};

}  // namespace nostril::relay
