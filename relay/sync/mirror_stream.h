#pragma once

#include "net/loop.h"
#include "net/ws_client.h"
#include "relay/sync/local_events.h"
#include "relay/sync/mirror.h"
#include "relay/sync/relay_login.h"

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace nostril::relay {

/// Of one stream. Written by several threads, read by any.
struct MirrorMetrics {
  using Count = std::atomic<std::uint64_t>;

  Count connected{0};  ///< 1 or 0
  Count connections{0};
  Count received{0};  ///< events of the other side
  Count stored{0};    ///< of them, new here
  Count known{0};     ///< stored before, replaced or deleted here
  Count refused{0};   ///< by this relay's own rules, or with a false signature
  Count sent{0};      ///< live, and not counted below
  Count taken{0};     ///< by the other side
  Count not_taken{0};
  Count dropped{0};  ///< live events that found no room; the next reconciliation sends them
  Count syncs{0};    ///< reconciliations that came to an end
  Count syncs_failed{0};
  Count synced_at_s{0};
};

/// The last ids that came from the other side.
class RecentIds {
 public:
  void add(const EventId& id);

  [[nodiscard]] bool contains(const EventId& id) const { return ids_.contains(id); }

 private:
  std::unordered_set<EventId, FixedBytesHash> ids_;
  std::deque<EventId> order_;
};

/// One other relay: its connection, the live part, and reconciliations from time to time.
/// Threads: the mirror's loop; wants(), count() and metrics() from any.
class MirrorStream final : private SyncHost {
 public:
  MirrorStream(std::uint64_t index, const MirrorOptions& options, const MirrorContext& context,
               net::Loop& loop);
  ~MirrorStream() override;
  MirrorStream(const MirrorStream&) = delete;
  MirrorStream& operator=(const MirrorStream&) = delete;
  MirrorStream(MirrorStream&&) = delete;
  MirrorStream& operator=(MirrorStream&&) = delete;

  void start();

  /// Whether an event of this relay is to be sent.
  [[nodiscard]] bool wants(const Event& event) const;
  void send_live(const CommittedEvent& event);

  /// What became of an event that was offered.
  void count(PutResult result);

  void count_forged() { ++metrics_.refused; }

  [[nodiscard]] const MirrorMetrics& metrics() const { return metrics_; }

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  // SyncHost
  void send(std::string_view text) override;
  [[nodiscard]] bool has_room() const override;
  void take(UnverifiedEvent&& unverified) override;
  [[nodiscard]] std::optional<std::string> event_json(const EventId& id) override;

  void connect();
  void on_open();
  void begin();
  void on_challenge(std::string_view challenge);
  void on_login(const relay_message::Ok& ok, RelayLogin::Outcome outcome);
  void on_text(std::string_view text);
  void on_close(const net::WsCloseInfo& info);
  void subscribe();
  void offer_pending();
  void tick();
  void begin_sync();
  void scan_step();
  void look_for_end();
  void finish_sync(bool is_done, std::string_view why);

  const std::uint64_t index_;
  const MirrorOptions options_;
  const MirrorContext context_;
  const std::string name_;
  const std::shared_ptr<const EventSource> source_;  // as plugins hear of it
  const MaySend may_send_;
  MirrorMetrics metrics_;
  net::Loop& loop_;
  net::WsClient socket_;
  RelayLogin login_;
  bool has_begun_ = false;        // on this connection
  std::int64_t begin_by_ms_ = 0;  // whether it asks who we are or not
  std::int64_t reconnect_ms_ = 0;
  std::int64_t alive_s_ = 0;  // when the other side last said something
  RecentIds from_there_;
  std::deque<UnverifiedEvent> pending_;  // refused by a full queue; nothing is read meanwhile
  bool is_paused_ = false;
  // A reconciliation: first the scan, then the run.
  std::int64_t sync_due_ms_ = 0;
  std::int64_t sync_began_ms_ = 0;
  std::optional<SetScan> scan_;
  std::optional<SyncRun> run_;
  net::TimerId ticks_ = net::TimerId::None;
  net::TimerId reconnect_ = net::TimerId::None;
  net::TimerId scan_timer_ = net::TimerId::None;
};

}  // namespace nostril::relay
