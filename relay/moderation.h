#pragma once

#include "base/clock.h"
#include "base/lmdb.h"
#include "base/result.h"
#include "events/event.h"
#include "net/peer_address.h"
#include "relay/member_role.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril::relay {

/// Addresses that share a prefix. One address: all 128 bits.
struct AddressBlock {
  net::PeerAddress first;  ///< bits behind the prefix are zero
  unsigned bits = 128;     ///< of the IPv6 form, in which IPv4 begins at bit 96

  /// "192.0.2.7", "192.0.2.0/24", "2001:db8::/32". Nothing for any other text, nor for one that has
  /// bits behind its prefix: that is not what its writer meant.
  [[nodiscard]] static std::optional<AddressBlock> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  auto operator<=>(const AddressBlock&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

/// Addresses and blocks of them; a look-up costs one search for each length of prefix in use.
class AddressBlocks {
 public:
  using Reasons = std::map<net::PeerAddress, std::string>;

  void set(const AddressBlock& block, std::string reason);
  void erase(const AddressBlock& block);
  [[nodiscard]] bool contain(const net::PeerAddress& peer) const;

  [[nodiscard]] bool empty() const { return by_bits_.empty(); }

  [[nodiscard]] const std::map<unsigned, Reasons>& by_bits() const { return by_bits_; }

 private:
  std::map<unsigned, Reasons> by_bits_;
};

/// The lists by their number in the file: never renumbered.
enum class ModerationList : std::uint8_t {
  BannedKeys = 1,
  AllowedKeys = 2,
  BannedEvents = 3,
  AllowedEvents = 4,
  AllowedKinds = 5,
  DisallowedKinds = 6,
  BlockedAddresses = 7,
  Texts = 8,         ///< "name", "description", "icon" of the relay
  Methods = 9,       ///< key and method: who may call what beside the operator
  Roles = 10,        ///< of members (NIP-43), by their ids: relay/member_role.h
  MemberRoles = 11,  ///< key and role's id: who has it
};

/// What the operator has decided while the relay ran. Immutable once shared; a list that a change
/// does not touch is common to the states before and after it.
struct ModerationLists {
  template <typename Id>
  using Reasons = std::unordered_map<Id, std::string, FixedBytesHash>;
  template <typename T>
  using Shared = std::shared_ptr<const T>;

  Shared<Reasons<PublicKey>> banned_keys = std::make_shared<Reasons<PublicKey>>();
  Shared<Reasons<PublicKey>> allowed_keys = banned_keys;
  Shared<Reasons<EventId>> banned_events = std::make_shared<Reasons<EventId>>();
  Shared<Reasons<EventId>> allowed_events = banned_events;
  Shared<std::set<std::uint32_t>> allowed_kinds = std::make_shared<std::set<std::uint32_t>>();
  Shared<std::set<std::uint32_t>> disallowed_kinds = allowed_kinds;
  Shared<AddressBlocks> blocked = std::make_shared<AddressBlocks>();
  Shared<std::map<std::string, std::string>> texts =
      std::make_shared<std::map<std::string, std::string>>();
  using NamesOfKeys = std::map<PublicKey, std::set<std::string>>;
  Shared<NamesOfKeys> methods = std::make_shared<NamesOfKeys>();
  Shared<std::map<std::string, MemberRole>> roles =
      std::make_shared<std::map<std::string, MemberRole>>();
  Shared<NamesOfKeys> member_roles = methods;

  /// What was stored lawfully once and is not any more: asked again before an event is written,
  /// because a ban may have come while it was under way.
  [[nodiscard]] bool bans(const Event& event) const {
    return banned_keys->contains(event.pubkey) || banned_events->contains(event.id);
  }
};

/// One row of one list.
struct ModerationChange {
  ModerationList list = ModerationList::BannedKeys;
  std::string item;                 ///< its bytes in the file, see item_of()
  std::optional<std::string> text;  ///< the reason, or the text itself; nothing: out of the list

  bool operator==(const ModerationChange&) const = default;
};

[[nodiscard]] std::string item_of(const PublicKey& key);
[[nodiscard]] std::string item_of(const EventId& id);
[[nodiscard]] std::string item_of(std::uint32_t kind);
[[nodiscard]] std::string item_of(const AddressBlock& block);
[[nodiscard]] std::string item_of(const PublicKey& key, std::string_view method);

inline constexpr std::size_t kModerationRowsMax = 200'000;  ///< of all lists; about 200 bytes each
inline constexpr std::size_t kModerationTextBytesMax = 1'000;

/// The lists on disk, in an LMDB environment of their own beside the events. One table, "rows":
///
///   key    1 byte list, then the item:  keys and events 32 bytes | kinds u32 big-endian
///                                       blocks 16 bytes address, 1 byte bits | texts their name
///                                       methods 32 bytes key, then the name | roles their id
///                                       members' roles 32 bytes key, then the role's id
///   value  i64 big-endian: when, in Unix seconds; then the reason, or the text
///
/// Threads: apply() one at a time; the rest any.
class Moderation {
 public:
  /// The error is one clear line.
  [[nodiscard]] static Result<std::unique_ptr<Moderation>, std::string> open(
      const std::filesystem::path& folder);
  Moderation(const Moderation&) = delete;
  Moderation& operator=(const Moderation&) = delete;
  Moderation(Moderation&&) = delete;
  Moderation& operator=(Moderation&&) = delete;
  ~Moderation() = default;

  /// All of it or nothing: on disk and in lists() when it returns.
  [[nodiscard]] Result<void, std::string> apply(std::span<const ModerationChange> changes,
                                                std::int64_t now_s);

  /// A copy of the file, on disk when it returns, in the new or empty directory `folder`.
  [[nodiscard]] Result<void, std::string> copy_to(const std::filesystem::path& folder);

  [[nodiscard]] std::shared_ptr<const ModerationLists> lists() const {
    const std::lock_guard lock(mutex_);
    return lists_;
  }

  [[nodiscard]] std::size_t rows() const {
    const std::lock_guard lock(mutex_);
    return rows_;
  }

 private:
  Moderation(std::unique_ptr<lmdb::Env> env, lmdb::Dbi table)
      : env_(std::move(env)), table_(table) {}

  [[nodiscard]] Result<void, std::string> load();

  // Constant after construction.
  std::unique_ptr<lmdb::Env> env_;
  const lmdb::Dbi table_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const ModerationLists> lists_ = std::make_shared<const ModerationLists>();
  std::size_t rows_ = 0;
};

}  // namespace nostril::relay
