#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "relay/credits.h"
#include "relay/plugin_protocol.h"
#include "relay/session_id.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace nostril::relay {

/// A write-policy plugin: any program that speaks plugin_protocol.h on its standard input and
/// output.
struct PluginOptions {
  std::vector<std::string> command;  ///< program and arguments; no shell
  std::int64_t processes = 1;        ///< of it; events are dealt out
  /// Handed to one process and not answered. A plugin that reads its input line by line is given
  /// the next ones early, which costs it nothing.
  std::int64_t in_flight_max = 1'000;
  /// How long the oldest unanswered event of a process may stay so, from when it became the oldest.
  /// So a plugin that takes one after the other has this time for each.
  std::int64_t timeout_ms = 5'000;
  bool accepts_on_failure = false;  ///< where there is no answer; else it is refused
  bool judges_ephemeral = true;
};

/// What a plugin did. Written by the chain's thread, read by any.
struct PluginMetrics {
  Counter accepted;
  Counter rejected;
  Counter shadow_rejected;
  Counter failed;                           ///< events without an answer
  Counter bad_lines;                        ///< of its output
  Counter starts;                           ///< of its processes
  std::atomic<std::uint64_t> waiting{0};    ///< for a process
  std::atomic<std::uint64_t> in_flight{0};  ///< handed to one
};

/// An event whose signature has passed, on its way through the plugins.
struct JudgedEvent {
  VerifiedEvent event;
  SessionId origin;
  Credit credit;
  std::shared_ptr<const EventSource> source;  ///< nothing: Import
};

struct Verdict {
  PluginAction action = PluginAction::Accept;
  std::string message;  ///< for OK
};

/// The plugins in their order: an event must please all. One thread writes to, reads from and looks
/// after all their processes; nobody waits for it. Answers are matched by id, in any order. A
/// process that dies or answers nothing in time is killed and started again, each time later (100
/// ms, up to 30 s, until it answers); what it was given has then no answer. When a file that the
/// command names changes, its processes are replaced, and the new ones are asked what the old ones
/// had not answered.
///
/// Bounded by the credits of the events: `queue_max` of them are enough. Threads: judge() from any;
/// `on_verdict` is called on the chain's thread and must be quick.
class PluginChain {
 public:
  using Handler = std::function<void(JudgedEvent&&, Verdict&&)>;

  /// `clock` outlives the chain.
  PluginChain(std::vector<PluginOptions> plugins, std::size_t queue_max, const Clock& clock,
              Handler on_verdict);
  /// Stops.
  ~PluginChain();
  PluginChain(const PluginChain&) = delete;
  PluginChain& operator=(const PluginChain&) = delete;
  PluginChain(PluginChain&&) = delete;
  PluginChain& operator=(PluginChain&&) = delete;

  /// Some plugin wants to see it.
  [[nodiscard]] bool judges(const Event& event) const;
  /// A verdict will come, at the latest when it stops. CHECKs that there is room.
  void judge(JudgedEvent&& event);

  /// Waits for what is under way, ten seconds at most; what is left then has no answer. Ends the
  /// processes and the thread.
  void stop();

  [[nodiscard]] const std::vector<std::unique_ptr<PluginMetrics>>& metrics() const {
    return metrics_;
  }

 private:
  class Plugin;
  class Runner;

  void wake() const;

  const bool judges_ephemeral_;
  std::vector<std::unique_ptr<PluginMetrics>> metrics_;
  UniqueFd wake_read_;
  UniqueFd wake_write_;
  Mailbox<JudgedEvent> inbox_;
  std::atomic<bool> is_stopping_{false};
  std::unique_ptr<Runner> runner_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
