// Relay::metrics_text(): the counters of all threads, added up.
#include "base/metrics_text.h"
#include "relay/relay.h"

#include <fmt/format.h>

#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>

namespace nostril::relay {

namespace {

using Loops = std::vector<std::unique_ptr<LoopWorker>>;

template <typename Read>
std::uint64_t sum(const Loops& loops, Read read) {
  std::uint64_t total = 0;
  for (const auto& loop : loops) total += read(*loop);
  return total;
}

std::uint64_t sum(const Loops& loops, Counter LoopMetrics::*counter) {
  return sum(loops, [&](const LoopWorker& loop) { return (loop.metrics().*counter).read(); });
}

std::uint64_t sum(const Loops& loops, Counter net::ServerCounters::*counter) {
  return sum(loops,
             [&](const LoopWorker& loop) { return (loop.server_counters().*counter).read(); });
}

std::string label(std::string_view name, std::string_view value) {
  return fmt::format("{}=\"{}\"", name, value);
}

// A gauge of what came less what went, read from two counters that are not one snapshot.
std::uint64_t difference(std::uint64_t came, std::uint64_t went) {
  return came > went ? came - went : 0;
}

void write_connections(MetricsText& out, const Loops& loops) {
  using Counters = net::ServerCounters;
  out.gauge("connections",
            difference(sum(loops, &Counters::connections_accepted),
                       sum(loops, &Counters::connections_closed)),
            "open connections");
  out.gauge("websockets",
            difference(sum(loops, &Counters::websockets_opened),
                       sum(loops, &Counters::websockets_closed)),
            "open WebSockets");
  out.counter("connections_total", sum(loops, &Counters::connections_accepted), "accepted");
  out.counter("http_requests_total", sum(loops, &Counters::http_requests), "plain HTTP requests");
  out.counter("messages_in_total", sum(loops, &Counters::messages_in), "WebSocket messages read");
  out.counter("pings_in_total", sum(loops, &Counters::pings_in), "Pings and Pongs read");
  out.counter("messages_out_total", sum(loops, &Counters::messages_out),
              "WebSocket messages queued");
  out.counter("messages_deflated_total", sum(loops, &Counters::messages_deflated),
              "messages sent compressed");
  out.counter("deflates_total", sum(loops, &Counters::deflates),
              "compressions made for them; one serves all readers of an event on a loop");
  out.counter("bytes_in_total", sum(loops, &Counters::bytes_in), "bytes read");
  out.counter("bytes_out_total", sum(loops, &Counters::bytes_out), "bytes written");
  out.counter("writes_total", sum(loops, &Counters::writes), "writes to sockets");
  out.metric("connection_errors_total", "counter", "connections or messages refused, by reason");
  for (std::size_t i = 0; i < static_cast<std::size_t>(net::ServerError::Count); ++i) {
    out.sample(
        sum(loops, [&](const LoopWorker& loop) { return loop.server_counters().errors[i].read(); }),
        label("reason", to_string(static_cast<net::ServerError>(i))));
  }
}

void write_protocol(MetricsText& out, const Loops& loops) {
  using M = LoopMetrics;
  out.counter("events_received_total", sum(loops, &M::events_received), "well-formed events");
  out.metric("events_answered_total", "counter", "OK messages");
  out.sample(sum(loops, &M::events_accepted), label("accepted", "true"));
  out.sample(sum(loops, &M::events_not_accepted), label("accepted", "false"));
  out.counter("events_duplicate_early_total", sum(loops, &M::duplicates_early),
              "known ids that cost no verification");
  out.counter("ephemeral_unheard_total", sum(loops, &M::ephemeral_unheard),
              "ephemeral events that nobody was subscribed to");
  out.metric("events_refused_total", "counter", "refused before verification, by reason");
  for (std::size_t i = 0; i < kRefusalCount; ++i) {
    out.sample(
        sum(loops, [&](const LoopWorker& loop) { return loop.metrics().refusals[i].read(); }),
        label("reason", name_of(static_cast<Refusal>(i))));
  }
  out.metric("messages_malformed_total", "counter", "messages that could not be read, by reason");
  for (std::size_t i = 0; i < kParseErrorCount; ++i) {
    out.sample(
        sum(loops, [&](const LoopWorker& loop) { return loop.metrics().parse_errors[i].read(); }),
        label("reason", to_string(static_cast<ParseError>(i))));
  }
  out.counter("authentications_total", sum(loops, &M::authentications), "AUTH, right");
  out.counter("authentications_refused_total", sum(loops, &M::authentications_refused),
              "AUTH, refused");
  out.counter("messages_unsupported_total", sum(loops, &M::unsupported), "binary");
  out.counter("requests_total", sum(loops, &M::requests), "REQ");
  out.counter("counts_total", sum(loops, &M::counts), "COUNT");
  out.counter("requests_refused_total", sum(loops, &M::requests_refused), "CLOSED");
  out.gauge("subscriptions",
            difference(sum(loops, &M::subscriptions_opened), sum(loops, &M::subscriptions_closed)),
            "open subscriptions");
  out.metric("events_sent_total", "counter", "EVENT messages, by how they came");
  out.sample(sum(loops, &M::stored_sent), label("part", "stored"));
  out.sample(sum(loops, &M::live_sent), label("part", "live"));
  out.sample(sum(loops, &M::ephemeral_sent), label("part", "ephemeral"));
  out.counter("reading_paused_total", sum(loops, &M::reading_paused),
              "times a peer was not read because a queue was full");
}

std::string_view name_of(PutResult result) {
  switch (result) {
    case PutResult::Stored:
      return "stored";
    case PutResult::Duplicate:
      return "duplicate";
    case PutResult::HaveNewer:
      return "have_newer";
    case PutResult::Deleted:
      return "deleted";
    case PutResult::Vanished:
      return "vanished";
    case PutResult::Expired:
      return "expired";
    case PutResult::Ephemeral:
      return "ephemeral";
    case PutResult::OutOfRange:
      return "out_of_range";
    case PutResult::Failed:
      return "failed";
    case PutResult::Blocked:
      return "blocked";
    case PutResult::DiskFull:
      return "disk_full";
  }
  return "unknown";
}

void write_ingest(MetricsText& out, const Ingest& ingest, const Loops& loops) {
  std::uint64_t verified = 0;
  std::uint64_t bad = 0;
  std::uint64_t batches = 0;
  std::uint64_t busy_us = 0;
  const auto add = [&](const VerifierMetrics& metrics) {
    verified += metrics.verified.read();
    bad += metrics.bad_signatures.read();
    batches += metrics.batches.read();
    busy_us += metrics.busy_us.read();
  };
  for (const auto& metrics : ingest.metrics()) add(*metrics);
  for (const auto& loop : loops) add(loop->verifier_metrics());
  out.counter("verifications_total", verified, "signatures checked");
  out.counter("verifications_failed_total", bad, "signatures that were wrong");
  out.counter("verification_batches_total", batches, "batches of them");
  out.metric("verification_seconds_total", "counter", "verifier threads' time with them");
  out.sample_us(busy_us);
  const StoreWriter& writer = ingest.writer();
  out.metric("write_seconds_total", "counter", "the writer's time with batches, syncs included");
  out.sample_us(writer.busy_us());
  out.counter("commits_total", writer.batches(), "batches of events made durable");
  out.counter("commits_logged_total", writer.logged(), "of them, those that went to the log");
  out.counter("log_commits_total", writer.log_commits(), "times the tables took what was there");
  out.metric("events_written_total", "counter", "what the store did, by outcome");
  for (std::size_t i = 0; i < kPutResultCount; ++i) {
    const auto result = static_cast<PutResult>(i);
    out.sample(writer.outcomes(result), label("outcome", name_of(result)));
  }
  out.counter("events_swept_total", writer.swept(),
              "events removed that expired or whose authors vanished");
  out.gauge("store_writable", writer.is_healthy() ? 1 : 0,
            "0 while the disk is full, or after a failed commit");
  out.metric("queue_depth", "gauge", "waiting now");
  out.sample(ingest.verify_queued(), label("queue", "verify"));
  out.sample(writer.queued(), label("queue", "write"));
  out.sample(static_cast<std::uint64_t>(ingest.stored_under_way()),
             label("queue", "stored_under_way"));
  out.sample(static_cast<std::uint64_t>(ingest.ephemeral_under_way()),
             label("queue", "ephemeral_under_way"));
}

void write_queries(MetricsText& out, const QueryPool& queries, const Loops& loops) {
  std::uint64_t steps = 0;
  std::uint64_t rows = 0;
  std::uint64_t cached_rows = 0;
  std::uint64_t visits = 0;
  std::uint64_t query_us = 0;
  std::uint64_t failures = 0;
  std::uint64_t commit_waits = 0;
  const auto add = [&](const QueryMetrics& metrics) {
    steps += metrics.steps.read();
    rows += metrics.rows.read();
    cached_rows += metrics.cached_rows.read();
    visits += metrics.visits.read();
    query_us += metrics.busy_us.read();
    failures += metrics.failures.read();
    commit_waits += metrics.commit_waits.read();
  };
  for (const auto& metrics : queries.metrics()) add(*metrics);
  for (const auto& loop : loops) add(loop->metrics().queries);
  out.counter("query_steps_total", steps, "steps of stored queries");
  out.counter("query_rows_total", rows, "events they found");
  out.counter("query_cached_rows_total", cached_rows, "of them, shown lately: their text was kept");
  out.counter("query_visits_total", visits, "index entries and records looked at");
  out.metric("query_seconds_total", "counter", "time of these steps, on workers and loops");
  out.sample_us(query_us);
  out.counter("query_failures_total", failures, "store could not be read");
  out.counter("query_commit_waits_total", commit_waits,
              "queries that waited until the log was in the tables");
}

void write_negentropy(MetricsText& out, const QueryPool& queries, const Loops& loops) {
  using M = LoopMetrics;
  out.counter("negentropies_total", sum(loops, &M::negentropies), "NEG-OPEN");
  out.counter("negentropies_refused_total", sum(loops, &M::negentropies_refused), "NEG-ERR");
  out.counter("negentropy_answers_total", sum(loops, &M::negentropy_answers), "NEG-MSG sent");
  out.gauge("negentropies",
            difference(sum(loops, &M::negentropies_opened), sum(loops, &M::negentropies_closed)),
            "open reconciliations");
  out.gauge("negentropy_events", static_cast<std::uint64_t>(queries.negentropy_events()),
            "events that they hold together, rounded up");
}

void write_guard(MetricsText& out, const Guard& guard, const Loops& loops) {
  out.metric("overruns_total", "counter", "what passed a limit of its address or key, by limit");
  for (std::size_t i = 0; i < kOverrunCount; ++i) {
    const auto overrun = static_cast<Overrun>(i);
    out.sample(guard.overruns.read(overrun), label("limit", name_of(overrun)));
  }
  out.counter("client_rests_total", sum(loops, &LoopMetrics::rests),
              "times a client was not read for a while because it was too fast");
  out.counter("queries_cut_total", sum(loops, &LoopMetrics::queries_cut),
              "REQs closed for what they cost");
  out.gauge("addresses", guard.clients.address_count(), "addresses that limits are kept for");
  out.gauge("waiting_bytes", guard.memory ? guard.memory->used() : 0,
            "input and output that waits, of connections with more than 4 KiB");
}

void write_plugin(MetricsText& out, const PluginMetrics& plugin, std::string_view name) {
  const auto sample = [&](std::uint64_t value, std::string_view what) {
    out.sample(value, label("plugin", name) + "," + label("outcome", what));
  };
  sample(plugin.accepted.read(), "accepted");
  sample(plugin.rejected.read(), "rejected");
  sample(plugin.shadow_rejected.read(), "shadow_rejected");
  sample(plugin.failed.read(), "failed");
}

void write_plugins(MetricsText& out, const PluginChain* plugins) {
  if (plugins == nullptr) return;
  const auto& all = plugins->metrics();
  const auto each = [&](auto&& value) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      out.sample(value(*all[i]), label("plugin", std::to_string(i)));
    }
  };
  out.metric("plugin_events_total", "counter", "events at a plugin, by outcome; failed: no answer");
  for (std::size_t i = 0; i < all.size(); ++i) write_plugin(out, *all[i], std::to_string(i));
  out.metric("plugin_bad_lines_total", "counter", "lines of its output that answered nothing");
  each([](const PluginMetrics& plugin) { return plugin.bad_lines.read(); });
  out.metric("plugin_starts_total", "counter", "starts of its processes");
  each([](const PluginMetrics& plugin) { return plugin.starts.read(); });
  out.metric("plugin_waiting", "gauge", "events that wait for a process");
  each([](const PluginMetrics& plugin) { return plugin.waiting.load(); });
  out.metric("plugin_in_flight", "gauge", "events given to a process and not answered");
  each([](const PluginMetrics& plugin) { return plugin.in_flight.load(); });
}

void write_cluster(MetricsText& out, const ClusterFigures& f) {
  out.gauge("cluster_connected", f.is_connected ? 1 : 0, "to a server of NATS");
  out.gauge("cluster_away", f.bus == BusState::Ready ? 0 : 1, "the stream does not answer");
  out.gauge("cluster_serving", f.phase == ClusterPhase::Serving ? 1 : 0,
            "caught up with what the stream had when it was first heard of");
  out.gauge("cluster_position", f.position, "of the stream, up to where all is applied here");
  out.gauge("cluster_stream_first", f.stream_first, "the oldest message in the stream");
  out.gauge("cluster_stream_last", f.stream_last, "the newest one");
  out.gauge("cluster_stream_bytes", f.stream_bytes, "that the stream takes on each server");
  out.gauge("cluster_lag", f.lag(), "messages that are in the stream and not here");
  out.gauge("cluster_pending", f.pending, "published here and not answered");
  out.counter("cluster_published_total", f.published, "sent to the stream, also once more");
  out.counter("cluster_acks_total", f.acks, "that the stream has them");
  out.counter("cluster_duplicates_total", f.duplicates, "of these, that it had them before");
  out.counter("cluster_ack_failures_total", f.ack_failures, "answers of the stream that say no");
  out.counter("cluster_timeouts_total", f.timeouts, "events refused because no answer came");
  out.counter("cluster_refused_away_total", f.refused_away, "because the cluster is away");
  out.counter("cluster_applied_total", f.applied, "messages of the stream");
  out.counter("cluster_applied_own_total", f.applied_own, "of these, published here");
  out.counter("cluster_applied_late_total", f.applied_late,
              "besides, whose number has been used: a server numbers otherwise");
  out.counter("cluster_malformed_total", f.malformed, "that mean nothing; passed over");
  out.counter("cluster_ephemeral_in_total", f.ephemeral_in, "ephemeral events of other relays");
  out.counter("cluster_ephemeral_out_total", f.ephemeral_out, "for other relays");
  out.counter("cluster_ephemeral_dropped_total", f.ephemeral_dropped, "because too many waited");
  out.gauge("cluster_interests", f.interests, "subjects of ephemeral events that are taken");
  out.counter("cluster_connections_total", f.connections, "made to NATS");
  out.counter("cluster_consumers_total", f.consumers, "made in the stream, one after the other");
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void write_operator(MetricsText& out, const OperatorMetrics& metrics, const AdminDesk& desk,
                    std::size_t rows) {
  out.metric("reloads_total", "counter", "times the configuration was read again");
  out.sample(metrics.reloads.read(), label("result", "taken"));
  out.sample(metrics.reloads_refused.read(), label("result", "refused"));
  out.counter("restarts_refused_total", metrics.restarts_refused.read(),
              "successors that would not have started");
  out.counter("management_calls_total", desk.management().calls(), "NIP-86, signed by who may");
  out.counter("management_errors_total", desk.management().refusals(), "of them, with an error");
  out.counter("management_unauthorised_total", desk.unauthorised(), "signed by nobody who may");
  out.gauge("moderation_rows", rows, "in the moderators' lists");
}

}  // namespace

std::uint64_t Relay::open_connections() const {
  using Counters = net::ServerCounters;
  return difference(sum(loops_, &Counters::connections_accepted),
                    sum(loops_, &Counters::connections_closed));
}

std::string Relay::metrics_text() const {
  MetricsText out("nostril_relay_");
  write_connections(out, loops_);
  write_protocol(out, loops_);
  write_ingest(out, *ingest_, loops_);
  out.sample(queries_->queued(), label("queue", "query"));
  out.sample(sum(loops_, [](const LoopWorker& loop) { return loop.mail_queued(); }),
             label("queue", "loop_mail"));
  write_queries(out, *queries_, loops_);
  write_negentropy(out, *queries_, loops_);
  if (mirror_) mirror_->write_metrics(out);
  if (cluster_) write_cluster(out, cluster_->figures());
  if (member_) {
    out.gauge("cluster_outbox_events", cluster_->outbox_events(),
              "acknowledged here, and not in the stream yet");
    out.counter("cluster_snapshots_made_total", member_->snapshots().made(),
                "copies of this store for other relays");
    out.counter("cluster_snapshot_pieces_total", member_->snapshots().chunks_given(),
                "of them, given to other relays");
    const Repair& repair = member_->repair();
    out.counter("cluster_differences_total", repair.differences(),
                "ranges of the stream of which another relay was told something else");
    out.counter("cluster_repaired_events_total", repair.events_asked(),
                "lacked here after such a difference, and published again by another relay");
    out.counter("cluster_given_events_total", repair.events_given(), "published again for others");
    out.counter("cluster_requests_malformed_total", member_->malformed(),
                "of other relays and the command line, that mean nothing");
    const SnapshotProgress fetched = member_->fetched();
    out.gauge("cluster_fetch_chunks", fetched.chunks, "of the snapshot that is being fetched");
    out.gauge("cluster_fetch_missing", fetched.missing, "of these, that are not here yet");
  }
  write_guard(out, guard_, loops_);
  write_plugins(out, ingest_->plugins());
  write_operator(out, operator_metrics_, *admin_, moderation_->rows());
  const StoreStats stats = store_->stats();
  out.gauge("store_events", stats.events, "events in the store");
  out.gauge("store_file_bytes", stats.file_used_bytes, "of the store's file, in use or free again");
  out.gauge("store_map_bytes", stats.map_bytes, "address space it has; doubled when full");
  out.gauge("start_time_seconds", static_cast<std::uint64_t>(started_at_s_), "in Unix time");
  out.gauge("resident_bytes", resident_bytes(), "memory of the process");
  out.counter("store_replayed_total", store_->replayed(),
              "events taken from the log, after a crash or while the file's map grew");
  out.counter("store_damaged_reads_total", store_->damaged_reads(), "records that can't be read");
  return std::move(out).take();
}

}  // namespace nostril::relay
