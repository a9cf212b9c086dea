#include "relay/membership.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "relay/admission.h"
#include "relay/key_file.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kEndBytes = 4;
constexpr std::size_t kHeadBytes = kEndBytes + 8;
constexpr std::size_t kSealBytes = 12;
constexpr std::int64_t kRequestAgeSMax = 600;

}  // namespace

Result<std::unique_ptr<Membership>, std::string> Membership::open(
    const std::filesystem::path& folder, MembershipRules rules, Rng& rng) {
  const std::filesystem::path file = folder / "relay.key";
  auto key = std::filesystem::exists(file) ? read_key_file(file) : make_key_file(file, rng);
  if (!key) return failure(std::move(key.error()));
  return std::make_unique<Membership>(std::move(*key), std::move(rules));
}

Membership::Membership(Keypair key, MembershipRules rules)
    : key_(std::move(key)),
      invite_key_(key_.derive_secret("nostril relay invite")),
      rules_(std::move(rules)) {}

bool Membership::is_member(const PublicKey& key, const ModerationLists& lists) const {
  return rules_.founders.contains(key) || lists.allowed_keys->contains(key);
}

Bytes Membership::seal_of(ByteSpan head) const {
  const Digest whole = hmac_sha256(invite_key_.expose(), head);
  return {whole.bytes.begin(), whole.bytes.begin() + kSealBytes};
}

std::string Membership::code(std::int64_t now_s) const {
  const auto end = static_cast<std::uint32_t>(now_s + rules_.invite_s);
  Bytes bytes(kHeadBytes);
  for (std::size_t i = 0; i < kEndBytes; ++i) {
    bytes[i] = static_cast<std::uint8_t>(end >> (8 * (kEndBytes - 1 - i)));
  }
  SystemRng().fill(std::span(bytes).subspan(kEndBytes));
  const Bytes seal = seal_of(bytes);
  bytes.insert(bytes.end(), seal.begin(), seal.end());
  return encode_hex(bytes);
}

Event Membership::sign(std::uint32_t kind, std::int64_t at, Tags tags) const {
  EventDraft draft;
  draft.created_at = at;
  draft.kind = kind;
  draft.tags = std::move(tags);
  SystemRng rng;
  return sign_event(std::move(draft), key_, rng);
}

std::optional<Event> Membership::invite_for(std::span<const PublicKey> readers,
                                            const std::vector<Filter>& filters,
                                            const ModerationLists& lists,
                                            std::int64_t now_s) const {
  const auto asks = [](const Filter& filter) {
    return filter.kinds && std::ranges::binary_search(*filter.kinds, kInviteKind);
  };
  if (std::ranges::none_of(filters, asks)) return std::nullopt;
  const bool may_invite =
      rules_.inviters == MembershipRules::Inviters::Anybody ||
      (rules_.inviters == MembershipRules::Inviters::Members &&
       std::ranges::any_of(readers, [&](const PublicKey& key) { return is_member(key, lists); }));
  if (!may_invite) return std::nullopt;
  Event invite = sign(kInviteKind, now_s, {{"-"}, {"claim", code(now_s)}});
  if (!matches_any(filters, invite)) return std::nullopt;
  return invite;
}

Membership::Verdict Membership::judge(const Event& request, const ModerationLists& lists,
                                      std::int64_t now_s) const {
  if (request.created_at < now_s - kRequestAgeSMax ||
      request.created_at > now_s + kRequestAgeSMax) {
    return {false, "invalid: created_at is more than ten minutes from this relay's clock", {}};
  }
  if (lists.banned_keys->contains(request.pubkey)) {
    return {false, "blocked: a moderator has banned this key", {}};
  }
  if (request.kind == kJoinKind) return join(request, lists, now_s);
  if (!is_protected(request)) {
    return {
        false, "invalid: who leaves says so with a protected event, which has the tag \"-\"", {}};
  }
  if (rules_.founders.contains(request.pubkey)) {
    return {false, "restricted: this key is in the relay's configuration", {}};
  }
  if (!lists.allowed_keys->contains(request.pubkey)) {
    return {true, "duplicate: you are not a member of this relay", {}};
  }
  return {true, "info: you have left " + rules_.url,
          ModerationChange{ModerationList::AllowedKeys, item_of(request.pubkey), std::nullopt}};
}

Membership::Verdict Membership::join(const Event& request, const ModerationLists& lists,
                                     std::int64_t now_s) const {
  if (is_member(request.pubkey, lists)) {
    return {true, "duplicate: you are already a member of this relay", {}};
  }
  const auto claim = decode_hex(request.tags.find("claim").value_or(""));
  if (!claim || claim->size() != kHeadBytes + kSealBytes) {
    return {false, "restricted: that is an invalid invite code", {}};
  }
  const ByteSpan head = ByteSpan(*claim).first(kHeadBytes);
  const Bytes seal = seal_of(head);
  if (!equal_constant_time(seal, ByteSpan(*claim).subspan(kHeadBytes))) {
    return {false, "restricted: that is an invalid invite code", {}};
  }
  std::int64_t end = 0;
  for (const std::uint8_t byte : head.first(kEndBytes)) end = end << 8U | byte;
  if (end <= now_s) return {false, "restricted: that invite code is expired", {}};
  return {true, "info: welcome to " + rules_.url,
          ModerationChange{ModerationList::AllowedKeys, item_of(request.pubkey), "invited"}};
}

// A role that is no more is none of anybody's.
Membership::Members Membership::members_of(const ModerationLists& lists) const {
  Members out;
  for (const PublicKey& key : rules_.founders) out[key];
  for (const auto& [key, reason] : *lists.allowed_keys) out[key];
  for (const auto& [key, roles] : *lists.member_roles) {
    const auto member = out.find(key);
    if (member == out.end()) continue;
    for (const auto& role : roles) {
      if (lists.roles->contains(role)) member->second.insert(role);
    }
  }
  return out;
}

void Membership::tell_roles(const Roles& roles, std::vector<Event>& out) const {
  for (const auto& [id, role] : roles) {
    const auto before = announced_roles_.find(id);
    if (before != announced_roles_.end() && before->second == role) continue;
    Tags tags = {{"-"}, {"d", id}};
    if (!role.label.empty()) tags.add({"label", role.label});
    if (!role.description.empty()) tags.add({"description", role.description});
    if (role.color) tags.add({"color", std::to_string(*role.color)});
    if (role.order) tags.add({"order", std::to_string(*role.order)});
    out.push_back(sign(kRoleKind, announced_at_, std::move(tags)));
  }
  for (const auto& [id, role] : announced_roles_) {
    if (roles.contains(id)) continue;
    const std::string address = fmt::format("{}:{}:{}", kRoleKind, encode_hex(self()), id);
    out.push_back(
        sign(kinds::kDeletion, announced_at_, {{"a", address}, {"k", std::to_string(kRoleKind)}}));
  }
}

void Membership::tell_changes(const Members& members, std::vector<Event>& out) const {
  const auto tell = [&](std::uint32_t kind, const Members& of, const Members& without) {
    for (const auto& [key, roles] : of) {
      if (without.contains(key)) continue;
      out.push_back(sign(kind, announced_at_, {{"-"}, {"p", encode_hex(key)}}));
    }
  };
  tell(kAddedKind, members, *announced_);
  tell(kRemovedKind, *announced_, members);
}

Event Membership::list_of(const Members& members) const {
  Tags tags = {{"-"}};
  std::size_t listed = 0;
  for (const auto& [key, roles] : members) {
    if (++listed > kMembersListedMax) break;  // NIP-43: the list need not be whole
    tags.add_element("member");
    tags.add_element(encode_hex(key));
    for (const auto& role : roles) tags.add_element(role);
    tags.finish_tag();
  }
  return sign(kMembersKind, announced_at_, std::move(tags));
}

std::vector<Event> Membership::announcements(const ModerationLists& lists, std::int64_t now_s) {
  Members members = members_of(lists);
  std::vector<Event> out;
  if (announced_ == members && announced_roles_ == *lists.roles) return out;
  // The list is replaced by a later one only.
  announced_at_ = std::max(announced_at_ + 1, now_s);
  tell_roles(*lists.roles, out);
  if (announced_) tell_changes(members, out);
  if (announced_ != members) out.push_back(list_of(members));
  announced_ = std::move(members);
  announced_roles_ = *lists.roles;
  return out;
}

}  // namespace nostril::relay
