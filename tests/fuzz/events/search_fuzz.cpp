#include "events/search.h"

#include "base/bytes.h"
#include "base/check.h"
#include "events/filter.h"

#include <algorithm>
#include <string>

using namespace nostril;  // NOLINT(google-build-using-namespace)

/// First line: a query; the rest: a text. Words are bounded and folding them again changes nothing;
/// a text is found by all its own words.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = as_text({data, size});
  const std::size_t end = std::min(input.find('\n'), input.size());
  const SearchQuery query(input.substr(0, end));
  Event event;
  event.kind = 1;
  event.content = input.substr(std::min(end + 1, input.size()));
  const SearchText text(event);
  CHECK(text.words().size() <= kWordsOfATextMax);
  std::string own;
  for (std::size_t i = 0; i < text.words().size(); ++i) {
    const std::string& word = text.words()[i].text;
    CHECK(!word.empty() && word.size() <= kWordBytesMax);
    std::size_t count = 0;
    for_each_word(word, [&](std::string_view again) {
      CHECK(again == word);
      ++count;
    });
    CHECK(count == 1);
    if (i < SearchQuery::kTermsMax) own += word + " ";
  }
  const auto score = query.score(text, 0);
  CHECK(!score || *score > 0);
  const SearchQuery all(own);
  CHECK(all.is_empty() == own.empty());
  CHECK(all.is_empty() || all.score(text, 0).has_value());
  return 0;
}
