#pragma once

#include "base/result.h"
#include "client/gateway/answer_form.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace nostril::client {

/// Ollama's API over chat completions and embeddings. Streams are NDJSON, and the default. Pictures
/// are base64 without a type, which is read from their first bytes. Tool calls carry no ids in this
/// API, so they are numbered. `raw` prompts, `suffix` and `template` are refused: they need the
/// engine itself. `keep_alive` and `num_ctx` are left out. Pure.
[[nodiscard]] Result<EngineCall, std::string> ollama_chat_to_chat(const Json& request);
[[nodiscard]] Result<EngineCall, std::string> ollama_generate_to_chat(const Json& request);
[[nodiscard]] Result<EngineCall, std::string> ollama_embed_to_embeddings(const Json& request);

/// What an answer needs besides the engine's words.
struct OllamaEcho {
  std::string model;
  std::string created_at;  ///< RFC 3339
  bool generate = false;   ///< of /api/generate: `response`, not `message`
  /// Nanoseconds since the request came; asked when the answer ends.
  std::function<std::int64_t()> elapsed_ns;
};

[[nodiscard]] std::unique_ptr<AnswerForm> ollama_answer(OllamaEcho echo);
/// `legacy`: of /api/embeddings, which has one prompt and one vector.
[[nodiscard]] std::unique_ptr<AnswerForm> ollama_embeddings(std::string model, bool legacy);

/// Streams are the default.
[[nodiscard]] bool ollama_streams(const Json& request);

}  // namespace nostril::client
