#pragma once

#include "attestation/pack.h"
#include "events/inference.h"
#include "schnorr/hash.h"
#include "tests/support/world.h"

#include <string>

namespace nostril::test {

/// A node made by hand: every document can be made wrong.
struct HandMadeNode {
  explicit HandMadeNode(const std::string& relay)
      : identity(Keypair::generate(rng)), encryption(Keypair::generate(rng)) {
    const std::int64_t now_s = clock.unix_s();
    statement.node = identity.public_key();
    statement.encryption_key = encryption.public_key();
    statement.encryption_key_expires_at = now_s + 1800;
    statement.gpu_evidence = attestation::gpu_evidence_digest({});
    statement.model_manifest = sha256(as_bytes("weights"));
    rng.fill(statement.nonce);
    offer.node = identity.public_key();
    offer.created_at = now_s;
    offer.model = "test-model";
    offer.profile = "default";
    offer.encryption_key = encryption.public_key();
    offer.encryption_key_expires_at = statement.encryption_key_expires_at;
    offer.weights = statement.model_manifest;
    offer.asset = "msat";
    offer.prices = {{PriceUnit::Output, Amount::of(1'000'000)}};
    offer.credit = Amount::of(1000);
    offer.context_tokens = 100;
    offer.output_tokens_max = 100;
    offer.engine = "vllm";
    offer.engine_version = "1";
    offer.tee = "simulated";
    offer.relays = {relay};
    offer.expires_at = statement.encryption_key_expires_at;
  }

  [[nodiscard]] AttestationEvent attestation_of(const attestation::Statement& stated) {
    const auto evidence = source.evidence(stated, clock.unix_s());
    AttestationEvent out;
    out.node = identity.public_key();
    out.created_at = clock.unix_s();
    out.digest = attestation::statement_digest(stated);
    out.encryption_key = stated.encryption_key;
    out.encryption_key_expires_at = stated.encryption_key_expires_at;
    out.gpu_evidence = stated.gpu_evidence;
    out.model_manifest = stated.model_manifest;
    out.nonce.bytes = stated.nonce;
    out.tee = "simulated";
    out.expires_at = offer.expires_at;
    out.evidence = attestation::pack_evidence(*evidence);
    return out;
  }

  /// Both events, signed.
  [[nodiscard]] Event signed_attestation(const AttestationEvent& attestation) {
    return sign_event(build_attestation(attestation), identity, rng);
  }

  [[nodiscard]] Event signed_offer() { return sign_event(build_offer(offer), identity, rng); }

  SystemClock clock;
  SystemRng rng;
  Keypair identity;
  Keypair encryption;
  TestEvidence source;
  attestation::Statement statement;
  Offer offer;
};

}  // namespace nostril::test
