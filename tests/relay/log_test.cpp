#include "relay/store/log.h"

#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <fstream>

namespace nostril::relay {

namespace {

using test::make_event;

constexpr std::size_t kBytes = 8192;

struct Row {
  EventId id;
  std::int64_t now_s = 0;
  bool operator==(const Row&) const = default;
};

class EventLogTest : public testing::Test {
 protected:
  EventLogTest() : log_(open()) { mark_.key.fill(7); }

  std::unique_ptr<EventLog> open() const {
    auto log = std::make_unique<EventLog>(dir_.path(), true);
    EXPECT_TRUE(log->prepare(kBytes).has_value());
    return log;
  }

  bool append(const std::vector<Event>& events, std::int64_t now_s) {
    std::vector<const Event*> pointers;
    for (const Event& event : events) pointers.push_back(&event);
    const auto done = log_->append(mark_, end_, pointers, now_s);
    EXPECT_TRUE(done.has_value());
    return done && *done;
  }

  // What is in the file for `mark_`, by a log that was just opened.
  std::vector<Row> read(EventLog::End* end = nullptr) const {
    EventLog log(dir_.path(), true);
    std::vector<Row> rows;
    const auto found = log.read(mark_, [&](const Event& event, std::int64_t now_s) {
      EXPECT_EQ(compute_id(event), event.id);
      rows.push_back({event.id, now_s});
    });
    EXPECT_TRUE(found.has_value());
    if (found && end != nullptr) *end = *found;
    return rows;
  }

  [[nodiscard]] std::string file() const { return nostril::test::read_file(dir_.path() / "log"); }

  void overwrite(const std::string& bytes) const {
    std::ofstream(dir_.path() / "log", std::ios::binary) << bytes;
  }

  const test::TempDir dir_;
  LogMark mark_;
  std::unique_ptr<EventLog> log_;
  EventLog::End end_{1, 1, 0};
};

TEST_F(EventLogTest, GivesBackWhatWasAppended) {
  EXPECT_EQ(file(), std::string(kBytes, '\0'));
  EXPECT_TRUE(read().empty());
  const Event a = make_event(1, 5, 1, {{"t", "x"}, {"e", std::string(64, 'a')}}, "a");
  const Event b = make_event(2, 6, 30023, {{"d", ""}}, std::string(300, 'b'));
  const Event c = make_event(3, 7, 0);
  ASSERT_TRUE(append({a, b}, 1000));
  ASSERT_TRUE(append({c}, -2));
  EventLog::End end;
  EXPECT_EQ(read(&end), (std::vector<Row>{{a.id, 1000}, {b.id, 1000}, {c.id, -2}}));
  EXPECT_EQ(end.number, 3U);
  EXPECT_EQ(end.at, end_.at);
  EXPECT_EQ(end.epoch, 1U);
  EXPECT_EQ(file().size(), kBytes);
}

TEST_F(EventLogTest, EndsBeforeARecordThatIsNotWhole) {
  const Event a = make_event(1, 5, 1, {}, "a");
  const Event b = make_event(2, 6, 1, {}, "b");
  ASSERT_TRUE(append({a}, 1));
  const std::size_t first = end_.at;
  ASSERT_TRUE(append({b}, 2));
  const std::string whole = file();
  for (std::size_t at = first; at < end_.at; ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    overwrite(changed);
    ASSERT_EQ(read(), (std::vector<Row>{{a.id, 1}})) << at;
    overwrite(whole.substr(0, at));
    ASSERT_EQ(read(), (std::vector<Row>{{a.id, 1}})) << at;
  }
  overwrite(whole);
  EXPECT_EQ(read().size(), 2U);
}

TEST_F(EventLogTest, ReadsOnlyTheEpochAfterTheMarksAndOnlyWithItsKey) {
  ASSERT_TRUE(append({make_event(1, 5, 1)}, 1));
  ASSERT_TRUE(append({make_event(1, 6, 1)}, 1));
  mark_.applied_epoch = 1;
  EXPECT_TRUE(read().empty());
  mark_.applied_epoch = 5;
  EXPECT_TRUE(read().empty());
  mark_ = LogMark{};
  EXPECT_TRUE(read().empty());
}

// The next epoch overwrites the last from its beginning; what is left of that is not its own.
TEST_F(EventLogTest, LeavesOutTheRestOfAnEarlierEpoch) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(append({make_event(1, i, 1)}, 1));
  mark_.applied_epoch = 1;
  end_ = {2, 1, 0};
  const Event next = make_event(1, 9, 1);  // as long as each of the others
  ASSERT_TRUE(append({next}, 1));
  EXPECT_EQ(read(), (std::vector<Row>{{next.id, 1}}));
}

TEST_F(EventLogTest, TellsWhenARecordDoesNotFit) {
  const std::string filler(2000, 'x');
  int taken = 0;
  while (append({make_event(1, taken, 1, {}, filler)}, 1)) ++taken;
  EXPECT_EQ(taken, 3);
  EXPECT_FALSE(append({make_event(1, 9, 1, {}, std::string(2 * kBytes, 'x'))}, 1));
  EXPECT_TRUE(append({make_event(1, 9, 1)}, 1));
  EXPECT_EQ(read().size(), 4U);
}

TEST_F(EventLogTest, SeesThatTheFileIsAheadOfASnapshot) {
  const auto is_ahead = [&] { return EventLog(dir_.path(), true).is_ahead_of(mark_).value(); };
  EXPECT_FALSE(is_ahead());
  end_.epoch = 3;
  ASSERT_TRUE(append({make_event(1, 5, 1)}, 1));
  mark_.applied_epoch = 3;
  EXPECT_FALSE(is_ahead());
  mark_.applied_epoch = 2;
  EXPECT_TRUE(is_ahead());
  mark_.applied_epoch = 1;
  EXPECT_TRUE(is_ahead());
  std::filesystem::remove(dir_.path() / "log");
  EXPECT_FALSE(is_ahead());
}

// What a peer put into an event's content can't be taken for a record, wherever the old bytes lie.
TEST_F(EventLogTest, TakesNoRecordThatWasMadeWithoutTheKey) {
  const Event trap = make_event(1, 5, 1, {}, "never published");
  EventLog::End forged_end{1, 2, end_.at};
  ASSERT_TRUE(append({make_event(1, 5, 1)}, 1));
  forged_end.at = end_.at;
  const Event* pointer = &trap;
  EventLog forger(dir_.path(), true);
  ASSERT_TRUE(forger.prepare(kBytes).has_value());
  ASSERT_TRUE(forger.append(LogMark{}, forged_end, {&pointer, 1}, 1).value());
  EXPECT_EQ(read().size(), 1U);
}

TEST(LogMark, IsFortyBytes) {
  LogMark mark;
  mark.applied_epoch = 0x0102030405060708;
  mark.key.fill(9);
  const Key value = mark.value();
  ASSERT_EQ(value.size(), LogMark::kBytes);
  EXPECT_EQ(value.span()[0], 1);
  EXPECT_EQ(value.span()[7], 8);
  const auto parsed = LogMark::parse(value.span());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->applied_epoch, mark.applied_epoch);
  EXPECT_EQ(parsed->key, mark.key);
  EXPECT_FALSE(LogMark::parse(value.span().first(39)).has_value());
  EXPECT_FALSE(LogMark::parse({}).has_value());
}

}  // namespace

}  // namespace nostril::relay
