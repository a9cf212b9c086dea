#pragma once

#include "base/rng.h"
#include "events/event.h"
#include "events/inference.h"
#include "events/session.h"
#include "schnorr/hash.h"
#include "schnorr/keys.h"

#include <random>
#include <string>
#include <string_view>

namespace nostril::test {

/// A generator that gives the same bytes for the same seed; print the seed when it is random.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : engine_(seed) {}

  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(engine_());
  }

  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }

 private:
  std::mt19937_64 engine_;
};

inline Keypair key_of(std::string_view name) {
  auto pair = Keypair::from_secret(sha256(name).bytes);
  return *std::move(pair);
}

inline Digest digest_of(std::string_view name) {
  return sha256(name);
}

inline Offer example_offer(const Keypair& node, const PublicKey& encryption) {
  Offer offer;
  offer.node = node.public_key();
  offer.created_at = 1'800'000'000;
  offer.model = "qwen3-32b";
  offer.profile = "default";
  offer.encryption_key = encryption;
  offer.encryption_key_expires_at = 1'800'003'600;
  offer.attestation = digest_of("statement");
  offer.weights = digest_of("weights");
  offer.asset = "msat";
  offer.prices = {{PriceUnit::Input, Amount::of(150'000)},
                  {PriceUnit::Cached, Amount::of(30'000)},
                  {PriceUnit::Output, Amount::of(600'000)}};
  offer.credit = Amount::of(10'000);
  offer.context_tokens = 32'768;
  offer.output_tokens_max = 8'192;
  offer.features = {"seed", "tools"};
  offer.engine = "llama.cpp";
  offer.engine_version = "b9000";
  offer.tee = "simulated";
  offer.relays = {"ws://127.0.0.1:7777"};
  offer.url = "https://127.0.0.1:8443";
  offer.operator_key = key_of("operator").public_key();
  offer.expires_at = 1'800'003'600;
  return offer;
}

/// Signs and takes the id over: what a reader would parse.
inline Offer signed_offer(Offer offer, const Keypair& node, Rng& rng) {
  offer.id = sign_event(build_offer(offer), node, rng).id;
  return offer;
}

inline ResponseRecord example_record(const Offer& offer) {
  ResponseRecord record;
  record.node = offer.node;
  record.created_at = 1'800'000'010;
  record.request.bytes.fill(7);
  record.request_hash = digest_of("request");
  record.response_hash = digest_of("response");
  record.offer = offer.id;
  record.attestation = offer.attestation;
  record.model = offer.model;
  record.weights = offer.weights;
  record.engine = offer.engine;
  record.engine_version = offer.engine_version;
  record.sampling = R"({"seed":1,"temperature":0})";
  record.usage = {.input = 120, .cached = 20, .output = 45};
  record.milliseconds = 1500;
  record.channel = {digest_of("channel").bytes};
  record.n = 2;
  record.previous = EventId{digest_of("previous").bytes};
  record.asset = "msat";
  record.cost = Amount::of(43);
  record.spent = Amount::of(100);
  record.remainder = 600'000;
  record.status = RecordStatus::Ok;
  record.finish = "stop";
  record.accepted_at_ms = 1'800'000'000'100;
  record.first_at_ms = 1'800'000'000'400;
  record.ended_at_ms = 1'800'000'001'600;
  return record;
}

inline VerifiedEvent verified(const Event& event) {
  Verifier verifier;
  auto checked = check_id(event);
  return *VerifiedEvent::verify(*std::move(checked), verifier);
}

}  // namespace nostril::test
