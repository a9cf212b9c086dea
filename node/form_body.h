#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// One part of a form. Views into the body.
struct FormPart {
  std::string_view name;
  bool is_file = false;      ///< it has a file name
  std::string_view content;  ///< exact bytes
  std::string_view raw;      ///< headers and content, without the delimiters around them
};

/// A multipart/form-data body (RFC 7578), as sounds and pictures are uploaded. A request carries no
/// content type of its own, so the boundary is read from the first delimiter.
struct FormBody {
  std::string_view boundary;
  std::vector<FormPart> parts;

  [[nodiscard]] std::string content_type() const;
};

/// Nothing unless every reader of forms must read it alike: delimiters exactly as the RFC has them,
/// nothing before the first and nothing after the last one; each part with one Content-Disposition
/// of `form-data; name="…"` and at most `filename="…"` beside it, names without escapes; no
/// transfer encoding. Bounds: 64 parts, 2 KiB of headers each. Pure.
[[nodiscard]] std::optional<FormBody> parse_form_body(std::string_view body);

}  // namespace nostril::node
