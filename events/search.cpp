#include "events/search.h"

#include "base/check.h"
#include "base/json.h"
#include "events/kinds.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

namespace nostril {

namespace {

constexpr std::array<std::uint32_t, 44> kSearchedKinds = {
    0,     1,     11,    20,    21,    22,    40,    41,    42,    1063,  1068,
    1111,  1222,  1311,  1337,  1617,  1618,  1621,  1622,  2003,  2004,  9041,
    9802,  30009, 30017, 30018, 30023, 30040, 30041, 30063, 30311, 30315, 30402,
    30617, 30818, 31337, 31922, 31923, 31924, 31990, 34235, 34236, 34550, 39000};
static_assert(std::is_sorted(kSearchedKinds.begin(), kSearchedKinds.end()));

constexpr double kSecondsOfAMonth = 30 * 86'400.0;
// Okapi BM25 with its usual constants, and a usual length.
constexpr double kSaturation = 1.2;
constexpr double kLengthWeight = 0.75;
constexpr double kUsualWords = 60;

// By byte: letters and digits of ASCII in lower case, all that is not ASCII as it is; else 0.
constexpr auto kFoldedBytes = [] {
  std::array<char, 256> folded{};
  for (std::size_t byte = 0; byte < folded.size(); ++byte) {
    const char c = static_cast<char>(byte);
    const bool is_kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || byte >= 0x80;
    if (is_kept) folded[byte] = c;
    if (c >= 'A' && c <= 'Z') folded[byte] = static_cast<char>(c + ('a' - 'A'));
  }
  return folded;
}();

char folded(char c) {
  return kFoldedBytes[static_cast<unsigned char>(c)];
}

// A run of these is looked at as a whole.
bool is_of_a_word(char c) {
  return folded(c) != 0;
}

// Of scripts that write without spaces.
bool is_word_alone(std::int32_t c) {
  return (c >= 0x0e00 && c <= 0x0eff) || (c >= 0x1000 && c <= 0x109f) ||
         (c >= 0x1780 && c <= 0x17ff) || (c >= 0x2e80 && c <= 0x30ff) ||
         (c >= 0x31f0 && c <= 0x31ff) || (c >= 0x3400 && c <= 0x9fff) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

bool is_letter_or_digit(std::int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

// Gives words on, as many as may be.
class Words {
 public:
  explicit Words(const std::function<void(std::string_view)>& visit) : visit_(visit) {}

  [[nodiscard]] bool is_full() const { return count_ == kWordsOfATextMax; }

  void give(std::string_view word) {
    const bool is_letter = word.size() == 1 && (word[0] < '0' || word[0] > '9');
    if (word.empty() || is_letter || word.size() > kWordBytesMax || is_full()) return;
    ++count_;
    visit_(word);
  }

  void give_ascii(std::string_view run) {
    if (run.size() > kWordBytesMax) return;
    std::array<char, kWordBytesMax> lower{};
    std::ranges::transform(run, lower.begin(), folded);
    give({lower.data(), run.size()});
  }

  void give_any(std::string_view run) {
    utf8proc_uint8_t* made = nullptr;
    constexpr auto kFolded =
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT |
                                       UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK | UTF8PROC_IGNORE);
    const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(run.data()),
                                   static_cast<utf8proc_ssize_t>(run.size()), &made, kFolded);
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(made, &std::free);
    if (size <= 0) return;  // not UTF-8: an event's text always is
    split({reinterpret_cast<const char*>(made), static_cast<std::size_t>(size)});
  }

 private:
  void split(std::string_view text) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      utf8proc_int32_t c = 0;
      const auto step =
          utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                           static_cast<utf8proc_ssize_t>(text.size() - at), &c);
      if (step <= 0) return;
      const std::size_t end = at + static_cast<std::size_t>(step);
      const bool is_part = is_letter_or_digit(c);
      if (!is_part || is_word_alone(c)) {
        give(text.substr(begin, at - begin));
        if (is_part) give(text.substr(at, end - at));
        begin = end;
      }
      at = end;
    }
    give(text.substr(begin));
  }

  const std::function<void(std::string_view)>& visit_;
  std::size_t count_ = 0;
};

std::size_t count_at(const std::vector<SearchText::Word>& text,
                     const std::vector<std::string>& words, std::size_t at) {
  if (at + words.size() > text.size()) return 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (text[at + i].text != words[i] || text[at + i].field != text[at].field) return 0;
  }
  return words.size();
}

}  // namespace

void for_each_word(std::string_view text, const std::function<void(std::string_view)>& visit) {
  Words words(visit);
  for (std::size_t at = 0; at < text.size() && !words.is_full();) {
    if (!is_of_a_word(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    unsigned bits = 0;
    for (; end < text.size() && is_of_a_word(text[end]); ++end) {
      bits |= static_cast<unsigned char>(text[end]);
    }
    const std::string_view run = text.substr(at, end - at);
    const bool is_ascii = (bits & 0x80U) == 0;
    if (is_ascii) {
      words.give_ascii(run);
    } else {
      words.give_any(run);
    }
    at += run.size();
  }
}

bool is_searched(std::uint32_t kind) {
  return std::ranges::binary_search(kSearchedKinds, kind);
}

SearchText::SearchText(const Event& event) : SearchText(event.kind, event.content) {
  for (const Tags::View tag : event.tags) add_tag(tag.name(), tag.value().value_or(""));
}

void SearchText::add_content(std::uint32_t kind, std::string_view content) {
  if (kind != kinds::kProfile) {
    add(content, Field::Text);
    return;
  }
  const auto profile = Json::parse(content);
  if (!profile) return;
  for (const std::string_view key : {"name", "display_name", "displayName", "nip05"}) {
    if (const auto value = profile->find_string(key)) add(*value, Field::Title);
  }
  if (const auto about = profile->find_string("about")) add(*about, Field::Text);
}

void SearchText::add_tag(std::string_view name, std::string_view value) {
  if (name == "content-warning") is_sensitive_ = true;
  if (name == "title" || name == "subject" || name == "name") add(value, Field::Title);
  if (name == "summary" || name == "description" || name == "alt" || name == "t") {
    add(value, Field::Text);
  }
}

void SearchText::add(std::string_view text, Field field) {
  constexpr std::size_t kUsualBytes = 6;  // of a word, with what is behind it
  if (words_.empty()) words_.reserve(std::min(kWordsOfATextMax, text.size() / kUsualBytes + 1));
  for_each_word(text, [&](std::string_view word) {
    if (words_.size() < kWordsOfATextMax) words_.push_back({std::string(word), field});
  });
}

SearchQuery::SearchQuery(std::string_view text) : text_(text) {
  constexpr std::string_view kSpace = " \t\r\n";
  for (std::size_t at = 0; at < text.size();) {
    if (kSpace.find(text[at]) != std::string_view::npos) {
      ++at;
      continue;
    }
    const bool is_quoted = text[at] == '"';
    const std::size_t begin = is_quoted ? at + 1 : at;
    std::size_t end = is_quoted ? text.find('"', begin) : text.find_first_of(kSpace, begin);
    if (end == std::string_view::npos) end = text.size();
    read_token(text.substr(begin, end - begin), is_quoted);
    at = end + (is_quoted ? 1 : 0);
  }
  for (const Term& term : terms_) {
    if (!term.is_excluded) words_.insert(words_.end(), term.words.begin(), term.words.end());
  }
  std::ranges::sort(words_);
  words_.erase(std::unique(words_.begin(), words_.end()), words_.end());
}

void SearchQuery::read_token(std::string_view token, bool is_quoted) {
  if (is_quoted && token.empty()) return;
  if (is_quoted) return add_term(token, false);
  const std::size_t colon = token.find(':');
  const std::string_view key = token.substr(0, colon);
  const bool is_extension =
      colon != std::string_view::npos && colon > 0 && colon + 1 < token.size() &&
      token[colon + 1] != '/' &&
      std::ranges::all_of(key, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  if (is_extension) {
    without_sensitive_ = without_sensitive_ || token == "nsfw:false";
    return;
  }
  const bool is_excluded = token.size() > 1 && token[0] == '-';
  add_term(is_excluded ? token.substr(1) : token, is_excluded);
}

void SearchQuery::add_term(std::string_view text, bool is_excluded) {
  has_wish_ = has_wish_ || !is_excluded;
  if (terms_.size() == kTermsMax) return;
  Term term;
  term.is_excluded = is_excluded;
  for_each_word(text, [&](std::string_view word) {
    if (term.words.size() < kTermsMax) term.words.emplace_back(word);
  });
  if (!term.words.empty()) terms_.push_back(std::move(term));
}

std::optional<double> SearchQuery::score(const SearchText& text, std::int64_t age_s) const {
  if (words_.empty() || (without_sensitive_ && text.is_sensitive())) return std::nullopt;
  const auto& words = text.words();
  const double length = static_cast<double>(words.size()) / kUsualWords;
  const double norm = kSaturation * (1 - kLengthWeight + kLengthWeight * length);
  double total = 0;
  std::size_t expected_at = SIZE_MAX;  // where the next term would stand side by side
  for (const Term& term : terms_) {
    double times = 0;
    bool is_in_title = false;
    bool is_next = false;
    std::size_t next_at = SIZE_MAX;
    for (std::size_t at = 0; at < words.size(); ++at) {
      const std::size_t count = count_at(words, term.words, at);
      if (count == 0) continue;
      times += 1;
      is_in_title = is_in_title || words[at].field == SearchText::Field::Title;
      is_next = is_next || at == expected_at;
      if (next_at == SIZE_MAX || at == expected_at) next_at = at + count;
    }
    if (term.is_excluded) {
      if (times > 0) return std::nullopt;
      continue;
    }
    if (times == 0) return std::nullopt;
    total += times * (kSaturation + 1) / (times + norm);
    if (is_in_title) total += 2;
    if (is_next) total += 1;
    expected_at = next_at;
  }
  const double months = static_cast<double>(std::max<std::int64_t>(age_s, 0)) / kSecondsOfAMonth;
  return total * (1 + 1 / (1 + months));
}

bool SearchQuery::matches(const Event& event) const {
  if (!is_searched(event.kind)) return false;
  thread_local EventId last;
  thread_local std::optional<SearchText> text;
  if (!text || last != event.id) {
    text.emplace(event);
    last = event.id;
  }
  return score(*text, 0).has_value();
}

}  // namespace nostril
