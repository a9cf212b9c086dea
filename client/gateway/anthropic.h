#pragma once

#include "base/result.h"
#include "client/gateway/answer_form.h"

#include <memory>
#include <string>

namespace nostril::client {

/// Anthropic's Messages API over chat completions. Texts, pictures, tools and their results, system
/// prompts, stop sequences and thinking that is read but not asked for; what has no counterpart
/// (server tools, documents other than text, containers, files) is refused with a sentence, never
/// dropped. `cache_control`, `thinking`, `service_tier` and `metadata` have no meaning here and are
/// left out. Pure.
[[nodiscard]] Result<EngineCall, std::string> anthropic_to_chat(const Json& request);

/// `id`: of the message; `model`: as the application named it.
[[nodiscard]] std::unique_ptr<AnswerForm> anthropic_answer(std::string id, std::string model);

}  // namespace nostril::client
