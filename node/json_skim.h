#pragma once

#include <optional>
#include <string_view>

namespace nostril::node {

/// The text of a top-level member's value in an object that is too large to be read as a tree: an
/// answer of a million numbers beside a few tokens' count. The first of that name; nothing when
/// there is none or the brackets do not match as far as it. What it finds is to be parsed: the rest
/// of the object is not checked. Keys are compared as written, escapes and all. Pure.
[[nodiscard]] std::optional<std::string_view> skim_member(std::string_view object,
                                                          std::string_view key);

}  // namespace nostril::node
