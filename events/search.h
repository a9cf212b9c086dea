#pragma once

#include "events/event.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril {

/// What a word of a search (NIP-50) is, here and in the store's index: letters and digits, folded
/// to lower case and without accents (NFKD), so that "Café" and "CAFE" are one. Writing without
/// spaces (Chinese, Japanese, Thai and others) gives one word a character. A single ASCII letter is
/// none, nor is what has more than kWordBytesMax bytes: keys and hashes.
inline constexpr std::size_t kWordBytesMax = 40;
/// Of a text only the first so many are looked at.
inline constexpr std::size_t kWordsOfATextMax = 4'096;

/// Calls `visit` with each word of UTF-8 text, in order; a word lives for the call.
void for_each_word(std::string_view text, const std::function<void(std::string_view)>& visit);

/// Kinds whose text is meant for people: notes, profiles, articles, titles of what is for sale …
/// (spec/09-store.md lists them). Others are never found by a search.
[[nodiscard]] bool is_searched(std::uint32_t kind);

/// The words of one event, in order: of its content (of a profile: of what people see of it), of
/// tags that hold titles and summaries, and of hashtags.
class SearchText {
 public:
  enum class Field : std::uint8_t { Title, Text };

  struct Word {
    std::string text;
    Field field = Field::Text;
  };

  SearchText(std::uint32_t kind, std::string_view content) { add_content(kind, content); }

  explicit SearchText(const Event& event);

  /// Tags of other names add nothing.
  void add_tag(std::string_view name, std::string_view value);

  [[nodiscard]] const std::vector<Word>& words() const& { return words_; }

  /// It has a content-warning tag (NIP-36).
  [[nodiscard]] bool is_sensitive() const { return is_sensitive_; }

 private:
  void add_content(std::uint32_t kind, std::string_view content);
  void add(std::string_view text, Field field);

  std::vector<Word> words_;
  bool is_sensitive_ = false;
};

/// The `search` of a filter: words that an event must have all of, in any order; "words in quotes"
/// side by side; -word, which it must not have. Of extensions (key:value) `nsfw:false` leaves out
/// events with a content warning; others are ignored, as NIP-50 says.
/// Threads: immutable, any.
class SearchQuery {
 public:
  static constexpr std::size_t kTermsMax = 32;  ///< further ones are ignored

  SearchQuery() = default;
  explicit SearchQuery(std::string_view text);

  /// As the client wrote it.
  [[nodiscard]] const std::string& text() const { return text_; }

  /// It names nothing to look for: then it says nothing at all. What it names may be no word
  /// ("!?"): then it finds nothing.
  [[nodiscard]] bool is_empty() const { return !has_wish_; }

  /// What an event must have, sorted, each once.
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }

  /// How well an event fits, above 0; nothing when it does not. More of the words and in the order
  /// of the query, in fewer others, in a title, and of late: each weighs more.
  [[nodiscard]] std::optional<double> score(const SearchText& text, std::int64_t age_s) const;
  /// Keeps the words of the last event of each thread: many queries ask for the same one.
  [[nodiscard]] bool matches(const Event& event) const;

  bool operator==(const SearchQuery& other) const { return text_ == other.text_; }

 private:
  struct Term {
    std::vector<std::string> words;  // side by side
    bool is_excluded = false;
  };

  void read_token(std::string_view token, bool is_quoted);
  void add_term(std::string_view text, bool is_excluded);

  std::string text_;
  std::vector<Term> terms_;
  std::vector<std::string> words_;
  bool has_wish_ = false;
  bool without_sensitive_ = false;
};

}  // namespace nostril
