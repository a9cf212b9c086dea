#include "relay/loop_worker.h"

#include "base/check.h"
#include "base/hex.h"
#include "events/kinds.h"
#include "relay/info.h"
#include "relay/store/record.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

/// Ids of lately verified events, 40 bytes each: covers what is between verifier and disk, and
/// ephemeral events that come by several ways.
constexpr std::size_t kRecentIdsMax = 65'536;
constexpr std::uint64_t kRetryMs = 5;
constexpr std::uint64_t kForgetMs = 1'000;
/// A commit is told to the loops within this of the moment that a scan could first see it.
constexpr std::int64_t kTellMsMax = 5'000;
/// Scans go on while less than this waits in the socket.
constexpr std::size_t kScanPendingBytesMax = 256U << 10;

std::uint64_t id_hash(const EventId& id) {
  return FixedBytesHash()(id);
}

}  // namespace

LoopWorker::LoopWorker(std::uint32_t index, net::Loop& loop, const net::ListenConfig& listen,
                       const RelayConfig& config, RelayServices& services, const Clock& clock)
    : index_(index),
      loop_(loop),
      config_(config),
      message_limits_(config.message_limits()),
      services_(services),
      clock_(clock),
      server_(loop, *this, listen, config.server_limits()) {
  timers_.push_back(loop_.every(kRetryMs, [this] { retry_waiting(); }));
  timers_.push_back(loop_.every(kForgetMs, [this] { forget_sent(); }));
}

LoopWorker::~LoopWorker() {
  for (const net::TimerId timer : timers_) loop_.cancel(timer);
}

// ---- Sockets ------------------------------------------------------------------------------------

void LoopWorker::on_http(net::ConnectionId id, const net::HttpRequest& request) {
  server_.respond(id, http_answer(request, services_.info_json(), config_,
                                  [this] { return services_.metrics_text(); }));
}

void LoopWorker::on_ws_open(net::ConnectionId id, const net::PeerAddress& /*peer*/,
                            const net::HttpRequest& /*request*/) {
  sessions_.try_emplace(id);
}

void LoopWorker::on_ws_text(net::ConnectionId id, std::string_view text) {
  const auto session = sessions_.find(id);
  if (session == sessions_.end() || stopping_) return;
  auto message = parse_client_message(text, message_limits_);
  if (!message) {
    refuse(id, message.error());
    return;
  }
  std::visit([&](auto&& command) { handle(id, session->second, std::move(command)); },
             std::move(*message));
}

void LoopWorker::on_ws_binary(net::ConnectionId id, std::string_view /*message*/) {
  counters_.parse_errors[static_cast<std::size_t>(ParseError::NotJson)].add();
  server_.send_text(id, notice_text("invalid: messages are text"));
}

void LoopWorker::on_ws_close(net::ConnectionId id) {
  const auto session = sessions_.find(id);
  if (session == sessions_.end()) return;
  for (auto& [name, open] : session->second.subscriptions) {
    index_of_subscriptions_.remove(&open->subscription);
  }
  subscriptions_open_ -= session->second.subscriptions.size();
  sessions_.erase(session);
}

void LoopWorker::on_drained(net::ConnectionId id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  auto tasks = std::exchange(found->second.undrained, {});
  for (QueryTask& task : tasks) continue_query(id, found->second, std::move(task));
}

void LoopWorker::begin_stop() {
  stopping_ = true;
  server_.stop_listening();
}

void LoopWorker::end_stop() {
  server_.close_all("the relay stops");
}

// ---- Refusals -----------------------------------------------------------------------------------

void LoopWorker::refuse(net::ConnectionId id, const MessageError& error) {
  counters_.parse_errors[static_cast<std::size_t>(error.error)].add();
  const std::string text = "invalid: " + std::string(to_string(error.error));
  if (error.event_id) {
    server_.send_text(id, ok_text(*error.event_id, false, text));
  } else if (error.subscription) {
    server_.send_text(id, closed_text(*error.subscription, text));
  } else {
    server_.send_text(id, notice_text(text));
  }
}

void LoopWorker::send_ok(net::ConnectionId id, const EventId& event, bool accepted,
                         std::string_view text) {
  server_.send_text(id, ok_text(encode_hex(event), accepted, text));
}

// ---- EVENT --------------------------------------------------------------------------------------

/// All that can be said without looking at the signature, cheapest first. `accepted` is OK's third
/// member: a known event is a success.
std::optional<std::string_view> LoopWorker::cheap_refusal(const Event& event, bool& accepted) {
  accepted = false;
  if (event.kind == kinds::kAuth) return "invalid: kind 22242 belongs into AUTH";
  const std::int64_t now_s = clock_.unix_s();
  if (event.created_at > now_s + config_.limits.created_at_future_s) {
    return "invalid: created_at is too far in the future";
  }
  if (const auto expires_at = expiration_of(event); expires_at && *expires_at <= now_s) {
    return "invalid: the event has expired";
  }
  const bool known =
      recent_.contains(event.id) ||
      (kind_class(event.kind) != KindClass::Ephemeral && services_.is_stored(event.id));
  if (!known) return std::nullopt;
  counters_.events_duplicate.add();
  accepted = true;
  return "duplicate: already have this event";
}

void LoopWorker::handle(net::ConnectionId id, Session& session, client_message::Publish&& message) {
  counters_.events_received.add();
  bool accepted = false;
  if (const auto refusal = cheap_refusal(message.event.event(), accepted)) {
    counters_.events_refused.add();
    send_ok(id, message.event.event().id, accepted, *refusal);
    return;
  }
  ++session.in_flight;
  VerifyJob job{std::move(message.event), {index_, id}};
  if (!session.waiting.empty() || !services_.submit_verify(std::move(job))) {
    session.waiting.push_back(std::move(job));
    pause(id, session);
  } else if (session.in_flight >= static_cast<std::size_t>(config_.limits.in_flight_max)) {
    pause(id, session);
  }
}

void LoopWorker::pause(net::ConnectionId id, Session& session) {
  if (std::exchange(session.paused, true)) return;
  counters_.pauses.add();
  server_.pause_reading(id);
}

void LoopWorker::resume_if_room(net::ConnectionId id, Session& session) {
  if (!session.paused || !session.waiting.empty()) return;
  if (session.in_flight > static_cast<std::size_t>(config_.limits.in_flight_max) / 2) return;
  session.paused = false;
  server_.resume_reading(id);
}

void LoopWorker::retry_waiting() {
  for (auto& [id, session] : sessions_) {
    while (!session.waiting.empty() &&
           services_.submit_verify(std::move(session.waiting.front()))) {
      session.waiting.pop_front();
    }
    resume_if_room(id, session);
  }
}

void LoopWorker::remember(const EventId& id) {
  if (!recent_.insert(id).second) return;
  recent_order_.push_back(id);
  if (recent_order_.size() <= kRecentIdsMax) return;
  recent_.erase(recent_order_.front());
  recent_order_.pop_front();
}

void LoopWorker::receive_answers(const std::vector<PublishAnswer>& answers) {
  for (const PublishAnswer& answer : answers) {
    const auto session = sessions_.find(answer.connection);
    if (session == sessions_.end()) continue;
    if (session->second.in_flight > 0) --session->second.in_flight;
    send_ok(answer.connection, answer.id, answer.accepted, answer.message);
    resume_if_room(answer.connection, session->second);
  }
}

// ---- Delivery -----------------------------------------------------------------------------------

void LoopWorker::deliver(Subscription& subscription,
                         const std::shared_ptr<const CommittedEvent>& event) {
  counters_.deliveries.add();
  server_.send_shared(subscription.connection, subscription.prefix,
                      std::shared_ptr<const std::string>(event, &event->json), "]");
}

void LoopWorker::receive_committed(const CommittedBatch& batch) {
  for (const auto& event : batch.events) {
    remember(event->event->id);
    index_of_subscriptions_.match(event->event.event(), [&](Subscription& subscription) {
      auto& subscriptions = sessions_.at(subscription.connection).subscriptions;
      OpenSubscription& open = *subscriptions.find(subscription.name)->second;
      if (open.scanning) {
        open.held.push_back(event);
      } else if (open.sent.empty() ||
                 !std::ranges::binary_search(open.sent, id_hash(event->event->id))) {
        deliver(subscription, event);
      }
    });
  }
  std::vector<PublishAnswer> answers;
  for (const WriteOutcome& outcome : batch.outcomes) {
    if (outcome.token.loop != index_) continue;
    answers.push_back({net::ConnectionId{outcome.token.session}, outcome.id,
                       is_accepted(outcome.result), ok_message(outcome.result)});
  }
  receive_answers(answers);
}

void LoopWorker::receive_ephemeral(
    const std::vector<std::shared_ptr<const EphemeralEvent>>& events) {
  for (const auto& event : events) {
    remember(event->event->id);
    std::uint32_t listeners = 0;
    index_of_subscriptions_.match(event->event.event(), [&](Subscription& subscription) {
      ++listeners;
      counters_.deliveries.add();
      server_.send_shared(subscription.connection, subscription.prefix,
                          std::shared_ptr<const std::string>(event, &event->json), "]");
    });
    event->listeners.fetch_add(listeners, std::memory_order_relaxed);
    if (event->loops_left.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
    const bool heard = event->listeners.load(std::memory_order_relaxed) > 0;
    services_.answer(event->session, event->event->id, heard,
                     heard ? "" : "mute: nobody is listening for this event");
  }
}

// ---- REQ ----------------------------------------------------------------------------------------

void LoopWorker::close_subscription(Session& session, std::string_view name) {
  const auto found = session.subscriptions.find(name);
  if (found == session.subscriptions.end()) return;
  index_of_subscriptions_.remove(&found->second->subscription);
  session.subscriptions.erase(found);
  --subscriptions_open_;
}

void LoopWorker::handle(net::ConnectionId id, Session& session, client_message::Request&& message) {
  counters_.requests.add();
  close_subscription(session, message.subscription);
  if (session.subscriptions.size() >= static_cast<std::size_t>(config_.limits.subscriptions_max)) {
    server_.send_text(id, closed_text(message.subscription,
                                      "rate-limited: too many subscriptions on this connection"));
    return;
  }
  auto open = std::make_unique<OpenSubscription>();
  open->generation = next_generation_++;
  open->subscription = {id, message.subscription, message.filters,
                        event_prefix(message.subscription)};
  QueryTask task;
  task.session = {index_, id};
  task.subscription = message.subscription;
  task.generation = open->generation;
  task.scan = services_.make_scan(std::move(message.filters));
  // Into the index before the scan begins: an event committed from now on is delivered, one
  // committed before is found.
  index_of_subscriptions_.add(&open->subscription);
  session.subscriptions.emplace(message.subscription, std::move(open));
  ++subscriptions_open_;
  if (!services_.submit_query(std::move(task))) {
    close_subscription(session, message.subscription);
    server_.send_text(id, closed_text(message.subscription,
                                      "rate-limited: too many queries are waiting, try again"));
  }
}

void LoopWorker::receive_rows(QueryTask task) {
  const net::ConnectionId id = task.session.connection;
  const auto session = sessions_.find(id);
  if (session == sessions_.end()) return;
  const auto found = session->second.subscriptions.find(task.subscription);
  if (found == session->second.subscriptions.end() ||
      found->second->generation != task.generation) {
    return;  // closed or replaced meanwhile
  }
  OpenSubscription& open = *found->second;
  for (QueryRow& row : task.rows) {
    open.sent.push_back(row.id_hash);
    server_.send_shared(id, open.subscription.prefix,
                        std::make_shared<const std::string>(std::move(row.json)), "]");
  }
  counters_.rows_sent.add(task.rows.size());
  task.rows.clear();
  if (task.failed ||
      open.held.size() > static_cast<std::size_t>(config_.limits.live_during_scan_max)) {
    const std::string text = closed_text(
        task.subscription, task.failed ? "error: the store can't be read"
                                       : "error: too many new events while reading stored ones");
    close_subscription(session->second, task.subscription);
    server_.send_text(id, text);
  } else if (task.done) {
    finish_scan(id, open);
  } else {
    continue_query(id, session->second, std::move(task));
  }
}

void LoopWorker::continue_query(net::ConnectionId id, Session& session, QueryTask&& task) {
  if (server_.pending_bytes(id) >= kScanPendingBytesMax) {
    session.undrained.push_back(std::move(task));
    return;
  }
  const std::string name = task.subscription;
  if (services_.submit_query(std::move(task))) return;
  close_subscription(session, name);
  server_.send_text(id, closed_text(name, "rate-limited: too many queries are waiting, try again"));
}

void LoopWorker::finish_scan(net::ConnectionId id, OpenSubscription& open) {
  open.scanning = false;
  std::ranges::sort(open.sent);
  server_.send_text(id, eose_text(open.subscription.name));
  for (const auto& event : open.held) {
    if (!std::ranges::binary_search(open.sent, id_hash(event->event->id))) {
      deliver(open.subscription, event);
    }
  }
  open.held.clear();
  open.forget_sent_at_ms = clock_.monotonic_ms() + kTellMsMax;
  forgetting_.emplace_back(id, open.subscription.name);
}

void LoopWorker::forget_sent() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  while (!forgetting_.empty()) {
    const auto& [id, name] = forgetting_.front();
    if (const auto session = sessions_.find(id); session != sessions_.end()) {
      const auto open = session->second.subscriptions.find(name);
      if (open != session->second.subscriptions.end() && !open->second->scanning) {
        if (open->second->forget_sent_at_ms > now_ms) return;  // those behind it are younger
        open->second->sent = {};
      }
    }
    forgetting_.pop_front();
  }
}

void LoopWorker::handle(net::ConnectionId /*id*/, Session& session,
                        client_message::Close&& message) {
  close_subscription(session, message.subscription);
}

void LoopWorker::handle(net::ConnectionId id, Session& /*session*/,
                        client_message::Count&& message) {
  server_.send_text(id, closed_text(message.subscription, "error: COUNT is not supported"));
}

void LoopWorker::handle(net::ConnectionId id, Session& /*session*/,
                        client_message::Auth&& message) {
  send_ok(id, message.event.event().id, false, "error: this relay asks for no authentication");
}

}  // namespace nostril::relay
