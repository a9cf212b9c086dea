#include "client/fraud_proof.h"

#include "attestation/evidence.h"
#include "attestation/pack.h"
#include "attestation/verify.h"
#include "base/hex.h"
#include "client/expected_statement.h"
#include "settlement/price.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace nostril::client {

namespace {

using settlement::Micro;

/// Checks whose failure is a contradiction inside what the node signed. Left out is all that
/// depends on the clock, collateral, lists, roots, a policy, or on how much of a format a reader
/// knows.
constexpr std::array<std::string_view, 13> kContradictions = {"node_key",
                                                              "encryption_key",
                                                              "tls_key",
                                                              "model_manifest",
                                                              "nonce",
                                                              "gpu_evidence",
                                                              "report_data",
                                                              "quote_signature",
                                                              "qe_report_signature",
                                                              "qe_report_data",
                                                              "report_signature",
                                                              "gpu_nonce",
                                                              "gpu_signature"};

FraudVerdict not_proven(std::string reason) {
  return {false, std::move(reason)};
}

FraudVerdict proven(std::string reason) {
  return {true, std::move(reason)};
}

bool all_signed(const FraudProof& proof, Verifier& verifier) {
  return std::ranges::all_of(proof.events, [&](const Event& event) {
    auto checked = check_id(event);
    return event.pubkey == proof.node && checked &&
           VerifiedEvent::verify(*std::move(checked), verifier).has_value();
  });
}

// ---- Two records --------------------------------------------------------------------------------

FraudVerdict check_two_answers(const ResponseRecord& a, const ResponseRecord& b) {
  if (a.request != b.request) return not_proven("the records are of different requests");
  if (a.id == b.id) return not_proven("it is one record");
  if (a.status != RecordStatus::Ok || b.status != RecordStatus::Ok) {
    return not_proven("one of the answers is not whole");
  }
  // Talk about deposits (spec/13-lightning.md) uses no engine, and may be repeated.
  const auto used = [](const Usage& usage) { return usage.input + usage.output > 0; };
  if (!used(a.usage) || !used(b.usage)) return not_proven("one of the answers is no engine's");
  // Whichever ended first had to be given again for so long.
  const auto& [first, second] = a.ended_at_ms <= b.ended_at_ms ? std::tie(a, b) : std::tie(b, a);
  if (second.accepted_at_ms - first.ended_at_ms >= kAnswersKeptMsMin) {
    return not_proven("the first answer's time was over when the second one was given");
  }
  return proven(fmt::format("two answers ({} and {}) for the request {}",
                            encode_hex(first.response_hash).substr(0, 8),
                            encode_hex(second.response_hash).substr(0, 8), encode_hex(a.request)));
}

FraudVerdict check_rollback(const ResponseRecord& a, const ResponseRecord& b) {
  if (a.channel != b.channel) return not_proven("the records are of different channels");
  if (a.id == b.id) return not_proven("it is one record");
  const auto& [first, second] = a.n <= b.n ? std::tie(a, b) : std::tie(b, a);
  if (first.n == second.n) {
    return proven(fmt::format("two statements have the number {} of one channel", a.n));
  }
  if (second.n == first.n + 1 && second.previous != first.id) {
    return proven(
        fmt::format("statement {} names another one before it than was signed", second.n));
  }
  if (second.spent < first.spent) {
    return proven(fmt::format("statement {} says {} was spent, and {} before it said {}", second.n,
                              second.spent.to_string(), first.n, first.spent.to_string()));
  }
  return not_proven("the statements can be of one history");
}

// ---- A record and its price ---------------------------------------------------------------------

Micro micro_of(const ResponseRecord& record) {
  return settlement::Meter::from_record(record.spent, record.remainder)
      .value_or(settlement::Meter{})
      .micro();
}

/// What the events say of one statement.
struct Charge {
  const Offer& offer;
  const ResponseRecord& record;
  const ResponseRecord* previous = nullptr;  ///< none: the record is the channel's first
  const ResponseRecord* stated = nullptr;    ///< of the same request, before; none known
};

/// Sorts a proof's records into their places; the reason when they don't belong together.
std::optional<std::string> place(Charge& charge, const std::vector<ResponseRecord>& before) {
  const ResponseRecord& record = charge.record;
  if (record.offer != charge.offer.id) return "the record was not made under this offer";
  for (const ResponseRecord& other : before) {
    if (other.channel != record.channel || other.n >= record.n) {
      return "a record is not one before it in its channel";
    }
    const bool is_previous = record.previous == other.id;
    // Part of the same answer: later than the hour that an answer is kept, its id may come again.
    const bool is_stated = other.offer == record.offer && other.request == record.request &&
                           other.status == RecordStatus::Partial &&
                           other.accepted_at_ms == record.accepted_at_ms;
    if (!is_previous && !is_stated) return "a record has nothing to do with it";
    if (is_previous) charge.previous = &other;
    if (is_stated && (charge.stated == nullptr || charge.stated->n < other.n)) {
      charge.stated = &other;
    }
  }
  if (record.n > 1 && charge.previous == nullptr) return "the statement before it is missing";
  return std::nullopt;
}

/// The sums of this statement must be one fixed number: nothing of the request was stated that is
/// not here.
bool is_exact(const Charge& charge) {
  return charge.record.n == 1 || (charge.previous != nullptr && charge.previous == charge.stated);
}

/// What this statement may add to the channel at most, in micro; nothing on overflow.
std::optional<Micro> most(const Charge& charge) {
  const settlement::PriceTable prices = settlement::PriceTable::of(charge.offer);
  const auto now = prices.charge(charge.record.usage, charge.record.milliseconds);
  std::optional<Micro> before = Micro{0};
  if (charge.stated != nullptr) {
    before = prices.charge(charge.stated->usage, charge.stated->milliseconds);
  }
  if (!now || !before) return std::nullopt;
  const Micro session = charge.record.n == 1
                            ? prices.amount(PriceUnit::Session).value() * settlement::kMicroPerUnit
                            : Micro{0};
  return *now < *before ? session : *now - *before + session;
}

FraudVerdict check_price(const Charge& charge) {
  const settlement::PriceTable prices = settlement::PriceTable::of(charge.offer);
  if (!prices.free() && charge.record.asset != charge.offer.asset) {
    return proven(fmt::format("it charges in {}, its offer's prices are in {}", charge.record.asset,
                              charge.offer.asset));
  }
  const auto limit = most(charge);
  if (!limit) return not_proven("the sums are beyond what can be computed");
  const Micro before = charge.previous == nullptr ? 0 : micro_of(*charge.previous);
  const Micro after = micro_of(charge.record);
  if (after <= before || after - before <= *limit) {
    return not_proven("it charges no more than its offer's prices come to");
  }
  settlement::Meter allowed;
  static_cast<void>(allowed.add(*limit));
  return proven(fmt::format("statement {} charges {} {} where usage and prices come to {} at most",
                            charge.record.n, charge.record.cost.to_string(), charge.record.asset,
                            allowed.spent().to_string()));
}

FraudVerdict check_cost(const Charge& charge) {
  const ResponseRecord& record = charge.record;
  const Amount before = charge.previous == nullptr ? Amount{} : charge.previous->spent;
  if (record.spent < before || record.spent.value() - before.value() != record.cost.value()) {
    return proven(fmt::format("statement {} says {} was spent and {} before, and calls the cost {}",
                              record.n, record.spent.to_string(), before.to_string(),
                              record.cost.to_string()));
  }
  if (charge.stated != nullptr && (record.usage.input < charge.stated->usage.input ||
                                   record.usage.output < charge.stated->usage.output ||
                                   record.milliseconds < charge.stated->milliseconds)) {
    return proven(
        fmt::format("statement {} takes back usage that an earlier one stated", record.n));
  }
  const auto exact = is_exact(charge) ? most(charge) : std::nullopt;
  const Micro micro_before = charge.previous == nullptr ? 0 : micro_of(*charge.previous);
  const Micro micro_after = micro_of(record);
  if (exact && micro_after != micro_before + *exact) {
    return proven(fmt::format(
        "statement {} adds {} millionths where usage times price is {}", record.n,
        to_decimal(micro_after - std::min(micro_before, micro_after)), to_decimal(*exact)));
  }
  return not_proven("its sums are those of usage and prices");
}

// ---- Evidence -----------------------------------------------------------------------------------

FraudVerdict check_evidence(const Offer& offer, const AttestationEvent& event,
                            const attestation::TrustRoots& roots) {
  if (event.digest != offer.attestation) return not_proven("the offer names another attestation");
  const attestation::Statement expected = expected_statement(offer, event);
  if (attestation::statement_digest(expected) != offer.attestation) {
    return proven("its offer names other keys, times or weights than its attestation");
  }
  const auto evidence = attestation::unpack_evidence(event.evidence);
  if (!evidence) return not_proven("this version can't read the evidence");
  const bool simulated = evidence->kind == attestation::kKindSimulatedTdx ||
                         evidence->kind == attestation::kKindSimulatedSnp;
  if (simulated && !offer.tee.starts_with("simulated")) {
    return proven(fmt::format("its offer claims {} and its evidence is simulated", offer.tee));
  }
  attestation::Policy policy;
  policy.accept_simulated = true;
  const attestation::Verdict verdict =
      attestation::verify(*evidence, expected, roots, offer.created_at, policy);
  for (const std::string_view name : kContradictions) {
    const attestation::Check* check = verdict.find(name);
    if (check == nullptr || check->status != attestation::CheckStatus::Failed) continue;
    return proven(fmt::format("its evidence fails: {}", name));
  }
  return not_proven("its evidence does not contradict its offer");
}

// ---- By kind ------------------------------------------------------------------------------------

std::optional<std::vector<ResponseRecord>> records_of(std::span<const Event> events) {
  std::vector<ResponseRecord> out;
  for (const Event& event : events) {
    auto record = parse_record(event);
    if (!record) return std::nullopt;
    out.push_back(std::move(*record));
  }
  return out;
}

constexpr std::string_view kNotSigned = "an event inside is not signed by the node";
constexpr std::string_view kMalformed = "an event inside is not what it should be";

FraudVerdict check_records(const FraudProof& proof) {
  const auto records = records_of(proof.events);
  if (!records || records->size() != 2) return not_proven(std::string(kMalformed));
  return proof.kind == FraudKind::TwoAnswers ? check_two_answers(records->front(), records->back())
                                             : check_rollback(records->front(), records->back());
}

FraudVerdict check_charge(const FraudProof& proof) {
  if (proof.events.size() < 2) return not_proven(std::string(kMalformed));
  const auto offer = parse_offer(proof.events.front());
  auto records = records_of(std::span(proof.events).subspan(1));
  if (!offer || !records) return not_proven(std::string(kMalformed));
  const ResponseRecord record = records->front();
  records->erase(records->begin());
  Charge charge{*offer, record};
  if (auto why = place(charge, *records)) return not_proven(std::move(*why));
  return proof.kind == FraudKind::Price ? check_price(charge) : check_cost(charge);
}

FraudVerdict check_attested(const FraudProof& proof, const attestation::TrustRoots& roots) {
  if (proof.events.size() != 2) return not_proven(std::string(kMalformed));
  const auto offer = parse_offer(proof.events.front());
  const auto attestation = parse_attestation(proof.events.back());
  if (!offer || !attestation) return not_proven(std::string(kMalformed));
  return check_evidence(*offer, *attestation, roots);
}

/// As if all were signed.
FraudVerdict judge(const FraudProof& proof, const attestation::TrustRoots& roots) {
  switch (proof.kind) {
    case FraudKind::TwoAnswers:
    case FraudKind::Rollback:
      return check_records(proof);
    case FraudKind::Price:
    case FraudKind::Cost:
      return check_charge(proof);
    case FraudKind::Evidence:
      return check_attested(proof, roots);
  }
  return not_proven("of a kind that is not known here");
}

}  // namespace

FraudVerdict check_fraud_proof(const FraudProof& proof, const attestation::TrustRoots& roots,
                               Verifier& verifier) {
  // What costs less comes first.
  const bool costly = proof.kind == FraudKind::Evidence;
  if (costly && !all_signed(proof, verifier)) return not_proven(std::string(kNotSigned));
  FraudVerdict out = judge(proof, roots);
  if (out.proven && !costly && !all_signed(proof, verifier)) {
    return not_proven(std::string(kNotSigned));
  }
  return out;
}

}  // namespace nostril::client
