#pragma once

#include "base/json.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client {

/// A call of a tool, or, in a stream, a part of one: `id` and `name` come with its first part, and
/// `arguments` (JSON text) in pieces.
struct ToolCall {
  std::size_t index = 0;
  std::string id;
  std::string name;
  std::string arguments;
};

struct ChatUsage {
  std::uint64_t input = 0;
  std::uint64_t cached = 0;  ///< of input
  std::uint64_t output = 0;
  std::uint64_t reasoning = 0;  ///< of output
};

/// What an engine's /v1/chat/completions says, whole or in one chunk of a stream, of its first
/// choice: the ground from which the other protocols' answers are made.
struct ChatPart {
  std::string text;
  std::string reasoning;
  std::vector<ToolCall> calls;
  std::string finish;  ///< stop, length, tool_calls, content_filter; empty: not yet
  std::optional<ChatUsage> usage;
  std::optional<std::string> error;  ///< the engine gave up in the middle of its stream
};

inline constexpr std::size_t kToolCallsMax = 1024;  ///< of one answer; more are not read

/// A `chat.completion`; nothing when it is none.
[[nodiscard]] std::optional<ChatPart> read_chat_answer(const Json& answer);
/// A `chat.completion.chunk`. Members that are missing, or of another type, count as empty: engines
/// differ.
[[nodiscard]] ChatPart read_chat_chunk(const Json& chunk);

/// The engine's own words of a refusal, in the shape of OpenAI's, vLLM's or Ollama's; else empty.
[[nodiscard]] std::string error_text(const Json& refusal);

}  // namespace nostril::client
