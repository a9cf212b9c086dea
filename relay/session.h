#pragma once

#include "base/clock.h"
#include "events/messages.h"
#include "relay/admission.h"
#include "relay/authentication.h"
#include "relay/client_limits.h"
#include "relay/deliveries.h"
#include "relay/guard.h"
#include "relay/ingest.h"
#include "relay/membership.h"
#include "relay/metrics.h"
#include "relay/negentropy_session.h"
#include "relay/query.h"
#include "relay/session_id.h"
#include "relay/subscription_index.h"
#include "relay/token_bucket.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// What one connection may cost. NIP-11 advertises the same numbers.
struct SessionLimits {
  MessageLimits message;
  std::size_t subscriptions_max = 64;
  std::size_t filter_values_max = 20'000;  ///< over all its subscriptions; 100 bytes each
  std::uint64_t limit_default = 500;       ///< stored events of a filter that names no limit
  std::uint64_t limit_max = 5'000;
  std::size_t publishes_under_way_max = 256;  ///< then it is not read until answers come
  std::size_t held_events_max = 4'096;  ///< new events while stored ones are sent; 16 bytes each
  std::size_t stored_pending_bytes_max = 256 << 10;  ///< output queued before stored events wait
  /// Index entries and records one COUNT may look at; about half a second of a query worker.
  std::uint64_t count_visits_max = 1'000'000;
  bool search = false;      ///< NIP-50 is offered
  bool eose_hints = false;  ///< NIP-67 is: some clients don't take an EOSE that says more
  /// The same for one REQ, and the time that threads may spend on it; 0: any. Then it is closed.
  std::uint64_t query_visits_max = 0;
  std::int64_t query_ms_max = 0;
  double events_a_second_max = 0;  ///< published, 0: any
  double events_burst_max = 100;   ///< published at once, when above is set
  Rate faults;                     ///< Session::on_fault()
  NegentropyLimits negentropy;
};

/// What a session needs of its loop. Threads: the loop's.
class SessionHost {
 public:
  virtual void send(net::ConnectionId to, std::string_view message) = 0;
  /// The message `prefix` + json + "]".
  virtual void send_event(net::ConnectionId to, std::string_view prefix,
                          std::shared_ptr<const std::string> json) = 0;
  [[nodiscard]] virtual std::size_t pending_bytes(net::ConnectionId of) const = 0;
  virtual void pause_reading(net::ConnectionId of) = 0;
  virtual void resume_reading(net::ConnectionId of) = 0;
  /// Calls retry() soon.
  virtual void retry_later(net::ConnectionId of) = 0;
  /// Calls on_rested() then.
  virtual void rest(net::ConnectionId of, std::int64_t ms) = 0;
  [[nodiscard]] virtual Offer offer(UnverifiedEvent& event, net::ConnectionId origin) = 0;
  /// False when the workers' queue is full. A step comes back to on_step().
  [[nodiscard]] virtual bool start_step(std::shared_ptr<Query>& query) = 0;

  /// A request to become a member or to be none (NIP-43). False: too many wait. Else the answer
  /// comes to on_answer().
  [[nodiscard]] virtual bool ask_membership(UnverifiedEvent&& /*request*/,
                                            net::ConnectionId /*origin*/) {
    return false;
  }

  /// A short step at once, early in a query; nothing when the loop has no time for it.
  [[nodiscard]] virtual std::optional<QueryStep> step_now(const std::shared_ptr<Query>& query) = 0;

 protected:
  SessionHost() = default;
  ~SessionHost() = default;
};

/// What all sessions of a loop share; outlives them.
struct SessionContext {
  SessionHost& host;
  SubscriptionIndex& index;
  LoopMetrics& metrics;
  const SessionLimits& limits;
  const Admission& admission;
  const Authentication& authentication;
  const Clock& clock;
  /// Nothing: no limits but those of a connection.
  Guard* guard = nullptr;
  const Membership* membership = nullptr;  ///< none: a relay without members
  /// The reader of a connection on which nobody has authenticated.
  std::shared_ptr<const Reader> nobody =
      std::make_shared<const Reader>(authentication, std::vector<PublicKey>{});
};

/// What the filters of a connection are counted by.
[[nodiscard]] std::size_t values_of(const std::vector<Filter>& filters);

class Session;

struct Subscription final : IndexedSubscription {
  std::string id;
  std::string prefix;  ///< ["EVENT","id",
  Session* session = nullptr;
  std::uint64_t number = 0;      ///< tells it from an earlier one of the same id
  std::size_t values = 0;        ///< of its filters
  std::shared_ptr<Query> query;  ///< while its stored part is being sent
  /// New events that wait for EOSE.
  std::vector<std::shared_ptr<const CommittedEvent>> held;
  bool is_overrun = false;  ///< more of them came than may be held: it ends with CLOSED
  /// What the stored part sent, as long as the same events may still come as new ones.
  std::vector<Fingerprint> sent;
  bool is_sent_sorted = false;
  std::uint64_t last_commit_seen = 0;  ///< by the stored part, at most
};

/// One client: its subscriptions and what it has under way. Knows the protocol, no socket.
///
/// Stored part and live part of a subscription meet without gap and without double: it enters the
/// index first, then the scan begins; so an event is in the scan's snapshot, or its commit reaches
/// the loop later, or both. New events wait in `held` until EOSE; those that the scan has sent are
/// left out, then and until the loop has handled every commit that the scan may have seen.
///
/// Threads: its loop's.
class Session {
 public:
  /// `account`: of the client's address.
  Session(net::ConnectionId connection, const SessionContext& context,
          ClientAccount account = ClientAccount());
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  Session(Session&&) = delete;
  Session& operator=(Session&&) = delete;

  /// Says what a relay says first: the challenge of NIP-42, where it is offered.
  void open();
  void on_text(std::string_view text);
  void on_binary();
  void on_control(std::size_t bytes);
  void on_small_fragments(std::size_t count);
  /// The answer to an event that was queued.
  void on_answer(const EventId& id, bool accepted, std::string_view message);
  void on_step(QueryStep&& step);

  /// All output has left: stored events may go on.
  void on_drained() { advance(); }

  /// Tries again what a full queue refused.
  void retry();
  /// A rest is over.
  void on_rested();
  /// Where its events come from, for plugins.
  [[nodiscard]] const std::shared_ptr<const EventSource>& source();
  /// An event of a commit matches.
  void deliver(Subscription& subscription, const std::shared_ptr<const CommittedEvent>& event,
               std::uint64_t commit);
  /// Ephemeral events don't wait for EOSE: nothing stored could be the same.
  void deliver(const Subscription& subscription, const Ephemeral& event);
  /// Every commit so far has been handled: no stored event can come again.
  void forget_sent();
  /// Those of NIP-77 on which no message came for too long.
  void close_idle_negentropies();
  /// Reads no more; answers still go out.
  void stop_reading();
  /// The context holds other limits and rules than before. What is under way goes on by the old.
  void settings_changed();

  /// Who it is: where limits by address don't apply, nobody.
  [[nodiscard]] const std::optional<net::PeerAddress>& client() const { return account_.address(); }

  [[nodiscard]] std::size_t subscription_count() const { return subscriptions_.size(); }

 private:
  // Few: searched one by one.
  using Subscriptions = std::vector<std::unique_ptr<Subscription>>;

  void on(client_message::Publish&& message);
  void on(client_message::Request&& message);
  void on(client_message::Count&& message);
  void on(client_message::Close&& message);
  void on(client_message::Auth&& message);
  void on(client_message::NegentropyOpen&& message);
  void on(client_message::NegentropyMessage&& message);
  void on(client_message::NegentropyClose&& message);
  void on_error(const MessageError& error);

  void publish(UnverifiedEvent event);
  void ask_membership(UnverifiedEvent&& request);
  [[nodiscard]] bool take_rate_token();
  [[nodiscard]] std::optional<Refusal> rate_refusal_of(const Event& event);
  [[nodiscard]] bool takes_request(std::string_view subscription);
  [[nodiscard]] std::optional<std::string> overrun_of(const Query& query) const;
  void on_overrun();
  void on_fault(double count);
  void rest(std::int64_t ms);
  [[nodiscard]] std::string_view words_of(Refusal refusal) const;
  void answer(const EventId& id, bool accepted, std::string_view message);
  void refuse(std::string_view subscription, std::string_view message);

  [[nodiscard]] bool is_authenticated() const { return !reader_->keys().empty(); }

  [[nodiscard]] Result<PublicKey, AuthError> authenticate(UnverifiedEvent&& event);
  [[nodiscard]] std::optional<std::string_view> auth_refusal_of(
      const std::vector<Filter>& filters) const;
  [[nodiscard]] std::shared_ptr<const Reader> reader_for(const std::vector<Filter>& filters) const;
  [[nodiscard]] std::optional<std::string> refusal_of(const std::vector<Filter>& filters,
                                                      std::size_t replaced,
                                                      std::size_t replaced_values) const;
  void open(client_message::Request&& request);
  void start(std::shared_ptr<Query> query);
  [[nodiscard]] bool peer_keeps_up() const;
  [[nodiscard]] Subscriptions::const_iterator find(std::string_view id) const;
  void remove(Subscriptions::const_iterator at);
  void end(Subscriptions::const_iterator at, std::string_view message);
  // True when its query goes on.
  [[nodiscard]] bool take_step(QueryStep&& step);
  [[nodiscard]] bool take_count(QueryStep&& step);
  void cancel(const std::shared_ptr<Query>& query);
  void cancel_count(std::string_view id);
  [[nodiscard]] std::optional<std::string> negentropy_refusal_of(
      const std::vector<Filter>& filters) const;
  [[nodiscard]] bool take_negentropy(QueryStep&& step);
  void refuse_negentropy(std::string_view id, std::string_view reason);
  [[nodiscard]] std::vector<OpenNegentropy>::iterator find_negentropy(std::string_view id);
  void remove_negentropy(std::vector<OpenNegentropy>::iterator at);
  void send_rows(Subscription& subscription, const QueryStep& step);
  void finish_stored(Subscription& subscription, const QueryStep& step);
  [[nodiscard]] static bool was_sent(Subscription& subscription, const EventId& id);
  void advance();
  void update_reading();

  void send(std::string_view message) { context_.host.send(connection_, message); }

  void send_event(const Subscription& subscription,
                  const std::shared_ptr<const CommittedEvent>& event);

  const net::ConnectionId connection_;
  const SessionContext& context_;
  Subscriptions subscriptions_;
  std::map<std::string, std::shared_ptr<Query>, std::less<>> counts_;  // under way
  std::vector<OpenNegentropy> negentropies_;                           // few
  std::uint64_t next_number_ = 1;
  std::size_t filter_values_ = 0;
  // Stored parts that are not finished, by subscription number, in turn; one step at a time is out.
  std::vector<std::shared_ptr<Query>> runnable_;
  bool step_is_out_ = false;
  bool step_is_refused_ = false;
  // Who is there: nobody, until an AUTH says so.
  std::array<std::uint8_t, 16> challenge_{};
  bool has_challenge_ = false;
  std::shared_ptr<const Reader> reader_;
  unsigned authentications_ = 0;
  // Publishing.
  std::unique_ptr<UnverifiedEvent> refused_event_;
  std::size_t publishes_under_way_ = 0;
  TokenBucket own_rate_;  // of this connection's events
  TokenBucket faults_;
  // Limits of the client's address.
  ClientAccount account_;
  std::optional<Share> step_share_;  // while a step is out
  std::shared_ptr<const EventSource> source_;
  unsigned overruns_ = 0;  // in a row
  bool is_resting_ = false;
  bool is_paused_ = false;
  bool is_stopping_ = false;
};

}  // namespace nostril::relay
