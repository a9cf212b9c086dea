#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "events/messages.h"
#include "net/loop.h"
#include "net/server.h"
#include "relay/config.h"
#include "relay/subscription_index.h"
#include "relay/work.h"

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace nostril::relay {

/// Counted by one loop, read by any thread (/metrics).
struct LoopCounters {
  Counter events_received;
  Counter events_refused;    ///< limits, duplicates, policy: before a signature was looked at
  Counter events_duplicate;  ///< of those, known ids
  Counter deliveries;
  Counter requests;
  Counter rows_sent;
  Counter pauses;  ///< times that a publisher was not read because a queue was full
  std::array<Counter, kParseErrorCount> parse_errors;
};

/// What a loop needs of the rest of the relay. Implemented by Relay; every call is thread-safe.
class RelayServices {
 public:
  virtual ~RelayServices() = default;
  /// False: the queue is full; `job` is untouched.
  [[nodiscard]] virtual bool submit_verify(VerifyJob&& job) = 0;
  [[nodiscard]] virtual bool submit_query(QueryTask&& task) = 0;
  [[nodiscard]] virtual bool is_stored(const EventId& id) = 0;
  [[nodiscard]] virtual std::unique_ptr<Scan> make_scan(std::vector<Filter> filters) = 0;
  [[nodiscard]] virtual std::string metrics_text() = 0;
  [[nodiscard]] virtual const std::string& info_json() const = 0;
  /// To the loop that the session lives on.
  virtual void answer(const SessionId& session, const EventId& id, bool accepted,
                      std::string_view message) = 0;

 protected:
  RelayServices() = default;
  RelayServices(const RelayServices&) = default;
  RelayServices& operator=(const RelayServices&) = default;
};

/// One loop's share of the relay: its connections, their sessions and subscriptions. Parses,
/// refuses what is cheap to refuse, hands events to the verifiers and scans to the workers, and
/// matches what comes back.
///
/// Threads: the loop's; counters() from any. The receive_… methods are posted by others.
class LoopWorker final : public net::ServerHandler {
 public:
  LoopWorker(std::uint32_t index, net::Loop& loop, const net::ListenConfig& listen,
             const RelayConfig& config, RelayServices& services, const Clock& clock);
  ~LoopWorker() override;
  LoopWorker(const LoopWorker&) = delete;
  LoopWorker& operator=(const LoopWorker&) = delete;

  [[nodiscard]] std::uint16_t port() const { return server_.local_port(); }

  [[nodiscard]] const LoopCounters& counters() const { return counters_; }

  [[nodiscard]] const net::ServerCounters& net_counters() const { return server_.counters(); }

  [[nodiscard]] std::size_t subscriptions() const { return subscriptions_open_.load(); }

  // From other threads, by Loop::post().
  void receive_answers(const std::vector<PublishAnswer>& answers);
  void receive_committed(const CommittedBatch& batch);
  void receive_ephemeral(const std::vector<std::shared_ptr<const EphemeralEvent>>& events);
  void receive_rows(QueryTask task);

  /// No new connections and no new work; what is under way goes on.
  void begin_stop();
  void end_stop();

  void on_http(net::ConnectionId id, const net::HttpRequest& request) override;
  void on_ws_open(net::ConnectionId id, const net::PeerAddress& peer,
                  const net::HttpRequest& request) override;
  void on_ws_text(net::ConnectionId id, std::string_view message) override;
  void on_ws_binary(net::ConnectionId id, std::string_view message) override;
  void on_ws_close(net::ConnectionId id) override;
  void on_drained(net::ConnectionId id) override;

 private:
  struct OpenSubscription {
    Subscription subscription;
    std::uint64_t generation = 0;
    bool scanning = true;
    /// Live events that came before EOSE, and the ids that the scan has sent: what is in both is
    /// sent once. The ids are kept a moment longer, because a commit may be told after the scan saw
    /// it.
    std::deque<std::shared_ptr<const CommittedEvent>> held;
    std::vector<std::uint64_t> sent;
    std::int64_t forget_sent_at_ms = 0;
  };

  struct Session {
    std::map<std::string, std::unique_ptr<OpenSubscription>, std::less<>> subscriptions;
    std::size_t in_flight = 0;
    std::deque<VerifyJob> waiting;     ///< for room in the verifiers' queue; reading is paused then
    std::vector<QueryTask> undrained;  ///< scans that wait for the socket
    bool paused = false;
  };

  void handle(net::ConnectionId id, Session& session, client_message::Publish&& message);
  void handle(net::ConnectionId id, Session& session, client_message::Request&& message);
  void handle(net::ConnectionId id, Session& session, client_message::Close&& message);
  void handle(net::ConnectionId id, Session& session, client_message::Count&& message);
  void handle(net::ConnectionId id, Session& session, client_message::Auth&& message);
  void refuse(net::ConnectionId id, const MessageError& error);

  [[nodiscard]] std::optional<std::string_view> cheap_refusal(const Event& event, bool& accepted);
  void send_ok(net::ConnectionId id, const EventId& event, bool accepted, std::string_view text);
  void pause(net::ConnectionId id, Session& session);
  void resume_if_room(net::ConnectionId id, Session& session);
  void retry_waiting();
  void remember(const EventId& id);

  void close_subscription(Session& session, std::string_view name);
  void deliver(Subscription& subscription, const std::shared_ptr<const CommittedEvent>& event);
  void continue_query(net::ConnectionId id, Session& session, QueryTask&& task);
  void finish_scan(net::ConnectionId id, OpenSubscription& open);
  void forget_sent();

  // Constant after construction.
  const std::uint32_t index_;
  net::Loop& loop_;
  const RelayConfig& config_;
  const MessageLimits message_limits_;
  RelayServices& services_;
  const Clock& clock_;

  net::Server server_;
  LoopCounters counters_;
  std::atomic<std::size_t> subscriptions_open_{0};
  std::unordered_map<net::ConnectionId, Session> sessions_;
  SubscriptionIndex index_of_subscriptions_;
  /// Ids whose signature has passed lately: not stored yet, or ephemeral.
  std::unordered_set<EventId, FixedBytesHash> recent_;
  std::deque<EventId> recent_order_;
  std::deque<std::pair<net::ConnectionId, std::string>> forgetting_;
  std::uint64_t next_generation_ = 1;
  std::vector<net::TimerId> timers_;
  bool stopping_ = false;
};

}  // namespace nostril::relay
