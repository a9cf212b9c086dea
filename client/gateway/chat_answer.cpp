#include "client/gateway/chat_answer.h"

#include <algorithm>
#include <string_view>

namespace nostril::client {

namespace {

std::uint64_t count_at(const Json* object, std::string_view key) {
  if (object == nullptr) return 0;
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, object->find_integer(key).value_or(0)));
}

std::optional<ChatUsage> read_usage(const Json& answer) {
  const Json* usage = answer.find("usage");
  if (usage == nullptr || !usage->is_object()) return std::nullopt;
  return ChatUsage{count_at(usage, "prompt_tokens"),
                   count_at(usage->find("prompt_tokens_details"), "cached_tokens"),
                   count_at(usage, "completion_tokens"),
                   count_at(usage->find("completion_tokens_details"), "reasoning_tokens")};
}

/// Arguments are JSON text; some engines send the object itself.
std::string arguments_of(const Json* function) {
  const Json* arguments = function == nullptr ? nullptr : function->find("arguments");
  if (arguments == nullptr || arguments->is_null()) return {};
  return arguments->is_string() ? std::string(*arguments->string()) : arguments->dump();
}

void read_calls(const Json& message, ChatPart& out) {
  const Json* calls = message.find("tool_calls");
  if (calls == nullptr) return;
  for (const Json& call : calls->items()) {
    if (out.calls.size() >= kToolCallsMax) return;
    const std::int64_t index =
        call.find_integer("index").value_or(static_cast<std::int64_t>(out.calls.size()));
    if (index < 0 || index >= static_cast<std::int64_t>(kToolCallsMax)) continue;
    const Json* function = call.find("function");
    ToolCall read;
    read.index = static_cast<std::size_t>(index);
    read.id = call.find_string("id").value_or("");
    if (function != nullptr) read.name = function->find_string("name").value_or("");
    read.arguments = arguments_of(function);
    out.calls.push_back(std::move(read));
  }
}

/// `message`: the member that holds the words, "message" or "delta".
ChatPart read(const Json& answer, std::string_view message_key) {
  ChatPart out;
  out.usage = read_usage(answer);
  if (const Json* error = answer.find("error"); error != nullptr && !error->is_null()) {
    out.error = error_text(answer);
  }
  const Json* choices = answer.find("choices");
  if (choices == nullptr || choices->items().empty()) return out;
  const Json& choice = choices->items().front();
  out.finish = choice.find_string("finish_reason").value_or("");
  const Json* message = choice.find(message_key);
  if (message == nullptr) return out;
  out.text = message->find_string("content").value_or("");
  if (out.text.empty()) out.text = message->find_string("refusal").value_or("");
  const auto reasoning = message->find_string("reasoning_content");
  out.reasoning = reasoning ? *reasoning : message->find_string("reasoning").value_or("");
  read_calls(*message, out);
  return out;
}

}  // namespace

std::optional<ChatPart> read_chat_answer(const Json& answer) {
  const Json* choices = answer.find("choices");
  if (choices == nullptr || choices->items().empty()) return std::nullopt;
  if (choices->items().front().find("message") == nullptr) return std::nullopt;
  return read(answer, "message");
}

ChatPart read_chat_chunk(const Json& chunk) {
  return read(chunk, "delta");
}

std::string error_text(const Json& refusal) {
  const Json* error = refusal.find("error");
  if (error == nullptr) error = &refusal;
  if (const auto text = error->string()) return std::string(*text);
  const auto message = error->find_string("message");
  return std::string(message ? *message : error->find_string("detail").value_or(""));
}

}  // namespace nostril::client
