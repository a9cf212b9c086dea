#pragma once

#include "base/json.h"
#include "client/offer_book.h"

namespace nostril::client {

/// A verdict step by step, as one JSON object:
///   {"accepted","simulated","level","platform","tcb_status","holds_until","summary",
///    "checks":[{"name","status","required","refuses","found","wanted","source","note"},…],
///    "claims":[{"name","value","source"},…]}
/// status: "passed", "failed", "not checked", "excepted". Values of claims are texts. holds_until:
/// Unix seconds, 2^53 - 1 at most. What the evidence says is the node's text: not to be trusted as
/// markup. Pure.
void write_verdict(JsonWriter& w, const attestation::Verdict& verdict);

}  // namespace nostril::client
