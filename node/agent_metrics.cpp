// What the agent shows of itself: Agent::metrics_text().
#include "node/agent.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace nostril::node {

namespace {

void write_counts(MetricsText& out, const NodeMetrics& metrics) {
  out.metric("records_total", "counter", "signed statements, by how the answer stood");
  for (std::size_t i = 0; i < metrics.records.size(); ++i) {
    out.sample(metrics.records.at(i).read(),
               metrics_label("status", to_string(static_cast<RecordStatus>(i))));
  }
  out.metric("refusals_total", "counter", "requests that got no record, by reason");
  for (std::size_t i = 0; i < metrics.refusals.size(); ++i) {
    out.sample(metrics.refusals.at(i).read(),
               metrics_label("reason", to_string(static_cast<ErrorCode>(i))));
  }
  out.metric("receipts_total", "counter", "receipts that came, by verdict");
  for (std::size_t i = 0; i < metrics.receipts.size(); ++i) {
    out.sample(metrics.receipts.at(i).read(),
               metrics_label("verdict", to_string(static_cast<settlement::ReceiptVerdict>(i))));
  }
  out.metric("tokens_total", "counter", "tokens of answers that ended, as their records say");
  out.sample(metrics.input_tokens.read(), metrics_label("kind", "input"));
  out.sample(metrics.cached_tokens.read(), metrics_label("kind", "cached"));
  out.sample(metrics.output_tokens.read(), metrics_label("kind", "output"));
}

void write_journal(MetricsText& out, const client::Journal& journal) {
  const client::JournalCounters& counters = journal.counters();
  out.counter("journal_commits_total", counters.commits.read(), "records, receipts, answers");
  out.metric("journal_commit_seconds_total", "counter", "that they took to the disk, together");
  out.sample_us(counters.microseconds.read());
  out.counter("journal_syncs_total", counters.syncs.read(), "groups of commits that shared a sync");
  out.gauge("journal_waiting", journal.waiting(), "commits that wait for the writer");
}

}  // namespace

std::string Agent::metrics_text() const {
  MetricsText out("nostril_node_");
  out.gauge("sessions", sessions_.size(), "sessions that are kept");
  out.counter("first_frames_total", counters_.first_frames, "frames that may begin a session");
  out.counter("unreadable_frames_total", counters_.unreadable, "of them, not for our keys");
  out.counter("repeated_requests_total", counters_.repeated,
              "of them, of a request that was known");
  out.gauge("relays", pool_.relay_count(), "relays of the configuration");
  out.gauge("relays_connected", pool_.connected_count(), "of them, connected");
  write_counts(out, metrics_);
  write_journal(out, *journal_);
  write_exposure(out);
  write_sites(out);
  return std::move(out).take();
}

/// Of books in use: what the node could lose at this moment.
void Agent::write_exposure(MetricsText& out) const {
  std::map<std::string, Uint128> owed;
  books_.each([&owed](const ChannelBook& book) {
    const settlement::NodeChannel& channel = book.channel();
    if (channel.spent() > channel.accepted()) {
      owed[channel.terms().asset] += channel.spent().value() - channel.accepted().value();
    }
  });
  out.metric("exposure", "gauge", "base units served that no receipt covers, of open channels");
  for (const auto& [asset, sum] : owed) {
    out.sample_decimal(to_decimal(sum), metrics_label("asset", asset));
  }
}

void Agent::write_sites(MetricsText& out) const {
  std::vector<SiteFigures> all;
  for (const auto& site : sites_) {
    if (!site->closed()) all.push_back(site->figures());
  }
  const auto each = [&](const char* name, const char* help, auto value) {
    out.metric(name, "gauge", help);
    for (const SiteFigures& figures : all) {
      if (const std::optional<std::uint64_t> found = value(figures)) {
        out.sample(*found, metrics_label("engine", figures.engine));
      }
    }
  };
  using Value = std::optional<std::uint64_t>;
  each("queue_running", "requests let into the engine",
       [](const SiteFigures& one) { return Value(one.running); });
  each("queue_waiting", "requests that wait for it",
       [](const SiteFigures& one) { return Value(one.waiting); });
  each("queue_limit", "requests that it is let to have, as learned",
       [](const SiteFigures& one) { return Value(one.limit); });
  each("engine_running", "requests that it computes, by its own word",
       [](const SiteFigures& one) { return one.load ? Value(one.load->running) : Value(); });
  each("engine_waiting", "requests that wait inside it, by its own word",
       [](const SiteFigures& one) { return one.load ? Value(one.load->waiting) : Value(); });
  out.metric("evidence_age_seconds", "gauge", "of the evidence under the offer; none: not offered");
  const std::int64_t now_s = clock_.unix_s();
  for (const SiteFigures& figures : all) {
    for (const auto& [model, made_at_s] : figures.offers) {
      out.sample(static_cast<std::uint64_t>(std::max<std::int64_t>(0, now_s - made_at_s)),
                 metrics_label("engine", figures.engine) + "," + metrics_label("model", model));
    }
  }
}

}  // namespace nostril::node
