#include "relay/relay.h"

#include "base/check.h"
#include "base/log.h"
#include "events/kinds.h"
#include "relay/info.h"
#include "schnorr/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace nostril::relay {

namespace {

/// Signatures a verifier takes at a time: enough to share the queue's lock, few enough that the
/// other verifiers get their part.
constexpr std::size_t kVerifyBatch = 32;
constexpr ScanBudget kScanBudget{};
/// Bytes of rows in one step: what a slow reader may cost before its socket is looked at.
constexpr std::size_t kStepBytesMax = 256U << 10;

net::ListenConfig parse_listen(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  unsigned long port = 65536;
  if (colon != std::string::npos && colon + 1 < text.size() &&
      text.find_first_not_of("0123456789", colon + 1) == std::string::npos &&
      text.size() - colon <= 6) {
    port = std::stoul(text.substr(colon + 1));
  }
  if (port > 65535) throw std::runtime_error("listen must be HOST:PORT: " + text);
  net::ListenConfig out;
  out.host = text.substr(0, colon);
  if (out.host.starts_with('[') && out.host.ends_with(']')) {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  out.port = static_cast<std::uint16_t>(port);
  return out;
}

std::size_t thread_count(std::int64_t configured) {
  if (configured > 0) return static_cast<std::size_t>(configured);
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

Relay::Relay(const RelayConfig& config, const Clock& clock)
    : config_(config),
      clock_(clock),
      info_json_(make_info_json(config)),
      verify_queue_(static_cast<std::size_t>(config.limits.verify_queue_max)),
      query_queue_(static_cast<std::size_t>(config.limits.query_queue_max)) {
  auto store = Store::open(config.data);
  if (!store) throw std::runtime_error(store.error().text);
  store_ = std::move(*store);
  net::ListenConfig listen = parse_listen(config.listen);
  const std::size_t loops = thread_count(config.loops);
  for (std::uint32_t i = 0; i < loops; ++i) {
    loops_.push_back(std::make_unique<net::Loop>());
    workers_.push_back(
        std::make_unique<LoopWorker>(i, *loops_.back(), listen, config_, *this, clock_));
    listen.port = workers_.front()->port();  // the others share the port that the first one got
  }
}

Relay::~Relay() {
  if (stopper_.joinable()) stopper_.join();
}

void Relay::run() {
  WriterOptions options;
  options.queue_events_max = static_cast<std::size_t>(config_.limits.write_queue_max);
  writer_ = std::make_unique<StoreWriter>(
      *store_, clock_, options, [this](CommittedBatch&& batch) { on_commit(std::move(batch)); });
  for (std::size_t i = 0; i < thread_count(config_.verifiers); ++i) {
    verifiers_.emplace_back([this] { verify_loop(); });
  }
  for (std::int64_t i = 0; i < config_.query_workers; ++i) {
    query_workers_.emplace_back([this] { query_loop(); });
  }
  std::vector<std::thread> loop_threads;
  for (std::size_t i = 1; i < loops_.size(); ++i) {
    loop_threads.emplace_back([this, i] { loops_[i]->run(); });
  }
  loops_.front()->run();
  for (std::thread& thread : loop_threads) thread.join();
  if (stopper_.joinable()) stopper_.join();
}

void Relay::request_stop() {
  if (stopper_.joinable()) return;
  stopper_ = std::thread([this] { stop_pipeline(); });
}

/// Front to back: no new work, then each stage empties itself into the next, then the loops write
/// what they were told and end.
void Relay::stop_pipeline() {
  for (std::uint32_t i = 0; i < loops_.size(); ++i) {
    post(i, [worker = workers_[i].get()] { worker->begin_stop(); });
  }
  verify_queue_.close();
  for (std::thread& thread : verifiers_) thread.join();
  writer_->stop();
  query_queue_.close();
  for (std::thread& thread : query_workers_) thread.join();
  for (std::uint32_t i = 0; i < loops_.size(); ++i) {
    post(i, [this, i] {
      workers_[i]->end_stop();
      // A moment for Close frames and answers to leave.
      loops_[i]->after(200, [this, i] { loops_[i]->stop(); });
    });
  }
}

void Relay::post(std::uint32_t loop, net::Loop::Task task) {
  while (!loops_[loop]->post(task)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// ---- Events -------------------------------------------------------------------------------------

bool Relay::submit_verify(VerifyJob&& job) {
  return verify_queue_.push(std::move(job));
}

bool Relay::is_stored(const EventId& id) {
  return store_->has_id(id);
}

void Relay::verify_loop() {
  Verifier verifier;
  while (auto jobs = verify_queue_.wait_all(kVerifyBatch)) {
    std::vector<UnverifiedEvent> events;
    std::vector<EventId> ids;
    events.reserve(jobs->size());
    for (VerifyJob& job : *jobs) {
      ids.push_back(job.event.event().id);
      events.push_back(std::move(job.event));
    }
    auto results = VerifiedEvent::verify_all(events, verifier);
    std::vector<std::shared_ptr<const EphemeralEvent>> ephemeral;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const SessionId& session = (*jobs)[i].session;
      if (!results[i]) {
        bad_signatures_.fetch_add(1, std::memory_order_relaxed);
        answer(session, ids[i], false, "invalid: the signature is wrong");
      } else if (kind_class((*results[i])->kind) == KindClass::Ephemeral) {
        ephemeral.push_back(std::make_shared<const EphemeralEvent>(
            std::move(*results[i]), session, static_cast<std::uint32_t>(loops_.size())));
      } else {
        WriteRequest request{std::move(*results[i]), to_token(session)};
        // A full writer holds up the verifiers, they the loops, and those the publishers.
        while (!writer_->submit(std::move(request))) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      }
    }
    verified_.fetch_add(results.size(), std::memory_order_relaxed);
    if (ephemeral.empty()) continue;
    ephemeral_.fetch_add(ephemeral.size(), std::memory_order_relaxed);
    const auto shared = std::make_shared<const std::vector<std::shared_ptr<const EphemeralEvent>>>(
        std::move(ephemeral));
    for (std::uint32_t i = 0; i < loops_.size(); ++i) {
      post(i, [worker = workers_[i].get(), shared] { worker->receive_ephemeral(*shared); });
    }
  }
}

void Relay::answer(const SessionId& session, const EventId& id, bool accepted,
                   std::string_view message) {
  post(session.loop, [worker = workers_[session.loop].get(),
                      answer = PublishAnswer{session.connection, id, accepted, message}] {
    worker->receive_answers({answer});
  });
}

void Relay::on_commit(CommittedBatch&& batch) {
  const auto shared = std::make_shared<const CommittedBatch>(std::move(batch));
  for (std::uint32_t i = 0; i < loops_.size(); ++i) {
    post(i, [worker = workers_[i].get(), shared] { worker->receive_committed(*shared); });
  }
}

// ---- Queries ------------------------------------------------------------------------------------

std::unique_ptr<Scan> Relay::make_scan(std::vector<Filter> filters) {
  ScanOptions options;
  options.now_s = clock_.unix_s();
  options.limit_max = static_cast<std::uint64_t>(config_.limits.limit_default_and_max);
  return std::make_unique<Scan>(*store_, std::move(filters), options);
}

bool Relay::submit_query(QueryTask&& task) {
  return query_queue_.push(std::move(task));
}

void Relay::query_loop() {
  while (auto tasks = query_queue_.wait_all(1)) {
    for (QueryTask& task : *tasks) {
      ReadTxn txn = store_->read();
      std::size_t bytes = 0;
      const auto step = task.scan->step(txn, kScanBudget, [&](const RecordView& record) {
        QueryRow row{FixedBytesHash()(record.id()), {}};
        append_json(row.json, record);
        bytes += row.json.size();
        task.rows.push_back(std::move(row));
        return bytes >= kStepBytesMax ? RowAction::TakeAndPause : RowAction::Take;
      });
      task.failed = !step;
      task.done = step && step->done;
      if (!step) log(LogLevel::Error, "query: {}", step.error().text);
      const std::uint32_t loop = task.session.loop;
      // std::function wants a copyable task; the query itself is moved, never copied.
      const auto moved = std::make_shared<QueryTask>(std::move(task));
      post(loop,
           [worker = workers_[loop].get(), moved] { worker->receive_rows(std::move(*moved)); });
    }
  }
}

// ---- Metrics ------------------------------------------------------------------------------------

std::string Relay::metrics_text() {
  std::string out;
  const auto sum = [this](auto read) {
    std::uint64_t total = 0;
    for (const auto& worker : workers_) total += read(*worker);
    return total;
  };
  const auto metric = [&out](std::string_view name, std::string_view type, std::string_view help,
                             std::uint64_t value) {
    append_metric(out, name, type, help);
    append_value(out, name, "", value);
  };
  metric("nostril_relay_events_received_total", "counter", "EVENT messages with a right id",
         sum([](const LoopWorker& w) { return w.counters().events_received.read(); }));
  metric("nostril_relay_events_refused_total", "counter", "refused before the signature was read",
         sum([](const LoopWorker& w) { return w.counters().events_refused.read(); }));
  metric("nostril_relay_events_duplicate_total", "counter", "of these, already known",
         sum([](const LoopWorker& w) { return w.counters().events_duplicate.read(); }));
  metric("nostril_relay_signatures_checked_total", "counter", "signatures checked",
         verified_.load());
  metric("nostril_relay_signatures_wrong_total", "counter", "of these, wrong",
         bad_signatures_.load());
  metric("nostril_relay_events_ephemeral_total", "counter", "ephemeral events fanned out",
         ephemeral_.load());
  metric("nostril_relay_commits_total", "counter", "write transactions on the disk",
         writer_ ? writer_->batches() : 0);
  append_metric(out, "nostril_relay_write_outcomes_total", "counter",
                "events by what became of them");
  constexpr std::array<std::string_view, kPutResultCount> kOutcomes = {
      "stored",  "duplicate", "have_newer",   "deleted",
      "expired", "ephemeral", "out_of_range", "failed"};
  for (std::size_t i = 0; i < kPutResultCount; ++i) {
    append_value(out, "nostril_relay_write_outcomes_total",
                 fmt::format("{{outcome=\"{}\"}}", kOutcomes[i]),
                 writer_ ? writer_->outcomes(static_cast<PutResult>(i)) : 0);
  }
  append_metric(out, "nostril_relay_messages_invalid_total", "counter",
                "client messages refused, by reason");
  for (std::size_t i = 0; i < kParseErrorCount; ++i) {
    append_value(out, "nostril_relay_messages_invalid_total",
                 fmt::format("{{reason=\"{}\"}}", to_string(static_cast<ParseError>(i))),
                 sum([i](const LoopWorker& w) { return w.counters().parse_errors[i].read(); }));
  }
  append_metric(out, "nostril_relay_connection_errors_total", "counter",
                "connections refused or ended, by reason");
  for (std::size_t i = 0; i < static_cast<std::size_t>(net::ServerError::Count); ++i) {
    append_value(out, "nostril_relay_connection_errors_total",
                 fmt::format("{{reason=\"{}\"}}", to_string(static_cast<net::ServerError>(i))),
                 sum([i](const LoopWorker& w) { return w.net_counters().errors[i].read(); }));
  }
  metric("nostril_relay_requests_total", "counter", "REQ messages",
         sum([](const LoopWorker& w) { return w.counters().requests.read(); }));
  metric("nostril_relay_rows_sent_total", "counter", "stored events sent",
         sum([](const LoopWorker& w) { return w.counters().rows_sent.read(); }));
  metric("nostril_relay_deliveries_total", "counter", "live events sent",
         sum([](const LoopWorker& w) { return w.counters().deliveries.read(); }));
  metric("nostril_relay_pauses_total", "counter", "publishers not read because a queue was full",
         sum([](const LoopWorker& w) { return w.counters().pauses.read(); }));
  metric("nostril_relay_connections", "gauge", "open WebSockets", sum([](const LoopWorker& w) {
           return w.net_counters().websockets_opened.read() -
                  w.net_counters().websockets_closed.read();
         }));
  metric("nostril_relay_subscriptions", "gauge", "open subscriptions",
         sum([](const LoopWorker& w) { return w.subscriptions(); }));
  metric("nostril_relay_bytes_in_total", "counter", "bytes read",
         sum([](const LoopWorker& w) { return w.net_counters().bytes_in.read(); }));
  metric("nostril_relay_bytes_out_total", "counter", "bytes written",
         sum([](const LoopWorker& w) { return w.net_counters().bytes_out.read(); }));
  metric("nostril_relay_verify_queue", "gauge", "events that wait for a verifier",
         verify_queue_.size());
  metric("nostril_relay_write_queue", "gauge", "events that wait for the writer",
         writer_ ? writer_->queued() : 0);
  metric("nostril_relay_query_queue", "gauge", "scans that wait for a worker", query_queue_.size());
  metric("nostril_relay_events", "gauge", "events stored", store_->count());
  return out;
}

}  // namespace nostril::relay
