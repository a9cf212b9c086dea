#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "events/event.h"
#include "events/filter.h"
#include "relay/moderation.h"
#include "schnorr/keys.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

namespace nostril::relay {

struct MembershipRules {
  enum class Inviters : std::uint8_t { Nobody, Members, Anybody };

  bool enabled = false;
  Inviters inviters = Inviters::Members;
  std::int64_t invite_s = 0;  ///< how long a code is good
  std::string url;            ///< what members have joined
  /// Members whatever the list says: those of the configuration.
  std::unordered_set<PublicKey, FixedBytesHash> founders;
};

/// A relay with members (NIP-43): who shows an invite code may write from then on. The members are
/// the moderators' list of allowed keys (NIP-86), so both ways of admission are one. The relay has
/// a key of its own (NIP-11 `self`) and signs the list of members with it, who came and who went.
///
/// A code is hex of: when it ends u32 big-endian, 8 random bytes, the first 12 bytes of an
/// HMAC-SHA256 of those under a key derived from the relay's. So none is kept, each may be used by
/// several until it ends, and nobody else makes one.
///
/// Threads: announcements() from one at a time; the rest any.
class Membership {
 public:
  static constexpr std::uint32_t kMembersKind = 13534;
  static constexpr std::uint32_t kRoleKind = 33534;
  static constexpr std::uint32_t kAddedKind = 8000;
  static constexpr std::uint32_t kRemovedKind = 8001;
  static constexpr std::uint32_t kJoinKind = 28934;
  static constexpr std::uint32_t kInviteKind = 28935;
  static constexpr std::uint32_t kLeaveKind = 28936;
  static constexpr std::size_t kMembersListedMax = 4'000;  ///< in one event

  /// Reads the relay's key from `folder`/relay.key (64 hex characters, 0600), or makes it. The
  /// error is one clear line.
  [[nodiscard]] static Result<std::unique_ptr<Membership>, std::string> open(
      const std::filesystem::path& folder, MembershipRules rules, Rng& rng);

  Membership(Keypair key, MembershipRules rules);

  [[nodiscard]] const PublicKey& self() const { return key_.public_key(); }

  [[nodiscard]] static bool is_request(std::uint32_t kind) {
    return kind == kJoinKind || kind == kLeaveKind;
  }

  /// The invite for a REQ that asks for one by its kind, from somebody who may invite. `readers`:
  /// the keys that the connection has shown.
  [[nodiscard]] std::optional<Event> invite_for(std::span<const PublicKey> readers,
                                                const std::vector<Filter>& filters,
                                                const ModerationLists& lists,
                                                std::int64_t now_s) const;

  struct Verdict {
    bool accepted = false;
    std::string text;  ///< of the OK
    std::optional<ModerationChange> change;
  };

  /// On a request whose signature is right and whose author is there.
  [[nodiscard]] Verdict judge(const Event& request, const ModerationLists& lists,
                              std::int64_t now_s) const;

  /// What others are to know, to be published: roles that are new, other or gone, who came or went
  /// since the last call (the first one is the start, at which nobody did), and the list of members
  /// with their roles.
  [[nodiscard]] std::vector<Event> announcements(const ModerationLists& lists, std::int64_t now_s);

 private:
  [[nodiscard]] bool is_member(const PublicKey& key, const ModerationLists& lists) const;
  [[nodiscard]] std::string code(std::int64_t now_s) const;
  [[nodiscard]] Bytes seal_of(ByteSpan head) const;
  [[nodiscard]] Verdict join(const Event& request, const ModerationLists& lists,
                             std::int64_t now_s) const;
  [[nodiscard]] Event sign(std::uint32_t kind, std::int64_t at, Tags tags) const;

  const Keypair key_;
  const SecretBytes<32> invite_key_;
  const MembershipRules rules_;
  using Members = std::map<PublicKey, std::set<std::string>>;  // and their roles
  using Roles = std::map<std::string, MemberRole>;

  [[nodiscard]] Members members_of(const ModerationLists& lists) const;
  void tell_roles(const Roles& roles, std::vector<Event>& out) const;
  void tell_changes(const Members& members, std::vector<Event>& out) const;
  [[nodiscard]] Event list_of(const Members& members) const;

  // What announcements() has said.
  std::optional<Members> announced_;
  Roles announced_roles_;
  std::int64_t announced_at_ = 0;
};

}  // namespace nostril::relay
