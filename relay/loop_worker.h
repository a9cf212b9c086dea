#pragma once

#include "base/log_limit.h"
#include "base/mailbox.h"
#include "net/loop.h"
#include "net/server.h"
#include "relay/admin_desk.h"
#include "relay/deliveries.h"
#include "relay/guard.h"
#include "relay/heartbeat.h"
#include "relay/http_face.h"
#include "relay/ingest.h"
#include "relay/live_settings.h"
#include "relay/metrics.h"
#include "relay/query_pool.h"
#include "relay/service_gate.h"
#include "relay/session.h"
#include "relay/subscription_index.h"
#include "relay/talkers.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace nostril::relay {

struct AddressHash {
  std::size_t operator()(const net::PeerAddress& peer) const {
    return std::hash<std::string_view>()(
        {reinterpret_cast<const char*>(peer.ip.data()), peer.ip.size()});
  }
};

/// What all loops of a relay share; outlives them.
struct LoopShared {
  Ingest& ingest;
  QueryPool& queries;
  AdminDesk& admin;
  const Clock& clock;
  const SubscriptionHash& hash;
  Guard& guard;
  const Membership* membership = nullptr;  ///< none: a relay without members
  std::size_t mail_max = 0;                ///< more than can be under way
  std::size_t cache_bytes = 0;             ///< of each loop, for events shown lately
  Heartbeat& heartbeat;
  const ServiceGate& gate;
  Interest* interest = nullptr;  ///< of the cluster, where there is one
};

using AddressTalkers = TopTalkers<net::PeerAddress, AddressHash>;

/// One loop thread with its share of the connections, their sessions and the index of their
/// subscriptions.
/// Threads: constructor, destructor and start() from one; mail(), wants(), stop_reading(),
/// finish() and the counters from any; the rest is the loop's own.
class LoopWorker final : private net::ServerHandler, private SessionHost {
 public:
  /// Binds and listens; throws std::runtime_error.
  LoopWorker(std::uint32_t index, const LoopShared& shared, const LiveSettings& settings,
             const net::ListenConfig& listen);
  ~LoopWorker() override;
  LoopWorker(const LoopWorker&) = delete;
  LoopWorker& operator=(const LoopWorker&) = delete;
  LoopWorker(LoopWorker&&) = delete;
  LoopWorker& operator=(LoopWorker&&) = delete;

  /// Before start().
  void use(const LiveSettings& settings) { apply(settings); }

  void start();
  void mail(LoopMail&& mail);

  /// See SubscriptionIndex.
  [[nodiscard]] bool wants(const Event& event, std::span<const SubscriptionIndex::Key> keys) const {
    return subscriptions_.wants(event, keys);
  }

  /// No new connections, nothing more read; what is under way is still answered. `for_restart`:
  /// handshakes of connections that are there already are completed, too.
  void stop_reading(bool for_restart);
  /// Goes by these from its next turn on, and then calls `done` on its thread. False: it can't.
  [[nodiscard]] bool take(std::shared_ptr<const LiveSettings> settings, std::function<void()> done);
  /// Closes all connections and ends the thread, at the latest after `wait_ms_max`. Those whose
  /// first request is on its way have `grace_ms_max` of that.
  void finish(std::uint64_t wait_ms_max, std::uint64_t grace_ms_max, std::string_view reason,
              std::uint16_t code);
  void join();

  [[nodiscard]] std::uint16_t port() const { return server_.local_port(); }

  /// Before start().
  [[nodiscard]] std::vector<UniqueFd> duplicate_listeners() const {
    return server_.duplicate_listeners();
  }

  /// Messages by address.
  [[nodiscard]] AddressTalkers& talkers() { return talkers_; }

  [[nodiscard]] const LoopMetrics& metrics() const { return metrics_; }

  [[nodiscard]] const VerifierMetrics& verifier_metrics() const { return verifier_.metrics; }

  [[nodiscard]] const net::ServerCounters& server_counters() const { return server_.counters(); }

  [[nodiscard]] std::size_t mail_queued() const { return inbox_.size(); }

 private:
  // net::ServerHandler
  bool accept_connection(const net::PeerAddress& peer) override;
  void connection_closed(const net::PeerAddress& peer) override;
  void on_error(const net::PeerAddress& peer, net::ServerError error) override;
  void on_http(net::ConnectionId id, const net::HttpRequest& request) override;
  [[nodiscard]] bool is_blocked(const net::PeerAddress& peer,
                                const net::HttpRequest& request) const;
  std::optional<net::HttpResponse> refuse_websocket(const net::PeerAddress& peer,
                                                    const net::HttpRequest& request) override;
  void on_ws_open(net::ConnectionId id, const net::PeerAddress& peer,
                  const net::HttpRequest& request) override;
  void on_ws_text(net::ConnectionId id, std::string_view message) override;
  void on_ws_binary(net::ConnectionId id, std::string_view message) override;
  void on_ws_control(net::ConnectionId id, std::size_t bytes) override;
  void on_ws_small_fragments(net::ConnectionId id, std::size_t count) override;
  void on_ws_close(net::ConnectionId id) override;
  void on_drained(net::ConnectionId id) override;

  // SessionHost
  void send(net::ConnectionId to, std::string_view message) override;
  void send_event(net::ConnectionId to, std::string_view prefix,
                  std::shared_ptr<const std::string> json) override;
  [[nodiscard]] std::size_t pending_bytes(net::ConnectionId of) const override;
  void pause_reading(net::ConnectionId of) override;
  void resume_reading(net::ConnectionId of) override;
  void retry_later(net::ConnectionId of) override;
  void rest(net::ConnectionId of, std::int64_t ms) override;
  [[nodiscard]] Offer offer(UnverifiedEvent& event, net::ConnectionId origin) override;
  [[nodiscard]] bool start_step(std::shared_ptr<Query>& query) override;
  [[nodiscard]] bool ask_membership(UnverifiedEvent&& request, net::ConnectionId origin) override;
  [[nodiscard]] std::optional<QueryStep> step_now(const std::shared_ptr<Query>& query) override;

  void manage(net::ConnectionId id, const net::HttpRequest& request);
  void apply(const LiveSettings& settings);
  void drop_blocked();
  void wake();
  void end_turn();
  void on(std::shared_ptr<const Committed>&& committed);
  void on(std::shared_ptr<const Ephemeral>&& ephemeral);
  void on(Answer&& answer);
  void on(QueryStep&& step);
  void retry();
  [[nodiscard]] bool has_waited_for_disk();
  void each_second();
  Session* find(net::ConnectionId id);

  const std::uint32_t index_;
  const LoopShared& shared_;
  LoopMetrics metrics_;
  // Before loop_: that one's destructor makes a few more turns, and what it then runs must see
  // this.
  bool is_over_ = false;
  net::Loop loop_;
  // Before server_: its own hook then writes what this one sends.
  const net::HookId turn_end_;
  LoopVerifier verifier_;
  SubscriptionIndex subscriptions_;
  LiveSettings settings_;
  SessionContext context_;
  AddressTalkers talkers_;
  std::array<LogLimit, static_cast<std::size_t>(net::ServerError::Count)> error_lines_;
  Mailbox<LoopMail> inbox_;
  ClientAccount upgrading_;  // from refuse_websocket() to the on_ws_open() that follows at once
  std::unordered_map<net::ConnectionId, std::unique_ptr<Session>> sessions_;
  std::vector<net::ConnectionId> retries_;
  net::TimerId retry_timer_ = net::TimerId::None;
  std::array<std::int64_t, 2> us_here_{};    // that steps of queries have taken in this turn
  std::int64_t store_is_slow_until_ms_ = 0;  // on shared_.clock's monotonic scale; 0: it is not
  std::int64_t disk_waits_ = 0;              // of this thread, when last asked
  bool is_stopping_ = false;
  bool takes_handshakes_ = true;  // while it is stopping, too
  bool is_closing_ = false;
  std::uint64_t forgot_after_ = 0;  // queries: none done since, so no session remembers anything
  std::uint64_t close_by_ms_ = 0;
  std::uint64_t finish_by_ms_ = 0;
  EventCache events_shown_;
  net::Server server_;
  std::thread thread_;
};

}  // namespace nostril::relay
