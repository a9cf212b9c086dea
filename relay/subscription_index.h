#pragma once

#include "base/rng.h"
#include "events/filter.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nostril::relay {

/// What the index holds of a subscription. Derive from it; its filters must not change, and it must
/// not move, while it is in an index.
struct IndexedSubscription {
  std::vector<Filter> filters;
  std::uint64_t visited = 0;  ///< the index's own: the last search that met it
};

/// Which subscriptions want this event? Each filter is filed under the values of one of its
/// members, the one with the fewest (ids, authors, kinds, or one tag); an event looks up its own
/// id, author, kind and tags, and the candidates are then compared exactly. Filters without any
/// such member are candidates always. Files by a keyed hash of 64 bits: a collision costs a
/// comparison, and nobody outside can make one.
///
/// Threads: one. Memory: about 50 bytes for each value filed.
class SubscriptionIndex {
 public:
  explicit SubscriptionIndex(Rng& rng);

  void add(IndexedSubscription& subscription);
  void remove(IndexedSubscription& subscription);

  /// Calls visit(IndexedSubscription&) once for each subscription with a filter that matches. The
  /// visit may not add or remove.
  template <typename Visit>
  void match(const Event& event, Visit visit) {
    ++search_;
    gather(event);
    for (const std::vector<Entry>* entries : found_) {
      for (const Entry& entry : *entries) {
        if (entry.subscription->visited == search_ || !entry.filter->matches(event)) continue;
        entry.subscription->visited = search_;
        visit(*entry.subscription);
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return subscriptions_; }

 private:
  enum class Member : std::uint8_t { Id, Author, Kind, Tag };

  struct Entry {
    IndexedSubscription* subscription;
    const Filter* filter;
  };

  struct AsIs {
    std::size_t operator()(std::uint64_t hash) const { return hash; }
  };

  [[nodiscard]] std::uint64_t hash(Member member, char tag, std::string_view bytes) const;
  [[nodiscard]] std::uint64_t hash_kind(std::uint32_t kind) const;
  // Calls file(key) for each value the filter is filed under; false when there is no such member.
  template <typename File>
  bool for_each_key(const Filter& filter, File file) const;
  void gather(const Event& event);
  void gather(std::uint64_t key);

  std::array<std::uint64_t, 3> secret_{};
  std::unordered_map<std::uint64_t, std::vector<Entry>, AsIs> filed_;
  std::vector<Entry> always_;
  std::vector<const std::vector<Entry>*> found_;  // of the present search
  std::uint64_t search_ = 0;
  std::size_t subscriptions_ = 0;
};

}  // namespace nostril::relay
