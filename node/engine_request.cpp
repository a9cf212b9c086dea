#include "node/engine_request.h"

#include "base/json.h"
#include "events/sampling.h"
#include "net/url.h"
#include "node/form_body.h"
#include "settlement/usage_limit.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

namespace nostril::node {

namespace {

/// Members that change the engine itself or another client's state (slots, queue order, adapters,
/// ids of requests, how long a model stays loaded), make it fetch or run what the client brings
/// (pickled processors and tensors, templates), or point it at other machines.
constexpr std::array<std::string_view, 29> kDropped = {"id_slot",
                                                       "slot_id",
                                                       "cache_prompt",
                                                       "cache_salt",
                                                       "extra_key",
                                                       "priority",
                                                       "rid",
                                                       "request_id",
                                                       "session_params",
                                                       "lora",
                                                       "lora_path",
                                                       "logits_processors",
                                                       "logits_processor",
                                                       "custom_logit_processor",
                                                       "custom_params",
                                                       "vllm_xargs",
                                                       "prompt_embeds",
                                                       "chat_template",
                                                       "template",
                                                       "mm_processor_kwargs",
                                                       "media_io_kwargs",
                                                       "return_hidden_states",
                                                       "kv_transfer_params",
                                                       "bootstrap_host",
                                                       "bootstrap_port",
                                                       "bootstrap_room",
                                                       "data_parallel_rank",
                                                       "keep_alive",
                                                       "store"};

/// Ollama's options that shape an answer. The others (num_ctx, num_gpu, num_thread, use_mmap …)
/// load the model anew for everybody.
constexpr std::array<std::string_view, 15> kOllamaOptions = {"num_keep",
                                                             "seed",
                                                             "num_predict",
                                                             "top_k",
                                                             "top_p",
                                                             "min_p",
                                                             "typical_p",
                                                             "tfs_z",
                                                             "repeat_last_n",
                                                             "temperature",
                                                             "repeat_penalty",
                                                             "presence_penalty",
                                                             "frequency_penalty",
                                                             "penalize_newline",
                                                             "stop"};

/// Where a URL, or a path, is something to be fetched.
constexpr std::array<std::string_view, 10> kMediaKeys = {
    "url",   "image_url", "video_url", "audio_url", "file_url",
    "image", "images",    "video",     "audio",     "input_image"};
/// Tensors, read by code that was not written for strangers' bytes.
constexpr std::array<std::string_view, 3> kTensorKeys = {"image_embeds", "audio_embeds",
                                                         "prompt_embeds"};
/// Members whose own members are names that the client chose.
constexpr std::array<std::string_view, 8> kSchemaKeys = {
    "tools",  "functions",          "response_format", "guided_json",
    "format", "structured_outputs", "metadata",        "text"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_data_url(std::string_view text) {
  constexpr std::string_view kScheme = "data:";
  return text.size() >= kScheme.size() &&
         std::equal(kScheme.begin(), kScheme.end(), text.begin(), [](char expected, char c) {
           return std::tolower(static_cast<unsigned char>(c)) == expected;
         });
}

/// What a request may not hold, found by walking its body.
class MediaCheck {
 public:
  MediaCheck(const RequestRules& rules, AnswerForm form) : rules_(rules), form_(form) {}

  [[nodiscard]] bool allows_member(std::string_view name, const Json& value) const {
    if (is_one_of(kTensorKeys, name)) return false;
    return (is_one_of(kSchemaKeys, name) && !value.is_string()) || allows(value, name);
  }

 private:
  [[nodiscard]] bool allows(const Json& value, std::string_view key) const {
    if (const auto text = value.string()) {
      return !is_one_of(kMediaKeys, key) || allows_text(*text);
    }
    for (const Json& item : value.items()) {
      if (!allows(item, key)) return false;
    }
    return std::ranges::all_of(value.members(), [this](const Json::Member& member) {
      return allows_member(member.first, member.second);
    });
  }

  [[nodiscard]] bool allows_text(std::string_view text) const {
    if (text.empty() || is_data_url(text)) return true;
    // Ollama takes base64 there and nothing else.
    if (form_ == AnswerForm::Ollama && text.find(':') == std::string_view::npos) return true;
    const auto url = net::parse_url(text);
    return url && url->scheme == net::UrlScheme::Https && url->port == 443 &&
           std::ranges::find(rules_.media_hosts, url->host) != rules_.media_hosts.end();
  }

  const RequestRules& rules_;
  AnswerForm form_;
};

bool choices_allowed(const Json& body) {
  for (const std::string_view key : settlement::choice_keys()) {
    const Json* value = body.find(key);
    if (value == nullptr || value->is_null()) continue;
    const auto count = value->integer();
    if (!count || *count > static_cast<std::int64_t>(settlement::kChoicesMax)) return false;
  }
  return true;
}

/// Work that outlives its request, or that the engine would do on other machines.
bool is_supported(const Json& body) {
  const auto is_asked = [&body](std::string_view key) {
    const Json* value = body.find(key);
    return value != nullptr && !value->is_null() && value->boolean() != false;
  };
  if (is_asked("background") || is_asked("previous_response_id") || is_asked("conversation") ||
      is_asked("mcp_servers")) {
    return false;
  }
  const Json* tools = body.find("tools");
  return tools == nullptr || std::ranges::all_of(tools->items(), [](const Json& tool) {
           const auto type = tool.find_string("type");
           return type == "function" || type == "custom";
         });
}

/// One request's new body.
class Preparation {
 public:
  Preparation(const Json& body, const RequestRules& rules, EngineRequest& out)
      : body_(body), rules_(rules), out_(out) {}

  [[nodiscard]] bool write() {
    if (!record_sampling()) return false;
    writer_.begin_object();
    for (const auto& [name, value] : body_.members()) {
      if (!write_member(name, value)) return false;
    }
    if (!write_limit() || !write_stream_options()) return false;
    write_own();
    writer_.end_object();
    out_.body = std::move(writer_).take();
    return true;
  }

 private:
  /// Of what samples an answer.
  [[nodiscard]] bool record_sampling() {
    if (!rules_.seed || out_.form == AnswerForm::Whole || out_.form == AnswerForm::Ollama) {
      return true;
    }
    const AskedSeed asked = asked_seed(body_);
    const auto sampling = sampling_text(body_, asked.seed.value_or(*rules_.seed));
    if (!asked.valid || !sampling) return false;
    out_.sampling = *sampling;
    sets_seed_ = !asked.seed;
    return true;
  }

  [[nodiscard]] bool write_member(std::string_view name, const Json& value) {
    if (name == "stream_options" && out_.form == AnswerForm::Completion) return true;
    if (name == "options" && out_.form == AnswerForm::Ollama) return true;
    if (is_one_of(kDropped, name) || (name == "seed" && sets_seed_)) return true;
    const auto limits = settlement::output_limit_keys();
    if (std::ranges::find(limits, name) != limits.end()) return write_clamped(name, value);
    writer_.key(name);
    if (name == "messages" && rules_.engine == "vllm") {
      write_messages(value);
    } else {
      writer_.value(value);
    }
    return true;
  }

  /// An empty list of tool calls is none: vLLM's templates take it for a call.
  void write_messages(const Json& messages) {
    if (!messages.is_array()) {
      writer_.value(messages);
      return;
    }
    writer_.begin_array();
    for (const Json& message : messages.items()) {
      const Json* calls = message.find("tool_calls");
      if (calls == nullptr || !calls->is_array() || !calls->items().empty()) {
        writer_.value(message);
        continue;
      }
      writer_.begin_object();
      for (const auto& [name, value] : message.members()) {
        if (name != "tool_calls") writer_.key(name).value(value);
      }
      writer_.end_object();
    }
    writer_.end_array();
  }

  [[nodiscard]] bool write_clamped(std::string_view name, const Json& value) {
    if (value.is_null()) return true;
    const auto limit = value.integer();
    if (!limit) return false;
    if (*limit < 1) return true;  // some engines read it as "no limit"
    writer_.key(name).integer(std::min(*limit, output_tokens_max()));
    is_limited_ = true;
    return true;
  }

  [[nodiscard]] bool write_limit() {
    switch (out_.form) {
      case AnswerForm::Completion:
      case AnswerForm::Messages:
        if (!is_limited_) writer_.key("max_tokens").integer(output_tokens_max());
        return true;
      case AnswerForm::Responses:
        if (!is_limited_) writer_.key("max_output_tokens").integer(output_tokens_max());
        return true;
      case AnswerForm::Ollama:
        return write_ollama_options();
      case AnswerForm::Whole:
      case AnswerForm::Transcript:
        return true;
    }
    return false;
  }

  [[nodiscard]] bool write_ollama_options() {
    const Json* options = body_.find("options");
    if (options != nullptr && !options->is_null() && !options->is_object()) return false;
    is_limited_ = false;
    writer_.key("options").begin_object();
    if (options != nullptr) {
      for (const auto& [name, value] : options->members()) {
        if (name == "num_predict") {
          if (!write_clamped(name, value)) return false;
        } else if (is_one_of(kOllamaOptions, name)) {
          writer_.key(name).value(value);
        }
      }
    }
    if (!is_limited_) writer_.key("num_predict").integer(output_tokens_max());
    writer_.end_object();
    return true;
  }

  /// stream_options as the client sent them, with include_usage true.
  [[nodiscard]] bool write_stream_options() {
    if (out_.form != AnswerForm::Completion) return true;
    const Json* options = body_.find("stream_options");
    if (options != nullptr && !options->is_null() && !options->is_object()) return false;
    if (!out_.stream) return true;
    writer_.key("stream_options").begin_object();
    if (options != nullptr) {
      for (const auto& [name, value] : options->members()) {
        if (name != "include_usage") writer_.key(name).value(value);
      }
    }
    writer_.key("include_usage").boolean(true).end_object();
    return true;
  }

  void write_own() {
    if (sets_seed_) writer_.key("seed").integer(*rules_.seed);
    if (out_.form == AnswerForm::Responses) writer_.key("store").boolean(false);
    if (out_.form == AnswerForm::Whole || out_.form == AnswerForm::Ollama) return;
    if (rules_.engine == "llama.cpp") {
      if (!rules_.prompt_cache_shared) writer_.key("cache_prompt").boolean(false);
    } else if (rules_.engine != "ollama") {
      writer_.key("cache_salt").string(rules_.cache_salt);
    }
    if (rules_.engine == "sglang") {
      writer_.key("rid").string(rules_.call_id);
      out_.abort_id = rules_.call_id;
    }
  }

  [[nodiscard]] std::int64_t output_tokens_max() const {
    return static_cast<std::int64_t>(rules_.output_tokens_max);
  }

  const Json& body_;
  const RequestRules& rules_;
  EngineRequest& out_;
  JsonWriter writer_;
  bool is_limited_ = false;
  bool sets_seed_ = false;
};

/// What makes vLLM end a streamed transcript with its usage.
constexpr std::string_view kFormUsage = "stream_include_usage";

bool is_open(const Endpoint& endpoint, const RequestRules& rules) {
  if (rules.paths.empty()) return endpoint.by_default;
  return std::ranges::find(rules.paths, endpoint.path) != rules.paths.end();
}

/// What may be sent once only: two readers could take different ones.
bool is_doubled(const FormBody& form, const FormPart& part) {
  return std::ranges::count(form.parts, part.name, &FormPart::name) > 1 &&
         !part.name.ends_with("[]") && !part.is_file;
}

/// The engine would have to fetch it.
bool is_foreign(const FormPart& part) {
  return !part.is_file && is_one_of(kMediaKeys, part.name) && !part.content.empty() &&
         !is_data_url(part.content);
}

bool read_stream(const FormPart& part, const Endpoint& endpoint, EngineRequest& out) {
  out.stream = part.content == "true";
  return part.content == "false" || (out.stream && endpoint.form == AnswerForm::Transcript);
}

Result<EngineRequest, RequestError> prepare_form(const Endpoint& endpoint, std::string_view body,
                                                 const RequestRules& rules) {
  const auto form = parse_form_body(body);
  if (!form) return failure(RequestError::NotAForm);
  EngineRequest out;
  out.path = endpoint.path;
  out.form = endpoint.form;
  out.content_type = form->content_type();
  const std::string delimiter = "--" + std::string(form->boundary);
  bool names_model = false;
  for (const FormPart& part : form->parts) {
    if (is_doubled(*form, part)) return failure(RequestError::NotAForm);
    if (is_one_of(kDropped, part.name) || part.name == kFormUsage) continue;
    if (is_foreign(part)) return failure(RequestError::ForeignMedia);
    if (part.name == "stream" && !read_stream(part, endpoint, out)) {
      return failure(RequestError::BadField);
    }
    if (part.name == "model") {
      if (part.is_file || part.content != rules.model) return failure(RequestError::UnknownModel);
      names_model = true;
    }
    out.body.append(delimiter).append("\r\n").append(part.raw).append("\r\n");
  }
  if (!names_model) return failure(RequestError::UnknownModel);
  if (out.stream && rules.engine == "vllm") {
    out.body.append(delimiter).append("\r\nContent-Disposition: form-data; name=\"");
    out.body.append(kFormUsage).append("\"\r\n\r\ntrue\r\n");
  }
  out.body.append(delimiter).append("--\r\n");
  return out;
}

/// Nothing: no boolean, or a stream of what never is one.
std::optional<bool> wants_stream(const Json& body, AnswerForm form) {
  const Json* stream = body.find("stream");
  if (stream == nullptr || stream->is_null()) return form == AnswerForm::Ollama;
  const auto wanted = stream->boolean();
  if (wanted == true && form == AnswerForm::Whole) return std::nullopt;
  return wanted;
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
    case RequestError::NotAForm:
      return "the body is not a multipart form of plain parts, each with a name of its own";
    case RequestError::UnknownModel:
      return "the offer is for another model";
    case RequestError::BadField:
      return "stream must be true or false, stream_options and options objects, limits of tokens "
             "whole numbers, n at most 128; where sampling is recorded, its parameters numbers and "
             "seed "
             "at most 4294967294";
    case RequestError::ForeignMedia:
      return "pictures, sounds and files must be inside the request, as data: URLs";
    case RequestError::NotSupported:
      return "stored, background and tool work of the engine is not served";
  }
  return "unknown";
}

Result<EngineRequest, RequestError> prepare_request(std::string_view path, std::string_view body,
                                                    const RequestRules& rules) {
  const Endpoint* endpoint = find_endpoint(path);
  if (endpoint == nullptr || !is_open(*endpoint, rules)) {
    return failure(RequestError::PathNotAllowed);
  }
  if (endpoint->is_form) return prepare_form(*endpoint, body, rules);
  const auto parsed = Json::parse(body);
  if (!parsed) return failure(RequestError::NotJson);
  if (!parsed->is_object()) return failure(RequestError::NotAnObject);
  const auto asked = parsed->find_string("model");
  if (!asked || *asked != rules.model) return failure(RequestError::UnknownModel);

  const auto stream = wants_stream(*parsed, endpoint->form);
  if (!stream || !choices_allowed(*parsed)) return failure(RequestError::BadField);
  const MediaCheck media(rules, endpoint->form);
  for (const auto& [name, value] : parsed->members()) {
    const bool is_passed = !is_one_of(kDropped, name);
    if (is_passed && !media.allows_member(name, value)) return failure(RequestError::ForeignMedia);
  }
  const bool is_agentic =
      endpoint->form == AnswerForm::Responses || endpoint->form == AnswerForm::Messages;
  if (is_agentic && !is_supported(*parsed)) return failure(RequestError::NotSupported);

  EngineRequest out;
  out.path = path;
  out.stream = *stream;
  out.form = endpoint->form;
  if (!Preparation(*parsed, rules, out).write()) return failure(RequestError::BadField);
  return out;
}

}  // namespace nostril::node
