#include "client/gateway/chat_request.h"
#include "client/gateway/ollama.h"

#include <map>
#include <utility>

namespace nostril::client {

namespace {

void write_calls(JsonWriter& w, const std::map<std::size_t, ToolCall>& calls) {
  w.key("tool_calls").begin_array();
  for (const auto& [index, call] : calls) {
    w.begin_object().key("function").begin_object().key("name").string(call.name);
    w.key("arguments");
    const auto arguments = Json::parse(call.arguments);
    if (arguments && arguments->is_object()) {
      w.value(*arguments);
    } else {
      w.begin_object().end_object();
    }
    w.end_object().end_object();
  }
  w.end_array();
}

class OllamaAnswer final : public ChatTranslation {
 public:
  explicit OllamaAnswer(OllamaEcho echo) : echo_(std::move(echo)) {}

  [[nodiscard]] std::string_view stream_type() const override { return "application/x-ndjson"; }

  [[nodiscard]] std::string fail(const ApiError& error) override {
    return error_body(Protocol::Ollama, error) + "\n";
  }

 private:
  /// Calls are said whole, in the last object but one.
  void on_part(const ChatPart& part, std::string& out) override {
    note(part);
    if (part.text.empty() && part.reasoning.empty()) return;
    JsonWriter w;
    begin(w);
    write_words(w, part.text, part.reasoning, {});
    w.key("done").boolean(false).end_object();
    out += w.text() + "\n";
  }

  void on_end(const Proof& proof, std::string& out) override {
    if (!calls_.empty()) {
      JsonWriter w;
      begin(w);
      write_words(w, "", "", calls_);
      w.key("done").boolean(false).end_object();
      out += w.text() + "\n";
    }
    JsonWriter w;
    begin(w);
    write_words(w, "", "", {});
    write_end(w);
    w.key("nostril").raw(proof.full).end_object();
    out += w.text() + "\n";
  }

  [[nodiscard]] std::string whole_of(const ChatPart& answer) override {
    note(answer);
    JsonWriter w;
    begin(w);
    write_words(w, answer.text, answer.reasoning, calls_);
    write_end(w);
    w.end_object();
    return std::move(w).take();
  }

  void note(const ChatPart& part) {
    if (!part.finish.empty()) finish_ = part.finish;
    if (part.usage) usage_ = *part.usage;
    for (const ToolCall& call : part.calls) {
      ToolCall& whole = calls_[call.index];
      if (!call.name.empty()) whole.name = call.name;
      whole.arguments += call.arguments;
    }
  }

  void begin(JsonWriter& w) const {
    w.begin_object().key("model").string(echo_.model);
    w.key("created_at").string(echo_.created_at);
  }

  void write_words(JsonWriter& w, std::string_view text, std::string_view thinking,
                   const std::map<std::size_t, ToolCall>& calls) const {
    if (!echo_.generate) {
      w.key("message").begin_object().key("role").string("assistant");
      w.key("content").string(text);
    } else {
      w.key("response").string(text);
    }
    if (!thinking.empty()) w.key("thinking").string(thinking);
    if (!calls.empty()) write_calls(w, calls);
    if (!echo_.generate) w.end_object();
  }

  /// Only the whole time is known here; it stands for the engine's own times, too, so that readers
  /// that divide by them find numbers.
  void write_end(JsonWriter& w) const {
    const std::int64_t elapsed_ns = echo_.elapsed_ns();
    w.key("done").boolean(true);
    w.key("done_reason").string(finish_ == "length" ? "length" : "stop");
    w.key("total_duration").integer(elapsed_ns).key("load_duration").integer(0);
    w.key("prompt_eval_count").integer(static_cast<std::int64_t>(usage_.input));
    w.key("prompt_eval_duration").integer(0);
    w.key("eval_count").integer(static_cast<std::int64_t>(usage_.output));
    w.key("eval_duration").integer(elapsed_ns);
  }

  const OllamaEcho echo_;
  std::map<std::size_t, ToolCall> calls_;
  std::string finish_;
  ChatUsage usage_;
};

/// Never a stream.
class OllamaEmbeddings final : public AnswerForm {
 public:
  OllamaEmbeddings(std::string model, bool legacy) : model_(std::move(model)), legacy_(legacy) {}

  [[nodiscard]] std::string_view stream_type() const override { return "application/json"; }

  [[nodiscard]] std::string feed(std::string_view) override { return {}; }

  [[nodiscard]] std::string finish(const Proof&) override { return {}; }

  [[nodiscard]] std::string fail(const ApiError&) override { return {}; }

  [[nodiscard]] std::optional<std::string> whole(std::string_view body) override {
    const auto answer = Json::parse(body);
    const Json* data = answer ? answer->find("data") : nullptr;
    if (data == nullptr || !data->is_array()) return std::nullopt;
    JsonWriter w;
    w.begin_object();
    if (legacy_) {
      const Json* vector =
          data->items().empty() ? nullptr : data->items().front().find("embedding");
      if (vector == nullptr || !vector->is_array()) return std::nullopt;
      w.key("embedding").value(*vector).end_object();
      return std::move(w).take();
    }
    w.key("model").string(model_).key("embeddings").begin_array();
    for (const Json& item : data->items()) {
      const Json* vector = item.find("embedding");
      if (vector == nullptr || !vector->is_array()) return std::nullopt;
      w.value(*vector);
    }
    w.end_array();
    const Json* usage = answer->find("usage");
    const auto tokens = usage == nullptr ? std::nullopt : usage->find_integer("prompt_tokens");
    w.key("prompt_eval_count").integer(tokens.value_or(0)).end_object();
    return std::move(w).take();
  }

 private:
  const std::string model_;
  const bool legacy_;
};

}  // namespace

std::unique_ptr<AnswerForm> ollama_answer(OllamaEcho echo) {
  return std::make_unique<OllamaAnswer>(std::move(echo));
}

std::unique_ptr<AnswerForm> ollama_embeddings(std::string model, bool legacy) {
  return std::make_unique<OllamaEmbeddings>(std::move(model), legacy);
}

}  // namespace nostril::client
