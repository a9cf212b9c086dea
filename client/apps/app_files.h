#pragma once

#include "base/json.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Other programs' configuration files: our part put in and taken out, the rest left as it is.
/// Pure. An error says why the file can't be changed without harm; then nothing is.
namespace nostril::client::apps {

using JsonPath = std::vector<std::string>;

/// Our part of a JSON file.
struct JsonPart {
  Json values;                  ///< an object, merged into the file's
  std::vector<JsonPath> owned;  ///< what is taken out again, with objects that are empty then
  JsonPath mark;                ///< of a string by which our part is known: it begins so
  std::string mark_begin;
};

/// Two spaces an indent. Members keep their order. Refuses what is not plain JSON, for comments
/// would be lost, and where another's value stands in our place.
[[nodiscard]] Result<std::string, std::string> with_part(std::string_view text,
                                                         const JsonPart& part);
[[nodiscard]] Result<std::string, std::string> without_part(std::string_view text,
                                                            const JsonPart& part);
[[nodiscard]] bool has_part(std::string_view text, const JsonPart& part);
[[nodiscard]] std::string to_text(const JsonPart& part);

/// Our part of a file of lines (YAML, variables): lines between two comments, all else untouched.
struct LinePart {
  std::vector<std::string> lines;
  std::vector<std::string> keys;  ///< may not stand in the rest, too
  char separator = ':';           ///< behind a key; of YAML, or '=' of variables
  /// Of YAML: the lines are items of this top-level list, and stand under its name.
  std::string list;
  std::vector<std::string> head;  ///< lines of a file that is new
};

[[nodiscard]] Result<std::string, std::string> with_part(std::string_view text,
                                                         const LinePart& part);
[[nodiscard]] Result<std::string, std::string> without_part(std::string_view text,
                                                            const LinePart& part);
[[nodiscard]] bool has_part(std::string_view text, const LinePart& part);
[[nodiscard]] std::string to_text(const LinePart& part);

}  // namespace nostril::client::apps
