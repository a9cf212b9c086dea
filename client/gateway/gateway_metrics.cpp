#include "client/gateway/gateway_metrics.h"

#include "base/metrics_text.h"
#include "client/api_budget.h"

#include <algorithm>

namespace nostril::client {

namespace {

std::string_view outcome_of(const Exchange& exchange, const QueryResult& result) {
  if (exchange.error) return "refused";
  if (exchange.cancelled) return "cancelled";
  if (result.verified()) return "verified";
  if (result.failure == QueryFailure::None && result.record) {
    return to_string(result.record->status);
  }
  return word_of(result.failure);
}

}  // namespace

GatewayMetrics::ModelUse& GatewayMetrics::use_of(const std::string& model) {
  const auto found = models_.find(model);
  if (found != models_.end()) return found->second;
  return models_[models_.size() < kModelsMax ? model : "other"];
}

void GatewayMetrics::on_record(const Offer& offer, const ResponseRecord& record) {
  ModelUse& use = use_of(offer.model);
  use.usage.input += record.usage.input;
  use.usage.cached += record.usage.cached;
  use.usage.output += record.usage.output;
  // One asset a model is usual; nodes name these, too.
  if (use.amounts.size() < kModelsMax || use.amounts.contains(offer.asset)) {
    use.amounts[offer.asset] += spent_by(offer, record).amount;
  }
}

void GatewayMetrics::on_end(const Exchange& exchange, const QueryResult& result) {
  ++ended_[{exchange.route->path, outcome_of(exchange, result)}];
}

std::string GatewayMetrics::text(
    const std::map<const Exchange*, std::shared_ptr<Exchange>>& running, ClientHome& home) const {
  MetricsText out("nostril_gateway_");
  out.metric("requests_total", "counter", "Requests that took a node, by path and how they ended");
  for (const auto& [what, count] : ended_) {
    out.sample(count,
               metrics_label("path", what.first) + "," + metrics_label("outcome", what.second));
  }
  out.gauge("requests_running", running.size(), "Requests under way");
  out.gauge("streams_open",
            static_cast<std::uint64_t>(std::ranges::count_if(
                running, [](const auto& entry) { return entry.second->started; })),
            "Answers that are being streamed to applications");
  out.metric("bytes_total", "counter", "Bytes of bodies, from and to applications");
  out.sample(from_applications_, metrics_label("direction", "in"));
  out.sample(to_applications_, metrics_label("direction", "out"));
  out.counter("repeats_total", repeats_, "Requests that were sent again and not asked twice");
  out.counter("asked_total", first_tries_, "Requests for which a node was chosen");
  out.counter("retries_total", more_tries_,
              "Further tries of a request: the same node again, another one, or a hedge");
  out.metric("tokens_total", "counter", "Tokens that records state, by model");
  for (const auto& [model, use] : models_) {
    const std::string label = metrics_label("model", model);
    out.sample(use.usage.input, label + "," + metrics_label("kind", "input"));
    out.sample(use.usage.cached, label + "," + metrics_label("kind", "cached"));
    out.sample(use.usage.output, label + "," + metrics_label("kind", "output"));
  }
  out.metric("spent_total", "counter", "Base units of an asset that answers cost, by model");
  for (const auto& [model, use] : models_) {
    for (const auto& [asset, amount] : use.amounts) {
      out.sample(amount, metrics_label("model", model) + "," + metrics_label("asset", asset));
    }
  }
  const OfferBook& offers = home.offers();
  out.counter("verdict_cache_hits_total", offers.verdicts().hits(),
              "Offers whose evidence had a verdict already");
  out.gauge("verdicts_cached", offers.verdicts().size(), "Verdicts that are kept");
  out.gauge("offers_verified", offers.usable().size(), "Offers that may be used");
  out.gauge("offers_rejected", offers.rejected().size(), "Offers that may not");
  out.gauge("relays_connected", home.pool().connected_count(), "Relays that are connected");
  return std::move(out).take();
}

}  // namespace nostril::client
