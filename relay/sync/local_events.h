#pragma once

#include "base/result.h"
#include "events/filter.h"
#include "events/negentropy.h"
#include "relay/authentication.h"
#include "relay/store/scan.h"
#include "relay/store/store.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nostril::relay {

/// What this side has of a filter's events, collected in short steps.
class SetScan {
 public:
  SetScan(Store& store, const Filter& filter, std::int64_t now_s);

  /// True: that was all. An error is the disk's.
  [[nodiscard]] Result<bool, StoreError> step();
  [[nodiscard]] negentropy::Set take();

  [[nodiscard]] std::size_t count() const { return items_.size(); }

 private:
  Store& store_;
  Scan scan_;
  std::vector<negentropy::Item> items_;
};

/// Which of this relay's events may be sent to another one: none that only its author may publish
/// (NIP-70), and of private kinds (direct messages, gift wraps) those alone that the operator's
/// filter names.
class MaySend {
 public:
  MaySend(const AuthRules& rules, const Filter& filter);

  [[nodiscard]] bool operator()(const Event& event) const;

 private:
  std::vector<std::uint32_t> withheld_kinds_;  // sorted
};

/// The JSON of a stored event that may be sent.
[[nodiscard]] std::optional<std::string> sendable_json(Store& store, const EventId& id,
                                                       const MaySend& may_send,
                                                       const EventLimits& limits);

}  // namespace nostril::relay
