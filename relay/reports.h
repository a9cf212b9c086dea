#pragma once

#include "events/event.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace nostril::relay {

struct ReportRules {
  std::vector<PublicKey> moderators;
  std::size_t needed = 1;  ///< distinct moderators
};

/// What moderators report (NIP-56, kind 1984). Once `needed` of them have reported an event (a
/// report with its id in an `e` tag) it is refused, and erased where it was stored. Once `needed`
/// of them have reported a key (a report with a `p` tag and no `e` tag) its events are refused from
/// then on; those that are stored stay. Events of moderators are never refused. A report is taken
/// back by deleting it (NIP-09). Others' reports are events like any.
///
/// The state is that of the stored reports, no more: it is made anew of them at the start and after
/// a deletion. Memory: 100 bytes a reported event or key and moderator. Threads: any.
class Reports {
 public:
  explicit Reports(const ReportRules& rules)
      : moderators_(rules.moderators.begin(), rules.moderators.end()), needed_(rules.needed) {}

  [[nodiscard]] bool is_empty() const { return moderators_.empty(); }

  [[nodiscard]] const std::unordered_set<PublicKey, FixedBytesHash>& moderators() const {
    return moderators_;
  }

  /// A stored report of a moderator; others do nothing. The events that it makes refused.
  std::vector<EventId> add(const Event& report);

  // To make the state anew while reports go on coming: begin_again(), then the stored ones are
  // read, then start_with() them. What was added between the two counts as well.
  void begin_again();
  void start_with(std::span<const Event> stored);
  [[nodiscard]] bool is_refused(const Event& event) const;
  /// All of them that are named by enough reports.
  [[nodiscard]] std::vector<EventId> refused_events() const;

  /// A moderator's event that changes what is refused otherwise than by adding to it.
  [[nodiscard]] bool takes_back(const Event& event) const;

 private:
  using Moderators = std::set<PublicKey>;

  [[nodiscard]] bool counts(const Event& event) const;
  // With mutex_ held.
  std::vector<EventId> file(const Event& report);

  const std::unordered_set<PublicKey, FixedBytesHash> moderators_;
  const std::size_t needed_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::unordered_map<EventId, Moderators, FixedBytesHash> events_;
  std::unordered_map<PublicKey, Moderators, FixedBytesHash> keys_;
  std::vector<Event> added_since_;  // begin_again()
  bool is_beginning_again_ = false;
};

}  // namespace nostril::relay
