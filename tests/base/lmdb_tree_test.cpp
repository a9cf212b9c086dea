// TreeReader against liblmdb's own look-ups, on tables of every height.
#include "base/lmdb_tree.h"

#include "base/check.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace nostril::lmdb {

namespace {

using Answer = TreeReader::Answer;

// A file with one table, and what is in it.
class Table {
 public:
  explicit Table(unsigned seed) : random_(seed) {
    EnvOptions options;
    options.sync = false;
    env_ = *Env::open(dir_.path(), options);
    table_ = *env_->open_table("numbers", true);
  }

  // Keys of `key_bytes`, in a random order or an ascending one. Values are of any size, some so
  // large that liblmdb keeps them in pages of their own; or all empty.
  void fill(std::size_t count, std::size_t key_bytes, bool ascending, bool with_values = true) {
    while (keys_.size() < count) {
      keys_.insert(ascending ? number(keys_.size() * 3 + 1, key_bytes) : random_key(key_bytes));
    }
    std::vector<Bytes> order(keys_.begin(), keys_.end());
    if (!ascending) std::shuffle(order.begin(), order.end(), random_);
    WriteTxn txn(*env_);
    for (const Bytes& key : order) {
      Bytes value(random_() % 50 == 0 ? 5'000 : random_() % 900);
      if (!with_values) value.clear();
      for (auto& byte : value) byte = static_cast<std::uint8_t>(random_());
      txn.put(table_, key, value);
    }
    CHECK(txn.commit().has_value());
  }

  void erase_some() {
    WriteTxn txn(*env_);
    for (const Bytes& key : std::vector(keys_.begin(), keys_.end())) {
      if (random_() % 3 == 0) continue;
      CHECK(txn.erase(table_, key));
      keys_.erase(key);
    }
    CHECK(txn.commit().has_value());
  }

  // Those that are there, their neighbours, and any.
  Bytes some_key(std::size_t key_bytes) {
    Bytes key = random_key(key_bytes);
    if (keys_.empty() || random_() % 4 == 0) return key;
    const auto next = keys_.lower_bound(key);
    key = next == keys_.end() ? *keys_.begin() : *next;
    if (random_() % 4 == 0) ++key.back();
    return key;
  }

  void compare(std::size_t key_bytes, std::size_t rounds) {
    ReadTxn txn(*env_);
    const TreeReader reader(txn, "numbers");
    for (std::size_t round = 0; round < rounds; ++round) {
      std::vector<Bytes> keys(1 + random_() % TreeReader::kTogether);
      for (auto& key : keys) key = some_key(key_bytes);
      const std::vector<ByteSpan> spans(keys.begin(), keys.end());
      std::array<TreeReader::Entry, TreeReader::kTogether> room;
      const auto found = std::span(room).first(keys.size());
      reader.find(spans, found);
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys_.empty()) {  // there is no tree
          EXPECT_EQ(found[i].answer, Answer::Unsure);
          continue;
        }
        const auto expected = txn.get(table_, keys[i]);
        ASSERT_EQ(found[i].answer, expected ? Answer::Found : Answer::Absent);
        if (!expected) continue;
        EXPECT_TRUE(std::ranges::equal(found[i].key, keys[i]));
        EXPECT_EQ(found[i].value.data(), expected->data());
        EXPECT_EQ(found[i].value.size(), expected->size());
      }
    }
  }

  // How many were Unsure.
  std::size_t compare_prefixes(std::size_t key_bytes, std::size_t prefix_bytes,
                               std::size_t rounds) {
    ReadTxn txn(*env_);
    const TreeReader reader(txn, "numbers");
    std::size_t unsure = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
      Bytes prefix = some_key(key_bytes);
      prefix.resize(prefix_bytes);
      const std::array<ByteSpan, 1> spans = {ByteSpan(prefix)};
      std::array<TreeReader::Entry, 1> found;
      reader.find_prefixes(spans, found);
      std::size_t count = 0;
      auto at = keys_.lower_bound(prefix);
      const auto begins_so = [&] {
        return at != keys_.end() && std::equal(prefix.begin(), prefix.end(), at->begin());
      };
      for (; begins_so(); ++at) ++count;
      if (found[0].answer == Answer::Unsure) {
        ++unsure;
      } else if (found[0].answer == Answer::Absent) {
        EXPECT_EQ(count, 0U);
      } else {
        EXPECT_EQ(count, 1U);
        EXPECT_TRUE(std::ranges::equal(found[0].key.first(prefix_bytes), prefix));
      }
    }
    return unsure;
  }

  // One key after the other, most of them near the one before.
  void compare_near(std::size_t key_bytes, std::size_t rounds) {
    ReadTxn txn(*env_);
    TreeReader reader(txn, "numbers");
    Bytes key = some_key(key_bytes);
    for (std::size_t round = 0; round < rounds; ++round) {
      auto at = keys_.lower_bound(key);
      for (std::size_t steps = random_() % 8; steps > 0 && at != keys_.begin(); --steps) --at;
      const bool is_elsewhere = at == keys_.end() || at == keys_.begin() || random_() % 10 == 0;
      key = is_elsewhere ? some_key(key_bytes) : *at;
      if (random_() % 4 == 0) ++key.back();
      const auto found = reader.find_near(key);
      if (keys_.empty()) {
        EXPECT_EQ(found.answer, Answer::Unsure);
        continue;
      }
      const auto expected = txn.get(table_, key);
      ASSERT_EQ(found.answer, expected ? Answer::Found : Answer::Absent);
      if (!expected) continue;
      EXPECT_TRUE(std::ranges::equal(found.key, key));
      EXPECT_EQ(found.value.data(), expected->data());
      EXPECT_EQ(found.value.size(), expected->size());
    }
  }

  // The last key not above each, and those before it. How many were not known.
  std::size_t compare_last(std::size_t key_bytes, std::size_t rounds) {
    ReadTxn txn(*env_);
    const TreeReader reader(txn, "numbers");
    std::size_t unknown = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
      std::vector<Bytes> keys(1 + random_() % TreeReader::kTogether);
      for (auto& key : keys) key = some_key(key_bytes);
      const std::vector<ByteSpan> spans(keys.begin(), keys.end());
      std::array<TreeReader::Place, TreeReader::kTogether> room;
      const auto places = std::span(room).first(keys.size());
      reader.find_last(spans, places);
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (!places[i].is_known()) {
          ++unknown;
          continue;
        }
        auto after = keys_.upper_bound(keys[i]);
        do {
          if (after == keys_.begin()) {
            ADD_FAILURE() << "a key where none is";
            break;
          }
          EXPECT_TRUE(std::ranges::equal(places[i].key(), *--after));
        } while (places[i].previous());
      }
    }
    return unknown;
  }

  [[nodiscard]] Env& env() { return *env_; }

 private:
  static Bytes number(std::uint64_t value, std::size_t bytes) {
    Bytes key(bytes);
    for (std::size_t i = bytes; i-- > 0; value >>= 8) key[i] = static_cast<std::uint8_t>(value);
    return key;
  }

  Bytes random_key(std::size_t bytes) {
    Bytes key(bytes);
    for (auto& byte : key) byte = static_cast<std::uint8_t>(random_());
    return key;
  }

  test::TempDir dir_;
  std::mt19937 random_;
  std::unique_ptr<Env> env_;
  Dbi table_;
  std::set<Bytes> keys_;
};

TEST(TreeReader, FindsWhatLiblmdbFinds) {
  for (const std::size_t count : {0U, 1U, 3U, 60U, 4'000U, 20'000U}) {
    for (const std::size_t key_bytes : {3U, 5U, 8U, 13U, 26U}) {
      SCOPED_TRACE(std::to_string(count) + " keys of " + std::to_string(key_bytes));
      if (count == 20'000 && key_bytes != 5) continue;
      Table table(static_cast<unsigned>(count + key_bytes));
      table.fill(count, key_bytes, key_bytes == 5);
      table.compare(key_bytes, 200);
      table.compare_near(key_bytes, 1'000);
      table.erase_some();
      table.compare(key_bytes, 200);
      table.compare_near(key_bytes, 1'000);
    }
  }
}

TEST(TreeReader, FindsTheLastKeyNotAbove) {
  for (const std::size_t count : {0U, 1U, 60U, 20'000U}) {
    for (const bool with_values : {false, true}) {
      Table table(static_cast<unsigned>(count));
      table.fill(count, 13, false, with_values);
      // Below the first key of all there is none.
      const std::size_t unknown = table.compare_last(13, 200);
      EXPECT_TRUE(count < 20'000 || unknown < 20) << unknown;
      table.erase_some();
      (void)table.compare_last(13, 200);
    }
  }
}

TEST(TreeReader, FindsTheOnlyKeyWithAPrefix) {
  Table table(1);
  table.fill(20'000, 13, false, false);
  // A page holds a hundred keys: only the last one's neighbour is on another.
  EXPECT_LT(table.compare_prefixes(13, 8, 2'000), 200U);
  (void)table.compare_prefixes(13, 2, 2'000);
}

TEST(TreeReader, LeavesATableThatIsNotThereToLiblmdb) {
  Table table(1);
  ReadTxn txn(table.env());
  const TreeReader reader(txn, "letters");
  const Bytes key = {1};
  const std::array<ByteSpan, 1> keys = {ByteSpan(key)};
  std::array<TreeReader::Entry, 1> found;
  reader.find(keys, found);
  EXPECT_EQ(found[0].answer, Answer::Unsure);
  EXPECT_TRUE(txn.ok());
}

}  // namespace

}  // namespace nostril::lmdb
