#include "node/json_skim.h"

#include <cstddef>

namespace nostril::node {

namespace {

constexpr std::string_view kSpace = " \t\r\n";

class Skimmer {
 public:
  explicit Skimmer(std::string_view text) : text_(text) {}

  void skip_space() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }

  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  /// What stands between the quotes.
  std::optional<std::string_view> string() {
    if (!take('"')) return std::nullopt;
    const std::size_t begin = at_;
    while ((at_ = text_.find_first_of("\"\\", at_)) != std::string_view::npos) {
      if (text_[at_] == '"') return text_.substr(begin, at_++ - begin);
      at_ += 2;
    }
    at_ = text_.size();
    return std::nullopt;
  }

  /// A value up to the comma or bracket behind it.
  std::optional<std::string_view> value() {
    skip_space();
    const std::size_t begin = at_;
    std::size_t depth = 0;
    while ((at_ = std::min(text_.find_first_of("\"[]{},", at_), text_.size())) < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (!string()) return std::nullopt;
        continue;
      }
      if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
      if (c == '[' || c == '{') ++depth;
      if (c == ']' || c == '}') --depth;
      ++at_;
    }
    if (depth != 0 || at_ == begin) return std::nullopt;
    return text_.substr(begin, at_ - begin);
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<std::string_view> skim_member(std::string_view object, std::string_view key) {
  Skimmer skimmer(object);
  if (!skimmer.take('{')) return std::nullopt;
  do {
    const auto name = skimmer.string();
    if (!name || !skimmer.take(':')) return std::nullopt;
    const auto value = skimmer.value();
    if (!value) return std::nullopt;
    if (*name == key) return value;
  } while (skimmer.take(','));
  return std::nullopt;
}

}  // namespace nostril::node
