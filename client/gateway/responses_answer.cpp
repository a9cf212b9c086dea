#include "client/gateway/chat_request.h"
#include "client/gateway/responses.h"

#include <array>
#include <utility>

namespace nostril::client {

namespace {

/// One thing in `output`, as far as it came.
struct Item {
  enum class Type : std::uint8_t { Reasoning, Message, Call };

  Type type = Type::Message;
  std::string id;
  std::string text;  ///< of a call: its arguments
  ToolCall call;     ///< without arguments
};

std::string_view status_of(std::string_view finish) {
  return finish == "length" || finish == "content_filter" ? "incomplete" : "completed";
}

void write_text_part(JsonWriter& w, std::string_view text) {
  w.begin_object().key("type").string("output_text").key("text").string(text);
  w.key("annotations").begin_array().end_array().key("logprobs").begin_array().end_array();
  w.end_object();
}

void write_item(JsonWriter& w, const Item& item, bool done) {
  const std::string_view status = done ? "completed" : "in_progress";
  w.begin_object().key("id").string(item.id);
  switch (item.type) {
    case Item::Type::Reasoning:
      w.key("type").string("reasoning").key("summary").begin_array().end_array();
      w.key("content").begin_array();
      if (done) {
        w.begin_object().key("type").string("reasoning_text").key("text").string(item.text);
        w.end_object();
      }
      w.end_array();
      break;
    case Item::Type::Message:
      w.key("type").string("message").key("status").string(status);
      w.key("role").string("assistant").key("content").begin_array();
      if (done) write_text_part(w, item.text);
      w.end_array();
      break;
    case Item::Type::Call:
      w.key("type").string("function_call").key("status").string(status);
      w.key("call_id").string(item.call.id).key("name").string(item.call.name);
      w.key("arguments").string(done ? item.text : "");
      break;
  }
  w.end_object();
}

void write_usage(JsonWriter& w, const ChatUsage& usage) {
  const auto number = [&w](std::string_view key, std::uint64_t value) {
    w.key(key).integer(static_cast<std::int64_t>(value));
  };
  w.begin_object();
  number("input_tokens", usage.input);
  w.key("input_tokens_details").begin_object();
  number("cached_tokens", usage.cached);
  w.end_object();
  number("output_tokens", usage.output);
  w.key("output_tokens_details").begin_object();
  number("reasoning_tokens", usage.reasoning);
  w.end_object();
  number("total_tokens", usage.input + usage.output);
  w.end_object();
}

class ResponsesAnswer final : public ChatTranslation {
 public:
  explicit ResponsesAnswer(ResponsesEcho echo) : echo_(std::move(echo)) {
    if (auto request = Json::parse(echo_.request)) request_ = *std::move(request);
  }

  [[nodiscard]] std::string_view stream_type() const override { return "text/event-stream"; }

  [[nodiscard]] std::string fail(const ApiError& error) override {
    std::string out;
    begin(out);
    emit("response.failed", out, [&](JsonWriter& w) {
      w.key("response");
      write_response(w, "failed", &error, nullptr);
    });
    return out;
  }

 private:
  void on_part(const ChatPart& part, std::string& out) override {
    begin(out);
    if (!part.finish.empty()) finish_ = part.finish;
    if (part.usage) usage_ = *part.usage;
    if (!part.reasoning.empty()) {
      open(Item::Type::Reasoning, {}, out);
      delta("response.reasoning_text.delta", part.reasoning, out);
    }
    if (!part.text.empty()) {
      open(Item::Type::Message, {}, out);
      delta("response.output_text.delta", part.text, out);
    }
    for (const ToolCall& call : part.calls) {
      open(Item::Type::Call, call, out);
      if (!call.arguments.empty()) {
        delta("response.function_call_arguments.delta", call.arguments, out);
      }
    }
  }

  void on_end(const Proof& proof, std::string& out) override {
    begin(out);
    close(out);
    out += ": nostril-record " + proof.full + "\n\n";
    const std::string_view status = status_of(finish_);
    emit(status == "completed" ? "response.completed" : "response.incomplete", out,
         [&](JsonWriter& w) {
           w.key("response");
           write_response(w, status, nullptr, &proof);
         });
  }

  [[nodiscard]] std::string whole_of(const ChatPart& answer) override {
    if (!answer.reasoning.empty()) add(Item::Type::Reasoning, {}).text = answer.reasoning;
    if (!answer.text.empty()) add(Item::Type::Message, {}).text = answer.text;
    for (const ToolCall& call : answer.calls) add(Item::Type::Call, call).text = call.arguments;
    finish_ = answer.finish;
    usage_ = answer.usage.value_or(ChatUsage{});
    is_open_ = false;
    JsonWriter w;
    write_response(w, status_of(finish_), nullptr, nullptr);
    return std::move(w).take();
  }

  Item& add(Item::Type type, const ToolCall& call) {
    constexpr std::array<std::string_view, 3> kPrefixes = {"rs_", "msg_", "fc_"};
    Item item;
    item.type = type;
    item.id = std::string(kPrefixes[static_cast<std::size_t>(type)]) + echo_.id + "_" +
              std::to_string(items_.size());
    item.call = call;
    item.call.arguments.clear();
    items_.push_back(std::move(item));
    is_open_ = true;
    return items_.back();
  }

  /// An item of this sort, and for a call of this one, is the open one afterwards.
  void open(Item::Type type, const ToolCall& call, std::string& out) {
    if (is_open_ && items_.back().type == type &&
        (type != Item::Type::Call || items_.back().call.index == call.index)) {
      return;
    }
    close(out);
    const Item& item = add(type, call);
    emit("response.output_item.added", out, [&](JsonWriter& w) {
      w.key("output_index").integer(last_index()).key("item");
      write_item(w, item, false);
    });
    if (type != Item::Type::Message) return;
    emit("response.content_part.added", out, [&](JsonWriter& w) {
      place(w);
      w.key("part");
      write_text_part(w, "");
    });
  }

  void delta(std::string_view type, std::string_view text, std::string& out) {
    items_.back().text += text;
    emit(type, out, [&](JsonWriter& w) {
      place(w);
      w.key("delta").string(text);
      if (items_.back().type == Item::Type::Message) {
        w.key("logprobs").begin_array().end_array();
      }
    });
  }

  void close(std::string& out) {
    if (!std::exchange(is_open_, false)) return;
    const Item& item = items_.back();
    const auto said = [&](std::string_view type, std::string_view key) {
      emit(type, out, [&](JsonWriter& w) {
        place(w);
        w.key(key).string(item.text);
        if (item.type == Item::Type::Call) w.key("name").string(item.call.name);
        if (item.type == Item::Type::Message) w.key("logprobs").begin_array().end_array();
      });
    };
    if (item.type == Item::Type::Reasoning) said("response.reasoning_text.done", "text");
    if (item.type == Item::Type::Call) said("response.function_call_arguments.done", "arguments");
    if (item.type == Item::Type::Message) {
      said("response.output_text.done", "text");
      emit("response.content_part.done", out, [&](JsonWriter& w) {
        place(w);
        w.key("part");
        write_text_part(w, item.text);
      });
    }
    emit("response.output_item.done", out, [&](JsonWriter& w) {
      w.key("output_index").integer(last_index()).key("item");
      write_item(w, item, true);
    });
  }

  void begin(std::string& out) {
    if (std::exchange(begun_, true)) return;
    for (const std::string_view type : {"response.created", "response.in_progress"}) {
      emit(type, out, [&](JsonWriter& w) {
        w.key("response");
        write_response(w, "in_progress", nullptr, nullptr);
      });
    }
  }

  template <typename Write>
  void emit(std::string_view type, std::string& out, const Write& write) {
    JsonWriter w;
    w.begin_object().key("type").string(type).key("sequence_number").integer(sequence_++);
    write(w);
    w.end_object();
    out += net::sse_encode(type, w.text());
  }

  [[nodiscard]] std::int64_t last_index() const {
    return static_cast<std::int64_t>(items_.size()) - 1;
  }

  /// Where the open item stands, and its only content.
  void place(JsonWriter& w) const {
    w.key("item_id").string(items_.back().id).key("output_index").integer(last_index());
    if (items_.back().type != Item::Type::Call) w.key("content_index").integer(0);
  }

  /// A member of the request, or what stands for none.
  void echo(JsonWriter& w, std::string_view name, std::string_view otherwise) const {
    w.key(name);
    if (const Json* value = present(request_, name)) {
      w.value(*value);
    } else {
      w.raw(otherwise);
    }
  }

  void write_response(JsonWriter& w, std::string_view status, const ApiError* error,
                      const Proof* proof) const {
    const bool over = status != "in_progress";
    w.begin_object().key("id").string("resp_" + echo_.id).key("object").string("response");
    w.key("created_at").integer(echo_.created_at).key("status").string(status);
    w.key("error");
    if (error != nullptr) {
      w.begin_object().key("code").string(error->type).key("message").string(error->message);
      w.end_object();
    } else {
      w.null();
    }
    w.key("incomplete_details");
    if (status == "incomplete") {
      w.begin_object().key("reason");
      w.string(finish_ == "length" ? "max_output_tokens" : "content_filter").end_object();
    } else {
      w.null();
    }
    w.key("model").string(echo_.model).key("output").begin_array();
    if (over && error == nullptr) {
      for (const Item& item : items_) write_item(w, item, true);
    }
    w.end_array();
    write_echoes(w);
    w.key("usage");
    if (over && error == nullptr) {
      write_usage(w, usage_);
    } else {
      w.null();
    }
    if (proof != nullptr) w.key("nostril").raw(proof->brief);
    w.end_object();
  }

  void write_echoes(JsonWriter& w) const {
    echo(w, "instructions", "null");
    echo(w, "max_output_tokens", "null");
    echo(w, "metadata", "{}");
    echo(w, "parallel_tool_calls", "true");
    w.key("previous_response_id").null();
    echo(w, "reasoning", R"({"effort":null,"summary":null})");
    w.key("store").boolean(false);
    echo(w, "temperature", "1");
    echo(w, "text", R"({"format":{"type":"text"}})");
    echo(w, "tool_choice", "\"auto\"");
    echo(w, "tools", "[]");
    echo(w, "top_p", "1");
    echo(w, "truncation", "\"disabled\"");
    echo(w, "user", "null");
  }

  const ResponsesEcho echo_;
  Json request_;
  bool begun_ = false;
  std::int64_t sequence_ = 0;
  std::vector<Item> items_;
  bool is_open_ = false;  ///< the last item
  std::string finish_;
  ChatUsage usage_;
};

}  // namespace

std::unique_ptr<AnswerForm> responses_answer(ResponsesEcho echo) {
  return std::make_unique<ResponsesAnswer>(std::move(echo));
}

}  // namespace nostril::client
