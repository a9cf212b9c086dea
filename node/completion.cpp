#include "node/completion.h"

#include "events/inference.h"
#include "events/tag_reader.h"
#include "net/utf8.h"
#include "node/json_skim.h"

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr std::size_t kParsedBodyBytesMax = 8U << 20;
constexpr std::size_t kSkimmedBodyBytesMax = 32U << 20;
constexpr std::size_t kLineBytesMax = 1U << 20;
constexpr std::size_t kSplitLineBytesMax = 4U << 20;
constexpr std::size_t kAnswerIdBytesMax = 256;

/// What an engine counted, within what a record can state.
std::int64_t clamp_count(std::int64_t count) {
  return std::clamp<std::int64_t>(count, 0, static_cast<std::int64_t>(InferenceLimits::kTokensMax));
}

std::int64_t count_or_zero(const Json* object, std::string_view key) {
  return object == nullptr ? 0 : clamp_count(object->find_integer(key).value_or(0));
}

/// The same under the first of these names that stands there.
std::int64_t count_under(const Json* object, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (object != nullptr && object->find_integer(key)) return count_or_zero(object, key);
  }
  return 0;
}

bool is_truthy(const Json* value) {
  return value != nullptr && !value->is_null();
}

bool has_text(const Json* object, std::initializer_list<std::string_view> keys) {
  return object != nullptr && std::ranges::any_of(keys, [object](std::string_view key) {
           const auto text = object->find_string(key);
           return text && !text->empty();
         });
}

bool has_items(const Json* object, std::string_view key) {
  const Json* items = object == nullptr ? nullptr : object->find(key);
  return items != nullptr && !items->items().empty();
}

/// Output of any sort: text, a refusal, reasoning under either of its names, parts of tool calls.
bool has_output(const Json& choice) {
  const Json* delta = choice.find("delta");
  if (delta == nullptr) return has_text(&choice, {"text"});
  return has_text(delta, {"content", "reasoning_content", "reasoning", "refusal"}) ||
         has_items(delta, "tool_calls");
}

/// Of the text of a JSON string, up to the quote that ends it or to what is rarer: \uXXXX, or what
/// can't stand there.
std::size_t plain_string_bytes(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == '"' || c < 0x20) break;
    if (c == '\\') {
      constexpr std::string_view kShortForms = "\"\\/bfnrt";
      if (at + 1 == text.size() || kShortForms.find(text[at + 1]) == std::string_view::npos) break;
      ++at;
    }
    ++at;
  }
  return at;
}

}  // namespace

// ---- Splitting ----------------------------------------------------------------------------------

std::optional<std::string> LineSplitter::next() {
  const std::size_t end = unread_.find('\n', scanned_);
  if (end == std::string::npos && unread_.size() < kSplitLineBytesMax) {
    scanned_ = unread_.size();
    return std::nullopt;
  }
  const std::size_t count = end == std::string::npos ? unread_.size() : end + 1;
  std::string out = unread_.substr(0, count);
  unread_.erase(0, count);
  scanned_ = 0;
  return out;
}

std::string LineSplitter::take_rest() {
  scanned_ = 0;
  return std::exchange(unread_, {});
}

AnswerSplitter::AnswerSplitter(AnswerForm form) {
  if (form == AnswerForm::Ollama) splitter_.emplace<LineSplitter>();
}

void AnswerSplitter::add(std::string_view bytes) {
  std::visit([bytes](auto& splitter) { splitter.add(bytes); }, splitter_);
}

std::optional<std::string> AnswerSplitter::next() {
  return std::visit([](auto& splitter) { return splitter.next(); }, splitter_);
}

std::string AnswerSplitter::take_rest() {
  return std::visit([](auto& splitter) { return splitter.take_rest(); }, splitter_);
}

// ---- Reading ------------------------------------------------------------------------------------

bool CompletionTap::feed(std::string_view bytes) {
  if (!stream_) {
    const std::size_t bytes_max = is_skimmed() ? kSkimmedBodyBytesMax : kParsedBodyBytesMax;
    if (body_.size() + bytes.size() > bytes_max) return false;
    body_ += bytes;
    return true;
  }
  if (form_ == AnswerForm::Ollama) return feed_lines(bytes);
  std::vector<net::SseEvent> events;
  if (!parser_.feed(bytes, events)) return false;
  for (const net::SseEvent& event : events) {
    if (event.data == "[DONE]") {
      done_ = done_ || form_ == AnswerForm::Completion || form_ == AnswerForm::Transcript;
    } else {
      read_text(event.data);
    }
  }
  return true;
}

bool CompletionTap::feed_lines(std::string_view bytes) {
  for (std::size_t end = 0; (end = bytes.find('\n')) != std::string_view::npos;) {
    if (body_.size() + end > kLineBytesMax) return false;
    body_ += bytes.substr(0, end);
    bytes.remove_prefix(end + 1);
    read_text(std::exchange(body_, {}));
  }
  if (body_.size() + bytes.size() > kLineBytesMax) return false;
  body_ += bytes;
  return true;
}

void CompletionTap::finish() {
  if (stream_) {
    // An engine that ends in good order but leaves out the last empty line.
    static_cast<void>(feed("\n\n"));
    return;
  }
  done_ = !body_.empty();
  if (is_skimmed()) {
    read_whole();
  } else {
    read_text(body_);
  }
}

void CompletionTap::Repeated::learn(std::string_view json) {
  // In JSON an unescaped quote begins or ends a string, so this is no part of one.
  constexpr std::string_view kText = R"("delta":{"content":")";
  forget();
  const std::size_t at = json.find(kText);
  if (at == std::string_view::npos) return;
  const std::size_t begin = at + kText.size();
  const std::size_t bytes = plain_string_bytes(json.substr(begin));
  if (bytes == 0) return;
  prefix_ = json.substr(0, begin);
  suffix_ = json.substr(begin + bytes);
}

bool CompletionTap::Repeated::matches(std::string_view json) const {
  if (prefix_.empty() || json.size() <= prefix_.size() + suffix_.size()) return false;
  if (!json.starts_with(prefix_) || !json.ends_with(suffix_)) return false;
  const std::string_view text =
      json.substr(prefix_.size(), json.size() - prefix_.size() - suffix_.size());
  return plain_string_bytes(text) == text.size() && net::is_utf8(text);
}

void CompletionTap::read_text(std::string_view json) {
  if (repeated_.matches(json)) {
    ++output_chunks_;
    return;
  }
  const auto object = Json::parse(json);
  if (!object) return;
  const std::int64_t before = output_chunks_;
  read(*object);
  repeated_.forget();
  if (output_chunks_ == before + 1) repeated_.learn(json);
}

void CompletionTap::read(const Json& object) {
  // Nested, flat as vLLM once had it, or by the event's own name.
  const auto object_word = object.find_string("object");
  if (is_truthy(object.find("error")) || object_word == "error" ||
      object.find_string("type") == "error") {
    failed_ = true;
  }
  if (answer_id_.empty()) read_id(object);
  switch (form_) {
    case AnswerForm::Completion:
      read_completion(object);
      break;
    case AnswerForm::Responses:
      read_responses(object);
      break;
    case AnswerForm::Messages:
      read_messages(object);
      break;
    case AnswerForm::Ollama:
      read_ollama(object);
      break;
    case AnswerForm::Transcript:
      read_transcript(object);
      break;
    case AnswerForm::Whole:
      break;
  }
}

bool CompletionTap::is_skimmed() const {
  return !stream_ && (form_ == AnswerForm::Whole || form_ == AnswerForm::Transcript);
}

/// In a stream of the newer forms it stands inside of the document that the event is about.
void CompletionTap::read_id(const Json& object) {
  const Json* about = &object;
  if (stream_ && form_ == AnswerForm::Responses) about = object.find("response");
  if (stream_ && form_ == AnswerForm::Messages) about = object.find("message");
  const auto id = about == nullptr ? std::nullopt : about->find_string("id");
  if (id && id->size() <= kAnswerIdBytesMax) answer_id_ = *id;
}

/// A finish reason is one short word; what is not could not stand in a record.
void CompletionTap::set_finish(std::string_view reason) {
  finish_reason_ = is_name(reason, InferenceLimits::kNameBytesMax) ? std::string(reason) : "other";
}

/// Under the names that OpenAI's two interfaces and Anthropic's use.
void CompletionTap::read_usage(const Json* usage) {
  if (usage == nullptr || !usage->is_object()) return;
  TokenUsage counted;
  counted.input = count_under(usage, {"prompt_tokens", "input_tokens"});
  counted.output = count_under(usage, {"completion_tokens", "output_tokens"});
  const Json* details = usage->find("prompt_tokens_details");
  if (!is_truthy(details)) details = usage->find("input_tokens_details");
  counted.cached = count_or_zero(details, "cached_tokens");
  if (form_ == AnswerForm::Messages) {
    // There the parts of the prompt stand side by side, and a later event tells the answer's alone.
    counted.cached = count_or_zero(usage, "cache_read_input_tokens");
    counted.input += counted.cached + count_or_zero(usage, "cache_creation_input_tokens");
    const TokenUsage before = usage_.value_or(TokenUsage{});
    counted.input = std::max(counted.input, before.input);
    counted.cached = std::max(counted.cached, before.cached);
    counted.output = std::max(counted.output, before.output);
  }
  counted.input = clamp_count(counted.input);
  counted.cached = std::min(counted.cached, counted.input);
  usage_ = counted;
}

void CompletionTap::read_completion(const Json& object) {
  if (const Json* choices = object.find("choices"); choices != nullptr) {
    for (const Json& choice : choices->items()) {
      if (const auto reason = choice.find_string("finish_reason")) set_finish(*reason);
      if (has_output(choice)) ++output_chunks_;
    }
  }
  read_usage(object.find("usage"));
}

/// A stream tells it all again in its last event, under `response`.
void CompletionTap::read_responses(const Json& object) {
  const auto type = object.find_string("type").value_or("");
  if (type.ends_with(".delta") && has_text(&object, {"delta"})) ++output_chunks_;
  const Json* response = stream_ ? object.find("response") : &object;
  if (response == nullptr) return;
  const auto status = response->find_string("status").value_or("");
  if (status == "failed" || is_truthy(response->find("error"))) failed_ = true;
  if (status != "completed" && status != "incomplete") return;
  if (stream_ && type != "response.completed" && type != "response.incomplete") return;
  const Json* details = response->find("incomplete_details");
  const auto reason = is_truthy(details) ? details->find_string("reason") : std::nullopt;
  set_finish(reason.value_or(status));
  done_ = true;
  read_usage(response->find("usage"));
}

void CompletionTap::read_messages(const Json& object) {
  const auto type = object.find_string("type").value_or("");
  const Json* delta = object.find("delta");
  if (type == "content_block_delta" && has_text(delta, {"text", "thinking", "partial_json"})) {
    ++output_chunks_;
  }
  if (type == "message_stop") done_ = true;
  const Json* message = type == "message_start" ? object.find("message") : &object;
  if (message != nullptr) read_usage(message->find("usage"));
  const Json* stopped = type == "message_delta" ? delta : &object;
  if (stopped == nullptr) return;
  if (const auto reason = stopped->find_string("stop_reason")) set_finish(*reason);
}

void CompletionTap::read_ollama(const Json& object) {
  const Json* message = object.find("message");
  if (has_text(&object, {"response", "thinking"}) || has_text(message, {"content", "thinking"}) ||
      has_items(message, "tool_calls")) {
    ++output_chunks_;
  }
  if (object.find_boolean("done") != true) return;
  done_ = true;
  set_finish(object.find_string("done_reason").value_or("stop"));  // older ones do not say
  TokenUsage counted;
  counted.input = count_or_zero(&object, "prompt_eval_count");  // absent: all of it was cached
  counted.output = count_or_zero(&object, "eval_count");
  usage_ = counted;
}

/// Of a stream: vLLM writes chunks as of chat, OpenAI events of their own, the last with all again.
void CompletionTap::read_transcript(const Json& object) {
  const auto type = object.find_string("type").value_or("");
  if (!type.starts_with("transcript.")) return read_completion(object);
  if (type == "transcript.text.delta" && has_text(&object, {"delta"})) ++output_chunks_;
  if (type != "transcript.text.done") return;
  done_ = true;
  set_finish("stop");
  read_usage(object.find("usage"));
}

/// Embeddings and ranks: numbers by the million beside one count of the prompt. What writes down
/// sounds, or draws, may count its answer, too.
void CompletionTap::read_whole() {
  const auto member = [this](std::string_view key) {
    const auto text = skim_member(body_, key);
    const auto parsed = Json::parse(text.value_or("null"));
    return parsed ? *parsed : Json{};
  };
  if (!member("error").is_null()) failed_ = true;
  const Json id = member("id");
  if (const auto text = id.string(); text && text->size() <= kAnswerIdBytesMax) answer_id_ = *text;
  TokenUsage counted;
  const Json usage = member("usage");
  if (usage.is_object()) {
    counted.input = count_under(&usage, {"prompt_tokens", "input_tokens", "total_tokens"});
    counted.output = count_under(&usage, {"completion_tokens", "output_tokens"});
    usage_ = counted;
  } else if (const auto count = member("prompt_eval_count").integer()) {
    counted.input = clamp_count(*count);
    usage_ = counted;
  }
}

bool CompletionTap::complete() const {
  return !failed_ && done_ && (is_skimmed() || !finish_reason_.empty());
}

}  // namespace nostril::node
