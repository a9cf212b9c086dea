#pragma once

#include "base/result.h"
#include "client/gateway/answer_form.h"

#include <cstdint>
#include <memory>
#include <string>

namespace nostril::client {

/// OpenAI's Responses API over chat completions, for engines that don't speak it: texts, pictures,
/// function tools and their results, structured output. Nothing is kept on any machine, so what
/// needs a stored answer or other machines' tools is refused with a sentence. `reasoning` items of
/// earlier turns are left out, `store` is always false. Pure.
[[nodiscard]] Result<EngineCall, std::string> responses_to_chat(const Json& request);

/// What the answer repeats of its request.
struct ResponsesEcho {
  std::string id;  ///< random; also names the items
  std::string model;
  std::int64_t created_at = 0;
  std::string request;  ///< the application's body
};

[[nodiscard]] std::unique_ptr<AnswerForm> responses_answer(ResponsesEcho echo);

}  // namespace nostril::client
