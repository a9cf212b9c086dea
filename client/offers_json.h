#pragma once

#include "client/offer_book.h"

#include <string>

namespace nostril::client {

/// What the book thinks of every offer, for programs that ask nodes themselves but judge no
/// evidence (client/js): `nostril offers --json`, and the gateway's GET /nostril/v1/offers. One
/// JSON object:
///   {"offers":[{"offer","node","model","statement",["evidence"],"accepted","simulated","level",
///               "holds_until","summary"},…]}
/// offer: event id; statement: digest; evidence: SHA-256 of the attestation's content, absent when
/// it has not come. These three name what was judged: a verdict counts for nothing else.
/// holds_until: Unix seconds, 2^53 - 1 at most. Pure.
[[nodiscard]] std::string offers_json(const OfferBook& book);

}  // namespace nostril::client
