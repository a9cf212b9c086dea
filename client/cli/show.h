#pragma once

#include "attestation/verdict.h"
#include "client/inference_client.h"
#include "client/offer_book.h"
#include "events/inference.h"

#include <string>

/// What people read: lines for standard error.
namespace nostril::client::cli {

/// "0.25 per 1,000 tokens in …": the prices of an offer in one line.
[[nodiscard]] std::string price_line(const Offer& offer);
/// Node, model, evidence and price of a chosen offer; says plainly when the evidence is simulated.
[[nodiscard]] std::string offer_lines(const VerifiedOffer& verified);
/// Record and receipt of a finished query.
[[nodiscard]] std::string result_lines(const QueryResult& result);
[[nodiscard]] std::string record_lines(const ResponseRecord& record);

}  // namespace nostril::client::cli
