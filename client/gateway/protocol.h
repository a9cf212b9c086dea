#pragma once

#include "net/http.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace nostril::client {

/// Whose language an application speaks. OpenAI's two APIs word their errors alike.
enum class Protocol : std::uint8_t { OpenAi, Anthropic, Ollama };

/// A request that has no answer.
struct ApiError {
  int status = 500;
  std::string type;  ///< ours: "model_not_found", "verification_failed", … (spec/08-errors.md)
  std::string message;
  /// Repeating can't help, or would pay again: SDKs that ask are told so by `x-should-retry`.
  bool final = true;
  std::uint64_t retry_after_s = 0;  ///< of what is not final
};

/// The body in the protocol's own shape. Anthropic's types are a fixed list and follow the status.
[[nodiscard]] std::string error_body(Protocol protocol, const ApiError& error);
[[nodiscard]] net::HttpResponse error_response(Protocol protocol, const ApiError& error);

[[nodiscard]] net::HttpResponse json_response(int status, std::string body);

}  // namespace nostril::client
