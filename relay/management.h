#pragma once

#include "base/json.h"
#include "base/metrics.h"
#include "base/result.h"
#include "events/event.h"
#include "events/filter.h"
#include "relay/config.h"
#include "relay/moderation.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// Of a relay's members; an announcement of them all is one event.
inline constexpr std::size_t kRolesMax = 100;
inline constexpr std::size_t kRolesOfAKeyMax = 8;

/// NIP-86's methods, and three of our own that the page at /admin shows figures with.
enum class ManagementMethod : std::uint8_t {
  SupportedMethods,
  BanPubkey,
  UnbanPubkey,
  ListBannedPubkeys,
  AllowPubkey,
  UnallowPubkey,
  ListAllowedPubkeys,
  BanEvent,
  UnbanEvent,
  AllowEvent,
  UnallowEvent,
  ListBannedEvents,
  ListAllowedEvents,
  ListEventsNeedingModeration,
  ChangeRelayName,
  ChangeRelayDescription,
  ChangeRelayIcon,
  AllowKind,
  DisallowKind,
  ListAllowedKinds,
  ListDisallowedKinds,
  BlockIp,
  UnblockIp,
  ListBlockedIps,
  AssignMethod,
  UnassignMethod,
  ListMethodAssignees,
  CreateRole,  ///< the five for roles: of a relay with members (NIP-43) only
  EditRole,
  DeleteRole,
  AssignRole,
  UnassignRole,
  Figures,  ///< "nostril_figures": what the relay does now, who talks most
  Events,   ///< "nostril_events": those that a filter finds, a hundred at most
  Settings  ///< "nostril_settings": the configuration, and what of it may change in a file
};
inline constexpr std::size_t kManagementMethodCount = 35;

[[nodiscard]] std::string_view name_of(ManagementMethod method);
/// It shows something and changes nothing.
[[nodiscard]] bool only_shows(ManagementMethod method);
[[nodiscard]] std::optional<ManagementMethod> management_method(std::string_view name);

enum class ManagementError : std::uint8_t { NotJson, BadForm, UnknownMethod };
std::string_view to_string(ManagementError error);

struct ManagementCall {
  ManagementMethod method = ManagementMethod::SupportedMethods;
  std::vector<Json> params;
};

/// `{"method": NAME, "params": [...]}`, strictly: nothing missing, and a few params at most.
[[nodiscard]] Result<ManagementCall, ManagementError> parse_management_call(std::string_view body);

/// What management needs of the relay around it. Calls may wait for the disk.
class ManagedRelay {
 public:
  /// All of it or nothing: on disk when it returns, and every loop, and the writer, go by it. In a
  /// cluster so do its other relays, at the same place between two events.
  [[nodiscard]] virtual Result<void, std::string> change_lists(
      std::span<const ModerationChange> changes) = 0;
  /// Removes what these filters find and what was acknowledged before the call; how many.
  [[nodiscard]] virtual Result<std::size_t, std::string> erase_events(const Filter& filter) = 0;
  /// Stored events, newest first.
  [[nodiscard]] virtual Result<std::vector<Event>, std::string> find_events(
      const Filter& filter, std::size_t count_max) = 0;
  /// JSON objects.
  [[nodiscard]] virtual std::string figures_json() = 0;
  [[nodiscard]] virtual std::string settings_json() = 0;
  /// The configuration as it holds now.
  [[nodiscard]] virtual RelayConfig present_config() = 0;

 protected:
  ManagedRelay() = default;
  ~ManagedRelay() = default;
};

/// The relay's side of NIP-86, for a caller who has shown who he is. A change is on disk and in
/// force when its answer is made. What the configuration file says stands: it can be seen here, and
/// only be changed there.
///
/// The operator's keys may call everything; keys to which he has assigned methods, those. To assign
/// methods can't be assigned.
/// Threads: one at a time.
class Management {
 public:
  Management(const Moderation& moderation, ManagedRelay& relay)
      : moderation_(moderation), relay_(relay) {}

  /// False: nothing at all may be called by this key.
  [[nodiscard]] bool knows(const PublicKey& caller) const;
  /// The body of the answer: {"result": …} or {"error": text}. `caller` is one that knows() knows.
  [[nodiscard]] std::string answer(const PublicKey& caller, std::string_view body);

  [[nodiscard]] std::uint64_t calls() const { return calls_.read(); }

  [[nodiscard]] std::uint64_t refusals() const { return refusals_.read(); }

 private:
  using Answer = Result<std::string, std::string>;  // JSON, or why not

  [[nodiscard]] bool may_call(const PublicKey& caller, ManagementMethod method) const;
  Answer call(const PublicKey& caller, const ManagementCall& call);
  Answer change(std::vector<ModerationChange> changes);
  Answer ban_key(const ManagementCall& call);
  Answer ban_event(const ManagementCall& call);
  Answer erase(const Filter& filter);
  Answer allow_kind(const ManagementCall& call);
  Answer assign(const ManagementCall& call);
  Answer set_role(const ManagementCall& call);
  Answer delete_role(const ManagementCall& call);
  Answer assign_role(const ManagementCall& call);
  [[nodiscard]] Answer list_keys(bool banned) const;
  [[nodiscard]] Answer list_kinds(bool allowed) const;
  [[nodiscard]] Answer list_methods(const PublicKey& caller) const;
  [[nodiscard]] Answer list_assignees() const;
  [[nodiscard]] Answer list_blocked() const;
  [[nodiscard]] Answer needing_moderation();
  [[nodiscard]] Answer find_events(const ManagementCall& call);

  const Moderation& moderation_;
  ManagedRelay& relay_;
  Counter calls_;
  Counter refusals_;
};

}  // namespace nostril::relay
