#include "attestation/pack.h"
#include "base/hex.h"
#include "base/json.h"
#include "client/channel_store.h"
#include "client/cli/commands.h"
#include "client/cli/show.h"
#include "client/event_file.h"
#include "client/offers_json.h"
#include "events/nip19.h"
#include "events/sampling.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr std::uint64_t kOffersMsMax = 5'000;
constexpr std::size_t kDocumentsMax = 10'000;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error(path + ": can't be read");
  return text.str();
}

/// Prints one finding; false stays false.
bool check(bool good, std::string_view what) {
  fmt::print("{}  {}\n", good ? "ok   " : "WRONG", what);
  return good;
}

bool verify_evidence(const ClientSettings& settings, const VerifyOptions& options,
                     const Offer& offer, Verifier& verifier, std::int64_t now_s, bool& simulated) {
  const VerifiedEvent event = read_event_file(options.attestation, verifier);
  const auto attestation = parse_attestation(event.event());
  if (!attestation) throw std::runtime_error(options.attestation + ": not an attestation");
  bool good = check(attestation->node == offer.node, "offer and attestation are of one node");
  const auto evidence = attestation::unpack_evidence(attestation->evidence);
  if (!evidence) return check(false, "evidence: " + std::string(to_string(evidence.error())));
  attestation::Statement expected = evidence->statement;
  expected.node = offer.node;
  expected.encryption_key = offer.encryption_key;
  expected.encryption_key_expires_at = offer.encryption_key_expires_at;
  expected.model_manifest = offer.weights.value_or(Digest{});
  good = check(attestation::statement_digest(expected) == offer.attestation,
               "the offer names this statement") &&
         good;
  const TrustSettings trust = trust_from(settings);
  const auto verdict = attestation::verify(*evidence, expected, trust.roots, now_s,
                                           policy_for_offer(trust.policy, offer));
  fmt::print("{}\n", attestation::explain(verdict));
  simulated = verdict.simulated;
  return verdict.accepted && good;
}

void print_offers(const OfferBook& book, bool explain) {
  for (const auto& verified : book.usable()) {
    fmt::print("{}\n", offer_lines(*verified));
    if (explain) fmt::print("{}\n", attestation::explain(verified->verdict()));
  }
  for (const RejectedOffer& rejected : book.rejected()) {
    fmt::print("REFUSED  {} of {}\n         {}\n\n", rejected.offer.model,
               nip19::encode(nip19::Npub{rejected.offer.node}), rejected.reason);
    if (explain && rejected.verdict) fmt::print("{}\n", attestation::explain(*rejected.verdict));
  }
}

}  // namespace

int offers(Process& process, const ClientSettings& settings, const OffersOptions& options) {
  ClientHome home(settings, process.loop, process.clock, process.rng);
  const auto stop_when_complete = [&] {
    // Live offers are sent after the stored ones; what is stored is what is asked for here.
    if (home.complete()) process.loop.after(100, [&] { process.loop.stop(); });
  };
  home.on_offers_changed(stop_when_complete);
  process.loop.after(kOffersMsMax, [&] { process.loop.stop(); });
  process.loop.run();
  for (const std::string& problem : home.pool().problems()) {
    fmt::print(stderr, "nostril: {}\n", problem);
  }
  const auto usable = home.offers().usable();
  if (options.json) {
    fmt::print("{}\n", offers_json(home.offers()));
  } else {
    print_offers(home.offers(), options.explain);
  }
  if (!home.offers().complete()) {
    fmt::print(stderr, "nostril: no relay answered\n");
    return 1;
  }
  if (usable.empty()) fmt::print(stderr, "nostril: no offer that may be used\n");
  return usable.empty() ? 1 : 0;
}

int verify(Process& process, const ClientSettings& settings, const VerifyOptions& options) {
  Verifier verifier;
  const VerifiedEvent record_event = read_event_file(options.record, verifier);
  const auto record = parse_record(record_event.event());
  if (!record) {
    throw std::runtime_error(options.record + ": " + std::string(to_string(record.error())));
  }
  bool good = check(true, "the record's signature");
  bool simulated = false;
  if (!options.request.empty()) {
    good = check(sha256(read_file(options.request)) == record->request_hash,
                 "the request is the one that was answered") &&
           good;
  }
  if (!options.response.empty()) {
    good = check(sha256(read_file(options.response)) == record->response_hash,
                 "the response is what the node sent, byte for byte") &&
           good;
  }
  if (!options.receipt.empty()) {
    const VerifiedEvent event = read_event_file(options.receipt, verifier);
    const auto receipt = parse_receipt(event.event());
    good = check(receipt && receipt->channel == record->channel && receipt->amount == record->spent,
                 "the receipt pays this record's total") &&
           good;
  }
  if (!options.offer.empty()) {
    const VerifiedEvent event = read_event_file(options.offer, verifier);
    const auto offer = parse_offer(event.event());
    if (!offer) throw std::runtime_error(options.offer + ": not an offer");
    good = check(offer->id == record->offer && offer->node == record->node,
                 "the record is of this offer") &&
           good;
    if (records_sampling(*offer) && !options.request.empty()) {
      good = check(sampling_suits(record->sampling, read_file(options.request)),
                   "the record states seed and sampling as they were asked for") &&
             good;
    }
    if (!options.attestation.empty()) {
      good =
          verify_evidence(settings, options, *offer, verifier, process.clock.unix_s(), simulated) &&
          good;
    }
  }
  fmt::print("{}", record_lines(*record));
  if (!good) return 1;
  return simulated ? 3 : 0;
}

int receipts(Process& process, const ClientSettings& settings, bool json) {
  const auto journal = open_home_journal(settings.home, process.loop);
  for (const StoredChannel& channel : all_channels(*journal)) {
    const ChannelId id = settlement::channel_id(channel.terms);
    if (json) {
      for (const Event& event : all_records(*journal, id, kDocumentsMax)) {
        fmt::print("{}\n", to_json(event));
      }
      for (const Event& event : all_receipts(*journal, id, kDocumentsMax)) {
        fmt::print("{}\n", to_json(event));
      }
      continue;
    }
    fmt::print("channel  {}\nnode     {}\n", encode_hex(id),
               nip19::encode(nip19::Npub{channel.terms.node}));
    const auto spent = Amount::from((channel.snapshot.micro + settlement::kMicroPerUnit - 1) /
                                    settlement::kMicroPerUnit);
    fmt::print("spent    {} {} in {} statements\n", spent.value_or(Amount()).to_string(),
               channel.terms.asset, channel.snapshot.n);
    for (const Event& event : all_receipts(*journal, id, kDocumentsMax)) {
      if (const auto receipt = parse_receipt(event)) {
        fmt::print("receipt  {}  {} {}\n", encode_hex(receipt->id), receipt->amount.to_string(),
                   channel.terms.asset);
      }
    }
    fmt::print("\n");
  }
  return 0;
}

}  // namespace nostril::client::cli
