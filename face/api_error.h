#pragma once

#include <string>
#include <string_view>

namespace nostril::face {

/// A refusal as clients of OpenAI's API read it. Nothing in it comes from a secret or a plaintext.
struct ApiError {
  int status = 400;
  std::string_view type = "bad_request";  ///< a literal
  std::string_view message = {};          ///< a literal, for people

  bool operator==(const ApiError&) const = default;
};

/// {"error":{"message":…,"type":…,"param":null,"code":null}}
[[nodiscard]] std::string error_json(const ApiError& error);

}  // namespace nostril::face
