#include "relay/store/keys.h"

#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace nostril::relay {

namespace {

Bytes bytes_of(const Key& key) {
  return {key.span().begin(), key.span().end()};
}

std::vector<Bytes> words_of(const std::string& content) {
  Bytes record;
  encode_record(record, test::make_event(1, 1'000, 1, {}, content));
  const auto view = RecordView::parse(record);
  CHECK(view.has_value());
  std::vector<Bytes> out;
  for (const Key& key : word_keys(*view, Sequence{7})) out.push_back(bytes_of(key));
  return out;
}

}  // namespace

// LMDB compares bytes: what is written sorted must be sorted as it does.
TEST(Key, HasTheOrderOfItsBytes) {
  std::mt19937 random(1);  // NOLINT: the same keys each time
  std::vector<Key> keys;
  for (int i = 0; i < 500; ++i) {
    Key key;
    const auto size = random() % (kKeyBytesMax + 1);
    // Few values: equal beginnings, and zeros at the end, which are not the same as no more bytes.
    for (std::size_t j = 0; j < size; ++j) key.add_integer(random() % 3 * 127, 1);
    keys.push_back(key);
  }
  std::ranges::sort(keys);
  std::vector<Bytes> bytes;
  bytes.reserve(keys.size());
  for (const Key& key : keys) bytes.push_back(bytes_of(key));
  EXPECT_TRUE(std::ranges::is_sorted(bytes));
  for (std::size_t i = 1; i < keys.size(); ++i) {
    EXPECT_EQ(keys[i - 1] == keys[i], bytes[i - 1] == bytes[i]) << i;
  }
}

TEST(WordKeys, HasEachBeginningOnceInOrder) {
  const auto key = [](std::string_view begin) {
    return bytes_of(word_prefix(begin).add_integer(7, kSequenceBytes));
  };
  EXPECT_EQ(words_of("two, one two TWO one tw twofold"),
            (std::vector<Bytes>{key("one"), key("tw"), key("two"), key("twofold")}));
  // 15 bytes of a word count.
  EXPECT_EQ(words_of("abcdefghijklmno abcdefghijklmnop abcdefghijklmnoq abcdefgh abcdefghi"),
            (std::vector<Bytes>{key("abcdefgh"), key("abcdefghi"), key("abcdefghijklmno")}));
  EXPECT_EQ(words_of(" . "), std::vector<Bytes>());
}

// More words than are remembered, and those come again.
TEST(WordKeys, HasAllOfManyWords) {
  std::mt19937 random(2);  // NOLINT: the same words each time
  std::set<Bytes> expected;
  std::string text;
  for (int i = 0; i < 3'000; ++i) {
    const std::string word = "w" + std::to_string(random() % 1'000);
    expected.insert(bytes_of(word_prefix(word).add_integer(7, kSequenceBytes)));
    text += word + (i % 3 == 0 ? " " : ", ");
  }
  EXPECT_EQ(words_of(text), std::vector<Bytes>(expected.begin(), expected.end()));
}

}  // namespace nostril::relay
