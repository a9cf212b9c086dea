#include "events/known_good.h"

#include "base/check.h"
#include "base/hex.h"
#include "events/kinds.h"
#include "events/tag_reader.h"
#include "events/text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace nostril {

namespace {

using Limits = KnownGoodLimits;

constexpr std::string_view kVersion = "1";
constexpr std::array<std::string_view, kKnownSubjectCount> kSubjects = {"image", "compose",
                                                                        "weights", "machine"};

struct PartKind {
  std::string_view name;
  std::size_t bytes_min;
  std::size_t bytes_max;
};

/// In the order in which parts are written.
constexpr std::array<PartKind, 13> kParts = {{{"mrtd", 48, 48},
                                              {"rtmr0", 48, 48},
                                              {"rtmr1", 48, 48},
                                              {"rtmr2", 48, 48},
                                              {"rtmr3", 48, 48},
                                              {"mrconfigid", 48, 48},
                                              {"measurement", 48, 48},
                                              {"host_data", 32, 32},
                                              {"compose", 32, 32},
                                              {"weights", 32, 32},
                                              {"ppid", 16, 16},
                                              {"chip_id", 64, 64},
                                              {"gpu_serial", 1, Limits::kSerialBytesMax}}};

std::size_t place_of(std::string_view name) {
  const auto* const found = std::ranges::find(kParts, name, &PartKind::name);
  return static_cast<std::size_t>(found - kParts.begin());
}

bool is_machine(const KnownPart& part) {
  return part.name == "ppid" || part.name == "chip_id" || part.name == "gpu_serial";
}

bool suits(const std::vector<KnownPart>& parts, KnownSubject subject) {
  const auto is_image = [](const KnownPart& part) {
    return part.name == "mrtd" || part.name == "measurement";
  };
  const auto is_foreign = [](const KnownPart& part) {
    return part.name == "weights" || is_machine(part);
  };
  switch (subject) {
    case KnownSubject::Image:
      return std::ranges::any_of(parts, is_image) && std::ranges::none_of(parts, is_foreign);
    case KnownSubject::Compose:
      return parts.size() == 1 && parts[0].name == "compose";
    case KnownSubject::Weights:
      return parts.size() == 1 && parts[0].name == "weights";
    case KnownSubject::Machine:
      return parts.size() == 1 && is_machine(parts[0]);
  }
  return false;
}

/// ["allow" or "deny", subject, parts, reason] and of weights the model.
std::optional<KnownGoodEntry> parse_entry(const Tags::View& tag) {
  if (tag.size() != 4 && tag.size() != 5) return std::nullopt;
  KnownGoodEntry out;
  out.allow = tag.name() == "allow";
  const auto* const subject = std::ranges::find(kSubjects, tag[1]);
  if (subject == kSubjects.end()) return std::nullopt;
  out.subject = static_cast<KnownSubject>(subject - kSubjects.begin());
  auto parts = parse_known_parts(tag[2]);
  if (!parts || !suits(*parts, out.subject)) return std::nullopt;
  out.parts = std::move(*parts);
  out.reason = tag[3];
  if (out.reason.empty() || out.reason.size() > Limits::kReasonBytesMax) return std::nullopt;
  const bool weights = out.subject == KnownSubject::Weights;
  if (tag.size() == 5) {
    out.model = tag[4];
    if (!weights || out.model.empty()) return std::nullopt;
    if (out.model.size() > InferenceLimits::kModelBytesMax) return std::nullopt;
  } else if (weights && out.allow) {
    return std::nullopt;
  }
  return out;
}

/// Two entries about the same thing: one event must not say two things of it.
bool same_thing(const KnownGoodEntry& a, const KnownGoodEntry& b) {
  return a.subject == b.subject && a.parts == b.parts && a.model == b.model;
}

Event as_event(const EventDraft& draft, const PublicKey& author) {
  Event event;
  event.pubkey = author;
  event.created_at = draft.created_at;
  event.kind = draft.kind;
  event.tags = draft.tags;
  event.content = draft.content;
  return event;
}

}  // namespace

std::string_view to_string(KnownSubject subject) {
  return kSubjects[static_cast<std::size_t>(subject)];
}

bool is_known_part(const KnownPart& part) {
  const std::size_t place = place_of(part.name);
  const auto bytes = decode_hex(part.value);
  return place < kParts.size() && bytes && bytes->size() >= kParts.at(place).bytes_min &&
         bytes->size() <= kParts.at(place).bytes_max;
}

bool make_canonical(std::vector<KnownPart>& parts, KnownSubject subject) {
  const auto place = [](const KnownPart& part) { return place_of(part.name); };
  std::ranges::sort(parts, {}, place);
  const bool doubled = std::ranges::adjacent_find(parts, {}, &KnownPart::name) != parts.end();
  return !doubled && std::ranges::all_of(parts, is_known_part) && suits(parts, subject);
}

std::string to_text(const std::vector<KnownPart>& parts) {
  std::string out;
  for (const KnownPart& part : parts) {
    out += (out.empty() ? "" : ",") + part.name + "=" + part.value;
  }
  return out;
}

Result<std::vector<KnownPart>, InferenceError> parse_known_parts(std::string_view text) {
  std::vector<KnownPart> out;
  while (true) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view item = text.substr(0, end);
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) return failure(InferenceError::BadTag);
    KnownPart part{std::string(item.substr(0, equals)), std::string(item.substr(equals + 1))};
    if (!is_known_part(part)) return failure(InferenceError::BadTag);
    if (!out.empty() && place_of(out.back().name) >= place_of(part.name)) {
      return failure(InferenceError::BadTag);  // another order would be another text
    }
    out.push_back(std::move(part));
    if (end == text.size()) return out;
    text.remove_prefix(end + 1);
  }
}

EventDraft build_known_good(const KnownGoodList& list) {
  EventDraft draft{
      .created_at = list.created_at, .kind = kinds::kKnownGood, .tags = {}, .content = ""};
  draft.tags.add({"d", list.name});
  draft.tags.add({"v", kVersion});
  for (const KnownGoodEntry& entry : list.entries) {
    const std::string_view word = entry.allow ? "allow" : "deny";
    const std::string parts = to_text(entry.parts);
    if (entry.model.empty()) {
      draft.tags.add({word, to_string(entry.subject), parts, entry.reason});
    } else {
      draft.tags.add({word, to_string(entry.subject), parts, entry.reason, entry.model});
    }
  }
  draft.tags.add({"expiration", std::to_string(list.expires_at)});
  CHECK(parse_known_good(as_event(draft, list.auditor)).has_value());
  return draft;
}

Result<KnownGoodList, InferenceError> parse_known_good(const Event& event) {
  TagReader reader(event, kinds::kKnownGood);
  reader.version(kVersion);
  KnownGoodList list;
  list.id = event.id;
  list.auditor = event.pubkey;
  list.created_at = event.created_at;
  list.name = reader.name("d", Limits::kNameBytesMax);
  list.expires_at = reader.time(reader.text("expiration", 20));
  if (!event.content.empty()) reader.fail(InferenceError::BadContent);
  for (const Tags::View tag : event.tags) {
    if (tag.name() != "allow" && tag.name() != "deny") continue;
    auto entry = parse_entry(tag);
    if (!entry) return failure(InferenceError::BadTag);
    if (list.entries.size() == Limits::kEntriesMax) return failure(InferenceError::TooMany);
    for (const KnownGoodEntry& known : list.entries) {
      if (same_thing(known, *entry)) return failure(InferenceError::DoubleTag);
    }
    list.entries.push_back(std::move(*entry));
  }
  if (list.expires_at < list.created_at) reader.fail(InferenceError::BadTag);
  if (reader.error()) return failure(*reader.error());
  return list;
}

}  // namespace nostril
