#include "events/reputation.h"

#include "base/check.h"
#include "base/enum_names.h"
#include "base/hex.h"
#include "base/json.h"
#include "events/kinds.h"
#include "events/tag_reader.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril {

namespace {

using Limits = ReputationLimits;

constexpr std::string_view kVersion = "1";
constexpr std::string_view kApprove = "approve";
constexpr std::string_view kFraudPrefix = "fraud/";
constexpr std::string_view kReportType = "other";  // NIP-56 knows none of ours
constexpr std::array<std::string_view, kFlagReasonCount> kReasons = {
    "down", "slow", "wrong-model", "bad-answer", "overcharge", "censor"};
constexpr std::array<std::string_view, kFraudKindCount> kFrauds = {"two-answers", "price", "cost",
                                                                   "evidence", "rollback"};

std::string content_of(std::span<const Event> events) {
  std::string out = "[";
  for (const Event& event : events) {
    if (out.size() > 1) out += ',';
    append_json(out, event);
  }
  return out + "]";
}

/// Strict: an array of events and nothing else, each with the id of its content.
std::optional<std::vector<Event>> parse_content(
    std::string_view content, std::size_t bytes_max = EventLimits{}.content_bytes_max) {
  JsonLimits limits;
  limits.bytes_max = bytes_max;
  const auto json = Json::parse(content, limits);
  if (!json || !json->is_array() || json->items().empty()) return std::nullopt;
  if (json->items().size() > Limits::kEventsMax) return std::nullopt;
  std::vector<Event> out;
  for (const Json& item : json->items()) {
    const auto event = parse_event(item.dump());
    if (!event) return std::nullopt;
    out.push_back(event->event());
  }
  return out;
}

/// ["l", value, "nostril"], once; "" when the event is none of ours.
std::string label_of(TagReader& reader, const Event& event) {
  std::string out;
  for (const Tags::View tag : event.tags) {
    if (tag.name() != "l" || tag.size() != 3 || tag[2] != kReputationNamespace) continue;
    if (!out.empty()) reader.fail(InferenceError::DoubleTag);
    out = tag[1];
  }
  if (out.empty()) reader.fail(InferenceError::MissingTag);
  return out;
}

/// ["p", node] or, in a report, ["p", node, "other"].
PublicKey node_of(TagReader& reader, const Event& event) {
  const auto tag = reader.exactly("p", event.kind == kinds::kReport ? 3 : 2);
  if (!tag) return {};
  if (tag->size() == 3 && (*tag)[2] != kReportType) reader.fail(InferenceError::BadTag);
  return reader.fixed<PublicKey>((*tag)[1]);
}

void add_subject(Tags& tags, std::string_view label, const PublicKey& node, bool report) {
  tags.add({"v", kVersion});
  tags.add({"L", kReputationNamespace});
  tags.add({"l", label, kReputationNamespace});
  if (report) {
    tags.add({"p", encode_hex(node), kReportType});
  } else {
    tags.add({"p", encode_hex(node)});
  }
}

bool all_of_node(std::span<const Event> events, const PublicKey& node) {
  return std::ranges::all_of(events, [&](const Event& event) { return event.pubkey == node; });
}

bool has_kinds(std::span<const Event> events, std::initializer_list<std::uint32_t> wanted) {
  return std::ranges::equal(events, wanted, {}, &Event::kind);
}

/// The events are those that a proof of this kind is made of.
bool has_form(const FraudProof& proof) {
  if (!all_of_node(proof.events, proof.node)) return false;
  switch (proof.kind) {
    case FraudKind::TwoAnswers:
    case FraudKind::Rollback:
      return has_kinds(proof.events, {kinds::kRecord, kinds::kRecord});
    case FraudKind::Evidence:
      return has_kinds(proof.events, {kinds::kOffer, kinds::kAttestation});
    case FraudKind::Price:
    case FraudKind::Cost: {
      const std::span<const Event> events = proof.events;
      return events.size() >= 2 && events[0].kind == kinds::kOffer &&
             std::ranges::all_of(events.subspan(1),
                                 [](const Event& event) { return event.kind == kinds::kRecord; });
    }
  }
  return false;
}

/// So many bytes are written for it between the quotes of a JSON string.
std::size_t spelled_bytes(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out.size() - 2;
}

/// The first bytes of `text` that fill a part: whole characters.
std::size_t part_bytes(std::string_view text) {
  std::size_t spelled = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    std::size_t next = end + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xc0U) == 0x80U) ++next;
    spelled += spelled_bytes(text.substr(end, next - end));
    if (spelled > Limits::kPartBytesMax) break;
    end = next;
  }
  return end;
}

std::string fraud_label(FraudKind kind) {
  return std::string(kFraudPrefix) + std::string(to_string(kind));
}

/// Kind and node, as the tags of a proof and of each of its parts say.
struct FraudSubject {
  FraudKind kind = FraudKind::TwoAnswers;
  PublicKey node;
};

FraudSubject subject_of(TagReader& reader, const Event& event) {
  reader.version(kVersion);
  FraudSubject out;
  const std::string label = label_of(reader, event);
  const auto kind = label.starts_with(kFraudPrefix)
                        ? parse_fraud_kind(std::string_view(label).substr(kFraudPrefix.size()))
                        : std::nullopt;
  if (kind) {
    out.kind = *kind;
  } else {
    reader.fail(InferenceError::BadTag);
  }
  out.node = node_of(reader, event);
  return out;
}

Result<FraudProof, InferenceError> proof_of(const FraudSubject& subject,
                                            std::optional<std::vector<Event>> events) {
  if (!events) return failure(InferenceError::BadContent);
  FraudProof out{subject.kind, subject.node, *std::move(events)};
  if (!has_form(out)) return failure(InferenceError::BadContent);
  return out;
}

Event as_event(const EventDraft& draft) {
  Event event;
  event.created_at = draft.created_at;
  event.kind = draft.kind;
  event.tags = draft.tags;
  event.content = draft.content;
  return event;
}

}  // namespace

std::string_view to_string(FlagReason reason) {
  return kReasons.at(static_cast<std::size_t>(reason));
}

std::optional<FlagReason> parse_flag_reason(std::string_view text) {
  return enum_of<FlagReason>(kReasons, text);
}

std::string_view to_string(FraudKind kind) {
  return kFrauds.at(static_cast<std::size_t>(kind));
}

std::optional<FraudKind> parse_fraud_kind(std::string_view text) {
  return enum_of<FraudKind>(kFrauds, text);
}

EventDraft build_opinion(const Opinion& opinion) {
  const bool flag = opinion.flag.has_value();
  EventDraft draft{.created_at = opinion.created_at,
                   .kind = flag ? kinds::kReport : kinds::kLabel,
                   .tags = {},
                   .content = content_of({&opinion.record, 1})};
  add_subject(draft.tags, flag ? to_string(*opinion.flag) : kApprove, opinion.node, flag);
  draft.tags.add({"e", encode_hex(opinion.record.id)});
  if (opinion.measured) {
    draft.tags.add({"measured", std::to_string(opinion.measured->first_byte_ms),
                    std::to_string(opinion.measured->whole_ms)});
  }
  if (!opinion.note.empty()) draft.tags.add({"alt", opinion.note});
  CHECK(parse_opinion(as_event(draft)).has_value());
  return draft;
}

Result<Opinion, InferenceError> parse_opinion(const Event& event) {
  const bool flag = event.kind == kinds::kReport;
  TagReader reader(event, flag ? kinds::kReport : kinds::kLabel);
  reader.version(kVersion);
  Opinion out;
  out.id = event.id;
  out.author = event.pubkey;
  out.created_at = event.created_at;
  const std::string label = label_of(reader, event);
  if (flag) out.flag = parse_flag_reason(label);
  if (flag ? !out.flag : label != kApprove) reader.fail(InferenceError::BadTag);
  out.node = node_of(reader, event);
  const EventId named = reader.fixed_tag<EventId>("e");
  if (reader.optional("measured")) {
    if (const auto tag = reader.exactly("measured", 3)) {
      out.measured = Measured{reader.integer((*tag)[1], Limits::kMeasuredMsMax),
                              reader.integer((*tag)[2], Limits::kMeasuredMsMax)};
    }
  }
  if (reader.optional("alt")) out.note = reader.text("alt", Limits::kNoteBytesMax);
  if (reader.error()) return failure(*reader.error());
  auto events = parse_content(event.content);
  if (!events || events->size() != 1) return failure(InferenceError::BadContent);
  out.record = std::move(events->front());
  const auto record = parse_record(out.record);
  if (!record || record->node != out.node || out.record.id != named) {
    return failure(InferenceError::BadContent);
  }
  return out;
}

std::vector<EventDraft> build_fraud_proof(const FraudProof& proof, std::int64_t created_at) {
  CHECK(has_form(proof) && proof.events.size() <= Limits::kEventsMax);
  EventDraft draft{.created_at = created_at, .kind = kinds::kReport, .tags = {}, .content = ""};
  add_subject(draft.tags, fraud_label(proof.kind), proof.node, true);
  const std::string whole = content_of(proof.events);
  std::vector<std::string> pieces;
  for (std::string_view rest = whole; !rest.empty();) {
    if (pieces.size() == Limits::kPartsMax) return {};
    pieces.emplace_back(rest.substr(0, part_bytes(rest)));
    rest.remove_prefix(pieces.back().size());
  }
  std::vector<EventDraft> out;
  for (std::string& piece : pieces) {
    out.push_back(draft);
    if (pieces.size() > 1) {
      out.back().tags.add({"part", std::to_string(out.size()), std::to_string(pieces.size()),
                           encode_hex(sha256(whole))});
    }
    out.back().content = std::move(piece);
  }
  if (out.size() == 1) {
    CHECK(parse_fraud_proof(as_event(out.front())).has_value());
  } else {
    CHECK(std::ranges::all_of(
        out, [](const EventDraft& one) { return parse_fraud_part(as_event(one)).has_value(); }));
  }
  return out;
}

Result<FraudProof, InferenceError> parse_fraud_proof(const Event& event) {
  TagReader reader(event, kinds::kReport);
  const FraudSubject subject = subject_of(reader, event);
  if (reader.error()) return failure(*reader.error());
  return proof_of(subject, parse_content(event.content));
}

bool is_fraud_part(const Event& event) {
  if (!claims_fraud(event)) return false;
  for (const Tags::View tag : event.tags) {
    if (tag.name() == "part") return true;
  }
  return false;
}

Result<FraudPart, InferenceError> parse_fraud_part(const Event& event) {
  TagReader reader(event, kinds::kReport);
  const FraudSubject subject = subject_of(reader, event);
  FraudPart out{event.pubkey, subject.kind, subject.node, 0, 0, {}, event.content};
  if (const auto tag = reader.exactly("part", 4)) {
    out.number = reader.integer((*tag)[1], Limits::kPartsMax);
    out.count = reader.integer((*tag)[2], Limits::kPartsMax);
    out.whole = reader.fixed<Digest>((*tag)[3]);
    if (out.count < 2 || out.number < 1 || out.number > out.count) {
      reader.fail(InferenceError::BadTag);
    }
  }
  if (reader.error()) return failure(*reader.error());
  if (out.content.empty() || spelled_bytes(out.content) > Limits::kPartBytesMax) {
    return failure(InferenceError::BadContent);
  }
  return out;
}

Result<FraudProof, InferenceError> join_fraud_parts(std::span<const FraudPart> parts) {
  if (parts.empty()) return failure(InferenceError::BadContent);
  const FraudPart& first = parts.front();
  std::string whole;
  for (const FraudPart& part : parts) {
    const bool fits = part.author == first.author && part.kind == first.kind &&
                      part.node == first.node && part.whole == first.whole &&
                      part.count == parts.size() &&
                      part.number == static_cast<std::uint64_t>(&part - parts.data()) + 1;
    if (!fits) return failure(InferenceError::BadContent);
    whole += part.content;
  }
  if (sha256(whole) != first.whole) return failure(InferenceError::BadContent);
  return proof_of({first.kind, first.node}, parse_content(whole, Limits::kProofBytesMax));
}

bool claims_fraud(const Event& event) {
  if (event.kind != kinds::kReport) return false;
  for (const Tags::View tag : event.tags) {
    if (tag.name() == "l" && tag.size() == 3 && tag[2] == kReputationNamespace &&
        tag[1].starts_with(kFraudPrefix)) {
      return true;
    }
  }
  return false;
}

Result<TrustedAssertion, InferenceError> parse_assertion(const Event& event) {
  TagReader reader(event, kinds::kTrustedAssertion);
  TrustedAssertion out;
  out.provider = event.pubkey;
  out.created_at = event.created_at;
  out.subject = reader.fixed_tag<PublicKey>("d");
  out.rank = static_cast<std::uint32_t>(reader.number("rank", 100));
  if (reader.error()) return failure(*reader.error());
  return out;
}

namespace {

std::vector<PublicKey> keys_of(const Event& event, std::uint32_t kind, std::string_view name,
                               std::size_t count_max) {
  std::vector<PublicKey> out;
  if (event.kind != kind) return out;
  for (const Tags::View tag : event.tags) {
    if (out.size() == count_max) break;
    if (tag.name() != name || tag.size() < 2) continue;
    if (const auto key = from_hex<PublicKey>(tag[1])) out.push_back(*key);
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

std::vector<PublicKey> parse_providers(const Event& event, std::size_t count_max) {
  return keys_of(event, kinds::kTrustedProviders, "30382:rank", count_max);
}

std::vector<PublicKey> parse_follows(const Event& event, std::size_t count_max) {
  return keys_of(event, kinds::kFollows, "p", count_max);
}

}  // namespace nostril
