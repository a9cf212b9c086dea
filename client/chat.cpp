#include "client/chat.h"

#include "base/json.h"

#include <optional>
#include <utility>
#include <vector>

namespace nostril::client {

namespace {

void write_message(JsonWriter& w, std::string_view role, std::string_view content) {
  w.begin_object().key("role").string(role).key("content").string(content).end_object();
}

}  // namespace

std::string chat_body(const ChatQuestion& question) {
  JsonWriter w;
  w.begin_object();
  w.key("model").string(question.model);
  w.key("messages").begin_array();
  if (!question.system.empty()) write_message(w, "system", question.system);
  write_message(w, "user", question.question);
  w.end_array();
  w.key("max_tokens").integer(question.tokens_max);
  w.key("temperature").integer(0);
  w.key("stream").boolean(true);
  w.end_object();
  return std::move(w).take();
}

std::string ChatWords::feed(ByteSpan bytes) {
  std::string words;
  std::vector<net::SseEvent> events;
  if (!parser_.feed(as_text(bytes), events)) return words;
  for (const net::SseEvent& event : events) {
    const auto chunk = Json::parse(event.data);
    if (!chunk) continue;
    const Json* choices = chunk->find("choices");
    if (choices == nullptr || choices->items().empty()) continue;
    const Json* delta = choices->items().front().find("delta");
    if (const auto text = delta == nullptr ? std::nullopt : delta->find_string("content")) {
      words += *text;
    }
  }
  return words;
}

}  // namespace nostril::client
