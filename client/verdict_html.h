#pragma once

#include "attestation/verdict.h"

#include <cstdint>
#include <string>
#include <string_view>

/// Pieces of a verdict's page. What they take is escaped here.
namespace nostril::client {

/// Text as it may stand in HTML, also inside quotes: & < > " ' as references, control characters as
/// U+FFFD.
[[nodiscard]] std::string escape_html(std::string_view text);

/// Isolated by bdi, so that its direction ends with it.
[[nodiscard]] std::string html_value(std::string_view text);

/// A name and its value, of a description list.
[[nodiscard]] std::string html_row(std::string_view name, std::string_view text);

[[nodiscard]] std::string claim_text(const attestation::Claim::Value& value);

/// "2026-11-21T10:00:00Z"; "never" for what has no end.
[[nodiscard]] std::string date_text(std::int64_t unix_s);

}  // namespace nostril::client
