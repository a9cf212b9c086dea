#include "relay/loop_worker.h"

#include "base/check.h"
#include "base/thread_name.h"
#include "relay/store/record.h"

#include <sys/resource.h>

#include <chrono>
#include <string>
#include <utility>
#include <variant>

namespace nostril::relay {

namespace {

// How long a full queue waits for its next chance when no mail comes meanwhile.
constexpr std::uint64_t kRetryMs = 2;
constexpr std::uint64_t kFinishLookMs = 5;
// Steps of queries on the loop itself: how much of a query, how long in a turn.
constexpr std::size_t kValuesHereMax = 1'000;
constexpr std::size_t kVisitsHereMax = 4'000;
constexpr std::int64_t kUsHereATurnMax = 1'000;
constexpr std::int64_t kSlowStepUs = 3'000;
constexpr std::int64_t kSlowPauseMs = 200;

net::HttpResponse too_many(std::int64_t retry_after_s) {
  net::HttpResponse out{429, {}, "too much from your address, try again later\n"};
  out.headers.add("Content-Type", "text/plain; charset=utf-8");
  out.headers.add("Retry-After", std::to_string(retry_after_s));
  return out;
}

}  // namespace

LoopWorker::LoopWorker(std::uint32_t index, const LoopShared& shared, const LiveSettings& settings,
                       const net::ListenConfig& listen)
    : index_(index),
      shared_(shared),
      turn_end_(loop_.on_turn_end([this] { end_turn(); })),
      subscriptions_(shared.hash, shared.interest),
      settings_(settings),
      context_{*this,
               subscriptions_,
               metrics_,
               settings_.limits,
               settings_.admission,
               settings_.authentication,
               shared.clock,
               &shared.guard,
               shared.membership},
      inbox_(shared.mail_max, [this] { wake(); }),
      events_shown_(shared.cache_bytes),
      server_(loop_, *this, listen, settings.server) {
  loop_.every(1'000, [this] { each_second(); });
}

LoopWorker::~LoopWorker() {
  CHECK(!thread_.joinable());
  is_over_ = true;
}

void LoopWorker::start() {
  thread_ = std::thread([this] {
    name_this_thread("loop");
    loop_.run();
  });
}

void LoopWorker::join() {
  if (thread_.joinable()) thread_.join();
}

void LoopWorker::mail(LoopMail&& mail) {
  // Everything that comes here holds a place that was bounded before.
  CHECK(inbox_.push(std::move(mail)));
}

void LoopWorker::stop_reading(bool for_restart) {
  CHECK(loop_.post([this, for_restart] {
    is_stopping_ = true;
    takes_handshakes_ = for_restart;
    server_.stop_listening();
    for (auto& [id, session] : sessions_) session->stop_reading();
  }));
}

bool LoopWorker::take(std::shared_ptr<const LiveSettings> settings, std::function<void()> done) {
  return loop_.post([this, settings = std::move(settings), done = std::move(done)] {
    if (!is_over_) apply(*settings);
    done();
  });
}

// Sessions read what context_ refers to: parts of settings_, on this thread.
void LoopWorker::apply(const LiveSettings& settings) {
  settings_ = settings;
  context_.nobody =
      std::make_shared<const Reader>(settings_.authentication, std::vector<PublicKey>{});
  server_.set_limits(settings_.server);
  if (settings_.tls) server_.set_tls(settings_.tls);
  for (auto& [id, session] : sessions_) session->settings_changed();
  drop_blocked();
}

void LoopWorker::drop_blocked() {
  if (settings_.lists->blocked->empty()) return;
  std::vector<net::ConnectionId> blocked;
  for (const auto& [id, session] : sessions_) {
    const auto peer = server_.peer(id);
    const auto& client = session->client();
    const AddressBlocks& blocks = *settings_.lists->blocked;
    if ((peer && blocks.contain(*peer)) || (client && blocks.contain(*client))) {
      blocked.push_back(id);
    }
  }
  for (const net::ConnectionId id : blocked) {
    server_.close(id, net::kWsClosePolicy, "this address is blocked");
  }
}

void LoopWorker::finish(std::uint64_t wait_ms_max, std::uint64_t grace_ms_max,
                        std::string_view reason, std::uint16_t code) {
  CHECK(loop_.post([this, wait_ms_max, grace_ms_max, reason = std::string(reason), code] {
    close_by_ms_ = loop_.now_ms() + grace_ms_max;
    finish_by_ms_ = loop_.now_ms() + wait_ms_max;
    loop_.every(kFinishLookMs, [this, reason, code] {
      if (is_over_) return;
      if (!is_closing_ && (loop_.now_ms() >= close_by_ms_ || server_.unanswered_count() == 0)) {
        is_closing_ = true;
        server_.close_all(reason, code);
      }
      if (!is_closing_) return;
      const auto& counters = server_.counters();
      const bool all_gone =
          counters.connections_accepted.read() == counters.connections_closed.read();
      if (all_gone || loop_.now_ms() >= finish_by_ms_) loop_.stop();
    });
  }));
}

Session* LoopWorker::find(net::ConnectionId id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second.get();
}

// --- From sockets.

bool LoopWorker::accept_connection(const net::PeerAddress& peer) {
  return !settings_.lists->blocked->contain(peer) && shared_.guard.clients.open_socket(peer);
}

void LoopWorker::connection_closed(const net::PeerAddress& peer) {
  shared_.guard.clients.close_socket(peer);
}

void LoopWorker::on_error(const net::PeerAddress& peer, net::ServerError error) {
  const auto left_out =
      error_lines_[static_cast<std::size_t>(error)].pass(shared_.clock.monotonic_ms());
  if (!left_out) return;
  log(LogLevel::Info, "connection of {} refused or ended: {}{}", public_text(peer.ip_string()),
      error, and_more(*left_out));
}

// Of a proxy's client, where one is believed.
bool LoopWorker::is_blocked(const net::PeerAddress& peer, const net::HttpRequest& request) const {
  const AddressBlocks& blocked = *settings_.lists->blocked;
  return !blocked.empty() &&
         (blocked.contain(peer) ||
          blocked.contain(shared_.guard.clients.client_of(peer, request.headers)));
}

void LoopWorker::on_http(net::ConnectionId id, const net::HttpRequest& request) {
  const auto peer = server_.peer(id);
  if (peer && is_blocked(*peer, request)) {
    server_.drop(id);
    return;
  }
  ClientLimits& clients = shared_.guard.clients;
  const std::int64_t wait_s =
      peer ? clients.take_http_request(clients.client_of(*peer, request.headers)) : 0;
  if (wait_s > 0) {
    server_.respond(id, too_many(wait_s));
  } else if (AdminDesk::is_management(request) && settings_.http.has_admin() &&
             settings_.http.is_relay_path(request.path)) {
    manage(id, request);
  } else {
    server_.respond(id, settings_.http.answer(request));
  }
}

// The answer comes from the desk's thread; a peer that has left meanwhile has a stale id.
void LoopWorker::manage(net::ConnectionId id, const net::HttpRequest& request) {
  AdminRequest job;
  job.authorization = request.headers.find("Authorization").value_or("");
  job.body = request.body;
  job.reply = [this, id](net::HttpResponse&& answer) {
    // Refused when the loop has no room for it: the peer's request ends with its connection.
    (void)loop_.post([this, id, answer = std::move(answer)] {
      if (!is_over_) server_.respond(id, answer);
    });
  };
  if (!shared_.admin.submit(std::move(job))) server_.respond(id, admin_is_busy());
}

std::optional<net::HttpResponse> LoopWorker::refuse_websocket(const net::PeerAddress& peer,
                                                              const net::HttpRequest& request) {
  const bool is_served = !is_stopping_ || (takes_handshakes_ && !is_closing_);
  if (!is_served || is_blocked(peer, request)) return refusal(403, "refused");
  if (!settings_.http.is_relay_path(request.path)) return HttpFace::not_found();
  if (!shared_.gate.is_open()) return not_now(shared_.gate.state());
  std::int64_t retry_after_s = 0;
  ClientLimits& clients = shared_.guard.clients;
  auto account = clients.open(clients.client_of(peer, request.headers), retry_after_s);
  if (!account) return too_many(retry_after_s);
  upgrading_ = std::move(*account);
  return std::nullopt;
}

void LoopWorker::on_ws_open(net::ConnectionId id, const net::PeerAddress& /*peer*/,
                            const net::HttpRequest& /*request*/) {
  const auto [at, is_new] = sessions_.emplace(
      id, std::make_unique<Session>(id, context_, std::exchange(upgrading_, ClientAccount())));
  at->second->open();
  if (is_stopping_) at->second->stop_reading();
}

void LoopWorker::on_ws_text(net::ConnectionId id, std::string_view message) {
  if (Session* session = find(id)) {
    if (auto peer = server_.peer(id)) {
      peer->port = 0;
      talkers_.add(*peer, 1, shared_.clock.monotonic_ms());
    }
    session->on_text(message);
  }
}

void LoopWorker::on_ws_binary(net::ConnectionId id, std::string_view /*message*/) {
  if (Session* session = find(id)) session->on_binary();
}

void LoopWorker::on_ws_control(net::ConnectionId id, std::size_t bytes) {
  if (Session* session = find(id)) session->on_control(bytes);
}

void LoopWorker::on_ws_small_fragments(net::ConnectionId id, std::size_t count) {
  if (Session* session = find(id)) session->on_small_fragments(count);
}

void LoopWorker::on_ws_close(net::ConnectionId id) {
  sessions_.erase(id);
}

void LoopWorker::on_drained(net::ConnectionId id) {
  if (Session* session = find(id)) session->on_drained();
}

// --- For sessions.

void LoopWorker::send(net::ConnectionId to, std::string_view message) {
  server_.send_text(to, message);
}

void LoopWorker::send_event(net::ConnectionId to, std::string_view prefix,
                            std::shared_ptr<const std::string> json) {
  server_.send_shared(to, prefix, std::move(json), "]");
}

std::size_t LoopWorker::pending_bytes(net::ConnectionId of) const {
  return server_.pending_bytes(of);
}

void LoopWorker::pause_reading(net::ConnectionId of) {
  server_.pause_reading(of);
}

void LoopWorker::resume_reading(net::ConnectionId of) {
  server_.resume_reading(of);
}

void LoopWorker::retry_later(net::ConnectionId of) {
  retries_.push_back(of);
  if (retry_timer_ != net::TimerId::None) return;
  retry_timer_ = loop_.after(kRetryMs, [this] {
    retry_timer_ = net::TimerId::None;
    retry();
  });
}

void LoopWorker::rest(net::ConnectionId of, std::int64_t ms) {
  loop_.after(static_cast<std::uint64_t>(ms), [this, of] {
    if (is_over_) return;
    if (Session* session = find(of)) session->on_rested();
  });
}

Offer LoopWorker::offer(UnverifiedEvent& event, net::ConnectionId origin) {
  Session* session = find(origin);
  return shared_.ingest.offer(event, {index_, origin}, &verifier_,
                              session != nullptr ? session->source() : nullptr);
}

bool LoopWorker::start_step(std::shared_ptr<Query>& query) {
  query->owner.loop = index_;
  query->due_us = server_.due_us(query->owner.connection);
  return shared_.queries.submit(query);
}

// What takes long is the workers': this loop keeps turning. A step that took very long has met the
// disk: for a while all steps are theirs.
bool LoopWorker::ask_membership(UnverifiedEvent&& request, net::ConnectionId origin) {
  const EventId id = request.event().id;
  MemberRequest job{std::move(request), [this, origin, id](bool accepted, std::string text) {
                      (void)loop_.post([this, origin, id, accepted, text = std::move(text)] {
                        Session* session = is_over_ ? nullptr : find(origin);
                        if (session != nullptr) session->on_answer(id, accepted, text);
                      });
                    }};
  return shared_.admin.submit(std::move(job));
}

std::optional<QueryStep> LoopWorker::step_now(const std::shared_ptr<Query>& query) {
  if (query->visits >= kVisitsHereMax || query->values > kValuesHereMax) return std::nullopt;
  // Busy connections share theirs: they never use up that of the others.
  std::int64_t& us_here = us_here_[server_.is_busy(query->owner.connection) ? 1 : 0];
  if (us_here >= kUsHereATurnMax) return std::nullopt;
  const bool is_slow =
      store_is_slow_until_ms_ > 0 && shared_.clock.monotonic_ms() < store_is_slow_until_ms_;
  if (is_slow) return std::nullopt;
  store_is_slow_until_ms_ = 0;
  const auto began = std::chrono::steady_clock::now();
  ScanBudget budget;
  budget.visits_max = kVisitsHereMax - query->visits;
  budget.time_us_max = static_cast<std::uint32_t>(kUsHereATurnMax - us_here);
  auto step = shared_.queries.step_here(query, budget, metrics_.queries, events_shown_);
  const auto took_us = std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::steady_clock::now() - began)
                           .count();
  us_here += took_us;
  if (took_us >= kSlowStepUs && has_waited_for_disk()) {
    store_is_slow_until_ms_ = shared_.clock.monotonic_ms() + kSlowPauseMs;
  }
  return step;
}

// Since this was last asked. Long alone says little: other threads may have had the processor.
bool LoopWorker::has_waited_for_disk() {
  rusage usage{};
  CHECK(::getrusage(RUSAGE_THREAD, &usage) == 0);
  return usage.ru_majflt > std::exchange(disk_waits_, usage.ru_majflt);
}

void LoopWorker::retry() {
  if (is_over_) return;
  for (const net::ConnectionId id : std::exchange(retries_, {})) {
    if (Session* session = find(id)) session->retry();
  }
}

// --- From other threads.

// The mailbox was empty. What this thread itself puts in is seen when its turn ends.
void LoopWorker::wake() {
  if (!loop_.on_loop_thread() || loop_.hook_has_begun(turn_end_)) loop_.wake();
}

void LoopWorker::end_turn() {
  if (is_over_) return;
  verifier_.may_verify = true;
  us_here_ = {};
  auto mails = inbox_.take_all();
  for (LoopMail& mail : mails) {
    std::visit([this](auto& one) { on(std::move(one)); }, mail);
  }
  // Mail gives back what a full queue was full of.
  if (!mails.empty() && !retries_.empty()) retry();
}

void LoopWorker::on(std::shared_ptr<const Committed>&& committed) {
  const std::int64_t now_s = shared_.clock.unix_s();
  for (const auto& event : committed->batch.events) {
    const Event& content = event->event.event();
    if (const auto expiration = expiration_of(content); expiration && *expiration <= now_s)
      continue;
    subscriptions_.match(content, [&](IndexedSubscription& found) {
      auto& subscription = static_cast<Subscription&>(found);
      subscription.session->deliver(subscription, event, committed->number);
    });
  }
  for (const WriteOutcome& outcome : committed->batch.outcomes) {
    if (outcome.token.loop != index_) continue;
    if (Session* session = find(net::ConnectionId{outcome.token.session})) {
      session->on_answer(outcome.id, is_accepted(outcome.result), ok_message(outcome.result));
    }
  }
}

void LoopWorker::on(std::shared_ptr<const Ephemeral>&& ephemeral) {
  const std::shared_ptr<const Ephemeral> mine = std::move(ephemeral);  // and its credit
  subscriptions_.match(mine->event.event(), [&](IndexedSubscription& found) {
    auto& subscription = static_cast<Subscription&>(found);
    subscription.session->deliver(subscription, *mine);
  });
  if (mine->origin.loop != index_) return;
  if (!mine->is_heard) metrics_.ephemeral_unheard.add();
  if (Session* session = find(mine->origin.connection)) {
    session->on_answer(mine->event->id, mine->is_heard,
                       mine->is_heard ? "" : "mute: nobody is subscribed to this event");
  }
}

void LoopWorker::on(Answer&& answer) {
  const Answer mine = std::move(answer);  // its credit goes when it has been handled
  if (Session* session = find(mine.origin.connection)) {
    session->on_answer(mine.id, mine.accepted, mine.message);
  }
}

void LoopWorker::on(QueryStep&& step) {
  server_.charge(step.query->owner.connection, step.took_us);
  if (Session* session = find(step.query->owner.connection)) session->on_step(std::move(step));
}

void LoopWorker::each_second() {
  if (metrics_.negentropies_opened.read() != metrics_.negentropies_closed.read()) {
    for (auto& [id, session] : sessions_) session->close_idle_negentropies();
  }
  shared_.heartbeat.beat(index_);
  for (std::size_t i = 0; i < error_lines_.size(); ++i) {
    const std::uint64_t left_out = error_lines_[i].take_left_out(shared_.clock.monotonic_ms());
    if (left_out == 0) continue;
    log(LogLevel::Info, "connections refused or ended: {}, {} more",
        static_cast<net::ServerError>(i), left_out);
  }
  const std::uint64_t queries_done = metrics_.queries_done.read();
  if (is_over_ || forgot_after_ == queries_done || !shared_.ingest.stored_idle()) return;
  forgot_after_ = queries_done;
  for (auto& [id, session] : sessions_) session->forget_sent();
}

}  // namespace nostril::relay
