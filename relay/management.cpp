#include "relay/management.h"

#include "base/hex.h"
#include "base/log.h"
#include "events/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kParamsMax = 8;
constexpr std::size_t kFoundMax = 100;
constexpr std::size_t kReportsMax = 500;
constexpr std::uint32_t kReport = 1984;  // NIP-56
constexpr std::string_view kFromFile = "the configuration file";

// In the order of ManagementMethod.
constexpr std::array<std::string_view, kManagementMethodCount> kNames = {
    "supportedmethods",
    "banpubkey",
    "unbanpubkey",
    "listbannedpubkeys",
    "allowpubkey",
    "unallowpubkey",
    "listallowedpubkeys",
    "banevent",
    "unbanevent",
    "allowevent",
    "unallowevent",
    "listbannedevents",
    "listallowedevents",
    "listeventsneedingmoderation",
    "changerelayname",
    "changerelaydescription",
    "changerelayicon",
    "allowkind",
    "disallowkind",
    "listallowedkinds",
    "listdisallowedkinds",
    "blockip",
    "unblockip",
    "listblockedips",
    "assignmethod",
    "unassignmethod",
    "listmethodassignees",
    "createrole",
    "editrole",
    "deleterole",
    "assignrole",
    "unassignrole",
    "nostril_figures",
    "nostril_events",
    "nostril_settings",
};

bool is_of_roles(ManagementMethod method) {
  using M = ManagementMethod;
  return method == M::CreateRole || method == M::EditRole || method == M::DeleteRole ||
         method == M::AssignRole || method == M::UnassignRole;
}

bool is_assignable(ManagementMethod method) {
  return method != ManagementMethod::AssignMethod && method != ManagementMethod::UnassignMethod &&
         method != ManagementMethod::SupportedMethods;
}

std::optional<std::string_view> text_param(const ManagementCall& call, std::size_t at) {
  return at < call.params.size() ? call.params[at].string() : std::nullopt;
}

/// The optional last one. Nothing: it is there and no text.
std::optional<std::string> reason_param(const ManagementCall& call, std::size_t at) {
  if (at >= call.params.size() || call.params[at].is_null()) return std::string();
  const auto text = call.params[at].string();
  if (!text) return std::nullopt;
  return std::string(*text);
}

template <typename Id>
std::optional<Id> id_param(const ManagementCall& call) {
  const auto text = text_param(call, 0);
  return text ? from_hex<Id>(*text) : std::nullopt;
}

std::optional<std::uint32_t> kind_param(const ManagementCall& call) {
  const auto kind = call.params.empty() ? std::nullopt : call.params[0].integer();
  if (!kind || *kind < 0 || *kind > 65'535) return std::nullopt;
  return static_cast<std::uint32_t>(*kind);
}

auto wrong(std::string_view what) {
  return failure(fmt::format("params: {}", what));
}

constexpr std::string_view kWantsKey = "a public key of 64 hex characters, and perhaps a reason";
constexpr std::string_view kWantsId = "an event's id of 64 hex characters, and perhaps a reason";
constexpr std::string_view kWantsKind = "a kind, 0 to 65535";
constexpr std::string_view kWantsAddress =
    "an address, or a block such as 192.0.2.0/24 without bits behind its prefix; perhaps a reason";

void put_row(JsonWriter& w, std::string_view name, std::string_view item, std::string_view reason) {
  w.begin_object().key(name).string(item).key("reason").string(reason).end_object();
}

template <typename Id>
std::string rows_of(const ModerationLists::Reasons<Id>& list, std::string_view name) {
  std::map<std::string, std::string_view> sorted;
  for (const auto& [id, reason] : list) sorted.emplace(encode_hex(id), reason);
  JsonWriter w;
  w.begin_array();
  for (const auto& [id, reason] : sorted) put_row(w, name, id, reason);
  w.end_array();
  return std::move(w).take();
}

/// What a report says of an event: the third element of its `e` tag, and its text.
std::string reason_of(const Event& report, const Tags::View& tag) {
  constexpr std::size_t kTextMax = 200;
  std::string out(tag.size() > 2 ? tag[2] : std::string_view("reported"));
  if (!report.content.empty()) {
    // Cut where a character begins.
    std::size_t end = std::min(report.content.size(), kTextMax);
    while (end > 0 && end < report.content.size() &&
           (static_cast<unsigned char>(report.content[end]) & 0xc0U) == 0x80U) {
      --end;
    }
    out += ": " + std::string(report.content.substr(0, end));
  }
  return out + " (reported by " + encode_hex(report.pubkey) + ")";
}

}  // namespace

std::string_view name_of(ManagementMethod method) {
  return kNames[static_cast<std::size_t>(method)];
}

bool only_shows(ManagementMethod method) {
  using M = ManagementMethod;
  constexpr std::array kShows = {M::SupportedMethods,
                                 M::ListBannedPubkeys,
                                 M::ListAllowedPubkeys,
                                 M::ListBannedEvents,
                                 M::ListAllowedEvents,
                                 M::ListEventsNeedingModeration,
                                 M::ListAllowedKinds,
                                 M::ListDisallowedKinds,
                                 M::ListBlockedIps,
                                 M::ListMethodAssignees,
                                 M::Figures,
                                 M::Events,
                                 M::Settings};
  return std::ranges::find(kShows, method) != kShows.end();
}

std::optional<ManagementMethod> management_method(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<ManagementMethod>(found - kNames.begin());
}

std::string_view to_string(ManagementError error) {
  switch (error) {
    case ManagementError::NotJson:
      return "the body is not JSON";
    case ManagementError::BadForm:
      return "the body is not {\"method\": text, \"params\": array}";
    case ManagementError::UnknownMethod:
      return "this relay has no such method, see supportedmethods";
  }
  return "unknown";
}

Result<ManagementCall, ManagementError> parse_management_call(std::string_view body) {
  const auto json = Json::parse(
      body, {.bytes_max = kManagementBodyBytesMax, .depth_max = 8, .values_max = 4'096});
  if (!json) return failure(ManagementError::NotJson);
  const auto name = json->find_string("method");
  const Json* params = json->find("params");
  if (!name || params == nullptr || !params->is_array() || params->items().size() > kParamsMax) {
    return failure(ManagementError::BadForm);
  }
  const auto method = management_method(*name);
  if (!method) return failure(ManagementError::UnknownMethod);
  return ManagementCall{*method, {params->items().begin(), params->items().end()}};
}

bool Management::knows(const PublicKey& caller) const {
  return moderation_.lists()->methods->contains(caller) ||
         relay_.present_config().admin_rules().is_operator(caller);
}

bool Management::may_call(const PublicKey& caller, ManagementMethod method) const {
  if (method == ManagementMethod::SupportedMethods) return true;
  if (is_of_roles(method) && !relay_.present_config().membership.enabled) return false;
  if (relay_.present_config().admin_rules().is_operator(caller)) return true;
  const auto lists = moderation_.lists();
  const auto found = lists->methods->find(caller);
  return is_assignable(method) && found != lists->methods->end() &&
         found->second.contains(std::string(name_of(method)));
}

std::string Management::answer(const PublicKey& caller, std::string_view body) {
  calls_.add();
  const auto call = parse_management_call(body);
  Answer answer = failure(std::string());
  if (!call) {
    answer = failure(std::string(to_string(call.error())));
  } else if (!may_call(caller, call->method)) {
    answer = failure(std::string("restricted: this key may not call this method"));
  } else {
    answer = this->call(caller, *call);
    // Those of people, not the looks of a page.
    if (call->method < ManagementMethod::Figures) {
      log(LogLevel::Info, "management: {} by {}: {}", public_text(name_of(call->method)),
          public_text(encode_hex(caller)), public_text(answer ? "done" : answer.error()));
    }
  }
  JsonWriter w;
  w.begin_object();
  if (answer) {
    w.key("result").raw(*answer);
  } else {
    refusals_.add();
    w.key("error").string(answer.error());
  }
  w.end_object();
  return std::move(w).take();
}

Management::Answer Management::call(const PublicKey& caller, const ManagementCall& call) {
  using M = ManagementMethod;
  using L = ModerationList;
  const auto of_key = [&](auto make) -> Answer {
    const auto key = id_param<PublicKey>(call);
    const auto reason = reason_param(call, 1);
    if (!key || !reason) return wrong(kWantsKey);
    return change(make(item_of(*key), *reason));
  };
  const auto of_event = [&](auto make) -> Answer {
    const auto id = id_param<EventId>(call);
    const auto reason = reason_param(call, 1);
    if (!id || !reason) return wrong(kWantsId);
    return change(make(item_of(*id), *reason));
  };
  const auto of_address = [&](bool blocks) -> Answer {
    const auto text = text_param(call, 0);
    const auto block = text ? AddressBlock::parse(*text) : std::nullopt;
    const auto reason = reason_param(call, 1);
    if (!block || !reason) return wrong(kWantsAddress);
    return change({{L::BlockedAddresses, item_of(*block), blocks ? reason : std::nullopt}});
  };
  const auto of_text = [&](std::string_view name) -> Answer {
    const auto text = text_param(call, 0);
    if (!text) return wrong("a text");
    return change({{L::Texts, std::string(name), std::string(*text)}});
  };
  using Changes = std::vector<ModerationChange>;
  const auto lists = moderation_.lists();
  switch (call.method) {
    case M::SupportedMethods:
      return list_methods(caller);
    case M::BanPubkey:
      return ban_key(call);
    case M::UnbanPubkey:
      if (const auto key = id_param<PublicKey>(call);
          key && relay_.present_config().admission_rules().blocked_authors.contains(*key)) {
        return failure(fmt::format("{} bans this key: change it there", kFromFile));
      }
      return of_key([](std::string item, const std::string& /*reason*/) {
        return Changes{{L::BannedKeys, std::move(item), std::nullopt}};
      });
    case M::ListBannedPubkeys:
      return list_keys(true);
    case M::AllowPubkey:
      return of_key([](const std::string& item, const std::string& reason) {
        return Changes{{L::AllowedKeys, item, reason}, {L::BannedKeys, item, std::nullopt}};
      });
    case M::UnallowPubkey:
      if (const auto key = id_param<PublicKey>(call);
          key && relay_.present_config().admission_rules().allowed_authors.contains(*key)) {
        return failure(fmt::format("{} allows this key: change it there", kFromFile));
      }
      return of_key([](std::string item, const std::string& /*reason*/) {
        return Changes{{L::AllowedKeys, std::move(item), std::nullopt}};
      });
    case M::ListAllowedPubkeys:
      return list_keys(false);
    case M::BanEvent:
      return ban_event(call);
    case M::UnbanEvent:
      return of_event([](std::string item, const std::string& /*reason*/) {
        return Changes{{L::BannedEvents, std::move(item), std::nullopt}};
      });
    case M::AllowEvent:
      return of_event([](const std::string& item, const std::string& reason) {
        return Changes{{L::AllowedEvents, item, reason}, {L::BannedEvents, item, std::nullopt}};
      });
    case M::UnallowEvent:
      return of_event([](std::string item, const std::string& /*reason*/) {
        return Changes{{L::AllowedEvents, std::move(item), std::nullopt}};
      });
    case M::ListBannedEvents:
      return rows_of(*lists->banned_events, "id");
    case M::ListAllowedEvents:
      return rows_of(*lists->allowed_events, "id");
    case M::ListEventsNeedingModeration:
      return needing_moderation();
    case M::ChangeRelayName:
      return of_text("name");
    case M::ChangeRelayDescription:
      return of_text("description");
    case M::ChangeRelayIcon:
      return of_text("icon");
    case M::AllowKind:
      return allow_kind(call);
    case M::DisallowKind: {
      const auto kind = kind_param(call);
      if (!kind) return wrong(kWantsKind);
      if (lists->allowed_kinds->contains(*kind) && lists->allowed_kinds->size() == 1) {
        return failure(std::string(
            "it is the only kind allowed: without it the list would be empty, and all be taken"));
      }
      return change({{L::DisallowedKinds, item_of(*kind), ""},
                     {L::AllowedKinds, item_of(*kind), std::nullopt}});
    }
    case M::ListAllowedKinds:
      return list_kinds(true);
    case M::ListDisallowedKinds:
      return list_kinds(false);
    case M::BlockIp:
      return of_address(true);
    case M::UnblockIp:
      return of_address(false);
    case M::ListBlockedIps:
      return list_blocked();
    case M::AssignMethod:
    case M::UnassignMethod:
      return assign(call);
    case M::ListMethodAssignees:
      return list_assignees();
    case M::CreateRole:
    case M::EditRole:
      return set_role(call);
    case M::DeleteRole:
      return delete_role(call);
    case M::AssignRole:
    case M::UnassignRole:
      return assign_role(call);
    case M::Figures:
      return relay_.figures_json();
    case M::Events:
      return find_events(call);
    case M::Settings:
      return relay_.settings_json();
  }
  return failure(std::string("unknown method"));
}

Management::Answer Management::change(std::vector<ModerationChange> changes) {
  if (auto changed = relay_.change_lists(changes); !changed) {
    log(LogLevel::Error, "moderation: {}", public_text(changed.error()));
    return failure(std::move(changed.error()));
  }
  return std::string("true");
}

Management::Answer Management::erase(const Filter& filter) {
  const auto erased = relay_.erase_events(filter);
  // The ban stands: nothing new comes, and to ban again tries again.
  if (!erased) return failure("banned, but not all was removed: " + erased.error());
  log(LogLevel::Info, "moderation: {} stored events removed", *erased);
  return std::string("true");
}

Management::Answer Management::ban_key(const ManagementCall& call) {
  const auto key = id_param<PublicKey>(call);
  const auto reason = reason_param(call, 1);
  if (!key || !reason) return wrong(kWantsKey);
  const AdminRules rules = relay_.present_config().admin_rules();
  if (rules.is_operator(*key)) return failure(std::string("this key is the operator's"));
  const std::string item = item_of(*key);
  auto changed = change({{ModerationList::BannedKeys, item, *reason},
                         {ModerationList::AllowedKeys, item, std::nullopt}});
  if (!changed || !rules.ban_deletes) return changed;
  Filter filter;
  filter.authors = {*key};
  return erase(filter);
}

Management::Answer Management::ban_event(const ManagementCall& call) {
  const auto id = id_param<EventId>(call);
  const auto reason = reason_param(call, 1);
  if (!id || !reason) return wrong(kWantsId);
  const std::string item = item_of(*id);
  auto changed = change({{ModerationList::BannedEvents, item, *reason},
                         {ModerationList::AllowedEvents, item, std::nullopt}});
  if (!changed) return changed;
  Filter filter;
  filter.ids = {*id};
  return erase(filter);
}

// A kind that was disallowed is as it was before; else it is one of those that are taken alone.
Management::Answer Management::allow_kind(const ManagementCall& call) {
  const auto kind = kind_param(call);
  if (!kind) return wrong(kWantsKind);
  if (relay_.present_config().admission_rules().blocked_kinds.contains(*kind)) {
    return failure(fmt::format("{} blocks this kind: change it there", kFromFile));
  }
  if (moderation_.lists()->disallowed_kinds->contains(*kind)) {
    return change({{ModerationList::DisallowedKinds, item_of(*kind), std::nullopt}});
  }
  return change({{ModerationList::AllowedKinds, item_of(*kind), ""}});
}

Management::Answer Management::assign(const ManagementCall& call) {
  const auto key = id_param<PublicKey>(call);
  const auto name = text_param(call, 1);
  const auto method = name ? management_method(*name) : std::nullopt;
  if (!key || !method) return wrong("a public key of 64 hex characters, and a method's name");
  const auto answer = [](bool done, std::string_view text) {
    JsonWriter w;
    w.begin_array().boolean(done).string(text).end_array();
    return std::move(w).take();
  };
  if (!is_assignable(*method)) return answer(false, "this method can't be assigned");
  const bool assigns = call.method == ManagementMethod::AssignMethod;
  const auto changed = change({{ModerationList::Methods, item_of(*key, *name),
                                assigns ? std::optional<std::string>("") : std::nullopt}});
  if (!changed) return answer(false, changed.error());
  return answer(true, assigns ? "assigned" : "not assigned");
}

Management::Answer Management::list_keys(bool banned) const {
  const auto lists = moderation_.lists();
  const AdmissionRules rules = relay_.present_config().admission_rules();
  ModerationLists::Reasons<PublicKey> all = banned ? *lists->banned_keys : *lists->allowed_keys;
  for (const PublicKey& key : banned ? rules.blocked_authors : rules.allowed_authors) {
    all.insert_or_assign(key, std::string(kFromFile));
  }
  return rows_of(all, "pubkey");
}

Management::Answer Management::list_kinds(bool allowed) const {
  const auto lists = moderation_.lists();
  std::set<std::uint32_t> kinds = allowed ? *lists->allowed_kinds : *lists->disallowed_kinds;
  if (!allowed) {
    for (const std::uint32_t kind : relay_.present_config().admission_rules().blocked_kinds) {
      kinds.insert(kind);
    }
  }
  JsonWriter w;
  w.begin_array();
  for (const std::uint32_t kind : kinds) w.integer(kind);
  w.end_array();
  return std::move(w).take();
}

Management::Answer Management::list_methods(const PublicKey& caller) const {
  JsonWriter w;
  w.begin_array();
  for (std::size_t i = 0; i < kManagementMethodCount; ++i) {
    const auto method = static_cast<ManagementMethod>(i);
    if (may_call(caller, method)) w.string(name_of(method));
  }
  w.end_array();
  return std::move(w).take();
}

Management::Answer Management::list_assignees() const {
  JsonWriter w;
  w.begin_array();
  const auto lists = moderation_.lists();
  for (const auto& [key, methods] : *lists->methods) {
    w.begin_object().key("pubkey").string(encode_hex(key)).key("methods").begin_array();
    for (const auto& method : methods) w.string(method);
    w.end_array().end_object();
  }
  w.end_array();
  return std::move(w).take();
}

Management::Answer Management::list_blocked() const {
  JsonWriter w;
  w.begin_array();
  const auto lists = moderation_.lists();
  for (const auto& [bits, blocks] : lists->blocked->by_bits()) {
    for (const auto& [first, reason] : blocks) {
      put_row(w, "ip", AddressBlock{first, bits}.text(), reason);
    }
  }
  w.end_array();
  return std::move(w).take();
}

// Reported, still here, and not decided.
Management::Answer Management::needing_moderation() {
  Filter reports;
  reports.kinds = {kReport};
  const auto found = relay_.find_events(reports, kReportsMax);
  if (!found) return failure(found.error());
  const auto lists = moderation_.lists();
  std::map<EventId, std::string> reasons;
  for (const Event& report : *found) {
    for (const Tags::View tag : report.tags) {
      const auto id =
          tag.name() == "e" && tag.value() ? from_hex<EventId>(*tag.value()) : std::nullopt;
      if (!id || lists->allowed_events->contains(*id)) continue;
      if (reasons.size() < kReportsMax) reasons.try_emplace(*id, reason_of(report, tag));
    }
  }
  JsonWriter w;
  w.begin_array();
  if (!reasons.empty()) {
    Filter here;
    here.ids.emplace();
    for (const auto& [id, reason] : reasons) here.ids->push_back(id);
    const auto stored = relay_.find_events(here, kReportsMax);
    if (!stored) return failure(stored.error());
    for (const Event& event : *stored) {
      put_row(w, "id", encode_hex(event.id), reasons.at(event.id));
    }
  }
  w.end_array();
  return std::move(w).take();
}

Management::Answer Management::find_events(const ManagementCall& call) {
  if (call.params.size() != 1 || !call.params[0].is_object()) return wrong("one filter (NIP-01)");
  auto filter = parse_filter(call.params[0].dump());
  if (!filter) return wrong(to_string(filter.error()));
  const auto found = relay_.find_events(*filter, kFoundMax);
  if (!found) return failure(found.error());
  JsonWriter w;
  w.begin_array();
  for (const Event& event : *found) w.raw(to_json(event));
  w.end_array();
  return std::move(w).take();
}

}  // namespace nostril::relay
