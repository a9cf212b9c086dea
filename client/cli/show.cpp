#include "client/cli/show.h"

#include "base/hex.h"
#include "events/nip19.h"

#include <fmt/format.h>

namespace nostril::client::cli {

std::string price_line(const Offer& offer) {
  if (offer.prices.empty()) return "free";
  std::string out;
  for (const PriceTag& price : offer.prices) {
    const std::string per =
        price_per(price.unit) == 1 ? "" : fmt::format(" per {} tokens", price_per(price.unit));
    out += fmt::format("{}{} {} {}{}", out.empty() ? "" : ", ", to_string(price.unit),
                       price.amount.to_string(), offer.asset, per);
  }
  return out;
}

namespace {

/// In the node's own words, when it signed the offer.
std::string load_line(const LoadTag& load) {
  std::string at_work = fmt::format("{} of {} places taken", load.running, load.places);
  if (load.waiting == 0 && load.wait_ms == 0) return at_work;
  constexpr double kMsPerSecond = 1'000;
  return at_work + fmt::format(", {} wait, about {:.1f} s for one more", load.waiting,
                               static_cast<double>(load.wait_ms) / kMsPerSecond);
}

}  // namespace

std::string offer_lines(const VerifiedOffer& verified) {
  const Offer& offer = verified.offer();
  const attestation::Verdict& verdict = verified.verdict();
  std::string out;
  out += fmt::format("model    {} ({})\n", offer.model, offer.engine);
  out += fmt::format("node     {}\n", nip19::encode(nip19::Npub{offer.node}));
  out += fmt::format("verdict  {}\n", attestation::summary(verdict));
  if (verdict.simulated) {
    out += "         SIMULATED: no TEE stands behind this node; you asked to take its test root\n";
  }
  if (offer.weights) out += fmt::format("weights  {}\n", encode_hex(*offer.weights));
  out += fmt::format("price    {}\n", price_line(offer));
  if (offer.load) out += fmt::format("load     {}\n", load_line(*offer.load));
  return out;
}

std::string record_lines(const ResponseRecord& record) {
  std::string out;
  out += fmt::format("record   {} ({}{}{})\n", encode_hex(record.id), to_string(record.status),
                     record.finish.empty() ? "" : ", finish ", record.finish);
  out += fmt::format("         signed by the node; request and response hashes match\n");
  if (!record.sampling.empty()) {
    out += fmt::format("sampling {} on {} {}\n", record.sampling, record.engine,
                       record.engine_version);
  }
  out += fmt::format("usage    {} tokens in ({} cached), {} out\n", record.usage.input,
                     record.usage.cached, record.usage.output);
  out += fmt::format("cost     {} {} (in all {} on this channel)\n", record.cost.to_string(),
                     record.asset, record.spent.to_string());
  return out;
}

std::string result_lines(const QueryResult& result) {
  std::string out;
  if (result.record) out += record_lines(*result.record);
  if (result.receipt) {
    out += fmt::format("receipt  {} (signed by you, stored)\n", encode_hex(result.receipt->id));
  } else if (result.failure == QueryFailure::None && result.record) {
    out += "receipt  none: nothing is owed\n";
  }
  return out;
}

}  // namespace nostril::client::cli
