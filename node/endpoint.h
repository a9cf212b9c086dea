#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace nostril::node {

/// How an answer says what it used, why it ended, and that it is whole.
enum class AnswerForm : std::uint8_t {
  Completion,  ///< OpenAI: choices[].finish_reason, usage, [DONE]
  Responses,   ///< OpenAI's newer one: response.completed with its usage; no [DONE]
  Messages,    ///< Anthropic: message_start, message_delta, message_stop
  Ollama,      ///< one JSON object a line; the last has done, eval_count, prompt_eval_count
  Whole,       ///< never a stream: embeddings, ranks, scores, sounds, pictures
};

/// A path of an engine that a node can meter, so that a client may reach it. All else of an engine
/// (metrics, slots, model loading, token dumps, files) stays inside.
struct Endpoint {
  std::string_view path;
  AnswerForm form;
  /// Open unless the operator says otherwise: engines count the tokens of its answers. The others
  /// are served for the price of a prompt that no engine counts.
  bool by_default;
  bool is_form = false;  ///< asked with a multipart form, not with JSON
};

[[nodiscard]] std::span<const Endpoint> endpoints();
[[nodiscard]] const Endpoint* find_endpoint(std::string_view path);

}  // namespace nostril::node
