#pragma once

#include "base/clock.h"
#include "events/messages.h"
#include "events/negentropy.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace nostril::relay {

/// Which events move.
enum class SyncDirection : std::uint8_t { Down, Up, Both };

[[nodiscard]] std::optional<SyncDirection> sync_direction_from(std::string_view text);

enum class SyncEnd : std::uint8_t {
  Done,          ///< all was compared, and what could move has moved
  Refused,       ///< the other side said no, or nonsense
  NoNegentropy,  ///< it does not know NIP-77
  TimedOut,      ///< it fell silent
};

struct SyncOptions {
  Filter filter;
  SyncDirection direction = SyncDirection::Down;
  std::string subscription = "sync";
  std::size_t frame_bytes_max = 32 << 10;  ///< of one question before hex: twice that on the wire
  std::int64_t answer_ms_max = 30'000;     ///< without a word that helps
  std::size_t rounds_max = 20'000;
  std::size_t events_max = 2'000'000;  ///< that the other side may say to have, 48 bytes each
  std::size_t batch_events = 100;      ///< asked for at a time; relays have limits
  std::size_t batches_max = 2;
  std::size_t unanswered_max = 100;  ///< sent and not answered
};

struct SyncCounts {
  std::uint64_t rounds = 0;
  std::uint64_t bytes_out = 0;  ///< of questions, before hex
  std::uint64_t bytes_in = 0;
  std::uint64_t have = 0;      ///< that the other side lacks
  std::uint64_t need = 0;      ///< that this side lacks
  std::uint64_t received = 0;  ///< of those needed
  std::uint64_t missing = 0;   ///< needed, and then not given
  std::uint64_t withheld = 0;  ///< not for others, or gone meanwhile
  std::uint64_t accepted = 0;  ///< sent and taken, or there already
  std::uint64_t refused = 0;   ///< sent and not taken
};

/// What a run needs of both its sides. Threads: the run's.
class SyncHost {
 public:
  virtual ~SyncHost() = default;
  SyncHost(const SyncHost&) = delete;
  SyncHost& operator=(const SyncHost&) = delete;
  SyncHost(SyncHost&&) = delete;
  SyncHost& operator=(SyncHost&&) = delete;

  /// To the other side.
  virtual void send(std::string_view text) = 0;
  /// Whether more events may be asked for or sent: neither queue is long.
  [[nodiscard]] virtual bool has_room() const = 0;
  /// Something that this side lacked; its signature has not been checked.
  virtual void take(UnverifiedEvent&& event) = 0;
  /// The JSON of one of ours; nothing when it is gone or not for others.
  [[nodiscard]] virtual std::optional<std::string> event_json(const EventId& id) = 0;

 protected:
  SyncHost() = default;
};

/// One reconciliation with another relay (NIP-77, the asking side), and what it shows to be missing
/// is fetched and sent while it goes on. It keeps no state anywhere: broken off and begun again, it
/// finds what is left. Knows messages, no socket.
///
/// Everything that the other side says is bounded and checked; events are only taken when they
/// were asked for. Threads: one. Memory: the set, and 48 bytes a difference.
class SyncRun {
 public:
  /// `set`: what this side has of the filter's events. Host and clock outlive this.
  SyncRun(SyncHost& host, const Clock& clock, negentropy::Set set, SyncOptions options);

  SyncRun(const SyncRun&) = delete;
  SyncRun& operator=(const SyncRun&) = delete;
  SyncRun(SyncRun&&) = delete;
  SyncRun& operator=(SyncRun&&) = delete;
  ~SyncRun() = default;

  void start();
  /// False: the message is not the run's, and untouched.
  bool on_message(RelayMessage& message);
  /// Now and then: time-outs, and what had no room.
  void tick();

  /// Set once it is over.
  [[nodiscard]] const std::optional<SyncEnd>& end() const { return end_; }

  /// What the other side said last, where it matters.
  [[nodiscard]] const std::string& reason() const { return reason_; }

  [[nodiscard]] const SyncCounts& counts() const { return counts_; }

  /// How many events are to move and have not.
  [[nodiscard]] std::size_t left() const;

 private:
  using Ids = std::unordered_set<EventId, FixedBytesHash>;

  bool on(relay_message::NegentropyMessage& message);
  bool on(relay_message::NegentropyError& message);
  bool on(relay_message::EventFound& message);
  bool on(relay_message::EndOfStored& message);
  bool on(relay_message::Closed& message);
  bool on(relay_message::Notice& message);
  bool on(relay_message::Ok& message);

  template <typename Other>
  bool on(Other& /*message*/) {
    return false;
  }

  void add(const negentropy::Differences& found);
  void advance();
  void fetch();
  void send_events();
  void finish_batch(std::map<std::string, Ids, std::less<>>::iterator batch);
  void progress();
  void finish(SyncEnd end, std::string reason);

  SyncHost& host_;
  const Clock& clock_;
  const negentropy::Set set_;
  const SyncOptions options_;
  negentropy::Asker asker_;
  SyncCounts counts_;
  std::optional<SyncEnd> end_;
  std::string reason_;
  bool is_comparing_ = false;
  bool is_understood_ = false;  // a first answer has come
  std::int64_t progress_ms_ = 0;
  std::int64_t send_after_ms_ = 0;  // the other side wants a pause
  std::uint64_t next_batch_ = 1;
  Ids named_;  // each difference once
  std::deque<EventId> to_fetch_;
  std::map<std::string, Ids, std::less<>> batches_;  // asked for, by subscription
  std::deque<EventId> to_send_;
  Ids unanswered_;
};

}  // namespace nostril::relay
