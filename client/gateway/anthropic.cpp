#include "client/gateway/anthropic.h"

#include "client/gateway/chat_request.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

using Problem = std::optional<std::string>;

Result<std::string, std::string> image_url_of(const Json& block) {
  const Json* source = block.find("source");
  const auto type = source == nullptr ? std::nullopt : source->find_string("type");
  if (type == "base64") {
    const auto media = source->find_string("media_type");
    const auto data = source->find_string("data");
    if (media && data) return "data:" + std::string(*media) + ";base64," + std::string(*data);
  } else if (type == "url") {
    if (const auto url = source->find_string("url")) return std::string(*url);
  }
  return failure(std::string("a picture's source must be base64 or url"));
}

/// A text, or a list of text blocks.
Result<std::string, std::string> text_of(const Json& content, std::string_view where) {
  if (const auto text = content.string()) return std::string(*text);
  if (!content.is_array()) return failure(std::string(where) + " must be a string or blocks");
  std::string out;
  for (const Json& block : content.items()) {
    const auto text = block.find_string("text");
    if (block.find_string("type") != "text" || !text) {
      return failure(std::string(where) + " may hold text blocks only");
    }
    if (!out.empty()) out += "\n";
    out += *text;
  }
  return out;
}

/// Writes one message of the application as the one or more that an engine needs.
class MessageWriter {
 public:
  MessageWriter(ChatRequestWriter& out, std::string_view role) : out_(out), role_(role) {}

  [[nodiscard]] Problem add(const Json& block) {
    const auto type = block.find_string("type").value_or("");
    if (type == "text") {
      parts_.push_back({std::string(block.find_string("text").value_or("")), {}});
      return std::nullopt;
    }
    if (type == "thinking" || type == "redacted_thinking") return std::nullopt;  // its own notes
    if (type == "image" && role_ == "user") return add_image(block);
    if (type == "document" && role_ == "user") return add_document(block);
    if (type == "tool_use" && role_ == "assistant") return add_call(block);
    if (type == "tool_result" && role_ == "user") return add_result(block);
    return "content blocks of type \"" + std::string(type) + "\" can't be passed on for " +
           std::string(role_);
  }

  void end() {
    if (role_ == "assistant") {
      write_assistant();
    } else if (!parts_.empty()) {
      out_.message(role_, parts_);
    }
  }

 private:
  [[nodiscard]] Problem add_image(const Json& block) {
    auto url = image_url_of(block);
    if (!url) return url.error();
    parts_.push_back({{}, *std::move(url)});
    return std::nullopt;
  }

  [[nodiscard]] Problem add_document(const Json& block) {
    const Json* source = block.find("source");
    const auto data = source == nullptr ? std::nullopt : source->find_string("data");
    if (!data || source->find_string("type") != "text") {
      return "only text documents can be passed on";
    }
    parts_.push_back({std::string(*data), {}});
    return std::nullopt;
  }

  [[nodiscard]] Problem add_call(const Json& block) {
    const auto id = block.find_string("id");
    const auto name = block.find_string("name");
    if (!id || !name) return "a tool_use needs id and name";
    const Json* input = present(block, "input");
    calls_.push_back({calls_.size(), std::string(*id), std::string(*name),
                      input == nullptr ? "{}" : input->dump()});
    return std::nullopt;
  }

  /// Results come before what else the user says, as engines want them.
  [[nodiscard]] Problem add_result(const Json& block) {
    const auto id = block.find_string("tool_use_id");
    if (!id) return "a tool_result needs tool_use_id";
    std::string text;
    const Json* content = present(block, "content");
    if (content != nullptr && content->is_array()) {
      for (const Json& item : content->items()) {
        if (item.find_string("type") == "image") {
          if (auto problem = add_image(item)) return problem;
          continue;
        }
        const auto said = item.find_string("text");
        if (!said) return "a tool_result may hold texts and pictures only";
        if (!text.empty()) text += "\n";
        text += *said;
      }
    } else if (content != nullptr) {
      const auto said = content->string();
      if (!said) return "a tool_result's content must be a string or blocks";
      text = *said;
    }
    if (block.find_boolean("is_error").value_or(false)) text = "Error: " + text;
    out_.tool_result(*id, text);
    return std::nullopt;
  }

  void write_assistant() {
    if (calls_.empty()) {
      out_.message(role_, parts_);
      return;
    }
    std::string text;
    for (const ContentPart& part : parts_) text += part.text;
    out_.calls(text, calls_);
  }

  ChatRequestWriter& out_;
  std::string_view role_;
  std::vector<ContentPart> parts_;
  std::vector<ToolCall> calls_;
};

Problem write_messages(const Json& request, ChatRequestWriter& out) {
  const Json* messages = request.find("messages");
  if (messages == nullptr || !messages->is_array() || messages->items().empty()) {
    return "messages must be a list that is not empty";
  }
  out.begin_messages();
  if (const Json* system = present(request, "system")) {
    const auto text = text_of(*system, "system");
    if (!text) return text.error();
    out.message("system", {{*text, {}}});
  }
  for (const Json& message : messages->items()) {
    const auto role = message.find_string("role").value_or("");
    if (role != "user" && role != "assistant" && role != "system") {
      return "a message's role must be user or assistant";
    }
    const Json* content = message.find("content");
    if (content == nullptr) return "a message needs content";
    if (const auto text = content->string()) {
      out.message(role, {{std::string(*text), {}}});
      continue;
    }
    if (!content->is_array()) return "content must be a string or blocks";
    MessageWriter writer(out, role);
    for (const Json& block : content->items()) {
      if (auto problem = writer.add(block)) return problem;
    }
    writer.end();
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
    if (!name || tool.find_string("type").value_or("custom") != "custom") {
      return "tools that a server runs can't be passed on";
    }
    out.tool(*name, present(tool, "description"), present(tool, "input_schema"));
  }
  out.end_tools();
  const Json* choice = present(request, "tool_choice");
  if (choice == nullptr) return std::nullopt;
  const auto type = choice->find_string("type").value_or("");
  JsonWriter& w = out.raw();
  if (type == "tool") {
    w.key("tool_choice").begin_object().key("type").string("function").key("function");
    w.begin_object().key("name").string(choice->find_string("name").value_or("")).end_object();
    w.end_object();
  } else if (type == "any" || type == "auto" || type == "none") {
    w.key("tool_choice").string(type == "any" ? "required" : type);
  } else {
    return "tool_choice.type must be auto, any, tool or none";
  }
  if (const auto serial = choice->find_boolean("disable_parallel_tool_use")) {
    w.key("parallel_tool_calls").boolean(!*serial);
  }
  return std::nullopt;
}

std::string_view stop_reason(std::string_view finish) {
  if (finish == "length") return "max_tokens";
  if (finish == "tool_calls" || finish == "function_call") return "tool_use";
  if (finish == "content_filter") return "refusal";
  return "end_turn";
}

void write_usage(JsonWriter& w, const ChatUsage& usage) {
  const auto number = [&w](std::string_view key, std::uint64_t value) {
    w.key(key).integer(static_cast<std::int64_t>(value));
  };
  w.begin_object();
  number("input_tokens", usage.input - std::min(usage.input, usage.cached));
  number("cache_creation_input_tokens", 0);
  number("cache_read_input_tokens", std::min(usage.input, usage.cached));
  number("output_tokens", usage.output);
  w.end_object();
}

/// A call's arguments, which engines send as text, as the object that Anthropic's are.
void write_input(JsonWriter& w, const std::string& arguments) {
  const auto parsed = Json::parse(arguments);
  if (parsed && parsed->is_object()) {
    w.value(*parsed);
  } else {
    w.begin_object().end_object();
  }
}

class AnthropicAnswer final : public ChatTranslation {
 public:
  AnthropicAnswer(std::string id, std::string model)
      : id_(std::move(id)), model_(std::move(model)) {}

  [[nodiscard]] std::string_view stream_type() const override { return "text/event-stream"; }

  [[nodiscard]] std::string fail(const ApiError& error) override {
    return net::sse_encode("error", error_body(Protocol::Anthropic, error));
  }

 private:
  enum class Block : std::uint8_t { None, Thinking, Text, Tool };

  void on_part(const ChatPart& part, std::string& out) override {
    begin(out);
    if (!part.finish.empty()) finish_ = part.finish;
    if (part.usage) usage_ = *part.usage;
    if (!part.reasoning.empty()) {
      open(Block::Thinking, 0, {}, out);
      delta("thinking_delta", "thinking", part.reasoning, out);
    }
    if (!part.text.empty()) {
      open(Block::Text, 0, {}, out);
      delta("text_delta", "text", part.text, out);
    }
    for (const ToolCall& call : part.calls) {
      open(Block::Tool, call.index, call, out);
      if (!call.arguments.empty()) {
        delta("input_json_delta", "partial_json", call.arguments, out);
      }
    }
  }

  void on_end(const Proof& proof, std::string& out) override {
    begin(out);
    close(out);
    JsonWriter w;
    w.begin_object().key("type").string("message_delta").key("delta").begin_object();
    w.key("stop_reason").string(stop_reason(finish_)).key("stop_sequence").null().end_object();
    w.key("usage");
    write_usage(w, usage_);
    w.key("nostril").raw(proof.brief).end_object();
    out += net::sse_encode("message_delta", w.text());
    out += ": nostril-record " + proof.full + "\n\n";
    out += net::sse_encode("message_stop", R"({"type":"message_stop"})");
  }

  [[nodiscard]] std::string whole_of(const ChatPart& answer) override {
    JsonWriter w;
    begin_message(w);
    w.key("content").begin_array();
    if (!answer.reasoning.empty()) {
      w.begin_object().key("type").string("thinking").key("thinking").string(answer.reasoning);
      w.key("signature").string("").end_object();
    }
    if (!answer.text.empty()) {
      w.begin_object().key("type").string("text").key("text").string(answer.text).end_object();
    }
    for (const ToolCall& call : answer.calls) {
      begin_call(w, call);
      write_input(w, call.arguments);
      w.end_object();
    }
    w.end_array().key("stop_reason").string(stop_reason(answer.finish));
    w.key("stop_sequence").null().key("usage");
    write_usage(w, answer.usage.value_or(ChatUsage{}));
    w.end_object();
    return std::move(w).take();
  }

  void begin_message(JsonWriter& w) const {
    w.begin_object().key("id").string(id_).key("type").string("message");
    w.key("role").string("assistant").key("model").string(model_);
  }

  static void begin_call(JsonWriter& w, const ToolCall& call) {
    w.begin_object().key("type").string("tool_use").key("id").string(call.id);
    w.key("name").string(call.name).key("input");
  }

  void begin(std::string& out) {
    if (std::exchange(begun_, true)) return;
    JsonWriter w;
    w.begin_object().key("type").string("message_start").key("message");
    begin_message(w);
    w.key("content").begin_array().end_array().key("stop_reason").null();
    w.key("stop_sequence").null().key("usage");
    write_usage(w, {});
    w.end_object().end_object();
    out += net::sse_encode("message_start", w.text());
  }

  /// The block of this sort, and for a tool of this call, is the open one afterwards.
  void open(Block block, std::size_t call_index, const ToolCall& call, std::string& out) {
    if (open_ == block && (block != Block::Tool || call_index == call_index_)) return;
    close(out);
    open_ = block;
    call_index_ = call_index;
    JsonWriter w;
    w.begin_object().key("type").string("content_block_start").key("index").integer(index_);
    w.key("content_block");
    if (block == Block::Tool) {
      begin_call(w, call);
      w.begin_object().end_object().end_object();
    } else if (block == Block::Text) {
      w.begin_object().key("type").string("text").key("text").string("").end_object();
    } else {
      w.begin_object().key("type").string("thinking").key("thinking").string("");
      w.key("signature").string("").end_object();
    }
    w.end_object();
    out += net::sse_encode("content_block_start", w.text());
  }

  void delta(std::string_view type, std::string_view key, std::string_view text,
             std::string& out) const {
    JsonWriter w;
    w.begin_object().key("type").string("content_block_delta").key("index").integer(index_);
    w.key("delta").begin_object().key("type").string(type).key(key).string(text);
    w.end_object().end_object();
    out += net::sse_encode("content_block_delta", w.text());
  }

  void close(std::string& out) {
    if (open_ == Block::None) return;
    open_ = Block::None;
    JsonWriter w;
    w.begin_object().key("type").string("content_block_stop").key("index").integer(index_++);
    w.end_object();
    out += net::sse_encode("content_block_stop", w.text());
  }

  const std::string id_;
  const std::string model_;
  bool begun_ = false;
  Block open_ = Block::None;
  std::size_t call_index_ = 0;
  std::int64_t index_ = 0;
  std::string finish_;
  ChatUsage usage_;
};

}  // namespace

Result<EngineCall, std::string> anthropic_to_chat(const Json& request) {
  ChatRequestWriter out(request);
  out.copy({"model"});
  if (auto problem = write_messages(request, out)) return failure(*std::move(problem));
  if (auto problem = write_tools(request, out)) return failure(*std::move(problem));
  out.copy({"max_tokens", "temperature", "top_p", "top_k"});
  out.copy_as("stop_sequences", "stop");
  out.stream(request.find_boolean("stream").value_or(false));
  return EngineCall{"/v1/chat/completions", std::move(out).take()};
}

std::unique_ptr<AnswerForm> anthropic_answer(std::string id, std::string model) {
  return std::make_unique<AnthropicAnswer>(std::move(id), std::move(model));
}

}  // namespace nostril::client
