#include "events/event.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"
#include "events/kinds.h"
#include "schnorr/hash.h"

#include <array>
#include <charconv>

namespace nostril {

namespace {

template <typename Integer>
void append_integer(std::string& out, Integer value) {
  std::array<char, 24> text{};
  char* end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), end);
}

void append_tags(std::string& out, const Tags& tags) {
  out += '[';
  for (std::size_t i = 0; i < tags.size(); ++i) {
    out += i == 0 ? "[" : ",[";
    const Tags::View tag = tags[i];
    for (std::size_t j = 0; j < tag.size(); ++j) {
      if (j != 0) out += ',';
      append_json_string(out, tag[j]);
    }
    out += ']';
  }
  out += ']';
}

VerifyItem verify_item(const Event& event) {
  return {event.sig, Digest{event.id.bytes}, event.pubkey};
}

}  // namespace

void append_canonical(std::string& out, const Event& event) {
  out += "[0,\"";
  append_hex(out, event.pubkey.span());
  out += "\",";
  append_integer(out, event.created_at);
  out += ',';
  append_integer(out, event.kind);
  out += ',';
  append_tags(out, event.tags);
  out += ',';
  append_json_string(out, event.content);
  out += ']';
}

EventId compute_id(const Event& event) {
  thread_local std::string buffer;  // keeps its memory: no allocation an event
  thread_local Sha256 hash;
  buffer.clear();
  append_canonical(buffer, event);
  return EventId{hash.update(buffer).finish().bytes};
}

void append_json(std::string& out, const Event& event) {
  out += R"({"id":")";
  append_hex(out, event.id.span());
  out += R"(","pubkey":")";
  append_hex(out, event.pubkey.span());
  out += R"(","created_at":)";
  append_integer(out, event.created_at);
  out += R"(,"kind":)";
  append_integer(out, event.kind);
  out += R"(,"tags":)";
  append_tags(out, event.tags);
  out += R"(,"content":)";
  append_json_string(out, event.content);
  out += R"(,"sig":")";
  append_hex(out, event.sig.span());
  out += "\"}";
}

std::string to_json(const Event& event) {
  std::string out;
  append_json(out, event);
  return out;
}

Event sign_event(EventDraft draft, const Keypair& author, Rng& rng) {
  CHECK(draft.created_at >= 0 && draft.kind <= kKindMax);
  Event event;
  event.pubkey = author.public_key();
  event.created_at = draft.created_at;
  event.kind = draft.kind;
  event.tags = std::move(draft.tags);
  event.content = std::move(draft.content);
  event.id = compute_id(event);
  event.sig = author.sign(Digest{event.id.bytes}, rng);
  return event;
}

Result<UnverifiedEvent, ParseError> check_id(Event event) {
  if (compute_id(event) != event.id) return failure(ParseError::WrongId);
  return UnverifiedEvent(std::move(event));
}

std::optional<VerifiedEvent> VerifiedEvent::verify(UnverifiedEvent&& event, Verifier& verifier) {
  if (!verifier.verify(verify_item(event.event_))) return std::nullopt;
  return VerifiedEvent(std::move(event.event_));
}

std::vector<std::optional<VerifiedEvent>> VerifiedEvent::verify_all(
    std::span<UnverifiedEvent> events, Verifier& verifier) {
  std::vector<VerifyItem> items;
  items.reserve(events.size());
  for (const UnverifiedEvent& event : events) items.push_back(verify_item(event.event_));
  const VerifyResults results = verifier.verify(items);
  CHECK(results.count() == events.size());

  std::vector<std::optional<VerifiedEvent>> out(events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (results.valid(i)) out[i] = VerifiedEvent(std::move(events[i].event_));
  }
  return out;
}

}  // namespace nostril
