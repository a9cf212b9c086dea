#pragma once

#include "events/filter.h"
#include "relay/authentication.h"
#include "relay/hyperloglog.h"
#include "relay/negentropy_session.h"
#include "relay/session_id.h"
#include "relay/store/scan.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// The stored part of one REQ, COUNT or NEG-OPEN. It wanders between its session's loop and the
/// query workers; only `cancelled` may be touched by the loop while a worker has it.
struct Query {
  SessionId owner;
  std::uint64_t subscription_number = 0;
  std::string subscription;     ///< of a COUNT: the id to answer to
  std::string prefix;           ///< ["EVENT","sub",
  std::vector<Filter> filters;  ///< moved into `scan` by the first step
  std::size_t values = 0;       ///< of its filters
  /// Where private events may be among what is found: who asks. Nobody: all may be shown.
  std::shared_ptr<const Reader> reader;
  ScanOptions options;
  std::optional<Scan> scan;
  std::atomic<bool> cancelled{false};
  std::int64_t due_us = 0;  ///< its next step's (net::Server::due_us()): the earliest goes first
  /// COUNT: the events are counted, not shown.
  bool is_count = false;
  std::uint64_t count = 0;
  std::optional<HyperLogLog> authors;  ///< of what is counted, where the filters ask for it
  std::uint64_t visits = 0;            ///< index entries and records looked at so far
  std::int64_t worked_us = 0;          ///< that threads have spent on it
  /// NEG-OPEN: the events' times and ids are collected and compared, not shown.
  std::unique_ptr<NegentropyWork> negentropy;
};

/// Enough of an id to know an event again among those of one subscription. An author who makes two
/// events of his own meet here (2^32 hashes) loses one of them in one place.
using Fingerprint = std::uint64_t;
[[nodiscard]] Fingerprint fingerprint_of(const EventId& id);

/// What one step found: complete messages, end to end.
struct QueryStep {
  struct Row {
    Fingerprint event = 0;
    std::size_t end = 0;  ///< of its message in `text`
  };

  std::shared_ptr<Query> query;
  std::string text;
  std::vector<Row> rows;
  bool done = false;
  bool failed = false;     ///< the store could not be read
  bool is_behind = false;  ///< then: because it does not show yet all that it must (CommitGate)
  std::int64_t took_us = 0;
  StoredRest rest = StoredRest::Unknown;
  /// Commits announced when the step ended. The step may have seen one more: it was on disk and not
  /// announced yet.
  std::uint64_t commits_announced = 0;
};

}  // namespace nostril::relay
