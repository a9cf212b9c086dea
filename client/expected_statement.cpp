#include "client/expected_statement.h"

namespace nostril::client {

attestation::Statement expected_statement(const Offer& offer, const AttestationEvent& event) {
  attestation::Statement statement;
  statement.node = offer.node;
  statement.encryption_key = offer.encryption_key;
  statement.encryption_key_expires_at = offer.encryption_key_expires_at;
  statement.tls_spki = event.tls_spki;
  statement.gpu_evidence = event.gpu_evidence;
  statement.model_manifest = offer.weights.value_or(Digest{});
  statement.nonce = event.nonce.bytes;
  return statement;
}

}  // namespace nostril::client
