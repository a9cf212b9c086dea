// How far a store is in its cluster's stream, as durable as the events are.
#include "relay/store/logged_writes.h"
#include "relay/store/transaction.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

namespace nostril::relay::test {
namespace {

const StreamIdentity kStream{"c", 1'700'000'000'123'456'789};

class PositionTest : public testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<Store> open() const {
    StoreOptions options = test_options();
    options.log_bytes = std::size_t{1} << 16;
    return open_store(dir_.path(), options);
  }

  static Event note(int number) { return signed_by(1, make_event(1, 1'000 + number, 1)); }

  static PutResult put(LoggedWrites& writes, const Event& event, std::uint64_t sequence,
                       bool may_log = true) {
    const std::vector events = {verified(event)};
    const auto results = writes.put(events, 0, may_log, sequence);
    return results ? (*results)[0] : PutResult::Failed;
  }

  std::uint64_t sequence_found() { return open()->stream_position().value().sequence; }

  const TempDir dir_;
};

TEST_F(PositionTest, IsKeptWithItsStream) {
  EXPECT_FALSE(open()->stream_position());
  ASSERT_TRUE(open()->set_stream_position({kStream, 7}).has_value());
  EXPECT_EQ(open()->stream_position(), (StreamPosition{kStream, 7}));
}

TEST_F(PositionTest, ComesWithTheEventsThatTheTablesTake) {
  const auto store = open();
  ASSERT_TRUE(store->set_stream_position({kStream, 0}).has_value());
  LoggedWrites writes(*store);
  EXPECT_EQ(put(writes, note(1), 3, false), PutResult::Stored);
  EXPECT_EQ(store->stream_position()->sequence, 3U);
}

// The process ends with both in the log: the next has both, or it would apply the first again.
TEST_F(PositionTest, ComesWithTheEventsThatTheLogTakes) {
  {
    const auto store = open();
    ASSERT_TRUE(store->set_stream_position({kStream, 0}).has_value());
    LoggedWrites writes(*store);
    EXPECT_EQ(put(writes, note(1), 1), PutResult::Stored);
    EXPECT_EQ(put(writes, note(2), 2), PutResult::Stored);
    ASSERT_EQ(writes.batches_in_log(), 2U);
    EXPECT_EQ(store->stream_position()->sequence, 0U);
  }
  const auto store = open();
  EXPECT_EQ(store->replayed(), 2U);
  EXPECT_EQ(store->stream_position(), (StreamPosition{kStream, 2}));
  EXPECT_EQ(store->count(), 2U);
}

TEST_F(PositionTest, OfWhatHadNoEffectMayBeBehind) {
  {
    const auto store = open();
    ASSERT_TRUE(store->set_stream_position({kStream, 0}).has_value());
    LoggedWrites writes(*store);
    EXPECT_EQ(put(writes, note(1), 1), PutResult::Stored);
    EXPECT_EQ(put(writes, note(1), 2), PutResult::Duplicate);
    ASSERT_TRUE(writes.commit().has_value());
    EXPECT_EQ(store->stream_position()->sequence, 2U);  // went with the other
    EXPECT_EQ(put(writes, note(1), 3), PutResult::Duplicate);
  }
  EXPECT_EQ(sequence_found(), 2U);
}

TEST_F(PositionTest, OfAStoreThatIsInNoClusterIsNotMadeUp) {
  const auto store = open();
  LoggedWrites writes(*store);
  EXPECT_EQ(put(writes, note(1), 5, false), PutResult::Stored);
  EXPECT_FALSE(store->stream_position());
}

TEST(StreamPosition, IsReadStrictly) {
  const Bytes value = StreamPosition{kStream, 9}.value();
  EXPECT_EQ(StreamPosition::parse(value), (StreamPosition{kStream, 9}));
  EXPECT_FALSE(StreamPosition::parse(ByteSpan(value).first(16)));
  EXPECT_FALSE(StreamPosition::parse({}));
  Bytes longer = value;
  longer.resize(16 + StreamPosition::kNameBytesMax + 1, 'x');
  EXPECT_FALSE(StreamPosition::parse(longer));
}

}  // namespace
}  // namespace nostril::relay::test
