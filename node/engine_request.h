#pragma once

#include "base/result.h"
#include "node/endpoint.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nostril::node {

enum class RequestError : std::uint8_t {
  PathNotAllowed,
  NotJson,
  NotAnObject,
  NotAForm,
  UnknownModel,
  BadField,
  ForeignMedia,  ///< a picture or sound that the engine would have to fetch
  NotSupported,  ///< kept, background or tool work of the Responses API
};
std::string_view to_string(RequestError error);

/// A request as the engine gets it.
struct EngineRequest {
  std::string path;
  std::string body;
  std::string content_type = "application/json";
  bool stream = false;
  AnswerForm form = AnswerForm::Completion;
  std::string sampling;  ///< for the record (events/sampling.h); empty: not recorded
  std::string abort_id;  ///< for SGLang's /abort_request; empty: closing the connection is all
};

/// What a request is held to.
struct RequestRules {
  std::string_view model;   ///< the offered one
  std::string_view engine;  ///< its name (FoundEngine::name)
  std::uint64_t output_tokens_max = 0;
  std::string_view cache_salt;  ///< the session's own
  std::string_view call_id;     ///< of this request; random
  /// Set: the answer's sampling is recorded, and a body that asks for no seed gets this one.
  std::optional<std::int64_t> seed = {};
  /// Open paths; empty: all that are so by default.
  std::span<const std::string> paths = {};
  /// Hosts that the engine may fetch pictures and sounds from, by https.
  std::span<const std::string> media_hosts = {};
  /// The engine's prompt cache may serve one session what another one left there.
  bool prompt_cache_shared = false;
};

/// Makes a client's body fit for the engine. The model must be the offered one; a stream must end
/// with its usage; an answer is limited to `output_tokens_max` tokens a choice
/// (settlement/usage_limit.h); members that reach into the engine (slots, adapters, templates,
/// processors, other machines) are dropped; pictures and sounds come inside the request, for an
/// engine inside a TEE must not be sent to fetch what a client names. All else passes as it came.
///
/// A form (sounds, pictures to change) passes part by part as it came, but for the same members;
/// what is written down of sounds may be streamed.
///
/// Sessions must not learn of each other's prompts by how fast theirs are read: vLLM and SGLang get
/// the session's `cache_salt`; llama.cpp, which knows none, `cache_prompt: false`. Ollama can't be
/// told. Pure.
[[nodiscard]] Result<EngineRequest, RequestError> prepare_request(std::string_view path,
                                                                  std::string_view body,
                                                                  const RequestRules& rules);

}  // namespace nostril::node
