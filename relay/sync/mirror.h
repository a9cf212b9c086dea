#pragma once

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/metrics_text.h"
#include "base/rng.h"
#include "net/loop.h"
#include "net/url.h"
#include "relay/admission.h"
#include "relay/authentication.h"
#include "relay/deliveries.h"
#include "relay/guard.h"
#include "relay/ingest.h"
#include "relay/sync/sync_run.h"
#include "schnorr/keys.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace nostril::relay {

/// One other relay that this one exchanges events with all the time.
struct MirrorOptions {
  net::Url url;
  SyncDirection direction = SyncDirection::Down;
  Filter filter;
  std::int64_t sync_every_s = 3'600;   ///< between two reconciliations (NIP-77); 0: none
  std::string ca_path;                 ///< PEM file of roots for wss; empty: the system's
  std::shared_ptr<const Keypair> key;  ///< to show where it asks (NIP-42); or nothing
};

/// What the parts of a relay are to its mirrors; outlives them.
struct MirrorContext {
  Store& store;
  Ingest& ingest;
  std::function<Admission()> admission;  ///< as it is now
  AuthRules auth;
  MessageLimits limits;
  Guard& guard;
  const Clock& clock;
};

class MirrorStream;

/// The streams to other relays. Down: a live subscription there, whose events go the way of any
/// client's (admission, signature, store). Up: what is committed here is published there. When a
/// connection comes about, and each `sync_every_s`, a reconciliation finds what both missed; so
/// nothing needs to be remembered over a restart. A lost connection is made again, later and later.
///
/// An event goes round no circle: what came from a relay is not sent back to it, and what is stored
/// already is not committed again. Ephemeral events are not mirrored: nothing stops those.
///
/// Threads: one of its own for all streams. committed() from the writer's, answer() from any.
/// Memory: a set (42 bytes an event) while a reconciliation runs, and bounded queues.
class Mirror {
 public:
  Mirror(const std::vector<MirrorOptions>& streams, const MirrorContext& context);
  ~Mirror();
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;
  Mirror(Mirror&&) = delete;
  Mirror& operator=(Mirror&&) = delete;

  void start();
  void stop();

  /// New events, and what became of those that were offered. Quick.
  void committed(const CommittedBatch& batch);
  /// An event that was offered and has a false signature.
  void answer(const Answer& answer);

  void write_metrics(MetricsText& out) const;

 private:
  void pass_on();

  // Before loop_: that one's destructor makes a few more turns.
  bool is_over_ = false;
  net::Loop loop_;
  Mailbox<std::shared_ptr<const CommittedEvent>> inbox_;
  std::atomic<std::uint64_t> dropped_{0};  // for want of room in inbox_
  std::vector<std::unique_ptr<MirrorStream>> streams_;
  std::thread thread_;
};

}  // namespace nostril::relay
