// The methods of NIP-86 for roles of members (NIP-43): what relay/management.h declares about them.
#include "base/hex.h"
#include "relay/cluster/codec.h"
#include "relay/management.h"

#include <fmt/format.h>

#include <utility>

namespace nostril::relay {

namespace {

constexpr std::string_view kWantsRole =
    "an id of 1 to 64 bytes, a label, a description, a color (0 to 360) and an order, of which all "
    "but the id may be null";

auto wrong(std::string_view what) {
  return failure(fmt::format("params: {}", what));
}

std::optional<std::string> id_of(const ManagementCall& call, std::size_t at) {
  const auto text = at < call.params.size() ? call.params[at].string() : std::nullopt;
  if (!text || !MemberRole::is_id(*text)) return std::nullopt;
  return std::string(*text);
}

bool read_text(const ManagementCall& call, std::size_t at, std::string& out) {
  if (at >= call.params.size() || call.params[at].is_null()) return true;
  const auto text = call.params[at].string();
  if (text) out = *text;
  return text.has_value();
}

bool read_number(const ManagementCall& call, std::size_t at, std::optional<std::int64_t>& out) {
  return at >= call.params.size() || read_role_number(call.params[at], out);
}

std::optional<MemberRole> role_of(const ManagementCall& call) {
  MemberRole out;
  if (!read_text(call, 1, out.label) || !read_text(call, 2, out.description) ||
      !read_number(call, 3, out.color) || !read_number(call, 4, out.order)) {
    return std::nullopt;
  }
  // As it will be read again.
  return MemberRole::parse(out.to_text());
}

}  // namespace

Management::Answer Management::set_role(const ManagementCall& call) {
  const auto id = id_of(call, 0);
  const auto role = role_of(call);
  if (!id || !role) return wrong(kWantsRole);
  const auto lists = moderation_.lists();
  const bool is_new = call.method == ManagementMethod::CreateRole;
  if (lists->roles->contains(*id) == is_new) {
    return failure(std::string(is_new ? "there is such a role: edit it" : "there is no such role"));
  }
  if (is_new && lists->roles->size() >= kRolesMax) {
    return failure(fmt::format("a relay may have {} roles", kRolesMax));
  }
  return change({{ModerationList::Roles, *id, role->to_text()}});
}

// And takes it from those who have it, in one change.
Management::Answer Management::delete_role(const ManagementCall& call) {
  const auto id = id_of(call, 0);
  if (!id) return wrong("a role's id");
  const auto lists = moderation_.lists();
  if (!lists->roles->contains(*id)) return failure(std::string("there is no such role"));
  std::vector<ModerationChange> changes = {{ModerationList::Roles, *id, std::nullopt}};
  for (const auto& [key, roles] : *lists->member_roles) {
    if (!roles.contains(*id)) continue;
    changes.push_back({ModerationList::MemberRoles, item_of(key, *id), std::nullopt});
  }
  if (changes.size() > kModerationChangesMax) {
    return failure(
        fmt::format("{} keys have this role: take it from some of them first", changes.size() - 1));
  }
  return change(std::move(changes));
}

// Also to a key that is no member yet: it has the role when it is one.
Management::Answer Management::assign_role(const ManagementCall& call) {
  const auto text = call.params.empty() ? std::nullopt : call.params[0].string();
  const auto key = text ? from_hex<PublicKey>(*text) : std::nullopt;
  const auto id = id_of(call, 1);
  if (!key || !id) return wrong("a public key of 64 hex characters, and a role's id");
  const auto lists = moderation_.lists();
  if (call.method == ManagementMethod::UnassignRole) {
    return change({{ModerationList::MemberRoles, item_of(*key, *id), std::nullopt}});
  }
  if (!lists->roles->contains(*id)) return failure(std::string("there is no such role"));
  const auto found = lists->member_roles->find(*key);
  if (found != lists->member_roles->end() && !found->second.contains(*id) &&
      found->second.size() >= kRolesOfAKeyMax) {
    return failure(fmt::format("a key may have {} roles", kRolesOfAKeyMax));
  }
  return change({{ModerationList::MemberRoles, item_of(*key, *id), ""}});
}

}  // namespace nostril::relay
