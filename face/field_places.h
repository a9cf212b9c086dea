#pragma once

#include "base/json.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// Where the content stands in the bodies of OpenAI's API, and a way to replace it there.
namespace nostril::face {

enum class Endpoint : std::uint8_t {
  Chat,
  Completions,
  Embeddings,
  Images,
  Transcriptions,
  Rerank,
  Score,
};

/// The endpoint of a path without its query; nothing for one whose fields nobody defined.
[[nodiscard]] std::optional<Endpoint> endpoint_of(std::string_view path);

/// A body is a JSON object of at most so many bytes (and of what else JsonLimits has).
inline constexpr std::size_t kFieldBodyBytesMax = 64U << 20;
[[nodiscard]] std::optional<Json> parse_fields_body(std::string_view body);

/// How a value and its text relate.
enum class FieldForm : std::uint8_t {
  Text,         ///< a string is its own text; other types are not a field
  Json,         ///< any value but null, its text is its JSON
  TextOrArray,  ///< Text; a text that is a JSON array came from one, as OpenAI's `content` may
};

/// Names from the root, joined by '.'; '*' stands for every index of an array.
struct FieldPlace {
  std::string_view pattern;
  FieldForm form = FieldForm::Text;
};

/// Writes what shall stand there instead. `path`: the place with its indexes, as `choices.0.text`.
/// False: stop, the whole fails.
using FieldChange =
    std::function<bool(JsonWriter& out, std::string_view path, const Json& value, FieldForm form)>;

/// How a path counts the entries of `choices` and `data` at the root.
enum class PathIndex : std::uint8_t {
  Member,    ///< by the entry's `index` member where it has one
  Position,  ///< by its place in the array, whatever it says
};

/// The document again with each field changed; all else as it was. Nothing when a change failed.
[[nodiscard]] std::optional<std::string> change_fields(const Json& document,
                                                       std::span<const FieldPlace> places,
                                                       const FieldChange& change,
                                                       PathIndex index = PathIndex::Member);

/// The text of a field to encrypt; nothing when there is nothing to encrypt (empty text, null,
/// another type).
[[nodiscard]] std::optional<std::string> field_text(const Json& value, FieldForm form);

/// Writes the decrypted text as the value that it was. False: Json that is none, or no UTF-8.
[[nodiscard]] bool write_field(JsonWriter& out, std::string_view text, FieldForm form);

}  // namespace nostril::face
