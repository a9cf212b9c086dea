#include "client/offers_json.h"

#include "base/hex.h"
#include "base/json.h"
#include "events/nip19.h"

#include <algorithm>

namespace nostril::client {

namespace {

constexpr std::int64_t kIntegerMax = (std::int64_t{1} << 53) - 1;  // what JavaScript holds exactly

void write_offer(JsonWriter& w, const OfferBook& book, const Offer& offer,
                 const attestation::Verdict* verdict, std::string_view summary) {
  const auto level = verdict != nullptr ? verdict->level : attestation::Level::None;
  const std::int64_t until = verdict != nullptr ? std::min(verdict->holds_until, kIntegerMax) : 0;
  w.begin_object();
  w.key("offer").string(encode_hex(offer.id));
  w.key("node").string(nip19::encode(nip19::Npub{offer.node}));
  w.key("model").string(offer.model);
  w.key("statement").string(encode_hex(offer.attestation));
  if (const auto digest = book.evidence_digest_of(offer)) {
    w.key("evidence").string(encode_hex(*digest));
  }
  w.key("accepted").boolean(verdict != nullptr && verdict->accepted);
  w.key("simulated").boolean(verdict != nullptr && verdict->simulated);
  w.key("level").string(to_string(level));
  w.key("holds_until").integer(until);
  w.key("summary").string(summary);
  w.end_object();
}

}  // namespace

std::string offers_json(const OfferBook& book) {
  JsonWriter w;
  w.begin_object().key("offers").begin_array();
  for (const auto& verified : book.usable()) {
    const attestation::Verdict& verdict = verified->verdict();
    write_offer(w, book, verified->offer(), &verdict, attestation::summary(verdict));
  }
  for (const RejectedOffer& rejected : book.rejected()) {
    write_offer(w, book, rejected.offer, rejected.verdict.get(), rejected.reason);
  }
  w.end_array().end_object();
  return std::move(w).take();
}

}  // namespace nostril::client
