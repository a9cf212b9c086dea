#include "node/completion.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr std::size_t kWholeBodyBytesMax = 8U << 20;
constexpr std::array<std::string_view, 2> kPaths = {"/v1/chat/completions", "/v1/completions"};
/// Members that change the engine itself or another client's state.
constexpr std::array<std::string_view, 4> kDropped = {"id_slot", "slot_id", "cache_prompt",
                                                      "cache_salt"};

std::int64_t count_or_zero(const Json* object, std::string_view key) {
  if (object == nullptr) return 0;
  return std::max<std::int64_t>(0, object->find_integer(key).value_or(0));
}

/// stream_options as the client sent them, with include_usage true.
void write_stream_options(JsonWriter& writer, const Json* options) {
  writer.key("stream_options").begin_object();
  if (options != nullptr) {
    for (const auto& [name, value] : options->members()) {
      if (name != "include_usage") writer.key(name).value(value);
    }
  }
  writer.key("include_usage").boolean(true).end_object();
}

}  // namespace

std::string_view to_string(RequestError error) {
  switch (error) {
    case RequestError::PathNotAllowed:
      return "this path is not served";
    case RequestError::NotJson:
      return "the body is not JSON";
    case RequestError::NotAnObject:
      return "the body is not a JSON object";
    case RequestError::UnknownModel:
      return "the offer is for another model";
    case RequestError::BadField:
      return "stream must be true or false, stream_options an object";
  }
  return "unknown";
}

bool path_allowed(std::string_view path) {
  return std::ranges::find(kPaths, path) != kPaths.end();
}

Result<EngineRequest, RequestError> prepare_request(std::string_view path, std::string_view body,
                                                    std::string_view model,
                                                    std::string_view cache_salt) {
  if (!path_allowed(path)) return failure(RequestError::PathNotAllowed);
  const auto parsed = Json::parse(body);
  if (!parsed) return failure(RequestError::NotJson);
  if (!parsed->is_object()) return failure(RequestError::NotAnObject);
  const auto asked = parsed->find_string("model");
  if (!asked || *asked != model) return failure(RequestError::UnknownModel);

  EngineRequest out;
  out.path = path;
  if (const Json* stream = parsed->find("stream"); stream != nullptr && !stream->is_null()) {
    const auto wanted = stream->boolean();
    if (!wanted) return failure(RequestError::BadField);
    out.stream = *wanted;
  }
  const Json* options = parsed->find("stream_options");
  if (options != nullptr && options->is_null()) options = nullptr;
  if (options != nullptr && !options->is_object()) return failure(RequestError::BadField);

  JsonWriter writer;
  writer.begin_object();
  for (const auto& [name, value] : parsed->members()) {
    if (name == "stream_options" || std::ranges::find(kDropped, name) != kDropped.end()) continue;
    writer.key(name).value(value);
  }
  if (out.stream) write_stream_options(writer, options);
  writer.key("cache_salt").string(cache_salt);
  writer.end_object();
  out.body = std::move(writer).take();
  return out;
}

bool CompletionTap::feed(std::string_view bytes) {
  if (!stream_) {
    if (body_.size() + bytes.size() > kWholeBodyBytesMax) return false;
    body_ += bytes;
    return true;
  }
  std::vector<net::SseEvent> events;
  if (!parser_.feed(bytes, events)) return false;
  for (const net::SseEvent& event : events) {
    if (event.data == "[DONE]") {
      done_ = true;
    } else if (const auto object = Json::parse(event.data)) {
      read(*object);
    }
  }
  return true;
}

void CompletionTap::finish() {
  if (stream_) return;
  done_ = true;
  if (const auto object = Json::parse(body_)) read(*object);
}

void CompletionTap::read(const Json& object) {
  if (const Json* error = object.find("error"); error != nullptr && !error->is_null()) {
    failed_ = true;
  }
  if (const Json* choices = object.find("choices"); choices != nullptr) {
    for (const Json& choice : choices->items()) {
      if (const auto reason = choice.find_string("finish_reason")) finish_reason_ = *reason;
      const Json* delta = choice.find("delta");
      const auto text =
          delta != nullptr ? delta->find_string("content") : choice.find_string("text");
      if (text && !text->empty()) ++output_chunks_;
    }
  }
  const Json* usage = object.find("usage");
  if (usage == nullptr || !usage->is_object()) return;
  TokenUsage counted;
  counted.input = count_or_zero(usage, "prompt_tokens");
  counted.output = count_or_zero(usage, "completion_tokens");
  counted.cached =
      std::min(counted.input, count_or_zero(usage->find("prompt_tokens_details"), "cached_tokens"));
  usage_ = counted;
}

bool CompletionTap::complete() const {
  return !failed_ && done_ && !finish_reason_.empty();
}

}  // namespace nostril::node
