#include "node/form_body.h"

#include <algorithm>
#include <cctype>

namespace nostril::node {

namespace {

constexpr std::size_t kPartsMax = 64;
constexpr std::size_t kHeadersBytesMax = 2U << 10;
constexpr std::size_t kBoundaryBytesMax = 70;
constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadersEnd = "\r\n\r\n";

bool equal_ignoring_case(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, [](char c, char expected) {
    return std::tolower(static_cast<unsigned char>(c)) == expected;
  });
}

/// RFC 2046's characters of a boundary, but for the space.
bool is_boundary(std::string_view text) {
  constexpr std::string_view kOthers = "'()+_,-./:=?";
  return !text.empty() && text.size() <= kBoundaryBytesMax &&
         std::ranges::all_of(text, [&](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                  kOthers.find(c) != std::string_view::npos;
         });
}

/// `key="value"` from the front of `text`, which loses it.
std::optional<std::string_view> take_quoted(std::string_view& text, std::string_view key) {
  if (!text.starts_with(key)) return std::nullopt;
  text.remove_prefix(key.size());
  if (!text.starts_with("=\"")) return std::nullopt;
  text.remove_prefix(2);
  const std::size_t end = text.find('"');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view value = text.substr(0, end);
  if (std::ranges::any_of(
          value, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\\'; })) {
    return std::nullopt;
  }
  text.remove_prefix(end + 1);
  return value;
}

bool read_disposition(std::string_view value, FormPart& part) {
  constexpr std::string_view kFormData = "form-data; ";
  if (!value.starts_with(kFormData)) return false;
  value.remove_prefix(kFormData.size());
  const auto name = take_quoted(value, "name");
  if (!name || name->empty()) return false;
  part.name = *name;
  if (value.empty()) return true;
  if (!value.starts_with("; ")) return false;
  value.remove_prefix(2);
  part.is_file = take_quoted(value, "filename").has_value();
  return part.is_file && value.empty();
}

bool read_headers(std::string_view headers, FormPart& part) {
  bool has_disposition = false;
  while (!headers.empty()) {
    const std::size_t end = std::min(headers.find(kLineEnd), headers.size());
    const std::string_view line = headers.substr(0, end);
    headers.remove_prefix(std::min(end + kLineEnd.size(), headers.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view name = line.substr(0, colon);
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    if (equal_ignoring_case(name, "content-disposition")) {
      if (has_disposition || !read_disposition(value, part)) return false;
      has_disposition = true;
    } else if (!equal_ignoring_case(name, "content-type")) {
      return false;
    }
  }
  return has_disposition;
}

bool read_part(std::string_view raw, FormPart& part) {
  const std::size_t end = raw.find(kHeadersEnd);
  if (end > kHeadersBytesMax) return false;  // npos, too
  part.raw = raw;
  part.content = raw.substr(end + kHeadersEnd.size());
  return read_headers(raw.substr(0, end), part);
}

}  // namespace

std::string FormBody::content_type() const {
  return "multipart/form-data; boundary=\"" + std::string(boundary) + "\"";
}

std::optional<FormBody> parse_form_body(std::string_view body) {
  if (!body.starts_with("--")) return std::nullopt;
  const std::size_t first_end = body.find(kLineEnd);
  if (first_end == std::string_view::npos) return std::nullopt;
  FormBody form;
  form.boundary = body.substr(2, first_end - 2);
  if (!is_boundary(form.boundary)) return std::nullopt;
  const std::string delimiter = "\r\n--" + std::string(form.boundary);
  std::string_view rest = body.substr(first_end + kLineEnd.size());
  while (form.parts.size() < kPartsMax) {
    const std::size_t end = rest.find(delimiter);
    if (end == std::string_view::npos) return std::nullopt;
    FormPart part;
    if (!read_part(rest.substr(0, end), part)) return std::nullopt;
    form.parts.push_back(part);
    rest.remove_prefix(end + delimiter.size());
    if (rest.starts_with("--")) {
      const std::string_view after = rest.substr(2);
      if (after.empty() || after == kLineEnd) return form;
    }
    if (!rest.starts_with(kLineEnd)) return std::nullopt;
    rest.remove_prefix(kLineEnd.size());
  }
  return std::nullopt;
}

}  // namespace nostril::node
