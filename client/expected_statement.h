#pragma once

#include "attestation/evidence.h"
#include "events/inference.h"

namespace nostril::client {

/// The statement as the offer and the attestation's tags say it. What is known from the signed
/// offer (who, which key, until when, which weights) wins over what the evidence claims. Pure.
[[nodiscard]] attestation::Statement expected_statement(const Offer& offer,
                                                        const AttestationEvent& event);

}  // namespace nostril::client
