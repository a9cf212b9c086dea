#include "relay/content_rules.h"

#include <algorithm>
#include <charconv>

namespace nostril::relay {

namespace {

constexpr std::uint32_t kKindMax = 65'535;

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint32_t> parse_kind(std::string_view text) {
  const auto kind = parse_number<std::uint32_t>(text);
  return kind && *kind <= kKindMax ? kind : std::nullopt;
}

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || static_cast<unsigned char>(c) >= 0x80;
}

bool is_edge(char c) {
  return c == '-' || c == '.';
}

std::string in_lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::size_t size_of(const Event& event) {
  std::size_t bytes = event.content.size();
  for (const Tags::View tag : event.tags) {
    for (std::size_t i = 0; i < tag.size(); ++i) bytes += tag[i].size();
  }
  return bytes;
}

bool keeps(const TagLimit& limit, const Event& event) {
  std::size_t count = 0;
  for (const Tags::View tag : event.tags) {
    if (tag.name() == limit.tag) ++count;
  }
  return count <= limit.count_max;
}

}  // namespace

std::optional<TagLimit> TagLimit::parse(std::string_view text) {
  const std::size_t first = text.find(':');
  const std::size_t last = text.rfind(':');
  if (first == std::string_view::npos || first == last) return std::nullopt;
  const auto kind = parse_kind(text.substr(0, first));
  const auto count = parse_number<std::size_t>(text.substr(last + 1));
  const std::string_view tag = text.substr(first + 1, last - first - 1);
  if (!kind || !count || tag.empty()) return std::nullopt;
  return TagLimit{*kind, std::string(tag), *count};
}

std::optional<SizeLimit> SizeLimit::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto kind = parse_kind(text.substr(0, colon));
  const auto bytes = parse_number<std::size_t>(text.substr(colon + 1));
  if (!kind || !bytes) return std::nullopt;
  return SizeLimit{*kind, *bytes};
}

ContentPolicy::ContentPolicy(const ContentRules& rules)
    : word_kinds_(rules.blocked_words_kinds.begin(), rules.blocked_words_kinds.end()) {
  for (const TagLimit& limit : rules.tag_limits) tag_limits_[limit.kind].push_back(limit);
  for (const SizeLimit& limit : rules.size_limits) bytes_max_[limit.kind] = limit.bytes_max;
  for (const std::string& word : rules.blocked_words) words_.insert(in_lower_case(word));
}

bool ContentPolicy::is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_word_char) && !is_edge(text.front()) &&
         !is_edge(text.back());
}

std::optional<Refusal> ContentPolicy::refuse(const Event& event) const {
  if (const auto found = bytes_max_.find(event.kind);
      found != bytes_max_.end() && size_of(event) > found->second) {
    return Refusal::TooLargeForKind;
  }
  if (const auto found = tag_limits_.find(event.kind); found != tag_limits_.end()) {
    for (const TagLimit& limit : found->second) {
      if (!keeps(limit, event)) return Refusal::TooManyTags;
    }
  }
  if (!words_.empty() && word_kinds_.contains(event.kind) && has_blocked_word(event.content)) {
    return Refusal::BlockedWord;
  }
  return std::nullopt;
}

// One pass, however many words there are.
bool ContentPolicy::has_blocked_word(std::string_view text) const {
  while (!text.empty()) {
    const auto end = std::ranges::find_if_not(text, is_word_char);
    const auto size = static_cast<std::size_t>(end - text.begin());
    std::string_view word = text.substr(0, size);
    text.remove_prefix(std::min(text.size(), size + 1));
    while (!word.empty() && is_edge(word.front())) word.remove_prefix(1);
    while (!word.empty() && is_edge(word.back())) word.remove_suffix(1);
    if (!word.empty() && words_.contains(in_lower_case(word))) return true;
  }
  return false;
}

}  // namespace nostril::relay
