#include "relay/member_role.h"

#include <algorithm>
#include <charconv>

namespace nostril::relay {

namespace {

constexpr JsonLimits kLimits{.bytes_max = 8 << 10, .depth_max = 2, .values_max = 8};

bool read_text(const Json& json, std::string_view name, std::string& out) {
  const auto text = json.find_string(name);
  if (text) out = *text;
  return text.has_value();
}

bool read_number(const Json& json, std::string_view name, std::optional<std::int64_t>& out) {
  const Json* value = json.find(name);
  return value != nullptr && read_role_number(*value, out);
}

bool is_color(const std::optional<std::int64_t>& value) {
  return !value || (*value >= 0 && *value <= MemberRole::kColorMax);
}

}  // namespace

bool MemberRole::is_id(std::string_view text) {
  return !text.empty() && text.size() <= kIdBytesMax && std::ranges::none_of(text, [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

std::optional<MemberRole> MemberRole::parse(std::string_view text) {
  const auto json = Json::parse(text, kLimits);
  MemberRole out;
  if (!json || !json->is_object() || !read_text(*json, "label", out.label) ||
      !read_text(*json, "description", out.description) ||
      !read_number(*json, "color", out.color) || !read_number(*json, "order", out.order) ||
      !is_color(out.color)) {
    return std::nullopt;
  }
  return out;
}

std::string MemberRole::to_text() const {
  JsonWriter w;
  const auto put = [&](std::string_view name, const std::optional<std::int64_t>& value) {
    w.key(name);
    value ? (void)w.integer(*value) : (void)w.null();
  };
  w.begin_object().key("label").string(label).key("description").string(description);
  put("color", color);
  put("order", order);
  w.end_object();
  return std::move(w).take();
}

bool read_role_number(const Json& json, std::optional<std::int64_t>& out) {
  out.reset();
  if (json.is_null()) return true;
  if (const auto number = json.integer()) {
    out = *number;
    return true;
  }
  const auto text = json.string();
  if (!text) return false;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) return false;
  out = value;
  return true;
}

}  // namespace nostril::relay
