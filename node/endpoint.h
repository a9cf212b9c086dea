#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// How an answer says what it used, why it ended, and that it is whole.
enum class AnswerForm : std::uint8_t {
  Completion,  ///< OpenAI: choices[].finish_reason, usage, [DONE]
  Responses,   ///< OpenAI's newer one: response.completed with its usage; no [DONE]
  Messages,    ///< Anthropic: message_start, message_delta, message_stop
  Ollama,      ///< one JSON object a line; the last has done, eval_count, prompt_eval_count
  Whole,       ///< never a stream: embeddings, ranks, scores, sounds, pictures
  Transcript,  ///< Whole; or a stream of chunks as Completion's (vLLM), or of transcript.text.delta
               ///< and .done (OpenAI)
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

/// Open paths that an engine of this name answers in its own words, so that no client has to
/// translate: of chats in other forms than OpenAI's, those that the operator names, or that every
/// version of the engine has. `open`: the operator's list; empty: the default.
[[nodiscard]] std::vector<std::string_view> own_paths(std::string_view engine,
                                                      std::span<const std::string> open);

}  // namespace nostril::node
