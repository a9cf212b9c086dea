#pragma once

#include "events/filter.h"
#include "relay/cluster/subjects.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace nostril::relay {

/// Which ephemeral events of other relays this one's subscribers can match: the subjects of their
/// filters, by kind and by the shards of #p, counted. Beyond subjects_max the shards are left out,
/// then the kinds: more comes than is wanted, never less.
/// Threads: any.
class Interest {
 public:
  explicit Interest(const ClusterSubjects& subjects, std::size_t subjects_max = 4'096)
      : subjects_(subjects), subjects_max_(subjects_max) {}

  /// Of one subscription.
  void add(std::span<const Filter> filters);
  /// The same filters.
  void remove(std::span<const Filter> filters);

  /// Subjects to be subscribed to, where they are others than at the last call.
  [[nodiscard]] std::optional<std::set<std::string>> take_changes();

  /// Of one filter: what it can match of ephemeral kinds.
  [[nodiscard]] std::set<std::string> subjects_of(const Filter& filter) const;

 private:
  /// What a subject is made of; nothing: any.
  struct Part {
    std::optional<std::uint32_t> kind;
    std::optional<std::string> shard;
    auto operator<=>(const Part&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
  };

  [[nodiscard]] std::set<Part> parts_of(const Filter& filter) const;
  [[nodiscard]] std::string subject_of(const Part& part) const;

  const ClusterSubjects& subjects_;
  const std::size_t subjects_max_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<Part, std::size_t> counts_;
  bool is_changed_ = false;
};

/// What to subscribe to so that nothing is missed while that changes: what is new at once, what is
/// wanted no more for kLingerMs still. A subject that takes the place of others (e.g. of all kinds,
/// for the moment of one query) reaches the other servers a little later than those have gone.
/// Threads: one.
class Hearing {
 public:
  static constexpr std::int64_t kLingerMs = 2'000;
  static constexpr std::size_t kLingeringMax = 4'096;  ///< beyond it they end at once

  struct Changes {
    std::vector<std::string> subscribe;
    std::vector<std::string> unsubscribe;  ///< afterwards
  };

  /// From now on these are wanted.
  void want(const std::set<std::string>& subjects, std::int64_t now_ms);
  /// What is to be done now.
  [[nodiscard]] Changes take_changes(std::int64_t now_ms);

 private:
  static constexpr std::int64_t kWanted = INT64_MAX;

  std::map<std::string, std::int64_t> until_ms_;  // of what is heard: kWanted, or when it ends
  std::vector<std::string> new_;
  std::size_t lingering_ = 0;
};

}  // namespace nostril::relay
