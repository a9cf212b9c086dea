#include "bench/relay/load/corpus.h"

#include "base/hex.h"
#include "schnorr/hash.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

namespace nostril::bench {
namespace {

namespace fs = std::filesystem;

std::string digest_of(const std::vector<Event>& events) {
  Sha256 hash;
  for (const Event& event : events) hash.update(to_json(event));
  return encode_hex(hash.finish());
}

// Figures of different days and machines are of the same bytes. When this must change, so must
// kCorpusVersion.
TEST(Corpus, FirstEventsAreTheSameEverywhere) {
  EXPECT_EQ(digest_of(CorpusMaker(1'000).next(300)),
            "ee6d5d27aac19ff6ddd35931b10c6e78616d12066c8727c3ec026bfe9d0e3825");
}

TEST(Corpus, PiecesGiveTheSameEventsAsOneCall) {
  CorpusMaker pieces(200);
  std::vector<Event> events = pieces.next(50);
  for (Event& event : pieces.next(100)) events.push_back(std::move(event));
  const std::vector<Event> whole = CorpusMaker(200).next(150);
  ASSERT_EQ(events.size(), whole.size());
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(events[i].id, whole[i].id) << i;
}

TEST(Corpus, EventsAreRightlySignedAndNoneReplacesAnother) {
  const std::vector<Event> events = CorpusMaker(2'000).next(2'000);
  Verifier verifier;
  std::set<std::string> addresses;
  std::map<std::uint32_t, std::size_t> kinds;
  std::size_t bytes_max = 0;
  std::size_t deep = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    auto unverified = check_id(event);
    ASSERT_TRUE(unverified.has_value());
    EXPECT_TRUE(VerifiedEvent::verify(std::move(*unverified), verifier).has_value()) << i;
    ++kinds[event.kind];
    bytes_max = std::max(bytes_max, to_json(event).size());
    if (event.pubkey == events[1].pubkey) ++deep;
    EXPECT_EQ(event.created_at, events[0].created_at + static_cast<std::int64_t>(i) * kCorpusGapS);
    const bool replaceable = event.kind == kProfile || event.kind == kFollows ||
                             event.kind == kRelayList || event.kind == kArticle;
    if (!replaceable) continue;
    const std::string identifier(event.tags.find("d").value_or(""));
    EXPECT_TRUE(addresses.insert(encode_hex(event.pubkey) + std::to_string(event.kind) + identifier)
                    .second);
  }
  EXPECT_EQ(events.back().created_at, kCorpusNewest);
  EXPECT_EQ(deep, events.size() / 2);
  EXPECT_EQ(kinds.size(), 7U) << "each of the kinds";
  EXPECT_LE(bytes_max, 9'000U);
}

class CorpusFile : public testing::Test {
 protected:
  const test::TempDir temp_;
  const fs::path folder_ = temp_.path();
};

TEST_F(CorpusFile, IsMadeOnceAndReadAgain) {
  std::size_t calls = 0;
  const auto progress = [&](std::size_t, std::size_t) { ++calls; };
  const Corpus made(folder_, 100, progress);
  EXPECT_EQ(calls, 1U);
  const Corpus read(folder_, 100, progress);
  EXPECT_EQ(calls, 1U);
  const std::vector<Event> expected = CorpusMaker(100).next(100);
  ASSERT_EQ(read.size(), 100U);
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read.line(i), to_json(expected[i]));
    EXPECT_EQ(read.events()[i].id, expected[i].id);
    EXPECT_EQ(read.events()[i].tags, expected[i].tags);
    EXPECT_TRUE(read.events()[i].content.empty());
  }
  EXPECT_EQ(read.deep_author(), expected[1].pubkey);
}

TEST_F(CorpusFile, DamagedOrShortIsRefused) {
  const fs::path path = Corpus(folder_, 100, nullptr).path();
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t at = text.find("\"content\":\"") + 12;
  file.seekp(static_cast<std::streamoff>(at));
  file.put(text[at] == 'x' ? 'y' : 'x');
  file.close();
  EXPECT_THROW(Corpus(folder_, 100, nullptr), std::runtime_error);

  std::ofstream(path, std::ios::binary | std::ios::trunc) << text.substr(0, text.find('\n') + 1);
  EXPECT_THROW(Corpus(folder_, 100, nullptr), std::runtime_error);
}

}  // namespace
}  // namespace nostril::bench
