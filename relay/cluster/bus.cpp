#include "relay/cluster/bus.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/log_seldom.h"
#include "base/rng.h"
#include "base/thread_name.h"
#include "relay/cluster/subjects.h"

#include <fmt/format.h>
#include <nats/nats.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

namespace nostril::relay {

namespace {

using Clock = std::chrono::steady_clock;
using Ms = std::chrono::milliseconds;

constexpr std::int64_t kConnectWaitMs = 2'000;
constexpr std::int64_t kPingMs = 2'000;
constexpr int kPingsOutMax = 2;
constexpr Ms kTick{100};
constexpr Ms kLookEvery{1'000};
constexpr std::int64_t kStreamWaitMs = 1'500;
constexpr std::int64_t kMakeWaitMs = 3'000;
// Another server may reach those that this one does not.
constexpr Ms kUnansweredMax{12'000};
constexpr Ms kConnectPause{500};
constexpr Ms kConsumerPauseMin{250};
constexpr Ms kConsumerPauseMax{2'000};
constexpr Ms kHeartbeat{1'000};
constexpr Ms kSilenceMax{3'500};
constexpr Ms kStandsMax{60'000};
constexpr Ms kSettleTime{1'000};
constexpr std::int64_t kNsAMs = 1'000'000;
constexpr std::int64_t kUnusedConsumerMs = 10'000;
constexpr std::int64_t kFlushWaitMs = 1'000;
// Of a leader just elected, which does not know yet what was stored last.
constexpr Ms kBehindMax{15'000};
// libnats' own threads that call our handlers: by default each subscription would have one.
constexpr int kDeliveryThreads = 2;
// What a message that waits costs besides its text.
constexpr std::size_t kMessageBytes = 64;
constexpr std::string_view kNoJetStream =
    "no server answers for JetStream: nats-server.conf needs jetstream { store_dir: ... }, and the "
    "servers some seconds to begin with it";
// Requests of flow control that wait for us; each server has one under way.
constexpr std::size_t kHeldRepliesMax = 64;

struct Destroy {
  void operator()(natsMsg* msg) const { natsMsg_Destroy(msg); }

  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }

  void operator()(natsSubscription* subscription) const { natsSubscription_Destroy(subscription); }
};

template <typename T>
using Owned = std::unique_ptr<T, Destroy>;

std::string random_text() {
  std::array<std::uint8_t, 12> bytes{};
  SystemRng().fill(bytes);
  return encode_hex(bytes);
}

// Of nats://HOST:PORT; IPv6 in brackets.
std::string host_of(const std::string& server) {
  const std::size_t begin = server.find("://");
  std::string host = begin == std::string::npos ? server : server.substr(begin + 3);
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

std::string text_of(natsStatus status) {
  return natsStatus_GetText(status);
}

// "(conn.c:1905): Authorization Violation", without the place in libnats.
std::string last_error_of_thread() {
  natsStatus status = NATS_OK;
  const char* text = nats_GetLastError(&status);
  std::string out = one_line(text == nullptr ? "" : text);
  const std::size_t end = out.find("): ");
  return out.starts_with('(') && end != std::string::npos ? out.substr(end + 3) : out;
}

void must(natsStatus status, const std::string& what) {
  if (status != NATS_OK) throw std::runtime_error(what + ": " + text_of(status));
}

std::string_view body_of(natsMsg* msg) {
  const char* data = natsMsg_GetData(msg);
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(natsMsg_GetDataLength(msg))};
}

std::string_view text_or_empty(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

std::string_view header_of(natsMsg* msg, const char* name) {
  const char* value = nullptr;
  if (natsMsgHeader_Get(msg, name, &value) != NATS_OK) return {};
  return text_or_empty(value);
}

// What a subscription's messages go to. libnats calls on its own threads, also while and shortly
// after a subscription ends: it is given a pointer to a shared one of its own, which its last call
// frees.
struct Tap {
  explicit Tap(std::function<void(natsMsg*)> to) : handler(std::move(to)) {}

  void close() {
    const std::lock_guard lock(mutex);
    is_open = false;
  }

  // Recursive: a handler may end its own subscription.
  std::recursive_mutex mutex;
  bool is_open = true;
  const std::function<void(natsMsg*)> handler;
};

void on_tapped(natsConnection* /*connection*/, natsSubscription* /*subscription*/, natsMsg* msg,
               void* closure) {
  const Owned<natsMsg> owned(msg);
  const std::shared_ptr<Tap> tap = *static_cast<std::shared_ptr<Tap>*>(closure);
  const std::lock_guard lock(tap->mutex);
  if (tap->is_open) tap->handler(msg);
}

void on_tap_complete(void* closure) {
  const std::unique_ptr<std::shared_ptr<Tap>> last(static_cast<std::shared_ptr<Tap>*>(closure));
}

// By default libnats prints to standard error. What matters is seen elsewhere: a slow consumer by
// its missing messages, a refused subject by the answer that does not come.
void on_async_error(natsConnection* /*connection*/, natsSubscription* /*subscription*/,
                    natsStatus /*error*/, void* /*closure*/) {}

// One connection from its beginning to its loss: never mended, but made anew.
class Link {
 public:
  explicit Link(natsConnection* connection) : connection_(connection) {}

  ~Link() { natsConnection_Destroy(connection_); }

  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  Link(Link&&) = delete;
  Link& operator=(Link&&) = delete;

  [[nodiscard]] natsConnection* get() const { return connection_; }

  [[nodiscard]] bool is_up() const {
    return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED;
  }

  void close() { natsConnection_Close(connection_); }

  /// What the server has last not permitted; empty: nothing, of late. A later error takes its
  /// place.
  [[nodiscard]] std::string violation() const {
    const char* text = nullptr;
    if (natsConnection_GetLastError(connection_, &text) != NATS_NOT_PERMITTED) return {};
    return one_line(text_or_empty(text));
  }

  [[nodiscard]] Result<Owned<natsSubscription>, natsStatus> subscribe(
      const std::string& subject, const std::shared_ptr<Tap>& tap, bool is_bounded) const {
    auto closure = std::make_unique<std::shared_ptr<Tap>>(tap);
    natsSubscription* made = nullptr;
    natsStatus status =
        natsConnection_Subscribe(&made, connection_, subject.c_str(), on_tapped, closure.get());
    if (status != NATS_OK) return failure(natsStatus{status});
    Owned<natsSubscription> subscription(made);
    status = natsSubscription_SetOnCompleteCB(made, on_tap_complete, closure.get());
    // Else it has ended already, and its callback may still run: it keeps its few bytes.
    (void)closure.release();
    if (status != NATS_OK) return failure(natsStatus{status});
    if (!is_bounded) (void)natsSubscription_SetPendingLimits(made, -1, -1);
    return subscription;
  }

 private:
  natsConnection* const connection_;
};

}  // namespace

std::string_view to_string(BusState state) {
  switch (state) {
    case BusState::Away:
      return "away";
    case BusState::Ready:
      return "ready";
    case BusState::Lost:
      return "lost";
    case BusState::Refused:
      return "refused";
  }
  return "?";
}

// Why something does not work: Away, or Refused where it does not pass by itself.
struct Problem {
  BusState state = BusState::Away;
  std::string why;
};

struct Bus::Impl {
  Impl(BusOptions wanted, BusHandler* its_handler)
      : options(std::move(wanted)), handler(its_handler) {
    for (const auto& server : options.servers) servers.emplace_back(make_options(server));
    CHECK(!servers.empty());
    keeper = std::thread([this] {
      name_this_thread("bus");  // libnats' threads, which it starts, too
      keep();
    });
  }

  // --- What was asked for; any thread.

  struct Subscribed {
    std::string subject;
    std::shared_ptr<Tap> tap;
    Owned<natsSubscription> made;
  };

  struct Reading {
    std::uint64_t number = 0;  // 0: none was ever wanted
    bool is_wanted = false;
    StreamIdentity of;
    std::uint64_t next = 1;  // that has not been delivered
    // Sequences from here to the next that is there: looked for, and none is there.
    std::uint64_t hole_at = 0;
    // A consumer has ended while messages came again: the next one begins behind them.
    bool is_without_again = false;
  };

  // The present consumer.
  struct Consumer {
    bool is_there = false;
    std::uint64_t number = 0;
    std::uint64_t next = 1;    // of its own sequences
    bool is_at_again = false;  // what has come so far has come before
    bool is_broken = false;
    bool met_hole = false;
    Clock::time_point heard;
    Clock::time_point delivered;  // a message of the stream, or made
    std::string name;
    std::shared_ptr<Tap> tap;
    Owned<natsSubscription> subscription;
  };

  const BusOptions options;
  BusHandler* const handler;
  std::vector<Owned<natsOptions>> servers;  // constant after construction

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  // Guarded by mutex.
  std::shared_ptr<Link> link;
  BusState state = BusState::Away;
  bool is_connected = false;
  std::optional<StreamInfo> info;
  std::string problem = "not connected yet";
  bool is_stopping = false;
  bool must_look = false;
  std::string ack_prefix;  // of this link

  std::mutex subscriptions_mutex;
  std::map<std::uint64_t, Subscribed> subscriptions;  // guarded by it
  std::uint64_t next_subscription = 1;                // likewise

  std::mutex reading_mutex;
  // Guarded by reading_mutex.
  Reading reading;
  Consumer consumer;
  std::uint64_t consumers = 0;
  std::int64_t unconfirmed_bytes = 0;
  std::deque<std::string> held_replies;  // of flow control

  std::atomic<std::uint64_t> reconnects{0};
  std::atomic<std::uint64_t> consumers_made{0};

  // The keeper's own.
  bool stream_is_configured = false;
  std::size_t server_at = 0;      // the next to be tried
  std::size_t server_at_now = 0;  // of the link
  Clock::time_point answered;     // by the stream, or connected
  Clock::time_point next_look;
  Clock::time_point next_consumer;  // not before
  Ms consumer_pause = kConsumerPauseMin;
  std::optional<Clock::time_point> behind_since;
  Ms stands_max = kSilenceMax;
  std::uint64_t stood_at = 0;
  std::optional<StreamIdentity> new_stream;
  Clock::time_point new_since;
  std::optional<Problem> problem_of_round;  // of the servers that were tried; a refusal stays
  std::string said_violation;
  SeldomLog seldom_log;
  std::shared_ptr<Tap> ack_tap;
  Owned<natsSubscription> ack_subscription;

  std::thread keeper;  // last

  [[nodiscard]] natsOptions* make_options(const std::string& server) const;
  void keep();
  bool look_at_stream(Link& on);
  [[nodiscard]] bool is_settled(const StreamIdentity& empty_stream);
  [[nodiscard]] std::shared_ptr<Link> connect();
  void lose_link(const std::string& why);
  [[nodiscard]] bool resubscribe(const Link& on);
  void set_state(BusState next, const std::string& why);
  void set_ready();
  void set_info(StreamInfo&& next);
  [[nodiscard]] bool is_refused() const;
  void set_problem(const jetstream::ApiError& error, const std::string& what);
  [[nodiscard]] Result<std::string, Problem> ask(const Link& on, const std::string& subject,
                                                 const std::string& body,
                                                 std::int64_t wait_ms) const;
  [[nodiscard]] jetstream::StreamConfig wanted_stream() const;
  void make_stream(const Link& on);
  void change_stream(const Link& on, const jetstream::StreamConfig& found);
  [[nodiscard]] std::string who() const;
  [[nodiscard]] std::string forbidden(const std::string& violation) const;
  [[nodiscard]] Problem why_not(natsStatus status, const std::string& server) const;
  void look_at_permissions(const Link& on);
  void look_at_consumer(Link& on);
  [[nodiscard]] bool can_read_on(const Reading& wanted, bool met_hole);
  [[nodiscard]] std::uint64_t again_count() const;
  [[nodiscard]] bool make_consumer(Link& on, std::uint64_t next_sequence);
  void drop_consumer();
  void on_delivery(std::uint64_t consumer_number, natsMsg* msg);
  void on_status(natsMsg* msg);
  void break_consumer();
  void answer_flow_control(std::string reply);
  void on_ack(natsMsg* msg);

  [[nodiscard]] std::shared_ptr<Link> present_link() const {
    const std::lock_guard lock(mutex);
    return link;
  }

  void wake() {
    {
      const std::lock_guard lock(mutex);
      must_look = true;
    }
    changed.notify_all();
  }
};

// One server each, so that its certificate is checked for its own name.
natsOptions* Bus::Impl::make_options(const std::string& server) const {
  natsOptions* made = nullptr;
  must(natsOptions_Create(&made), "NATS");
  Owned<natsOptions> out(made);
  must(natsOptions_SetURL(made, server.c_str()), server);
  const bool is_secure = server.starts_with("tls://");
  if (!options.user.empty()) {
    must(natsOptions_SetUserInfo(made, options.user.c_str(), options.password.c_str()), "user");
  }
  if (!options.credentials.empty()) {
    must(natsOptions_SetUserCredentialsFromFiles(made, options.credentials.c_str(), nullptr),
         options.credentials);
  }
  if (is_secure) {
    must(natsOptions_SetSecure(made, true), "TLS");
    must(natsOptions_SetExpectedHostname(made, host_of(server).c_str()), server);
  }
  if (!options.tls_ca.empty()) {
    must(natsOptions_LoadCATrustedCertificates(made, options.tls_ca.c_str()), options.tls_ca);
  }
  if (!options.tls_certificate.empty()) {
    must(natsOptions_LoadCertificatesChain(made, options.tls_certificate.c_str(),
                                           options.tls_key.c_str()),
         options.tls_certificate);
  }
  must(natsOptions_SetName(made, options.name.c_str()), "name");
  must(natsOptions_SetTimeout(made, kConnectWaitMs), "timeout");
  must(natsOptions_SetPingInterval(made, kPingMs), "pings");
  must(natsOptions_SetMaxPingsOut(made, kPingsOutMax), "pings");
  must(natsOptions_SetAllowReconnect(made, false), "reconnection");
  must(natsOptions_SetNoEcho(made, true), "echo");
  must(natsOptions_SetSendAsap(made, true), "flush");
  must(natsOptions_SetWriteDeadline(made, kWriteWaitMsMax), "deadline");
  must(natsOptions_SetErrorHandler(made, on_async_error, nullptr), "errors");
  must(natsOptions_UseGlobalMessageDelivery(made, true), "threads");
  must(nats_SetMessageDeliveryPoolSize(kDeliveryThreads), "threads");
  if (!options.inbox_prefix.empty()) {
    must(natsOptions_SetCustomInboxPrefix(made, options.inbox_prefix.c_str()), "inbox");
  }
  return out.release();
}

void Bus::Impl::keep() {
  std::unique_lock lock(mutex);
  while (!is_stopping) {
    const std::shared_ptr<Link> present = link;
    const bool look_now = std::exchange(must_look, false);
    lock.unlock();
    if (!present) {
      if (auto made = connect()) {
        next_look = {};
        answered = Clock::now();
      } else if (server_at == 0) {
        std::unique_lock pause(mutex);
        changed.wait_for(pause, kConnectPause, [this] { return is_stopping; });
      }
    } else if (!present->is_up()) {
      const char* why = nullptr;
      (void)natsConnection_GetLastError(present->get(), &why);
      lose_link(one_line(text_or_empty(why)));
    } else if (!options.stream.empty() && Clock::now() - answered > kUnansweredMax) {
      lose_link(is_refused() ? "" : "this server does not reach the stream");
      server_at = (server_at_now + 1) % servers.size();
    } else if (!options.stream.empty()) {
      if (look_now || Clock::now() >= next_look) {
        look_at_stream(*present);
        look_at_permissions(*present);
        next_look = Clock::now() + kLookEvery;
      }
      look_at_consumer(*present);
    }
    lock.lock();
    if (link) changed.wait_for(lock, kTick, [this] { return is_stopping || must_look; });
  }
}

// How the servers know us; no secret of it.
std::string Bus::Impl::who() const {
  if (!options.user.empty()) return fmt::format("user \"{}\"", options.user);
  return options.credentials.empty() ? "a relay without credentials and user"
                                     : "the credentials of this relay";
}

std::string Bus::Impl::forbidden(const std::string& violation) const {
  return fmt::format("the servers do not permit {} what a relay needs (docs/cluster.md, 3): {}",
                     who(), violation);
}

// After a connection that was not made, on the same thread.
Problem Bus::Impl::why_not(natsStatus status, const std::string& server) const {
  const std::string detail = last_error_of_thread();
  const auto refused = [](std::string why) { return Problem{BusState::Refused, std::move(why)}; };
  switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
      return refused(fmt::format(
          "the server {} refuses {} ({}): check [cluster] {}", server, who(), detail,
          options.user.empty() && !options.credentials.empty() ? "credentials"
                                                               : "user and password_file"));
    case NATS_SECURE_CONNECTION_WANTED:
      return refused(
          fmt::format("the server {} has no TLS: give it some (docs/cluster.md, 3)", server));
    case NATS_SSL_ERROR:
      return refused(
          fmt::format("no TLS with the server {}: {}: check [cluster] tls_ca, "
                      "tls_certificate and tls_key, and the server's own",
                      server, detail));
    case NATS_PROTOCOL_ERROR:  // it has hung up, and with TLS 1.3 that is all it says
      if (!server.starts_with("tls://")) break;
      return refused(
          fmt::format("the server {} has ended a connection with TLS: it may want a "
                      "certificate of this relay, made by its own ca_file: check "
                      "[cluster] tls_certificate and tls_key",
                      server));
    default:
      break;
  }
  return {BusState::Away,
          fmt::format("the server {}: {}", server, detail.empty() ? text_of(status) : detail)};
}

// What is not permitted of all that we send and listen to, beside requests: nobody answers that.
void Bus::Impl::look_at_permissions(const Link& on) {
  std::string violation = on.violation();
  if (violation.empty() || violation == said_violation) return;
  said_violation = std::move(violation);
  if (handler == nullptr || is_refused()) return;  // it has been said
  seldom_log.error(public_text("cluster: " + forbidden(said_violation)));
}

std::shared_ptr<Link> Bus::Impl::connect() {
  natsConnection* made = nullptr;
  const std::size_t at = server_at;
  server_at = (server_at + 1) % servers.size();
  const natsStatus status = natsConnection_Connect(&made, servers[at].get());
  if (status != NATS_OK) {
    Problem one = why_not(status, options.servers[at]);
    if (!problem_of_round || one.state == BusState::Refused) problem_of_round = std::move(one);
    if (server_at != 0) return nullptr;  // the others first: one that is down says nothing of them
    const Problem all = *std::exchange(problem_of_round, std::nullopt);
    set_state(all.state, all.why);
    return nullptr;
  }
  problem_of_round.reset();
  said_violation.clear();
  auto next = std::make_shared<Link>(made);
  const std::string prefix = options.inbox_prefix + ".ack." + random_text() + ".";
  ack_tap = std::make_shared<Tap>([this](natsMsg* msg) { on_ack(msg); });
  auto acks = next->subscribe(prefix + "*", ack_tap, true);
  bool is_subscribed = acks.has_value();
  {
    const std::lock_guard subscribing(subscriptions_mutex);
    is_subscribed = is_subscribed && resubscribe(*next);
    const std::lock_guard lock(mutex);
    if (is_subscribed) link = next;
  }
  if (!is_subscribed) {
    set_state(BusState::Away, "NATS: a subscription was not possible");
    return nullptr;
  }
  ack_subscription = std::move(*acks);
  server_at_now = at;
  server_at = 0;  // the first is the nearest
  {
    const std::lock_guard lock(mutex);
    ack_prefix = prefix;
    is_connected = true;
    if (options.stream.empty()) state = BusState::Ready;
  }
  changed.notify_all();
  reconnects.fetch_add(1);
  if (handler != nullptr) handler->on_state();
  return next;
}

void Bus::Impl::lose_link(const std::string& why) {
  drop_consumer();
  std::shared_ptr<Link> gone;
  {
    const std::lock_guard lock(mutex);
    gone = std::exchange(link, nullptr);
    is_connected = false;
  }
  if (ack_tap) ack_tap->close();
  ack_subscription.reset();
  {
    const std::lock_guard lock(subscriptions_mutex);
    for (auto& [number, one] : subscriptions) one.made.reset();
  }
  if (gone) gone->close();
  if (is_refused()) return;  // why is known, and true of the next one until that is seen
  set_state(BusState::Away, why.empty() ? "NATS: the connection was lost" : "NATS: " + why);
}

// With subscriptions_mutex held.
bool Bus::Impl::resubscribe(const Link& on) {
  for (auto& [number, one] : subscriptions) {
    auto made = on.subscribe(one.subject, one.tap, true);
    if (!made) return false;
    one.made = std::move(*made);
  }
  return true;
}

void Bus::Impl::set_problem(const jetstream::ApiError& error, const std::string& what) {
  const bool is_lasting = jetstream::is_lasting(error);
  if (is_lasting) answered = Clock::now();  // another server would say the same
  set_state(is_lasting ? BusState::Refused : BusState::Away,
            fmt::format("{}: {}", what, in_words(error)));
}

bool Bus::Impl::is_refused() const {
  const std::lock_guard lock(mutex);
  return state == BusState::Refused;
}

void Bus::Impl::set_state(BusState next, const std::string& why) {
  // Somebody has to do something. The command line says it itself.
  if (next == BusState::Refused && handler != nullptr) {
    seldom_log.error(public_text("cluster: " + why));
  }
  {
    const std::lock_guard lock(mutex);
    problem = why;
    if (state == next) return;
    state = next;
  }
  changed.notify_all();
  if (handler != nullptr) handler->on_state();
}

// Lost is left when somebody reads from elsewhere.
void Bus::Impl::set_ready() {
  {
    const std::lock_guard lock(mutex);
    if (state == BusState::Ready || state == BusState::Lost) return;
    state = BusState::Ready;
    problem.clear();
  }
  changed.notify_all();
  if (handler != nullptr) handler->on_state();
}

void Bus::Impl::set_info(StreamInfo&& next) {
  bool is_new = false;
  {
    const std::lock_guard lock(mutex);
    is_new = !info || info->identity != next.identity;
    info = std::move(next);
  }
  if (is_new && handler != nullptr) handler->on_state();
}

// The answer of JetStream to a request; else why there is none.
Result<std::string, Problem> Bus::Impl::ask(const Link& on, const std::string& subject,
                                            const std::string& body, std::int64_t wait_ms) const {
  natsMsg* answer = nullptr;
  const natsStatus status = natsConnection_Request(&answer, on.get(), subject.c_str(), body.data(),
                                                   static_cast<int>(body.size()), wait_ms);
  const Owned<natsMsg> owned(answer);
  if (status == NATS_OK) return std::string(body_of(answer));
  // The servers answer nothing to what is not permitted: they say so beside it.
  const std::string violation = on.violation();
  if (violation.find(fmt::format("\"{}\"", subject)) != std::string::npos ||
      violation.find("Subscription") != std::string::npos) {
    return failure(Problem{BusState::Refused, forbidden(violation)});
  }
  if (status == NATS_NO_RESPONDERS) {
    return failure(Problem{BusState::Refused, std::string(kNoJetStream)});
  }
  return failure(Problem{BusState::Away, "NATS: " + text_of(status)});
}

jetstream::StreamConfig Bus::Impl::wanted_stream() const {
  jetstream::StreamConfig out;
  out.name = options.stream;
  out.subjects = {options.stream_subjects};
  out.replicas = options.replicas;
  out.bytes_max = options.stream_bytes_max;
  out.age_ns_max = options.stream_age_s_max * 1'000 * kNsAMs;
  out.duplicate_window_ns = options.duplicate_window_s * 1'000 * kNsAMs;
  out.message_bytes_max = options.message_bytes_max;
  return out;
}

void Bus::Impl::make_stream(const Link& on) {
  const auto body =
      ask(on, jetstream::create_subject(options.stream), to_json(wanted_stream()), kMakeWaitMs);
  if (!body) {
    set_state(body.error().state,
              fmt::format("the stream {} can't be made: {}", options.stream, body.error().why));
    return;
  }
  const auto made = jetstream::parse_stream_reply(*body, options.stream);
  // Another relay has made it, a moment ago, with other bounds: those it has.
  if (made || made.error().number == jetstream::error::kStreamNameInUse) {
    stream_is_configured = true;
    wake();  // look again
    return;
  }
  set_problem(made.error(), fmt::format("the stream {} can't be made", options.stream));
}

// A stream that is there gets our bounds, once: else two relays with other configurations would
// change it for ever.
void Bus::Impl::change_stream(const Link& on, const jetstream::StreamConfig& found) {
  if (std::exchange(stream_is_configured, true)) return;
  const jetstream::StreamConfig wanted = wanted_stream();
  if (has_bounds_of(found, wanted)) return;
  const auto body =
      ask(on, jetstream::update_subject(options.stream), to_json(wanted), kMakeWaitMs);
  std::string why;
  if (!body) {
    why = body.error().why;
  } else if (const auto done = jetstream::parse_stream_reply(*body, options.stream); !done) {
    why = in_words(done.error());
  }
  if (!why.empty()) {
    log(LogLevel::Warning, "cluster: the stream keeps its bounds, other than [cluster] says: {}",
        public_text(why));
  }
}

// Whether it has answered what can be believed.
bool Bus::Impl::look_at_stream(Link& on) {
  const auto body = ask(on, jetstream::info_subject(options.stream), {}, kStreamWaitMs);
  if (!body) {
    set_state(body.error().state,
              fmt::format("the stream {} does not answer: {}", options.stream, body.error().why));
    return false;
  }
  auto report = jetstream::parse_stream_reply(*body, options.stream);
  if (!report && report.error().number == jetstream::error::kStreamNotFound) {
    make_stream(on);
    return false;
  }
  if (!report) {
    set_problem(report.error(), fmt::format("the stream {}", options.stream));
    return false;
  }
  if (report->config.subjects != std::vector<std::string>{options.stream_subjects}) {
    answered = Clock::now();
    set_state(BusState::Refused, fmt::format("the stream {} is not of relays: it does not take {}; "
                                             "remove it, or choose another [cluster] name",
                                             options.stream, options.stream_subjects));
    return false;
  }
  change_stream(on, report->config);
  StreamInfo next = std::move(report->info);
  if (next.last_sequence == 0 && !is_settled(next.identity)) return false;
  set_info(std::move(next));
  answered = Clock::now();
  set_ready();
  return true;
}

// Where several relays make a stream at once, its servers take each of these for the one that made
// it, until the last: none is believed before it has lasted.
bool Bus::Impl::is_settled(const StreamIdentity& empty_stream) {
  const auto now = Clock::now();
  if (!new_stream || *new_stream != empty_stream) {
    new_stream = empty_stream;
    new_since = now;
  }
  return now - new_since > kSettleTime;
}

void Bus::Impl::look_at_consumer(Link& on) {
  if (Clock::now() < next_consumer) return;
  std::uint64_t last_sequence = 0;
  {
    const std::lock_guard lock(mutex);
    if (!info || state == BusState::Lost) return;
    last_sequence = info->last_sequence;
  }
  Reading wanted;
  bool met_hole = false;
  std::string_view why = "nothing is read";
  {
    const std::lock_guard lock(reading_mutex);
    if (!reading.is_wanted) return;
    const bool is_silent = Clock::now() - consumer.heard > kSilenceMax;
    // A replica that was cut off may beat and deliver nothing of what the others have: another
    // consumer is likely on one of those.
    // Where all of them number the messages otherwise than their leader, none has more.
    const bool is_stuck = last_sequence >= reading.next && unconfirmed_bytes == 0 &&
                          Clock::now() - consumer.delivered > stands_max;
    if (consumer.is_there && !consumer.is_broken && !is_silent && !is_stuck) return;
    if (consumer.is_there) {
      why = consumer.is_broken ? "a message is missing" : is_silent ? "it is silent" : "it stands";
    }
    if (is_stuck) {
      stands_max = reading.next == stood_at ? std::min(2 * stands_max, kStandsMax) : kSilenceMax;
      stood_at = reading.next;
    }
    wanted = reading;
    met_hole = consumer.met_hole;
  }
  log(LogLevel::Debug, "cluster: reads anew from message {} of {}: {}", wanted.next, last_sequence,
      public_text(why));
  const bool is_made =
      look_at_stream(on) && can_read_on(wanted, met_hole) && make_consumer(on, wanted.next);
  // Servers that elect somebody refuse at once, for some seconds.
  consumer_pause = is_made ? kConsumerPauseMin : std::min(2 * consumer_pause, kConsumerPauseMax);
  next_consumer = Clock::now() + consumer_pause;
}

// Whether the stream has what is next. Its info is of this moment.
bool Bus::Impl::can_read_on(const Reading& wanted, bool met_hole) {
  StreamInfo seen;
  {
    const std::lock_guard lock(mutex);
    seen = *info;
  }
  if (seen.identity != wanted.of) {
    set_state(BusState::Lost, "the stream is another one than before");
    return false;
  }
  if (seen.first_sequence > wanted.next) {
    set_state(BusState::Lost,
              fmt::format("message {} is gone from the stream, which begins with {}", wanted.next,
                          seen.first_sequence));
    return false;
  }
  if (seen.last_sequence + 1 < wanted.next) {
    if (!behind_since) behind_since = Clock::now();
    const auto why = fmt::format("the stream ends with message {}: {} was there before",
                                 seen.last_sequence, wanted.next - 1);
    const bool is_lost = Clock::now() - *behind_since > kBehindMax;
    set_state(is_lost ? BusState::Lost : BusState::Away, why);
    return false;
  }
  behind_since.reset();
  if (met_hole && seen.is_whole) {
    log(LogLevel::Warning,
        "cluster: a server passes over message {}, which the stream has: asked again", wanted.next);
  }
  if (met_hole && !seen.is_whole) {
    const std::lock_guard lock(reading_mutex);
    reading.hole_at = wanted.next;  // the stream has never kept it: go on behind it
  }
  return true;
}

// As many messages as are about kAgainBytes.
std::uint64_t Bus::Impl::again_count() const {
  const std::lock_guard lock(mutex);
  const std::uint64_t messages = info->last_sequence - info->first_sequence + 1;
  if (info->last_sequence == 0 || info->bytes == 0) return Bus::kAgainMax;
  const std::uint64_t bytes_each = std::max<std::uint64_t>(info->bytes / messages, 1);
  return std::min(Bus::kAgainMax, Bus::kAgainBytes / bytes_each + 1);
}

bool Bus::Impl::make_consumer(Link& on, std::uint64_t next_sequence) {
  drop_consumer();
  std::uint64_t again = again_count();
  const std::string subject = options.inbox_prefix + ".d." + random_text();
  Consumer next;
  {
    const std::lock_guard lock(reading_mutex);
    next.number = ++consumers;
  }
  next.is_there = true;
  next.heard = Clock::now();
  next.delivered = next.heard;
  next.tap = std::make_shared<Tap>(
      [this, number = next.number](natsMsg* msg) { on_delivery(number, msg); });
  auto subscription = on.subscribe(subject, next.tap, false);
  if (!subscription) {
    set_state(BusState::Away, "NATS: " + text_of(subscription.error()));
    return false;
  }
  next.subscription = std::move(*subscription);
  {
    const std::lock_guard lock(reading_mutex);
    if (reading.next != next_sequence) return false;  // read_stream() has come in between
    if (std::exchange(reading.is_without_again, false)) again = 0;
    again = std::min(again, next_sequence - 1);
    next.is_at_again = again > 0;
    consumer = std::move(next);
    held_replies.clear();
  }
  jetstream::ConsumerConfig config;
  config.stream = options.stream;
  config.deliver_subject = subject;
  config.from_sequence = next_sequence - again;
  config.heartbeat_ns = std::chrono::nanoseconds(kHeartbeat).count();
  config.unused_ns_max = kUnusedConsumerMs * kNsAMs;
  const auto body =
      ask(on, jetstream::consumer_subject(options.stream), to_json(config), kStreamWaitMs);
  if (!body) {
    drop_consumer();
    set_state(body.error().state, "the stream can't be read: " + body.error().why);
    return false;
  }
  if (const auto made = jetstream::parse_consumer_reply(*body, options.stream); !made) {
    drop_consumer();
    set_problem(made.error(), "the stream can't be read");
    return false;
  }
  consumers_made.fetch_add(1);
  return true;
}

// The servers forget one that nobody listens to.
void Bus::Impl::drop_consumer() {
  Consumer gone;
  {
    const std::lock_guard lock(reading_mutex);
    gone = std::exchange(consumer, {});
    held_replies.clear();
    if (gone.is_there) reading.is_without_again = gone.is_at_again && gone.next > 1;
  }
  if (gone.tap) gone.tap->close();
}

// With reading_mutex held.
void Bus::Impl::break_consumer() {
  consumer.is_broken = true;
  wake();
}

void Bus::Impl::on_delivery(std::uint64_t consumer_number, natsMsg* msg) {
  const std::lock_guard lock(reading_mutex);
  if (!consumer.is_there || consumer.number != consumer_number || consumer.is_broken) return;
  consumer.heard = Clock::now();
  const auto place = jetstream::place_of(text_or_empty(natsMsg_GetReply(msg)));
  if (!place) {
    on_status(msg);
    return;
  }
  if (place->consumer != consumer.next) {
    break_consumer();
    return;
  }
  ++consumer.next;
  consumer.delivered = consumer.heard;
  if (place->stream + 1 >= reading.next) consumer.is_at_again = false;
  if (place->stream > reading.next && reading.hole_at != reading.next) {
    consumer.met_hole = true;
    break_consumer();
    return;
  }
  StreamMessage message;
  message.sequence = place->stream;
  message.subject = text_or_empty(natsMsg_GetSubject(msg));
  message.message_id = header_of(msg, "Nats-Msg-Id");
  message.body = body_of(msg);
  message.cost_bytes = message.body.size() + sizeof(StreamMessage) + kMessageBytes;
  reading.next = std::max(reading.next, place->stream + 1);
  unconfirmed_bytes += static_cast<std::int64_t>(message.cost_bytes);
  if (handler != nullptr) handler->on_stream(reading.number, std::move(message));
}

// A heartbeat, which says what the last message was, or a request of flow control, to be answered
// when we can take more. With reading_mutex held.
void Bus::Impl::on_status(natsMsg* msg) {
  if (header_of(msg, "Status") != "100") return;
  if (const auto reply = text_or_empty(natsMsg_GetReply(msg)); !reply.empty()) {
    answer_flow_control(std::string(reply));
    return;
  }
  if (const auto stalled = header_of(msg, "Nats-Consumer-Stalled"); !stalled.empty()) {
    answer_flow_control(std::string(stalled));
  }
  const auto last = parse_count(header_of(msg, "Nats-Last-Consumer"));
  if (last && *last + 1 != consumer.next) break_consumer();
}

void Bus::Impl::answer_flow_control(std::string reply) {
  if (!jetstream::is_flow_control(reply)) return;
  if (unconfirmed_bytes > options.unread_bytes_max) {
    if (held_replies.size() < kHeldRepliesMax &&
        std::ranges::find(held_replies, reply) == held_replies.end()) {
      held_replies.push_back(std::move(reply));
    }
    return;
  }
  const auto on = present_link();
  if (on) (void)natsConnection_Publish(on->get(), reply.c_str(), nullptr, 0);
}

void Bus::Impl::on_ack(natsMsg* msg) {
  const auto token = number_of(text_or_empty(natsMsg_GetSubject(msg)));
  if (!token || handler == nullptr) return;
  PublishAck ack;
  if (natsMsg_IsNoResponders(msg)) {
    ack.error = "the stream has no leader";
  } else {
    ack = jetstream::parse_publish_ack(body_of(msg), options.stream);
    if (!ack.error.empty()) {
      seldom_log.error(public_text("cluster: the stream does not take a message: " + ack.error));
    }
  }
  handler->on_ack(*token, std::move(ack));
}

bool Bus::is_built_in() {
  return true;
}

Bus::Bus(const BusOptions& options, BusHandler* handler)
    : impl_(std::make_unique<Impl>(options, handler)) {}

Bus::~Bus() {
  stop();
}

void Bus::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->is_stopping = true;
  }
  impl_->changed.notify_all();
  if (!impl_->keeper.joinable()) return;
  impl_->keeper.join();
  if (const auto link = impl_->present_link(); link && link->is_up()) {
    (void)natsConnection_FlushTimeout(link->get(), kFlushWaitMs);
  }
  std::map<std::uint64_t, Impl::Subscribed> subscriptions;
  {
    const std::lock_guard lock(impl_->subscriptions_mutex);
    subscriptions.swap(impl_->subscriptions);
  }
  for (auto& [number, one] : subscriptions) one.tap->close();
  subscriptions.clear();
  impl_->lose_link("stopped");
}

BusState Bus::state() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->state;
}

bool Bus::is_connected() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->is_connected;
}

bool Bus::wait_connected(std::int64_t wait_ms) const {
  std::unique_lock lock(impl_->mutex);
  return impl_->changed.wait_for(lock, Ms(wait_ms), [this] { return impl_->is_connected; });
}

std::optional<StreamInfo> Bus::info() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->info;
}

std::string Bus::problem() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->problem;
}

std::uint64_t Bus::reconnects() const {
  return impl_->reconnects.load();
}

std::uint64_t Bus::consumers_made() const {
  return impl_->consumers_made.load();
}

Bus::Sent Bus::publish(const std::string& subject, const std::string& message_id,
                       std::string_view body, std::uint64_t token) {
  std::shared_ptr<Link> link;
  std::string reply;
  {
    const std::lock_guard lock(impl_->mutex);
    link = impl_->link;
    reply = impl_->ack_prefix;
  }
  if (!link) return Sent::NotConnected;
  reply += std::to_string(token);
  natsMsg* made = nullptr;
  if (natsMsg_Create(&made, subject.c_str(), reply.c_str(), body.data(),
                     static_cast<int>(body.size())) != NATS_OK) {
    return Sent::NotConnected;
  }
  const Owned<natsMsg> msg(made);
  if (!message_id.empty()) (void)natsMsgHeader_Set(made, "Nats-Msg-Id", message_id.c_str());
  const natsStatus status = natsConnection_PublishMsg(link->get(), made);
  if (status == NATS_MAX_PAYLOAD) return Sent::TooLarge;
  return status == NATS_OK ? Sent::Yes : Sent::NotConnected;
}

std::uint64_t Bus::read_stream(const StreamIdentity& of, std::uint64_t from_sequence) {
  impl_->drop_consumer();
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(impl_->reading_mutex);
    number = impl_->reading.number + 1;
    impl_->reading = {number, true, of, std::max<std::uint64_t>(from_sequence, 1), 0, false};
    impl_->unconfirmed_bytes = 0;
  }
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->state == BusState::Lost) impl_->state = BusState::Away;
  }
  impl_->wake();
  return number;
}

void Bus::stop_reading() {
  {
    const std::lock_guard lock(impl_->reading_mutex);
    impl_->reading.is_wanted = false;
    ++impl_->reading.number;
  }
  impl_->drop_consumer();
}

void Bus::confirm(std::uint64_t reading, std::size_t cost_bytes) {
  std::deque<std::string> replies;
  {
    const std::lock_guard lock(impl_->reading_mutex);
    if (impl_->reading.number != reading) return;
    impl_->unconfirmed_bytes -= static_cast<std::int64_t>(cost_bytes);
    if (impl_->unconfirmed_bytes > impl_->options.unread_bytes_max) return;
    replies.swap(impl_->held_replies);
  }
  for (const auto& reply : replies) (void)send(reply, {});
}

Bus::SubscriptionId Bus::subscribe(const std::string& subject, MessageHandler handler) {
  Impl::Subscribed one;
  one.subject = subject;
  one.tap = std::make_shared<Tap>([handler = std::move(handler)](natsMsg* msg) {
    handler({std::string(text_or_empty(natsMsg_GetSubject(msg))),
             std::string(text_or_empty(natsMsg_GetReply(msg))), std::string(body_of(msg))});
  });
  const std::lock_guard lock(impl_->subscriptions_mutex);
  if (const auto link = impl_->present_link()) {
    auto made = link->subscribe(subject, one.tap, true);
    if (made) one.made = std::move(*made);  // else the link is being lost
  }
  const SubscriptionId id{impl_->next_subscription++};
  impl_->subscriptions.emplace(id.number, std::move(one));
  return id;
}

void Bus::unsubscribe(SubscriptionId id) {
  Impl::Subscribed one;
  {
    const std::lock_guard lock(impl_->subscriptions_mutex);
    const auto found = impl_->subscriptions.find(id.number);
    if (found == impl_->subscriptions.end()) return;
    one = std::move(found->second);
    impl_->subscriptions.erase(found);
  }
  one.tap->close();
}

bool Bus::send(const std::string& subject, std::string_view body, const std::string& reply) {
  const auto link = impl_->present_link();
  if (!link) return false;
  const int size = static_cast<int>(body.size());
  return (reply.empty() ? natsConnection_Publish(link->get(), subject.c_str(), body.data(), size)
                        : natsConnection_PublishRequest(link->get(), subject.c_str(), reply.c_str(),
                                                        body.data(), size)) == NATS_OK;
}

Result<std::string, std::string> Bus::request(const std::string& subject, std::string_view body,
                                              std::int64_t wait_ms) {
  const auto link = impl_->present_link();
  if (!link) return failure("not connected to NATS: " + problem());
  natsMsg* answer = nullptr;
  const natsStatus status = natsConnection_Request(
      &answer, link->get(), subject.c_str(), body.data(), static_cast<int>(body.size()), wait_ms);
  const Owned<natsMsg> owned(answer);
  if (status == NATS_NO_RESPONDERS) return failure(std::string("nobody there takes this request"));
  if (status != NATS_OK) return failure("NATS: " + text_of(status));
  return std::string(body_of(answer));
}

std::vector<std::string> Bus::request_all(const std::string& subject, std::string_view body,
                                          std::int64_t wait_ms, std::size_t count_max) {
  std::mutex mutex;
  std::condition_variable came;
  std::vector<std::string> answers;
  const std::string inbox = new_inbox();
  const auto id = subscribe(inbox, [&](BusMessage&& answer) {
    const std::lock_guard lock(mutex);
    // Nobody at all: the servers say so with an empty message.
    if (answer.body.empty() || answers.size() == count_max) return;
    answers.push_back(std::move(answer.body));
    came.notify_one();
  });
  if (send(subject, body, inbox)) {
    std::unique_lock lock(mutex);
    came.wait_for(lock, Ms(wait_ms), [&] { return answers.size() == count_max; });
  }
  unsubscribe(id);
  return answers;
}

std::string Bus::new_inbox() {
  return impl_->options.inbox_prefix + ".r." + random_text();
}

}  // namespace nostril::relay
