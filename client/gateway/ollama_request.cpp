#include "client/gateway/chat_request.h"
#include "client/gateway/ollama.h"

#include <array>
#include <deque>
#include <optional>
#include <utility>

namespace nostril::client {

namespace {

using Problem = std::optional<std::string>;

/// The first characters of base64 say what the bytes are.
Result<std::string, std::string> picture_url(std::string_view base64) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kBegins = {{
      {"/9j/", "image/jpeg"},
      {"iVBORw0KGgo", "image/png"},
      {"R0lGOD", "image/gif"},
      {"UklGR", "image/webp"},
  }};
  for (const auto& [begin, type] : kBegins) {
    if (base64.starts_with(begin)) {
      return "data:" + std::string(type) + ";base64," + std::string(base64);
    }
  }
  return failure(std::string("images must be base64 of JPEG, PNG, GIF or WebP"));
}

Problem read_pictures(const Json& message, std::vector<ContentPart>& out) {
  const Json* images = present(message, "images");
  if (images == nullptr) return std::nullopt;
  for (const Json& image : images->items()) {
    auto url = picture_url(image.string().value_or(""));
    if (!url) return url.error();
    out.push_back({{}, *std::move(url)});
  }
  return std::nullopt;
}

class MessagesWriter {
 public:
  explicit MessagesWriter(ChatRequestWriter& out) : out_(out) {}

  [[nodiscard]] Problem add(const Json& message) {
    const auto role = message.find_string("role").value_or("");
    const auto content = message.find_string("content").value_or("");
    if (role == "tool") return add_result(content);
    if (role != "system" && role != "user" && role != "assistant") {
      return "a message's role must be system, user, assistant or tool";
    }
    const Json* calls = present(message, "tool_calls");
    if (role == "assistant" && calls != nullptr && !calls->items().empty()) {
      return add_calls(content, *calls);
    }
    std::vector<ContentPart> parts;
    parts.push_back({std::string(content), {}});
    if (auto problem = read_pictures(message, parts)) return problem;
    out_.message(role, parts);
    return std::nullopt;
  }

 private:
  [[nodiscard]] Problem add_calls(std::string_view content, const Json& calls) {
    std::vector<ToolCall> read;
    for (const Json& call : calls.items()) {
      const Json* function = call.find("function");
      const auto name = function == nullptr ? std::nullopt : function->find_string("name");
      if (!name) return "a tool call needs function.name";
      const Json* arguments = present(*function, "arguments");
      waiting_.push_back("call_" + std::to_string(count_++));
      read.push_back({read.size(), waiting_.back(), std::string(*name),
                      arguments == nullptr ? "{}" : arguments->dump()});
    }
    out_.calls(content, read);
    return std::nullopt;
  }

  /// Results come in the order of the calls.
  [[nodiscard]] Problem add_result(std::string_view content) {
    if (waiting_.empty()) return "a message of a tool that was not called";
    out_.tool_result(waiting_.front(), content);
    waiting_.pop_front();
    return std::nullopt;
  }

  ChatRequestWriter& out_;
  std::deque<std::string> waiting_;
  std::size_t count_ = 0;
};

Problem write_options(const Json& request, ChatRequestWriter& out) {
  if (const Json* options = present(request, "options")) {
    if (!options->is_object()) return "options must be an object";
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kNames = {{
        {"temperature", "temperature"},
        {"top_p", "top_p"},
        {"top_k", "top_k"},
        {"min_p", "min_p"},
        {"seed", "seed"},
        {"stop", "stop"},
        {"presence_penalty", "presence_penalty"},
        {"frequency_penalty", "frequency_penalty"},
    }};
    for (const auto& [name, other] : kNames) {
      if (const Json* value = present(*options, name)) out.raw().key(other).value(*value);
    }
    // Below 1: no limit.
    const auto limit = options->find_integer("num_predict");
    if (limit && *limit > 0) out.raw().key("max_tokens").integer(*limit);
  }
  if (const Json* format = present(request, "format")) {
    if (format->string() == "json") {
      out.raw().key("response_format").begin_object().key("type").string("json_object");
      out.raw().end_object();
    } else if (format->is_object()) {
      out.raw().key("response_format").begin_object().key("type").string("json_schema");
      out.raw().key("json_schema").begin_object().key("name").string("answer");
      out.raw().key("schema").value(*format).end_object().end_object();
    } else if (format->string() != "") {
      return "format must be \"json\" or a schema";
    }
  }
  return std::nullopt;
}

}  // namespace

bool ollama_streams(const Json& request) {
  return request.find_boolean("stream").value_or(true);
}

Result<EngineCall, std::string> ollama_chat_to_chat(const Json& request) {
  ChatRequestWriter out(request);
  out.copy({"model"});
  const Json* messages = request.find("messages");
  if (messages == nullptr || !messages->is_array() || messages->items().empty()) {
    return failure(std::string("messages must be a list that is not empty"));
  }
  out.begin_messages();
  MessagesWriter writer(out);
  for (const Json& message : messages->items()) {
    if (auto problem = writer.add(message)) return failure(*std::move(problem));
  }
  out.end_messages();
  if (const Json* tools = present(request, "tools"); tools != nullptr && !tools->items().empty()) {
    out.copy({"tools"});  // the same shape as OpenAI's
  }
  if (auto problem = write_options(request, out)) return failure(*std::move(problem));
  out.stream(ollama_streams(request));
  return EngineCall{"/v1/chat/completions", std::move(out).take()};
}

Result<EngineCall, std::string> ollama_generate_to_chat(const Json& request) {
  const Json* suffix = present(request, "suffix");
  const Json* shape = present(request, "template");
  if (request.find_boolean("raw").value_or(false) ||
      (suffix != nullptr && suffix->string() != "") ||
      (shape != nullptr && shape->string() != "")) {
    return failure(std::string("raw, suffix and template can't be passed on"));
  }
  ChatRequestWriter out(request);
  out.copy({"model"});
  out.begin_messages();
  if (const auto system = request.find_string("system"); system && !system->empty()) {
    out.message("system", {{std::string(*system), {}}});
  }
  std::vector<ContentPart> parts;
  parts.push_back({std::string(request.find_string("prompt").value_or("")), {}});
  if (auto problem = read_pictures(request, parts)) return failure(*std::move(problem));
  out.message("user", parts);
  out.end_messages();
  if (auto problem = write_options(request, out)) return failure(*std::move(problem));
  out.stream(ollama_streams(request));
  return EngineCall{"/v1/chat/completions", std::move(out).take()};
}

Result<EngineCall, std::string> ollama_embed_to_embeddings(const Json& request) {
  const Json* input = present(request, "input");
  if (input == nullptr) input = present(request, "prompt");
  if (input == nullptr) return failure(std::string("input must be a string or a list of strings"));
  ChatRequestWriter out(request);
  out.copy({"model", "dimensions"});
  out.raw().key("input").value(*input).key("encoding_format").string("float");
  return EngineCall{"/v1/embeddings", std::move(out).take()};
}

}  // namespace nostril::client
