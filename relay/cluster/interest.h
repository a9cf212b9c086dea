#pragma once

#include "events/filter.h"
#include "relay/cluster/subjects.h"

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>

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

}  // namespace nostril::relay
