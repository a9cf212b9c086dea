#include "node/completion.h"

#include "events/inference.h"
#include "events/sampling.h"
#include "events/tag_reader.h"
#include "settlement/usage_limit.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr std::size_t kWholeBodyBytesMax = 8U << 20;
constexpr std::array<std::string_view, 2> kPaths = {"/v1/chat/completions", "/v1/completions"};
/// Members that change the engine itself or another client's state (slots, queue order, adapters),
/// make it fetch or run what the client brings (pickled processors and tensors, templates), or
/// point it at other machines.
constexpr std::array<std::string_view, 17> kDropped = {"id_slot",
                                                       "slot_id",
                                                       "cache_prompt",
                                                       "cache_salt",
                                                       "priority",
                                                       "lora",
                                                       "lora_path",
                                                       "logits_processors",
                                                       "logits_processor",
                                                       "custom_logit_processor",
                                                       "prompt_embeds",
                                                       "chat_template",
                                                       "mm_processor_kwargs",
                                                       "kv_transfer_params",
                                                       "bootstrap_host",
                                                       "bootstrap_port",
                                                       "bootstrap_room"};

/// What an engine counted, within what a record can state.
std::int64_t count_or_zero(const Json* object, std::string_view key) {
  if (object == nullptr) return 0;
  return std::clamp<std::int64_t>(object->find_integer(key).value_or(0), 0,
                                  static_cast<std::int64_t>(InferenceLimits::kTokensMax));
}

/// A finish reason is one short word; what is not could not stand in a record.
std::string finish_word(std::string_view reason) {
  return is_name(reason, InferenceLimits::kNameBytesMax) ? std::string(reason) : "other";
}

bool has_text(const Json& object, std::string_view key) {
  const auto text = object.find_string(key);
  return text && !text->empty();
}

/// Output of any sort: text, a refusal, reasoning under either of its names, parts of tool calls.
bool has_output(const Json& choice) {
  const Json* delta = choice.find("delta");
  if (delta == nullptr) return has_text(choice, "text");
  for (const std::string_view key : {"content", "reasoning_content", "reasoning", "refusal"}) {
    if (has_text(*delta, key)) return true;
  }
  const Json* calls = delta->find("tool_calls");
  return calls != nullptr && !calls->items().empty();
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

bool choices_allowed(const Json& body) {
  return std::ranges::all_of(settlement::choice_keys(), [&](std::string_view key) {
    const Json* value = body.find(key);
    if (value == nullptr || value->is_null()) return true;
    const auto count = value->integer();
    return count && *count <= static_cast<std::int64_t>(settlement::kChoicesMax);
  });
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
      return "stream must be true or false, stream_options an object, limits of tokens whole "
             "numbers, n at most 128; where sampling is recorded, its parameters numbers and seed "
             "at most 4294967294";
  }
  return "unknown";
}

bool path_allowed(std::string_view path) {
  return std::ranges::find(kPaths, path) != kPaths.end();
}

Result<EngineRequest, RequestError> prepare_request(std::string_view path, std::string_view body,
                                                    std::string_view model,
                                                    std::string_view cache_salt,
                                                    std::uint64_t output_tokens_max,
                                                    std::optional<std::int64_t> seed) {
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

  if (!choices_allowed(*parsed)) return failure(RequestError::BadField);

  const AskedSeed asked_for = asked_seed(*parsed);
  if (seed) {
    const auto sampling = sampling_text(*parsed, asked_for.seed.value_or(*seed));
    if (!asked_for.valid || !sampling) return failure(RequestError::BadField);
    out.sampling = *sampling;
  }
  const bool sets_seed = seed && !asked_for.seed;

  JsonWriter writer;
  writer.begin_object();
  const auto limit_keys = settlement::output_limit_keys();
  bool is_limited = false;
  for (const auto& [name, value] : parsed->members()) {
    if (name == "seed" && sets_seed) continue;
    if (name == "stream_options" || std::ranges::find(kDropped, name) != kDropped.end()) continue;
    if (std::ranges::find(limit_keys, name) == limit_keys.end()) {
      writer.key(name).value(value);
      continue;
    }
    if (value.is_null()) continue;
    const auto limit = value.integer();
    if (!limit) return failure(RequestError::BadField);
    if (*limit < 1) continue;  // some engines read it as "no limit"
    writer.key(name).integer(std::min(*limit, static_cast<std::int64_t>(output_tokens_max)));
    is_limited = true;
  }
  if (!is_limited) writer.key("max_tokens").integer(static_cast<std::int64_t>(output_tokens_max));
  if (out.stream) write_stream_options(writer, options);
  if (sets_seed) writer.key("seed").integer(*seed);
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
  if (stream_) {
    // An engine that ends in good order but leaves out the last empty line.
    static_cast<void>(feed("\n\n"));
    return;
  }
  done_ = true;
  if (const auto object = Json::parse(body_)) read(*object);
}

void CompletionTap::read(const Json& object) {
  if (const Json* error = object.find("error"); error != nullptr && !error->is_null()) {
    failed_ = true;
  }
  if (const Json* choices = object.find("choices"); choices != nullptr) {
    for (const Json& choice : choices->items()) {
      if (const auto reason = choice.find_string("finish_reason")) {
        finish_reason_ = finish_word(*reason);
      }
      if (has_output(choice)) ++output_chunks_;
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
