#pragma once

#include "events/event.h"
#include "relay/admission.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace nostril::relay {

/// At most so many tags of one name in events of a kind: notes that mention hundreds of people.
struct TagLimit {
  std::uint32_t kind = 0;
  std::string tag;
  std::size_t count_max = 0;

  /// "1:p:50". Nothing: it is none.
  [[nodiscard]] static std::optional<TagLimit> parse(std::string_view text);
};

/// At most so many bytes in the content and the tags' elements of an event of a kind.
struct SizeLimit {
  std::uint32_t kind = 0;
  std::size_t bytes_max = 0;

  /// "0:16384".
  [[nodiscard]] static std::optional<SizeLimit> parse(std::string_view text);
};

struct ContentRules {
  std::vector<TagLimit> tag_limits;
  std::vector<SizeLimit> size_limits;
  std::vector<std::string> blocked_words;  ///< see is_word()
  std::vector<std::uint32_t> blocked_words_kinds;
};

/// What an event may be made of, by kind. Pure. Threads: const, any.
class ContentPolicy {
 public:
  explicit ContentPolicy(const ContentRules& rules);

  [[nodiscard]] std::optional<Refusal> refuse(const Event& event) const;

  /// Letters, digits, "_", "-", "." inside, and anything that is not ASCII: "casino",
  /// "spam.example". Compared whole, ASCII letters without case.
  [[nodiscard]] static bool is_word(std::string_view text);

 private:
  [[nodiscard]] bool has_blocked_word(std::string_view text) const;

  std::unordered_map<std::uint32_t, std::vector<TagLimit>> tag_limits_;
  std::unordered_map<std::uint32_t, std::size_t> bytes_max_;
  std::unordered_set<std::string> words_;  // in lower case
  std::unordered_set<std::uint32_t> word_kinds_;
};

}  // namespace nostril::relay
