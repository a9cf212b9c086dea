#include "client/gateway/answer_form.h"

#include <utility>

namespace nostril::client {

std::string ChatTranslation::feed(std::string_view bytes) {
  std::string out;
  std::vector<net::SseEvent> events;
  if (error_) return out;
  if (!parser_.feed(bytes, events)) error_ = "the engine's stream can't be read";
  for (const net::SseEvent& event : events) {
    if (event.data == "[DONE]") continue;
    const auto chunk = Json::parse(event.data);
    if (!chunk || !chunk->is_object()) {
      error_ = "the engine's stream can't be read";
      return out;
    }
    const ChatPart part = read_chat_chunk(*chunk);
    if (part.error) {
      error_ = *part.error;
      return out;
    }
    on_part(part, out);
  }
  return out;
}

std::string ChatTranslation::finish(const Proof& proof) {
  if (error_) {
    return fail({.status = 502, .type = "incomplete_answer", .message = *error_});
  }
  std::string out;
  on_end(proof, out);
  return out;
}

std::optional<std::string> ChatTranslation::whole(std::string_view body) {
  const auto answer = Json::parse(body);
  const auto part = answer ? read_chat_answer(*answer) : std::nullopt;
  if (!part) return std::nullopt;
  return whole_of(*part);
}

}  // namespace nostril::client
