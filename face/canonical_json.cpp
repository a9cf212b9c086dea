#include "face/canonical_json.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <vector>

namespace nostril::face {

namespace {

/// Less by UTF-16 code units. UTF-8 sorts by code points; the orders differ only where a character
/// beyond U+FFFF, a pair that starts with D8..DB, meets one of U+E000..U+FFFF.
bool utf16_less(std::string_view a, std::string_view b) {
  const auto pair = std::ranges::mismatch(a, b);
  if (pair.in1 == a.end() || pair.in2 == b.end()) return pair.in1 == a.end() && pair.in2 != b.end();
  const auto left = static_cast<std::uint8_t>(*pair.in1);
  const auto right = static_cast<std::uint8_t>(*pair.in2);
  const bool left_high = left >= 0xf0;
  const bool right_high = right >= 0xf0;
  if (left_high != right_high && std::min(left, right) >= 0xee) return left_high;
  return left < right;
}

class Canonicalizer {
 public:
  bool write(const Json& value) {
    switch (value.type()) {
      case Json::Type::Null:
      case Json::Type::Boolean:
      case Json::Type::String:
        out_ += value.dump();
        return true;
      case Json::Type::Number:
        return write_number(value);
      case Json::Type::Array:
        return write_array(value);
      case Json::Type::Object:
        return write_object(value, std::nullopt);
    }
    return false;
  }

  bool write_object(const Json& value, std::optional<std::string_view> left_out) {
    std::vector<const Json::Member*> members;
    for (const Json::Member& member : value.members()) {
      if (member.first != left_out) members.push_back(&member);
    }
    std::ranges::sort(members, utf16_less, &Json::Member::first);
    out_ += '{';
    for (const Json::Member* member : members) {
      if (member != members.front()) out_ += ',';
      append_json_string(out_, member->first);
      out_ += ':';
      if (!write(member->second)) return false;
    }
    out_ += '}';
    return true;
  }

  [[nodiscard]] std::string take() && { return std::move(out_); }

 private:
  bool write_number(const Json& value) {
    const double number = *value.number();
    const std::string written = value.dump();
    const std::string canonical = ecmascript_number(number);
    const bool is_integer = written.find_first_of(".eE") == std::string::npos;
    if (is_integer && number != 0 && canonical != written) return false;
    out_ += canonical;
    return true;
  }

  bool write_array(const Json& value) {
    out_ += '[';
    bool first = true;
    for (const Json& item : value.items()) {
      if (!first) out_ += ',';
      first = false;
      if (!write(item)) return false;
    }
    out_ += ']';
    return true;
  }

  std::string out_;
};

}  // namespace

std::string ecmascript_number(double value) {
  CHECK(std::isfinite(value));
  if (value == 0) return "0";
  // d.ddde+xx, the shortest digits that read back the same
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), std::abs(value),
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view shortest(text.data(), static_cast<std::size_t>(end - text.data()));
  const std::size_t mark = shortest.find('e');
  std::string digits(shortest.substr(0, mark));
  std::erase(digits, '.');
  int exponent = 0;
  const std::size_t sign_chars = shortest[mark + 1] == '+' ? 2 : 1;
  std::from_chars(shortest.data() + mark + sign_chars, shortest.data() + shortest.size(), exponent);

  // ECMA-262 6.1.6.1.20: k digits, the decimal point behind the n-th.
  const int k = static_cast<int>(digits.size());
  const int n = exponent + 1;
  std::string out(value < 0 ? "-" : "");
  if (n > 21 || n <= -6) {
    out += digits[0];
    if (k > 1) out += "." + digits.substr(1);
    return out + (exponent < 0 ? "e-" : "e+") + std::to_string(std::abs(exponent));
  }
  if (n <= 0) return out + "0." + std::string(static_cast<std::size_t>(-n), '0') + digits;
  if (n >= k) return out + digits + std::string(static_cast<std::size_t>(n - k), '0');
  const auto whole = static_cast<std::size_t>(n);
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::optional<std::string> canonical_json(const Json& value) {
  Canonicalizer canonicalizer;
  if (!canonicalizer.write(value)) return std::nullopt;
  return std::move(canonicalizer).take();
}

std::optional<std::string> canonical_json_without(const Json& document, std::string_view left_out) {
  Canonicalizer canonicalizer;
  if (!document.is_object() || !canonicalizer.write_object(document, left_out)) return std::nullopt;
  return std::move(canonicalizer).take();
}

}  // namespace nostril::face
