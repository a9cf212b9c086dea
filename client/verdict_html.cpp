#include "client/verdict_html.h"

#include "attestation/utc_time.h"

#include <fmt/format.h>

#include <variant>
#include <vector>

namespace nostril::client {

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\xef\xbf\xbd";
    } else {
      out += c;
    }
  }
  return out;
}

std::string html_value(std::string_view text) {
  return fmt::format("<bdi class=\"value\">{}</bdi>", escape_html(text));
}

std::string html_row(std::string_view name, std::string_view text) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>", escape_html(name), html_value(text));
}

std::string claim_text(const attestation::Claim::Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* words = std::get_if<std::vector<std::string>>(&value)) {
    return words->empty() ? "none" : fmt::format("{}", fmt::join(*words, ", "));
  }
  return std::get<std::string>(value);
}

std::string date_text(std::int64_t unix_s) {
  return unix_s >= 0 && unix_s < 253'402'300'800 ? attestation::format_iso_utc(unix_s) : "never";
}

}  // namespace nostril::client
