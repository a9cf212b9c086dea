#pragma once

#include "base/json.h"

#include <optional>
#include <string>
#include <string_view>

namespace nostril::face {

/// The JSON Canonicalization Scheme (RFC 8785): members sorted by the UTF-16 code units of their
/// names, no spaces, strings as JSON.stringify writes them, numbers as JavaScript prints the double
/// that they are. Nothing for an integer, written as digits alone, that no double holds: readers
/// would round it, each in its own way, and what was signed would not be what is read.
[[nodiscard]] std::optional<std::string> canonical_json(const Json& value);

/// The same without the member `left_out` of the outermost object: what a signature inside of a
/// document covers.
[[nodiscard]] std::optional<std::string> canonical_json_without(const Json& document,
                                                                std::string_view left_out);

/// ECMAScript's Number::toString for a finite number.
[[nodiscard]] std::string ecmascript_number(double value);

}  // namespace nostril::face
