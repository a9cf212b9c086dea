#include "relay/reports.h"

#include "relay/report_keeper.h"
#include "relay/store/store.h"
#include "tests/relay/event_support.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

namespace nostril::relay::test {
namespace {

using Ids = std::vector<EventId>;

class ReportsTest : public testing::Test {
 protected:
  ReportRules rules(std::size_t needed) {
    return {{moderator.sign(1).pubkey, other.sign(1).pubkey}, needed};
  }

  static Event report(Author& by, const Event& event) {
    return by.sign(1984, "", {{"e", hex(event), "spam"}, {"p", encode_hex(event.pubkey)}});
  }

  static Event report_key(Author& by, const Author& of) {
    return by.sign(1984, "", {{"p", of.hex(), "spam"}});
  }

  Author moderator;
  Author other;
  Author alice;
  Author mallory;
};

TEST_F(ReportsTest, RefusesWhatEnoughModeratorsReport) {
  Reports reports(rules(2));
  const Event spam = mallory.sign(1, "spam");
  EXPECT_EQ(reports.add(report(moderator, spam)), Ids{});
  EXPECT_EQ(reports.add(report(moderator, spam)), Ids{});  // the same one
  EXPECT_FALSE(reports.is_refused(spam));
  EXPECT_EQ(reports.add(report(other, spam)), Ids{spam.id});
  EXPECT_TRUE(reports.is_refused(spam));
  EXPECT_FALSE(reports.is_refused(mallory.sign(1, "else")));
  EXPECT_EQ(reports.refused_events(), Ids{spam.id});
}

TEST_F(ReportsTest, RefusesAKeyReportedAsSuch) {
  Reports reports(rules(1));
  EXPECT_EQ(reports.add(report_key(moderator, mallory)), Ids{});
  EXPECT_TRUE(reports.is_refused(mallory.sign(1)));
  EXPECT_FALSE(reports.is_refused(alice.sign(1)));
}

TEST_F(ReportsTest, AReportOfAnEventIsNoneOfItsAuthor) {
  Reports reports(rules(1));
  (void)reports.add(report(moderator, mallory.sign(1, "one")));
  EXPECT_FALSE(reports.is_refused(mallory.sign(1, "two")));
}

TEST_F(ReportsTest, HearsModeratorsOnly) {
  Reports reports(rules(1));
  const Event spam = mallory.sign(1);
  EXPECT_EQ(reports.add(report(alice, spam)), Ids{});
  EXPECT_EQ(reports.add(moderator.sign(1, "", {{"e", hex(spam)}})), Ids{});  // no report
  EXPECT_EQ(reports.add(moderator.sign(1984, "", {{"e", "zz"}, {"e"}})), Ids{});
  EXPECT_FALSE(reports.is_refused(spam));
}

TEST_F(ReportsTest, NeverRefusesAModerator) {
  Reports reports(rules(1));
  const Event note = other.sign(1);
  (void)reports.add(report(moderator, note));
  (void)reports.add(report_key(moderator, other));
  EXPECT_FALSE(reports.is_refused(note));
}

TEST_F(ReportsTest, KeepsWhatComesWhileTheStoredOnesAreRead) {
  Reports reports(rules(1));
  const Event deleted = mallory.sign(1, "deleted");
  const Event stored = mallory.sign(1, "stored");
  const Event late = mallory.sign(1, "late");
  (void)reports.add(report(moderator, deleted));
  reports.begin_again();
  (void)reports.add(report(moderator, late));
  const std::vector<Event> found = {report(other, stored), alice.sign(1)};
  reports.start_with(found);
  EXPECT_FALSE(reports.is_refused(deleted));
  EXPECT_TRUE(reports.is_refused(stored));
  EXPECT_TRUE(reports.is_refused(late));
}

// The keeper, on a real store.
class ReportKeeperTest : public ReportsTest {
 protected:
  ReportKeeperTest() : store(std::move(*Store::open(dir.path() / "store"))) {}

  void put(const Event& event) {
    const std::vector<VerifiedEvent> one = {verified(event)};
    const auto results = store->put(one, SystemClock().unix_s());
    ASSERT_TRUE(results);
    ASSERT_EQ(results->front(), PutResult::Stored);
  }

  void store_and_tell(ReportKeeper& keeper, const Event& event) {
    put(event);
    keeper.on_stored(event);
  }

  static bool soon(const std::function<bool()>& is_true) {
    for (int i = 0; i < 2'000 && !is_true(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return is_true();
  }

  nostril::test::TempDir dir;
  std::unique_ptr<Store> store;
  CommitGate gate{[] {}};
};

TEST_F(ReportKeeperTest, ErasesAStoredEventOnceItIsReported) {
  Reports reports(rules(1));
  ReportKeeper keeper(*store, gate, reports);
  const Event spam = mallory.sign(1, "spam");
  const Event note = alice.sign(1);
  store_and_tell(keeper, spam);
  store_and_tell(keeper, note);
  store_and_tell(keeper, report(moderator, spam));
  EXPECT_TRUE(soon([&] { return !store->has_id(spam.id); }));
  EXPECT_TRUE(store->has_id(note.id));
}

TEST_F(ReportKeeperTest, ErasesWhatWasOnItsWayWhenTheReportCame) {
  Reports reports(rules(1));
  ReportKeeper keeper(*store, gate, reports);
  const Event spam = mallory.sign(1, "spam");
  store_and_tell(keeper, report(moderator, spam));
  store_and_tell(keeper, spam);
  EXPECT_TRUE(soon([&] { return !store->has_id(spam.id); }));
}

TEST_F(ReportKeeperTest, KnowsTheStoredReportsAfterARestart) {
  const Event spam = mallory.sign(1, "spam");
  put(spam);
  put(report(moderator, spam));
  put(report_key(moderator, mallory));
  put(report(alice, alice.sign(1)));
  Reports reports(rules(1));
  const ReportKeeper keeper(*store, gate, reports);
  EXPECT_FALSE(store->has_id(spam.id));
  EXPECT_TRUE(reports.is_refused(mallory.sign(1)));
}

TEST_F(ReportKeeperTest, ADeletedReportIsTakenBack) {
  Reports reports(rules(1));
  ReportKeeper keeper(*store, gate, reports);
  const Event complaint = report_key(moderator, mallory);
  store_and_tell(keeper, complaint);
  EXPECT_TRUE(reports.is_refused(mallory.sign(1)));
  store_and_tell(keeper, moderator.sign(5, "", {{"e", hex(complaint)}}));
  EXPECT_TRUE(soon([&] { return !reports.is_refused(mallory.sign(1)); }));
}

TEST_F(ReportKeeperTest, KeepsModeratorsEvents) {
  const Event note = other.sign(1);
  put(note);
  put(report(moderator, note));
  Reports reports(rules(1));
  const ReportKeeper keeper(*store, gate, reports);
  EXPECT_TRUE(store->has_id(note.id));
}

}  // namespace
}  // namespace nostril::relay::test
