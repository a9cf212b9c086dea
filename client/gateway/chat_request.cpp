#include "client/gateway/chat_request.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

const Json* present(const Json& object, std::string_view name) {
  const Json* found = object.find(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

void ChatRequestWriter::copy(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) copy_as(name, name);
}

void ChatRequestWriter::copy_as(std::string_view name, std::string_view new_name) {
  if (const Json* value = present(from_, name)) w_.key(new_name).value(*value);
}

void ChatRequestWriter::stream(bool wanted) {
  w_.key("stream").boolean(wanted);
  if (wanted)
    w_.key("stream_options").begin_object().key("include_usage").boolean(true).end_object();
}

void ChatRequestWriter::message(std::string_view role, const std::vector<ContentPart>& parts) {
  w_.begin_object().key("role").string(role).key("content");
  const bool plain =
      std::ranges::all_of(parts, [](const ContentPart& part) { return part.image_url.empty(); });
  if (plain) {
    std::string text;
    for (const ContentPart& part : parts) {
      if (!text.empty() && !part.text.empty()) text += "\n";
      text += part.text;
    }
    w_.string(text).end_object();
    return;
  }
  w_.begin_array();
  for (const ContentPart& part : parts) {
    w_.begin_object();
    if (part.image_url.empty()) {
      w_.key("type").string("text").key("text").string(part.text);
    } else {
      w_.key("type").string("image_url").key("image_url").begin_object();
      w_.key("url").string(part.image_url).end_object();
    }
    w_.end_object();
  }
  w_.end_array().end_object();
}

void ChatRequestWriter::calls(std::string_view text, const std::vector<ToolCall>& calls) {
  w_.begin_object().key("role").string("assistant").key("content");
  if (text.empty()) {
    w_.null();
  } else {
    w_.string(text);
  }
  w_.key("tool_calls").begin_array();
  for (const ToolCall& call : calls) {
    w_.begin_object().key("id").string(call.id).key("type").string("function");
    w_.key("function").begin_object().key("name").string(call.name);
    w_.key("arguments").string(call.arguments).end_object().end_object();
  }
  w_.end_array().end_object();
}

void ChatRequestWriter::tool_result(std::string_view call_id, std::string_view text) {
  w_.begin_object().key("role").string("tool").key("tool_call_id").string(call_id);
  w_.key("content").string(text).end_object();
}

void ChatRequestWriter::tool(std::string_view name, const Json* description, const Json* parameters,
                             const Json* strict) {
  w_.begin_object().key("type").string("function").key("function").begin_object();
  w_.key("name").string(name);
  if (description != nullptr) w_.key("description").value(*description);
  if (parameters != nullptr) w_.key("parameters").value(*parameters);
  if (strict != nullptr) w_.key("strict").value(*strict);
  w_.end_object().end_object();
}

std::string ChatRequestWriter::take() && {
  w_.end_object();
  return std::move(w_).take();
}

}  // namespace nostril::client
