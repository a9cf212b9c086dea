#include "base/hex.h"
#include "base/json.h"
#include "events/messages.h"

namespace nostril {

namespace {

/// ["COMMAND","subscription" — open for more.
std::string open_text(std::string_view command, std::string_view subscription) {
  std::string out;
  out.reserve(command.size() + subscription.size() + 64);
  out += "[\"";
  out += command;
  out += "\",";
  append_json_string(out, subscription);
  return out;
}

std::string query_text(std::string_view command, std::string_view subscription,
                       const std::vector<Filter>& filters, std::string_view rest = {}) {
  std::string out = open_text(command, subscription);
  for (const Filter& filter : filters) {
    out += ',';
    append_json(out, filter);
  }
  out += rest;
  out += ']';
  return out;
}

// One more element of a message.
std::string hex_text(ByteSpan bytes) {
  return ",\"" + encode_hex(bytes) + "\"";
}

std::string event_text(std::string_view prefix, const Event& event) {
  std::string out(prefix);
  append_json(out, event);
  out += ']';
  return out;
}

}  // namespace

std::string publish_text(const Event& event) {
  return event_text("[\"EVENT\",", event);
}

std::string request_text(std::string_view subscription, const std::vector<Filter>& filters) {
  return query_text("REQ", subscription, filters);
}

std::string count_request_text(std::string_view subscription, const std::vector<Filter>& filters) {
  return query_text("COUNT", subscription, filters);
}

std::string close_text(std::string_view subscription) {
  return open_text("CLOSE", subscription) + "]";
}

std::string auth_text(const Event& event) {
  return event_text("[\"AUTH\",", event);
}

std::string auth_challenge_text(std::string_view challenge) {
  return open_text("AUTH", challenge) + "]";
}

std::string ok_text(std::string_view event_id, bool accepted, std::string_view message) {
  std::string out = open_text("OK", event_id);
  out += accepted ? ",true," : ",false,";
  append_json_string(out, message);
  out += ']';
  return out;
}

std::string eose_text(std::string_view subscription, StoredRest rest) {
  std::string out = open_text("EOSE", subscription);
  if (rest == StoredRest::None) out += R"(,["finish"])";
  if (rest == StoredRest::More) out += R"(,["more"])";
  out += ']';
  return out;
}

std::string closed_text(std::string_view subscription, std::string_view message) {
  std::string out = open_text("CLOSED", subscription);
  out += ',';
  append_json_string(out, message);
  out += ']';
  return out;
}

std::string notice_text(std::string_view message) {
  return open_text("NOTICE", message) + "]";
}

std::string counted_text(std::string_view subscription, std::uint64_t count, ByteSpan hll) {
  std::string out = open_text("COUNT", subscription);
  out += R"(,{"count":)";
  out += std::to_string(count);
  if (!hll.empty()) {
    out += R"(,"hll":")";
    out += encode_hex(hll);
    out += '"';
  }
  out += "}]";
  return out;
}

std::string negentropy_open_text(std::string_view subscription, const Filter& filter,
                                 ByteSpan message) {
  return query_text("NEG-OPEN", subscription, {filter}, hex_text(message));
}

std::string negentropy_message_text(std::string_view subscription, ByteSpan message) {
  return open_text("NEG-MSG", subscription) + hex_text(message) + "]";
}

std::string negentropy_close_text(std::string_view subscription) {
  return open_text("NEG-CLOSE", subscription) + "]";
}

std::string negentropy_error_text(std::string_view subscription, std::string_view reason) {
  std::string out = open_text("NEG-ERR", subscription);
  out += ',';
  append_json_string(out, reason);
  out += ']';
  return out;
}

std::string event_prefix(std::string_view subscription) {
  return open_text("EVENT", subscription) + ",";
}

}  // namespace nostril
