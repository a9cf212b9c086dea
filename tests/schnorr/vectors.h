#pragma once

#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/rng.h"
#include "tests/support/shared_data.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace nostril::test {

/// The JSON document of a vector file. A file that is there but can't be read stops the test.
inline Json load_json(const std::string& relative) {
  auto parsed = Json::parse(read_file(shared_path(relative)));
  CHECK(parsed.has_value());
  return std::move(*parsed);
}

inline Bytes unhex(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto bytes = decode_hex(lower);
  CHECK(bytes.has_value());
  return std::move(*bytes);
}

inline std::string text_of(const Json& object, std::string_view key) {
  const auto text = object.find_string(key);
  CHECK(text.has_value());
  return std::string(*text);
}

inline Bytes bytes_of(const Json& object, std::string_view key) {
  return unhex(text_of(object, key));
}

template <typename T>
T fixed(std::string_view hex) {
  const auto value = T::from(unhex(hex));
  CHECK(value.has_value());
  return *value;
}

template <typename T>
T fixed_of(const Json& object, std::string_view key) {
  return fixed<T>(text_of(object, key));
}

/// The same bytes every run: xorshift64*. Never for keys outside tests.
class RepeatableRng final : public Rng {
 public:
  explicit RepeatableRng(std::uint64_t seed) : state_(seed | 1) {}

  void fill(std::span<std::uint8_t> out) override {
    for (auto& byte : out) {
      state_ ^= state_ >> 12;
      state_ ^= state_ << 25;
      state_ ^= state_ >> 27;
      byte = static_cast<std::uint8_t>(state_ * 0x2545f4914f6cdd1dULL >> 56);
    }
  }

 private:
  std::uint64_t state_;
};

}  // namespace nostril::test
