#pragma once

#include "client/gateway/answer_form.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::client {

/// An answer of /v1/embeddings whose vectors are lists of numbers, with each as base64 of its
/// 32-bit little-endian floats: what OpenAI's SDKs ask for by default, and some engines ignore.
/// Vectors that are base64 already stay. Nothing when it can't be read. Pure.
[[nodiscard]] std::optional<std::string> embeddings_in_base64(std::string_view answer);

/// Engine bytes as they came, or with base64 where the request asked for it.
[[nodiscard]] std::unique_ptr<AnswerForm> embeddings_answer(bool base64);

}  // namespace nostril::client
