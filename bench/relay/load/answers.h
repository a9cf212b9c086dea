#pragma once

#include "bench/relay/load/corpus.h"
#include "events/event.h"
#include "events/filter.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nostril::bench {

/// Eight bytes of an id: tells the events of a benchmark apart.
[[nodiscard]] std::uint64_t id_key(const EventId& id);

/// What must come back, or what came. Two answers with the same events in the same order are equal.
struct Answer {
  std::size_t count = 0;
  std::uint64_t sum = 0;    ///< of the keys: the same events in any order
  std::uint64_t order = 0;  ///< depends on the order too

  void add(std::uint64_t key);

  [[nodiscard]] bool same_events(const Answer& other) const {
    return count == other.count && sum == other.sum;
  }

  [[nodiscard]] bool same_order(const Answer& other) const { return order == other.order; }
};

/// Says what a relay that holds exactly the corpus must answer. Walks the shortest list of
/// candidates among ids, authors and tag values; Filter::matches() decides.
class Answers {
 public:
  /// `events` oldest first, no two of one second; borrowed.
  explicit Answers(const std::vector<Event>& events);

  /// Indexes of the matching events, newest first, at most filter.limit. `filter` normalized.
  [[nodiscard]] std::vector<std::size_t> matching(const Filter& filter) const;
  [[nodiscard]] Answer answer(const Filter& filter) const;

  /// All events of an author / naming a tag value, oldest first; empty for a stranger.
  [[nodiscard]] const std::vector<std::uint32_t>& of_author(const PublicKey& author) const;
  [[nodiscard]] const std::vector<std::uint32_t>& of_tag(char name, std::string_view value) const;

 private:
  using List = std::vector<std::uint32_t>;

  [[nodiscard]] std::vector<std::size_t> candidates(const Filter& filter) const;

  const std::vector<Event>& events_;
  std::unordered_map<EventId, std::uint32_t, FixedBytesHash> by_id_;
  std::unordered_map<PublicKey, List, FixedBytesHash> by_author_;
  std::unordered_map<std::string, List> by_tag_;  // the letter, then the value
};

}  // namespace nostril::bench
