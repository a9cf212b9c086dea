#include "relay/plugin_protocol.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::relay {

namespace {

// NIP-01's, and those that came later.
constexpr std::array<std::string_view, 9> kPrefixes = {
    "duplicate:",  "pow:",  "blocked:", "rate-limited:", "invalid:",
    "restricted:", "mute:", "error:",   "auth-required:"};

constexpr JsonLimits kReplyLimits{kPluginLineBytesMax, 16, 1'000};

std::string_view name_of(EventSourceType type) {
  switch (type) {
    case EventSourceType::Ip4:
      return "IP4";
    case EventSourceType::Ip6:
      return "IP6";
    case EventSourceType::Import:
      return "Import";
    case EventSourceType::Stream:
      return "Stream";
    case EventSourceType::Sync:
      return "Sync";
    case EventSourceType::Stored:
      return "Stored";
  }
  return "Import";
}

std::optional<PluginAction> action_named(std::string_view name) {
  if (name == "accept") return PluginAction::Accept;
  if (name == "reject") return PluginAction::Reject;
  if (name == "shadowReject") return PluginAction::ShadowReject;
  return std::nullopt;
}

// Not in the middle of a character.
std::string cut(std::string text) {
  if (text.size() <= kPluginMessageBytesMax) return text;
  std::size_t size = kPluginMessageBytesMax;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  text.resize(size);
  return text;
}

std::string message_for(PluginAction action, std::string_view text) {
  if (action != PluginAction::Reject) return {};
  const bool has_prefix = std::ranges::any_of(
      kPrefixes, [&](std::string_view prefix) { return text.starts_with(prefix); });
  if (has_prefix) return cut(one_line(text));
  return cut("blocked: " + (text.empty() ? "this relay's policy refuses it" : one_line(text)));
}

}  // namespace

std::string plugin_request(const Event& event, std::int64_t received_at_s,
                           const EventSource& source) {
  JsonWriter w;
  w.begin_object().key("type").string("new").key("event").raw(to_json(event));
  w.key("receivedAt").integer(received_at_s);
  w.key("sourceType").string(name_of(source.type)).key("sourceInfo").string(source.info);
  if (source.authed) w.key("authed").string(encode_hex(*source.authed));
  w.end_object();
  return std::move(w).take() + "\n";
}

Result<PluginReply, PluginReplyError> parse_plugin_reply(std::string_view line) {
  const auto json = Json::parse(line, kReplyLimits);
  if (!json) return failure(PluginReplyError{});
  const auto id = from_hex<EventId>(json->find_string("id").value_or(""));
  if (!id) return failure(PluginReplyError{});
  const auto action = action_named(json->find_string("action").value_or(""));
  const Json* message = json->find("msg");
  const bool has_text = message == nullptr || message->is_string() || message->is_null();
  if (!action || !has_text) return failure(PluginReplyError{*id});
  return PluginReply{*id, *action, message_for(*action, json->find_string("msg").value_or(""))};
}

}  // namespace nostril::relay
