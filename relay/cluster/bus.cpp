#include "relay/cluster/bus.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
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
// Another server may reach those that this one does not.
constexpr Ms kUnansweredMax{12'000};
constexpr Ms kConnectPause{500};
constexpr Ms kConsumerPause{250};
constexpr Ms kHeartbeat{1'000};
constexpr Ms kSilenceMax{3'500};
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
constexpr std::string_view kAckSubject = "$JS.ACK.";

constexpr auto kErrorStreamMissing = static_cast<jsErrCode>(JSStreamNotFoundErr);
constexpr auto kErrorStreamThere = static_cast<jsErrCode>(JSStreamNameExistErr);
constexpr std::int64_t kErrorTooLarge = JSStreamMessageExceedsMaximumErr;

struct Destroy {
  void operator()(natsMsg* msg) const { natsMsg_Destroy(msg); }

  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }

  void operator()(natsSubscription* subscription) const { natsSubscription_Destroy(subscription); }

  void operator()(jsStreamInfo* info) const { jsStreamInfo_Destroy(info); }

  void operator()(jsConsumerInfo* info) const { jsConsumerInfo_Destroy(info); }

  void operator()(jsCtx* context) const { jsCtx_Destroy(context); }
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

struct Place {
  std::uint64_t stream = 0;
  std::uint64_t consumer = 0;
};

// Where a delivered message stands, from the subject that an ack would go to:
// $JS.ACK.STREAM.CONSUMER.DELIVERIES.STREAM_SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING, or, of servers
// with domains, $JS.ACK.DOMAIN.ACCOUNT.STREAM.… and maybe something behind.
std::optional<Place> place_of(std::string_view reply) {
  if (!reply.starts_with(kAckSubject)) return std::nullopt;
  std::vector<std::string_view> tokens;
  reply.remove_prefix(kAckSubject.size());
  while (true) {
    const std::size_t dot = reply.find('.');
    tokens.push_back(reply.substr(0, dot));
    if (dot == std::string_view::npos) break;
    reply.remove_prefix(dot + 1);
  }
  constexpr std::size_t kShort = 7;
  constexpr std::size_t kLong = 9;
  if (tokens.size() != kShort && tokens.size() < kLong) return std::nullopt;
  const std::size_t at = tokens.size() == kShort ? 3 : 5;
  const auto stream = parse_count(tokens[at]);
  const auto consumer = parse_count(tokens[at + 1]);
  if (!stream || !consumer) return std::nullopt;
  return Place{*stream, *consumer};
}

// {"stream":…,"seq":…} or {"error":{"code":…,"err_code":…,"description":…},…}
PublishAck parse_ack(std::string_view body) {
  PublishAck ack;
  const auto json = Json::parse(body);
  if (!json || !json->is_object()) {
    ack.error = "the stream's answer makes no sense";
    return ack;
  }
  if (const Json* error = json->find("error")) {
    const Json* text = error->find("description");
    const Json* code = error->find("err_code");
    ack.error = text != nullptr ? one_line(text->string().value_or("")) : "";
    if (code != nullptr && code->integer() == kErrorTooLarge) {
      ack.result = PublishAck::Result::Refused;
    }
    return ack;
  }
  const Json* sequence = json->find("seq");
  const auto number = sequence != nullptr ? sequence->integer() : std::nullopt;
  if (!number || *number <= 0) {
    ack.error = "the stream's answer makes no sense";
    return ack;
  }
  const Json* duplicate = json->find("duplicate");
  ack.sequence = static_cast<std::uint64_t>(*number);
  ack.result = duplicate != nullptr && duplicate->boolean() == true ? PublishAck::Result::Duplicate
                                                                    : PublishAck::Result::Stored;
  return ack;
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
  explicit Link(natsConnection* connection) : connection_(connection) {
    jsCtx* context = nullptr;
    if (natsConnection_JetStream(&context, connection_, nullptr) == NATS_OK) {
      context_.reset(context);
    }
  }

  ~Link() {
    context_.reset();
    natsConnection_Destroy(connection_);
  }

  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  Link(Link&&) = delete;
  Link& operator=(Link&&) = delete;

  [[nodiscard]] natsConnection* get() const { return connection_; }

  [[nodiscard]] jsCtx* jet_stream() const { return context_.get(); }

  [[nodiscard]] bool is_up() const {
    return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED;
  }

  void close() { natsConnection_Close(connection_); }

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
  Owned<jsCtx> context_;
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
  };

  // The present consumer.
  struct Consumer {
    bool is_there = false;
    std::uint64_t number = 0;
    std::uint64_t next = 1;  // of its own sequences
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
  std::optional<Clock::time_point> behind_since;
  std::optional<StreamIdentity> new_stream;
  Clock::time_point new_since;
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
  [[nodiscard]] natsStatus make_stream(Link& on, jsErrCode& code, bool is_there,
                                       const jsStreamConfig* found);
  void look_at_consumer(Link& on);
  [[nodiscard]] bool can_read_on(const Reading& wanted, bool met_hole);
  void make_consumer(Link& on, std::uint64_t from_sequence);
  void drop_consumer();
  void on_delivery(std::uint64_t consumer_number, natsMsg* msg);
  void on_status(natsMsg* msg);
  void break_consumer();
  void answer_flow_control(std::string reply);
  void on_ack(natsMsg* msg) const;

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
      lose_link("this server does not reach the stream");
      server_at = (server_at_now + 1) % servers.size();
    } else if (!options.stream.empty()) {
      if (look_now || Clock::now() >= next_look) {
        look_at_stream(*present);
        next_look = Clock::now() + kLookEvery;
      }
      look_at_consumer(*present);
    }
    lock.lock();
    if (link) changed.wait_for(lock, kTick, [this] { return is_stopping || must_look; });
  }
}

std::shared_ptr<Link> Bus::Impl::connect() {
  natsConnection* made = nullptr;
  const std::size_t at = server_at;
  server_at = (server_at + 1) % servers.size();
  const natsStatus status = natsConnection_Connect(&made, servers[at].get());
  if (status != NATS_OK) {
    const bool is_refused = status == NATS_CONNECTION_AUTH_FAILED ||
                            status == NATS_SECURE_CONNECTION_WANTED ||
                            status == NATS_SECURE_CONNECTION_REQUIRED || status == NATS_SSL_ERROR;
    set_state(is_refused ? BusState::Refused : BusState::Away, "NATS: " + text_of(status));
    return nullptr;
  }
  auto next = std::make_shared<Link>(made);
  const std::string prefix = options.inbox_prefix + ".ack." + random_text() + ".";
  ack_tap = std::make_shared<Tap>([this](natsMsg* msg) { on_ack(msg); });
  auto acks = next->subscribe(prefix + "*", ack_tap, true);
  bool is_subscribed = acks && next->jet_stream() != nullptr;
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

void Bus::Impl::set_state(BusState next, const std::string& why) {
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

// A stream that is there gets our bounds, once: else two relays with other configurations would
// change it for ever.
natsStatus Bus::Impl::make_stream(Link& on, jsErrCode& code, bool is_there,
                                  const jsStreamConfig* found) {
  jsStreamConfig config;
  (void)jsStreamConfig_Init(&config);
  std::array<const char*, 1> subjects = {options.stream_subjects.c_str()};
  config.Name = options.stream.c_str();
  config.Subjects = subjects.data();
  config.SubjectsLen = static_cast<int>(subjects.size());
  config.MaxBytes = options.stream_bytes_max;
  config.MaxAge = options.stream_age_s_max * 1'000 * kNsAMs;
  config.MaxMsgSize = static_cast<std::int32_t>(options.message_bytes_max);
  config.Storage = js_FileStorage;
  config.Replicas = options.replicas;
  config.Duplicates = options.duplicate_window_s * 1'000 * kNsAMs;
  config.DenyDelete = true;
  config.DenyPurge = true;
  if (is_there && found->MaxBytes == config.MaxBytes && found->MaxAge == config.MaxAge &&
      found->Replicas == config.Replicas && found->Duplicates == config.Duplicates) {
    return NATS_OK;
  }
  jsOptions limits;
  (void)jsOptions_Init(&limits);
  limits.Wait = 2 * kStreamWaitMs;
  jsStreamInfo* made = nullptr;
  const natsStatus status = is_there
                                ? js_UpdateStream(&made, on.jet_stream(), &config, &limits, &code)
                                : js_AddStream(&made, on.jet_stream(), &config, &limits, &code);
  const Owned<jsStreamInfo> owned(made);
  return status;
}

// Whether it has answered.
bool Bus::Impl::look_at_stream(Link& on) {
  jsOptions limits;
  (void)jsOptions_Init(&limits);
  limits.Wait = kStreamWaitMs;
  jsStreamInfo* found = nullptr;
  auto code = static_cast<jsErrCode>(0);
  natsStatus status =
      js_GetStreamInfo(&found, on.jet_stream(), options.stream.c_str(), &limits, &code);
  const Owned<jsStreamInfo> owned(found);
  if (status == NATS_NOT_FOUND && code == kErrorStreamMissing) {
    code = static_cast<jsErrCode>(0);
    status = make_stream(on, code, false, nullptr);
    if (status == NATS_OK || code == kErrorStreamThere) {
      stream_is_configured = true;
      wake();  // look again
      return false;
    }
    set_state(BusState::Away, fmt::format("the stream {} can't be made: {} (error {})",
                                          options.stream, text_of(status), static_cast<int>(code)));
    return false;
  }
  if (status != NATS_OK) {
    set_state(BusState::Away, fmt::format("the stream {} does not answer: {} (error {})",
                                          options.stream, text_of(status), static_cast<int>(code)));
    return false;
  }
  if (!std::exchange(stream_is_configured, true)) {
    code = static_cast<jsErrCode>(0);
    if (make_stream(on, code, true, found->Config) != NATS_OK) {
      log(LogLevel::Warning, "the stream's bounds can't be changed: error {}",
          static_cast<int>(code));
    }
  }
  StreamInfo next;
  next.identity = {options.stream, found->Created};
  next.first_sequence = found->State.FirstSeq;
  next.last_sequence = found->State.LastSeq;
  if (next.last_sequence > 0 && found->State.Msgs == 0) {
    next.first_sequence = next.last_sequence + 1;
  }
  next.is_whole =
      found->State.Msgs == 0 || next.last_sequence - next.first_sequence + 1 == found->State.Msgs;
  if (next.last_sequence == 0 && !is_settled(next.identity)) return false;
  next.bytes = found->State.Bytes;
  next.replicas = found->Config != nullptr ? found->Config->Replicas : 1;
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
    const bool is_stuck = last_sequence >= reading.next && unconfirmed_bytes == 0 &&
                          Clock::now() - consumer.delivered > kSilenceMax;
    if (consumer.is_there && !consumer.is_broken && !is_silent && !is_stuck) return;
    if (consumer.is_there) {
      why = consumer.is_broken ? "a message is missing" : is_silent ? "it is silent" : "it stands";
    }
    wanted = reading;
    met_hole = consumer.met_hole;
  }
  next_consumer = Clock::now() + kConsumerPause;
  log(LogLevel::Debug, "cluster: reads anew from message {} of {}: {}", wanted.next, last_sequence,
      public_text(why));
  if (look_at_stream(on) && can_read_on(wanted, met_hole)) make_consumer(on, wanted.next);
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

void Bus::Impl::make_consumer(Link& on, std::uint64_t from_sequence) {
  drop_consumer();
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
    return;
  }
  next.subscription = std::move(*subscription);
  {
    const std::lock_guard lock(reading_mutex);
    if (reading.next != from_sequence) return;  // read_stream() has come in between
    consumer = std::move(next);
    held_replies.clear();
  }
  jsConsumerConfig config;
  (void)jsConsumerConfig_Init(&config);
  config.DeliverPolicy = js_DeliverByStartSequence;
  config.OptStartSeq = from_sequence;
  config.AckPolicy = js_AckNone;
  config.DeliverSubject = subject.c_str();
  config.FlowControl = true;
  config.Heartbeat = std::chrono::nanoseconds(kHeartbeat).count();
  config.InactiveThreshold = kUnusedConsumerMs * kNsAMs;
  config.Replicas = 1;
  config.MemoryStorage = true;
  jsOptions limits;
  (void)jsOptions_Init(&limits);
  limits.Wait = kStreamWaitMs;
  jsConsumerInfo* made = nullptr;
  auto code = static_cast<jsErrCode>(0);
  const natsStatus status =
      js_AddConsumer(&made, on.jet_stream(), options.stream.c_str(), &config, &limits, &code);
  const Owned<jsConsumerInfo> owned(made);
  if (status != NATS_OK) {
    drop_consumer();
    set_state(BusState::Away, fmt::format("the stream can't be read: {} (error {})",
                                          text_of(status), static_cast<int>(code)));
    return;
  }
  consumers_made.fetch_add(1);
}

// The servers forget one that nobody listens to.
void Bus::Impl::drop_consumer() {
  Consumer gone;
  {
    const std::lock_guard lock(reading_mutex);
    gone = std::exchange(consumer, {});
    held_replies.clear();
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
  const auto place = place_of(text_or_empty(natsMsg_GetReply(msg)));
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
  if (place->stream < reading.next) return;
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
  reading.next = place->stream + 1;
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
  if (unconfirmed_bytes > options.unread_bytes_max) {
    if (std::ranges::find(held_replies, reply) == held_replies.end()) {
      held_replies.push_back(std::move(reply));
    }
    return;
  }
  const auto on = present_link();
  if (on) (void)natsConnection_Publish(on->get(), reply.c_str(), nullptr, 0);
}

void Bus::Impl::on_ack(natsMsg* msg) const {
  const auto token = number_of(text_or_empty(natsMsg_GetSubject(msg)));
  if (!token || handler == nullptr) return;
  PublishAck ack;
  if (natsMsg_IsNoResponders(msg)) {
    ack.error = "the stream has no leader";
  } else {
    ack = parse_ack(body_of(msg));
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
    impl_->reading = {number, true, of, std::max<std::uint64_t>(from_sequence, 1), 0};
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
