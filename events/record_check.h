#pragma once

#include "events/event.h"
#include "events/inference.h"
#include "schnorr/verify.h"

#include <optional>
#include <span>

namespace nostril {

/// What a client knows of its answer when the record comes.
struct ExpectedRecord {
  const Offer& offer;              ///< that the request was sent under
  std::span<const Offer> earlier;  ///< the same, before: a repeated answer has its old record
  RequestId request;
  Digest request_hash;
  Digest response_hash;  ///< of the bytes that came
  bool partial = false;
};

struct CheckedRecord {
  ResponseRecord record;
  VerifiedEvent event;
};

/// The record when its signature, author, offer, attestation, model, weights, request and both
/// hashes are right; usage and price are judged by settlement/channel.h. Borrows until it returns.
[[nodiscard]] std::optional<CheckedRecord> check_record(const Event& event,
                                                        const ExpectedRecord& expected,
                                                        Verifier& verifier);

}  // namespace nostril
