#include "events/reputation.h"

#include "base/check.h"
#include "base/enum_names.h"
#include "base/hex.h"
#include "base/json.h"
#include "events/kinds.h"
#include "events/tag_reader.h"

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
std::optional<std::vector<Event>> parse_content(std::string_view content) {
  JsonLimits limits;
  limits.bytes_max = EventLimits{}.content_bytes_max;
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

std::optional<EventDraft> build_fraud_proof(const FraudProof& proof, std::int64_t created_at) {
  CHECK(has_form(proof) && proof.events.size() <= Limits::kEventsMax);
  EventDraft draft{.created_at = created_at,
                   .kind = kinds::kReport,
                   .tags = {},
                   .content = content_of(proof.events)};
  if (draft.content.size() > EventLimits{}.content_bytes_max) return std::nullopt;
  add_subject(draft.tags, std::string(kFraudPrefix) + std::string(to_string(proof.kind)),
              proof.node, true);
  CHECK(parse_fraud_proof(as_event(draft)).has_value());
  return draft;
}

Result<FraudProof, InferenceError> parse_fraud_proof(const Event& event) {
  TagReader reader(event, kinds::kReport);
  reader.version(kVersion);
  FraudProof out;
  const std::string label = label_of(reader, event);
  const auto kind = label.starts_with(kFraudPrefix)
                        ? parse_fraud_kind(std::string_view(label).substr(kFraudPrefix.size()))
                        : std::nullopt;
  if (!kind) reader.fail(InferenceError::BadTag);
  out.node = node_of(reader, event);
  if (reader.error()) return failure(*reader.error());
  out.kind = *kind;
  auto events = parse_content(event.content);
  if (!events) return failure(InferenceError::BadContent);
  out.events = std::move(*events);
  if (!has_form(out)) return failure(InferenceError::BadContent);
  return out;
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

std::vector<PublicKey> parse_follows(const Event& event, std::size_t count_max) {
  std::vector<PublicKey> out;
  if (event.kind != kinds::kFollows) return out;
  for (const Tags::View tag : event.tags) {
    if (out.size() == count_max) break;
    if (tag.name() != "p" || tag.size() < 2) continue;
    if (const auto key = from_hex<PublicKey>(tag[1])) out.push_back(*key);
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace nostril
