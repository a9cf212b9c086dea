#include "client/saved_answer.h"

#include "attestation/pack.h"
#include "attestation/vendor_documents.h"
#include "base/json.h"
#include "client/event_file.h"
#include "client/home.h"
#include "events/sampling.h"
#include "events/text.h"
#include "schnorr/hash.h"

#include <map>
#include <stdexcept>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::size_t kAnswerBytesMax = 128U << 20;

/// Each event of an answer by its name in the file.
using EventMember = std::optional<std::string> SavedAnswer::*;
constexpr std::pair<const char*, EventMember> kEventMembers[] = {
    {"receipt", &SavedAnswer::receipt},
    {"offer", &SavedAnswer::offer},
    {"attestation", &SavedAnswer::attestation},
};

/// Findings are added as they are made.
class Examiner {
 public:
  Examiner(const SavedAnswer& answer, const TrustSettings& trust, std::int64_t now_s)
      : answer_(answer), trust_(trust), now_s_(now_s) {}

  /// Throws std::runtime_error on what can't be read.
  AnswerReport examine() {
    const auto record = parse_record(event("record", answer_.record));
    if (!record) throw std::runtime_error("record: " + std::string(to_string(record.error())));
    report_.record = *record;
    check(true, "the record's signature");
    check_hashes();
    check_receipt();
    check_offer();
    return std::move(report_);
  }

 private:
  void check(bool good, std::string what) {
    report_.good = report_.good && good;
    report_.findings.push_back({good, std::move(what)});
  }

  Event event(const char* name, const std::string& text) {
    return read_event_text(text, name, verifier_).event();
  }

  void check_hashes() {
    if (answer_.request) {
      check(sha256(*answer_.request) == report_.record.request_hash,
            "the request is the one that was answered");
    }
    if (answer_.response) {
      check(sha256(*answer_.response) == report_.record.response_hash,
            "the response is what the node sent, byte for byte");
    }
  }

  void check_receipt() {
    if (!answer_.receipt) return;
    const auto receipt = parse_receipt(event("receipt", *answer_.receipt));
    check(receipt && receipt->channel == report_.record.channel &&
              receipt->amount == report_.record.spent,
          "the receipt pays this record's total");
  }

  void check_offer() {
    if (!answer_.offer) {
      if (answer_.attestation) check(false, "the offer that names the evidence is not here");
      return;
    }
    const ResponseRecord& record = report_.record;
    const auto offer = parse_offer(event("offer", *answer_.offer));
    if (!offer) throw std::runtime_error("offer: " + std::string(to_string(offer.error())));
    check(offer->id == record.offer && offer->node == record.node, "the record is of this offer");
    if (records_sampling(*offer) && answer_.request) {
      check(sampling_suits(record.sampling, *answer_.request),
            "the record states seed and sampling as they were asked for");
    }
    if (answer_.attestation) check_evidence(*offer);
  }

  void check_evidence(const Offer& offer) {
    const auto attestation = parse_attestation(event("attestation", *answer_.attestation));
    if (!attestation) {
      throw std::runtime_error("attestation: " + std::string(to_string(attestation.error())));
    }
    check(attestation->node == offer.node, "offer and attestation are of one node");
    auto evidence = attestation::unpack_evidence(attestation->evidence);
    if (!evidence) {
      check(false, "evidence: " + std::string(to_string(evidence.error())));
      return;
    }
    put_documents(*evidence);
    attestation::Statement expected = evidence->statement;
    expected.node = offer.node;
    expected.encryption_key = offer.encryption_key;
    expected.encryption_key_expires_at = offer.encryption_key_expires_at;
    expected.model_manifest = offer.weights.value_or(Digest{});
    check(attestation::statement_digest(expected) == offer.attestation,
          "the offer names this statement");
    report_.verdict = attestation::verify(*evidence, expected, trust_.roots, now_s_,
                                          policy_for_offer(trust_.policy, offer));
    report_.simulated = report_.verdict->simulated;
    check(report_.verdict->accepted, "the evidence is what the policy takes");
  }

  void put_documents(attestation::Evidence& evidence) {
    std::map<Digest, const Bytes*> documents;
    for (const Bytes& bytes : answer_.documents) documents.emplace(sha256(ByteSpan(bytes)), &bytes);
    attestation::put_documents(evidence, [&documents](const Digest& digest) -> const Bytes* {
      const auto found = documents.find(digest);
      return found == documents.end() ? nullptr : found->second;
    });
  }

  const SavedAnswer& answer_;
  const TrustSettings& trust_;
  const std::int64_t now_s_;
  Verifier verifier_;
  AnswerReport report_;
};

}  // namespace

std::optional<std::string> to_json(const SavedAnswer& answer) {
  JsonWriter w;
  w.begin_object().key("record").raw(answer.record);
  for (const auto& [name, member] : kEventMembers) {
    if (const auto& event = answer.*member) w.key(name).raw(*event);
  }
  for (const auto& [name, bytes] :
       {std::pair{"request", &answer.request}, {"response", &answer.response}}) {
    if (!*bytes) continue;
    if (!is_event_text(**bytes)) return std::nullopt;
    w.key(name).string(**bytes);
  }
  w.end_object();
  return std::move(w).take();
}

Result<SavedAnswer, std::string> parse_saved_answer(std::string_view json) {
  JsonLimits limits;
  limits.bytes_max = kAnswerBytesMax;
  const auto file = Json::parse(json, limits);
  const Json* record = file ? file->find("record") : nullptr;
  if (record == nullptr) return failure(std::string("no JSON object with a record"));
  SavedAnswer out{record->dump()};
  for (const auto& [name, member] : kEventMembers) {
    if (const Json* event = file->find(name)) out.*member = event->dump();
  }
  for (const auto& [name, member] : {std::pair{"request", &SavedAnswer::request},
                                     std::pair{"response", &SavedAnswer::response}}) {
    const Json* text = file->find(name);
    if (text == nullptr) continue;
    if (!text->is_string()) return failure(std::string(name) + ": not a text");
    out.*member = std::string(*text->string());
  }
  return out;
}

Result<AnswerReport, std::string> check_answer(const SavedAnswer& answer,
                                               const ClientSettings& trust, std::int64_t now_s) {
  // What the settings name is the caller's; what the answer holds is anybody's.
  const TrustSettings settings = trust_from(trust);
  try {
    return Examiner(answer, settings, now_s).examine();
  } catch (const std::runtime_error& error) {
    return failure(std::string(error.what()));
  }
}

}  // namespace nostril::client
