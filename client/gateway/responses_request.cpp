#include "client/gateway/chat_request.h"
#include "client/gateway/responses.h"

#include <optional>
#include <utility>

namespace nostril::client {

namespace {

using Problem = std::optional<std::string>;

Problem read_content(const Json& content, std::vector<ContentPart>& out) {
  if (const auto text = content.string()) {
    out.push_back({std::string(*text), {}});
    return std::nullopt;
  }
  if (!content.is_array()) return "content must be a string or a list of parts";
  for (const Json& part : content.items()) {
    const auto type = part.find_string("type").value_or("");
    if (type == "input_text" || type == "output_text" || type == "text" || type == "refusal") {
      const auto text = part.find_string(type == "refusal" ? "refusal" : "text");
      out.push_back({std::string(text.value_or("")), {}});
    } else if (const auto url = part.find_string("image_url"); type == "input_image" && url) {
      out.push_back({{}, std::string(*url)});
    } else {
      return "content of type \"" + std::string(type) + "\" can't be passed on";
    }
  }
  return std::nullopt;
}

/// Items as messages; calls that follow each other make one message of the assistant.
class ItemWriter {
 public:
  explicit ItemWriter(ChatRequestWriter& out) : out_(out) {}

  [[nodiscard]] Problem add(const Json& item) {
    const auto type = item.find_string("type").value_or("message");
    if (type == "reasoning") return std::nullopt;
    if (type == "function_call") return add_call(item);
    end_calls();
    if (type == "message") return add_message(item);
    if (type == "function_call_output") return add_result(item);
    return "input items of type \"" + std::string(type) + "\" can't be passed on";
  }

  void end_calls() {
    if (!calls_.empty()) out_.calls({}, std::exchange(calls_, {}));
  }

 private:
  [[nodiscard]] Problem add_call(const Json& item) {
    const auto id = item.find_string("call_id");
    const auto name = item.find_string("name");
    if (!id || !name) return "a function_call needs call_id and name";
    calls_.push_back({calls_.size(), std::string(*id), std::string(*name),
                      std::string(item.find_string("arguments").value_or("{}"))});
    return std::nullopt;
  }

  [[nodiscard]] Problem add_message(const Json& item) {
    const auto role = item.find_string("role").value_or("");
    const Json* content = item.find("content");
    if (role != "user" && role != "assistant" && role != "system" && role != "developer") {
      return "a message's role must be user, assistant, system or developer";
    }
    std::vector<ContentPart> parts;
    if (content == nullptr) return "a message needs content";
    if (auto problem = read_content(*content, parts)) return problem;
    out_.message(role == "developer" ? "system" : role, parts);
    return std::nullopt;
  }

  [[nodiscard]] Problem add_result(const Json& item) {
    const auto id = item.find_string("call_id");
    const Json* output = present(item, "output");
    if (!id || output == nullptr) return "a function_call_output needs call_id and output";
    std::vector<ContentPart> parts;
    if (auto problem = read_content(*output, parts)) return problem;
    std::string text;
    for (const ContentPart& part : parts) {
      if (!part.image_url.empty()) return "a function_call_output may hold texts only";
      text += part.text;
    }
    out_.tool_result(*id, text);
    return std::nullopt;
  }

  ChatRequestWriter& out_;
  std::vector<ToolCall> calls_;
};

Problem write_input(const Json& request, ChatRequestWriter& out) {
  const Json* input = present(request, "input");
  if (input == nullptr) return "input must be a string or a list of items";
  out.begin_messages();
  if (const auto instructions = request.find_string("instructions")) {
    out.message("system", {{std::string(*instructions), {}}});
  }
  if (const auto text = input->string()) {
    out.message("user", {{std::string(*text), {}}});
  } else if (input->is_array() && !input->items().empty()) {
    ItemWriter writer(out);
    for (const Json& item : input->items()) {
      if (auto problem = writer.add(item)) return problem;
    }
    writer.end_calls();
  } else {
    return "input must be a string or a list of items";
  }
  out.end_messages();
  return std::nullopt;
}

Problem write_tools(const Json& request, ChatRequestWriter& out) {
  const Json* tools = present(request, "tools");
  if (tools == nullptr || tools->items().empty()) return std::nullopt;
  out.begin_tools();
  for (const Json& tool : tools->items()) {
    const auto name = tool.find_string("name");
    if (tool.find_string("type") != "function" || !name) {
      return "only function tools can be passed on";
    }
    out.tool(*name, present(tool, "description"), present(tool, "parameters"),
             present(tool, "strict"));
  }
  out.end_tools();
  const Json* choice = present(request, "tool_choice");
  if (choice == nullptr) return std::nullopt;
  if (choice->is_string()) {
    out.copy({"tool_choice"});
  } else if (const auto name = choice->find_string("name");
             name && choice->find_string("type") == "function") {
    out.raw().key("tool_choice").begin_object().key("type").string("function");
    out.raw().key("function").begin_object().key("name").string(*name).end_object().end_object();
  } else {
    return "tool_choice must be auto, none, required or a function";
  }
  return std::nullopt;
}

Problem write_format(const Json& request, ChatRequestWriter& out) {
  const Json* text = present(request, "text");
  const Json* format = text == nullptr ? nullptr : present(*text, "format");
  if (format == nullptr) return std::nullopt;
  const auto type = format->find_string("type").value_or("");
  if (type == "text") return std::nullopt;
  JsonWriter& w = out.raw();
  w.key("response_format").begin_object().key("type").string(type);
  if (type == "json_schema") {
    w.key("json_schema").begin_object();
    for (const std::string_view name : {"name", "description", "schema", "strict"}) {
      if (const Json* value = present(*format, name)) w.key(name).value(*value);
    }
    w.end_object();
  } else if (type != "json_object") {
    return "text.format.type must be text, json_object or json_schema";
  }
  w.end_object();
  return std::nullopt;
}

/// Members that ask for what nobody keeps or runs here.
Problem refused(const Json& request) {
  for (const std::string_view name : {"previous_response_id", "conversation", "prompt"}) {
    if (present(request, name) != nullptr) {
      return std::string(name) + " names what a server keeps; nothing is kept here";
    }
  }
  if (request.find_boolean("background").value_or(false)) {
    return "background answers are not kept here";
  }
  return std::nullopt;
}

}  // namespace

Result<EngineCall, std::string> responses_to_chat(const Json& request) {
  if (auto problem = refused(request)) return failure(*std::move(problem));
  ChatRequestWriter out(request);
  out.copy({"model"});
  if (auto problem = write_input(request, out)) return failure(*std::move(problem));
  if (auto problem = write_tools(request, out)) return failure(*std::move(problem));
  if (auto problem = write_format(request, out)) return failure(*std::move(problem));
  out.copy({"temperature", "top_p", "seed", "parallel_tool_calls", "user"});
  out.copy_as("max_output_tokens", "max_tokens");
  if (const Json* reasoning = present(request, "reasoning")) {
    if (const Json* effort = present(*reasoning, "effort")) {
      out.raw().key("reasoning_effort").value(*effort);
    }
  }
  out.stream(request.find_boolean("stream").value_or(false));
  return EngineCall{"/v1/chat/completions", std::move(out).take()};
}

}  // namespace nostril::client
