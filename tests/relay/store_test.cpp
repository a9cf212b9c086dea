#include "relay/store/store.h"

#include "events/kinds.h"
#include "relay/store/compact.h"
#include "relay/store/pending_keys.h"
#include "tests/relay/store_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace nostril::relay {

namespace {

using test::author;
using test::make_event;
using test::put;
using test::query;

std::string hex_of(const Event& event) {
  return encode_hex(event.id);
}

std::string address_of(unsigned author_number, std::uint32_t kind, const std::string& d) {
  return std::to_string(kind) + ":" + encode_hex(author(author_number)) + ":" + d;
}

class StoreTest : public testing::Test {
 protected:
  [[nodiscard]] bool has(const Event& event) { return store_->has_id(event.id); }

  void TearDown() override {
    if (store_ && !is_damaged_) test::expect_consistent(*store_);
  }

  void reopen(const StoreOptions& options = test::test_options()) {
    store_.reset();
    store_ = test::open_store(dir_.path(), options);
  }

  bool is_damaged_ = false;  // on purpose
  test::TempDir dir_;
  std::unique_ptr<Store> store_ = test::open_store(dir_.path());
};

TEST_F(StoreTest, KeepsAnEventOverReopening) {
  const Event event = make_event(1, 100, 1, {{"t", "tag"}}, "hello");
  EXPECT_EQ(put(*store_, event), PutResult::Stored);
  EXPECT_EQ(put(*store_, event), PutResult::Duplicate);
  reopen();
  ReadTxn txn = store_->read();
  const auto record = store_->find(txn, event.id);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(to_json(*record->to_event()), to_json(event));
  EXPECT_FALSE(store_->has_id(txn, make_event(1, 101, 1).id));
}

TEST_F(StoreTest, RefusesEphemeralKindsAndTimesOutOfRange) {
  EXPECT_EQ(put(*store_, make_event(1, 100, 20000)), PutResult::Ephemeral);
  EXPECT_EQ(put(*store_, make_event(1, 100, 21059)), PutResult::Ephemeral);
  EXPECT_EQ(put(*store_, make_event(1, kCreatedAtMax + 1, 1)), PutResult::OutOfRange);
  EXPECT_EQ(put(*store_, make_event(1, kCreatedAtMax, 1)), PutResult::Stored);
  EXPECT_EQ(put(*store_, make_event(1, 0, 1)), PutResult::Stored);
  EXPECT_EQ(query(*store_, {Filter()}).size(), 2U);
}

TEST_F(StoreTest, ReplacesByTheLaterVersion) {
  for (const std::uint32_t kind : {0U, 3U, 10002U}) {
    const Event old_one = make_event(1, 100, kind, {}, "old");
    const Event new_one = make_event(1, 101, kind, {}, "new");
    const Event others = make_event(2, 99, kind, {}, "of another author");
    EXPECT_EQ(put(*store_, old_one), PutResult::Stored);
    EXPECT_EQ(put(*store_, others), PutResult::Stored);
    EXPECT_EQ(put(*store_, new_one), PutResult::Stored);
    EXPECT_EQ(put(*store_, old_one), PutResult::HaveNewer);
    EXPECT_FALSE(has(old_one));
    EXPECT_TRUE(has(new_one));
    EXPECT_TRUE(has(others));
  }
}

TEST_F(StoreTest, OfTheSameSecondKeepsTheLowestId) {
  Event low = make_event(1, 100, 0, {}, "a");
  Event high = make_event(1, 100, 0, {}, "b");
  if (high.id < low.id) std::swap(low, high);
  EXPECT_EQ(put(*store_, high), PutResult::Stored);
  EXPECT_EQ(put(*store_, low), PutResult::Stored);
  EXPECT_EQ(put(*store_, high), PutResult::HaveNewer);
  EXPECT_TRUE(has(low));
  EXPECT_FALSE(has(high));
}

TEST_F(StoreTest, TellsLongDTagsApartThatBeginAlike) {
  const std::string common(500, 'd');
  const Event one = make_event(1, 100, 30023, {{"d", common + "1"}});
  const Event two = make_event(1, 100, 30023, {{"d", common + "2"}});
  const Event two_again = make_event(1, 101, 30023, {{"d", common + "2"}});
  EXPECT_EQ(put(*store_, one), PutResult::Stored);
  EXPECT_EQ(put(*store_, two), PutResult::Stored);
  EXPECT_EQ(put(*store_, two_again), PutResult::Stored);
  EXPECT_TRUE(has(one));
  EXPECT_FALSE(has(two));
}

TEST_F(StoreTest, TakesAMissingDAsTheEmptyOne) {
  const Event none = make_event(1, 100, 30023);
  const Event without_value = make_event(1, 101, 30023, {{"d"}});
  const Event empty = make_event(1, 102, 30023, {{"d", ""}, {"d", "second"}});
  EXPECT_EQ(put(*store_, none), PutResult::Stored);
  EXPECT_EQ(put(*store_, without_value), PutResult::Stored);
  EXPECT_EQ(put(*store_, empty), PutResult::Stored);
  EXPECT_EQ(store_->count(), 1U);
}

TEST_F(StoreTest, FindsTagValuesOfAnyLength) {
  for (const std::size_t size : {1U, 63U, 64U, 65U, 255U, 256U, 600U, 4000U}) {
    const std::string value(size, 'v');
    const Event event = make_event(1, static_cast<std::int64_t>(size), 1, {{"t", value}});
    ASSERT_EQ(put(*store_, event), PutResult::Stored);
    Filter filter;
    filter.tags.push_back({'t', {value}});
    EXPECT_EQ(query(*store_, {filter}), std::vector{event.id}) << size;
  }
}

TEST_F(StoreTest, DeletesOwnEventsById) {
  const Event mine = make_event(1, 100, 1, {}, "mine");
  const Event theirs = make_event(2, 100, 1, {}, "theirs");
  test::put_all(*store_, {mine, theirs});
  const Event deletion =
      make_event(1, 101, 5, {{"e", hex_of(mine)}, {"e", hex_of(theirs)}, {"k", "7"}});
  EXPECT_EQ(put(*store_, deletion), PutResult::Stored);
  EXPECT_FALSE(has(mine));
  EXPECT_TRUE(has(theirs));
  EXPECT_TRUE(has(deletion));
  EXPECT_EQ(put(*store_, mine), PutResult::Deleted);
}

TEST_F(StoreTest, BlocksAnEventWhoseDeletionCameFirst) {
  const Event event = make_event(1, 100, 1);
  EXPECT_EQ(put(*store_, make_event(1, 90, 5, {{"e", hex_of(event)}})), PutResult::Stored);
  EXPECT_EQ(put(*store_, event), PutResult::Deleted);
  // Another author's deletion of it blocks nothing.
  const Event other = make_event(1, 101, 1);
  EXPECT_EQ(put(*store_, make_event(2, 90, 5, {{"e", hex_of(other)}})), PutResult::Stored);
  EXPECT_EQ(put(*store_, other), PutResult::Stored);
}

// NIP-59: the key that signed it is gone.
TEST_F(StoreTest, DeletesAGiftWrapForWhomItIs) {
  const auto wrap = [](std::uint32_t kind, const std::string& name) {
    return make_event(1, 100, kind, {{name, encode_hex(author(2))}, {"p", encode_hex(author(3))}});
  };
  const Event first = wrap(kinds::kGiftWrap, "p");
  const Event second = wrap(kinds::kGiftWrap, "P");
  const Event note = wrap(1, "p");
  test::put_all(*store_, {first, second, note});
  const auto deletion = [&](unsigned by, const Event& event) {
    return make_event(by, 101, 5, {{"e", hex_of(event)}});
  };
  test::put_all(*store_, {deletion(4, first), deletion(2, second), deletion(2, note)});
  EXPECT_TRUE(has(first) && has(second) && has(note));
  test::put_all(*store_, {deletion(2, first), deletion(3, second)});
  EXPECT_FALSE(has(first) || has(second));
  EXPECT_EQ(put(*store_, first), PutResult::Deleted);
  EXPECT_EQ(put(*store_, second), PutResult::Deleted);
}

TEST_F(StoreTest, ADeletionOfADeletionUndoesNothing) {
  const Event event = make_event(1, 100, 1);
  const Event deletion = make_event(1, 101, 5, {{"e", hex_of(event)}});
  const Event undo = make_event(1, 102, 5, {{"e", hex_of(deletion)}});
  test::put_all(*store_, {event, deletion, undo});
  EXPECT_TRUE(has(deletion));
  EXPECT_EQ(put(*store_, event), PutResult::Deleted);
  // Nor when it comes before the deletion.
  const Event second = make_event(1, 103, 1);
  const Event second_deletion = make_event(1, 104, 5, {{"e", hex_of(second)}});
  put(*store_, make_event(1, 105, 5, {{"e", hex_of(second_deletion)}}));
  EXPECT_EQ(put(*store_, second_deletion), PutResult::Stored);
  EXPECT_EQ(put(*store_, second), PutResult::Deleted);
}

TEST_F(StoreTest, DeletesAnAddressUpToTheTimeOfTheDeletion) {
  const Event old_one = make_event(1, 100, 30023, {{"d", "x"}}, "old");
  const Event others = make_event(2, 100, 30023, {{"d", "x"}}, "others");
  test::put_all(*store_, {old_one, others});
  const Event deletion =
      make_event(1, 200, 5, {{"a", address_of(1, 30023, "x")}, {"a", address_of(2, 30023, "x")}});
  EXPECT_EQ(put(*store_, deletion), PutResult::Stored);
  EXPECT_FALSE(has(old_one));
  EXPECT_TRUE(has(others));
  EXPECT_EQ(put(*store_, make_event(1, 200, 30023, {{"d", "x"}})), PutResult::Deleted);
  const Event later = make_event(1, 201, 30023, {{"d", "x"}});
  EXPECT_EQ(put(*store_, later), PutResult::Stored);
  // An earlier deletion that comes late takes nothing back.
  EXPECT_EQ(put(*store_, make_event(1, 150, 5, {{"a", address_of(1, 30023, "x")}})),
            PutResult::Stored);
  EXPECT_TRUE(has(later));
  EXPECT_EQ(put(*store_, make_event(1, 199, 30023, {{"d", "x"}})), PutResult::Deleted);
}

TEST_F(StoreTest, DeletesAReplaceableEventByItsAddress) {
  const Event profile = make_event(1, 100, 0);
  put(*store_, profile);
  put(*store_, make_event(1, 101, 5, {{"a", address_of(1, 0, "not-empty")}}));
  EXPECT_TRUE(has(profile));
  put(*store_, make_event(1, 102, 5, {{"a", address_of(1, 0, "")}}));
  EXPECT_FALSE(has(profile));
}

TEST_F(StoreTest, RefusesExpiredAndSweepsWhatExpires) {
  const Event at_200 = make_event(1, 100, 1, {{"expiration", "200"}});
  const Event at_300 = make_event(1, 101, 1, {{"expiration", "300"}});
  const Event never = make_event(1, 102, 1);
  EXPECT_EQ(put(*store_, at_200, 200), PutResult::Expired);
  EXPECT_EQ(put(*store_, at_200, 199), PutResult::Stored);
  EXPECT_EQ(put(*store_, at_300, 199), PutResult::Stored);
  EXPECT_EQ(put(*store_, never, 199), PutResult::Stored);
  ScanOptions at_now;
  at_now.now_s = 200;
  EXPECT_EQ(query(*store_, {Filter()}, at_now), (std::vector{never.id, at_300.id}));
  EXPECT_EQ(store_->sweep(300, 1).value().removed, 1U);  // bounded
  EXPECT_FALSE(has(at_200));
  EXPECT_TRUE(has(at_300));
  EXPECT_EQ(store_->sweep(300, 10).value().removed, 1U);
  EXPECT_EQ(store_->sweep(300, 10).value().removed, 0U);
  EXPECT_EQ(store_->count(), 1U);
}

TEST_F(StoreTest, AnExpiredVersionDoesNotHoldItsAddress) {
  const Event newer = make_event(1, 200, 0, {{"expiration", "300"}});
  const Event older = make_event(1, 100, 0);
  put(*store_, newer, 250);
  EXPECT_EQ(put(*store_, older, 250), PutResult::HaveNewer);
  EXPECT_EQ(put(*store_, older, 300), PutResult::Stored);
  EXPECT_FALSE(has(newer));
}

TEST_F(StoreTest, ErasesWithoutATrace) {
  const Event event =
      make_event(1, 100, 1, {{"e", std::string(64, 'a')}, {"e", std::string(64, 'a')}});
  put(*store_, event);
  EXPECT_EQ(store_->erase(std::vector{event.id, make_event(3, 1, 1).id}).value(), 1U);
  EXPECT_EQ(store_->count(), 0U);
  EXPECT_EQ(put(*store_, event), PutResult::Stored);
}

// What is remembered of a number (EventCache) stays true.
TEST_F(StoreTest, NeverUsesANumberAgain) {
  const auto number = [&](const Event& event) {
    ReadTxn txn = store_->read();
    lmdb::Cursor by_id(txn, store_->tables().by_id);
    return store_->position_of(txn, by_id, event.id).value().sequence();
  };
  std::set<Sequence> used;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3; ++i) {
      const Event event = make_event(1, 100 + i, 1);
      put(*store_, event);
      EXPECT_TRUE(used.insert(number(event)).second) << round << " " << i;
      EXPECT_EQ(store_->erase(std::vector{event.id}).value(), 1U);
    }
    const Event profile = make_event(0, 100 + round, 1);
    put(*store_, profile);  // takes the place of the one before, the newest
    EXPECT_TRUE(used.insert(number(profile)).second) << round;
    reopen();
  }
  test::expect_consistent(*store_);
}

// Two events of one second whose ids share 7 bytes: found by 2^28 tries.
TEST_F(StoreTest, OrdersTiesByTheWholeIdWhateverComesFirst) {
  const Event one = make_event(1, 100, 1, {}, "tie 06a94d5d");
  const Event two = make_event(1, 100, 1, {}, "tie 0cf84899");
  ASSERT_TRUE(std::equal(one.id.bytes.begin(), one.id.bytes.begin() + 7, two.id.bytes.begin()));
  const auto& [low, high] = std::minmax(one.id, two.id);
  const Event between = make_event(1, 100, 7, {{"t", "x"}});
  for (const bool is_one_first : {true, false}) {
    for (const bool is_one_batch : {true, false}) {
      test::TempDir dir;
      const auto store = test::open_store(dir.path());
      const Event& first = is_one_first ? one : two;
      const Event& second = is_one_first ? two : one;
      if (is_one_batch) {
        test::put_all(*store, {first, between, second});
      } else {
        for (const Event& event : {first, between, second}) put(*store, event);
      }
      Filter notes;
      notes.kinds = {1};
      EXPECT_EQ(query(*store, {notes}), (std::vector{low, high}));
      test::expect_consistent(*store);
      EXPECT_EQ(put(*store, first), PutResult::Duplicate);
      EXPECT_EQ(store->count(), 3U);
      EXPECT_EQ(store->erase(std::vector{low}).value(), 1U);
      test::expect_consistent(*store);
    }
  }
}

Event vanish(unsigned who, std::int64_t at, const std::string& relay = "ALL_RELAYS") {
  return make_event(who, at, kinds::kVanish, {{"relay", relay}});
}

std::vector<EventId> sorted_ids(std::vector<Event> events) {
  std::ranges::sort(events, test::ModelStore::newer);
  return test::ids_of(events);
}

TEST_F(StoreTest, ForgetsWhoAsksToVanish) {
  const Event note = make_event(1, 100, 1);
  const Event profile = make_event(1, 110, 0);
  const Event at_once = make_event(1, 200, 1);
  const Event later = make_event(1, 201, 1);
  const Event of_other = make_event(2, 100, 1);
  const Event wrap = make_event(3, 150, kinds::kGiftWrap, {{"p", encode_hex(author(1))}});
  const Event later_wrap = make_event(3, 201, kinds::kGiftWrap, {{"p", encode_hex(author(1))}});
  const Event mention = make_event(3, 150, 1, {{"p", encode_hex(author(1))}});
  test::put_all(*store_, {note, profile, at_once, later, of_other, wrap, later_wrap, mention});
  const Event request = vanish(1, 200);
  EXPECT_EQ(put(*store_, request), PutResult::Stored);
  EXPECT_EQ(query(*store_, {Filter()}),
            sorted_ids({later, of_other, later_wrap, mention, request}));
  for (const Event& event : {note, profile, at_once, wrap}) {
    EXPECT_EQ(put(*store_, event), PutResult::Vanished) << "never again";
  }
  EXPECT_EQ(put(*store_, vanish(1, 199)), PutResult::Vanished) << "nothing is left to ask";
  EXPECT_EQ(put(*store_, request), PutResult::Duplicate);
  EXPECT_EQ(put(*store_, make_event(1, 300, 5, {{"e", encode_hex(request.id)}})),
            PutResult::Stored);
  EXPECT_TRUE(has(request)) << "a deletion has no effect on it";
  EXPECT_EQ(put(*store_, make_event(1, 301, 1)), PutResult::Stored) << "a new life";
  EXPECT_EQ(put(*store_, vanish(1, 400)), PutResult::Stored);
  EXPECT_FALSE(has(request)) << "the newest says it all";
  reopen();
  EXPECT_EQ(put(*store_, note), PutResult::Vanished);
  EXPECT_EQ(put(*store_, make_event(1, 400, 1)), PutResult::Vanished);
}

TEST_F(StoreTest, ARequestToVanishIsForTheRelaysItNames) {
  const Event note = make_event(1, 100, 1);
  StoreOptions nameless = test::test_options();
  nameless.address.reset();
  const test::TempDir other_dir;
  const auto other_store = test::open_store(other_dir.path(), nameless);
  for (Store* store : {store_.get(), other_store.get()}) put(*store, note);
  EXPECT_EQ(put(*other_store, vanish(1, 201, "wss://here.example/")), PutResult::Stored);
  EXPECT_TRUE(other_store->has_id(note.id)) << "it knows of no address";
  for (const char* other :
       {"wss://here.example/path", "wss://here.example:8443", "https://here.example",
        "wss://user@here.example", "here.example", "wss://other.example", "all_relays", ""}) {
    EXPECT_EQ(put(*store_, vanish(1, 203, other)), PutResult::Stored) << other;
  }
  EXPECT_TRUE(has(note));
  reopen(nameless);  // the file knows
  EXPECT_EQ(put(*store_, vanish(1, 204, "ws://Here.example:80/")), PutResult::Stored);
  EXPECT_FALSE(has(note));
}

TEST_F(StoreTest, ARequestToVanishMayNameALoopbackAddressWhereTheRelayHasOne) {
  ASSERT_TRUE(store_->set_address(RelayAddress::on_loopback(7447)));
  const Event first = make_event(1, 100, 1);
  put(*store_, first);
  for (const char* other : {"ws://localhost:7448", "ws://127.0.0.1:7447/path", test::kOwnUrl}) {
    EXPECT_EQ(put(*store_, vanish(1, 203, other)), PutResult::Stored) << other;
  }
  EXPECT_TRUE(has(first));
  EXPECT_EQ(put(*store_, vanish(1, 204, "ws://localhost:7447/")), PutResult::Stored);
  EXPECT_FALSE(has(first));
  // Nobody's address any more: also not when the file is opened again.
  ASSERT_TRUE(store_->set_address(std::nullopt));
  StoreOptions nameless = test::test_options();
  nameless.address.reset();
  reopen(nameless);
  const Event second = make_event(2, 100, 1);
  put(*store_, second);
  EXPECT_EQ(put(*store_, vanish(2, 204, "ws://localhost:7447/")), PutResult::Stored);
  EXPECT_TRUE(has(second));
}

// What a deletion has marked is a trace too; but a later deletion still holds.
TEST_F(StoreTest, ForgetsTheDeletionsOfWhoVanished) {
  const Event kept = make_event(1, 300, 1);
  const auto id = encode_hex(kept.id);
  const std::string address = "30023:" + encode_hex(author(1)) + ":x";
  const auto deletion = [&](std::int64_t at, const std::string& of) {
    return make_event(1, at, 5, {{"e", of}, {"a", address}}, std::to_string(at));
  };
  const std::string other = std::string(64, 'a');
  test::put_all(*store_, {deletion(100, other), deletion(101, id)});
  const auto marks = [&] {
    ReadTxn txn = store_->read();
    return std::pair(txn.entries(store_->tables().deleted_ids),
                     txn.entries(store_->tables().deleted_addresses));
  };
  EXPECT_EQ(marks(), std::pair(2UL, 1UL));
  put(*store_, deletion(250, other));
  EXPECT_EQ(put(*store_, vanish(1, 200)), PutResult::Stored);
  EXPECT_EQ(marks(), std::pair(1UL, 1UL)) << "those of the later one";
  EXPECT_EQ(put(*store_, kept), PutResult::Stored) << "its deletion is gone";
  EXPECT_EQ(put(*store_, make_event(1, 240, 30023, {{"d", "x"}})), PutResult::Deleted);
  EXPECT_EQ(put(*store_, vanish(1, 400)), PutResult::Stored);
  EXPECT_EQ(marks(), std::pair(0UL, 0UL));
}

// More than one transaction may remove: the rest goes by and by, over a restart too.
TEST_F(StoreTest, AMillionEventsVanishSomeAtATime) {
  std::vector<Event> events;
  for (int i = 0; i < 700; ++i) {
    events.push_back(make_event(1, 100 + i, 1, {}, std::to_string(i)));
    events.push_back(make_event(2, 100 + i, 1, {{"p", encode_hex(author(1))}}, std::to_string(i)));
    events.push_back(make_event(3, 100 + i, kinds::kGiftWrap, {{"p", encode_hex(author(1))}},
                                std::to_string(i)));
  }
  test::put_all(*store_, events);
  EXPECT_EQ(put(*store_, vanish(1, 1'000)), PutResult::Stored);
  const std::uint64_t left = store_->count();
  EXPECT_LT(left, 3U * 700);
  EXPECT_GT(left, 700U + 1);
  EXPECT_EQ(put(*store_, events[0]), PutResult::Vanished) << "what is removed stays away";
  const auto waits = std::ranges::find_if(events, [&](const Event& event) {
    return event.pubkey == author(1) && store_->has_id(event.id);
  });
  ASSERT_NE(waits, events.end());
  EXPECT_EQ(store_->known(*waits), PutResult::Vanished) << "stored still, but not taken";
  EXPECT_EQ(put(*store_, *waits), PutResult::Vanished);
  test::expect_consistent(*store_);
  reopen();
  int sweeps = 0;
  while (store_->sweep(0, 100).value().is_behind) {
    ASSERT_LT(++sweeps, 100);
    test::expect_consistent(*store_);
  }
  EXPECT_GT(sweeps, 5);
  EXPECT_EQ(store_->count(), 700U + 1) << "the other's notes, and the request";
}

StoreOptions with_search(bool is_on = true) {
  StoreOptions options = test::test_options();
  options.search = is_on;
  return options;
}

// check() compares the index of words with the records, both ways.
TEST_F(StoreTest, IndexesWordsWhenSwitchedOn) {
  std::vector<Event> events;
  for (unsigned i = 0; i < 50; ++i) {
    events.push_back(make_event(i % 5, 100 + i, i % 3 == 0 ? 4 : 1,
                                {{"t", "tag" + std::to_string(i)}}, test::wordy_text(i)));
  }
  test::put_all(*store_, {events.begin(), events.begin() + 20});
  EXPECT_FALSE(store_->has_search());
  reopen(with_search());
  EXPECT_TRUE(store_->has_search());
  test::expect_consistent(*store_);
  const auto entries = [&] { return store_->read().entries(store_->tables().words); };
  const std::uint64_t of_20 = entries();
  EXPECT_GT(of_20, 100U);
  test::put_all(*store_, {events.begin() + 20, events.end()});
  EXPECT_GT(entries(), of_20);
  put(*store_, vanish(1, 1'000));
  EXPECT_EQ(put(*store_, make_event(2, 200, 5, {{"e", hex_of(events[2])}})), PutResult::Stored);
  test::expect_consistent(*store_);
  reopen();  // the file knows
  EXPECT_TRUE(store_->has_search());
  StoreOptions read_only = test::test_options();
  read_only.read_only = true;
  const test::TempDir copy;
  {
    const auto reader = test::open_store(dir_.path(), read_only);
    EXPECT_TRUE(reader->has_search());
    ASSERT_TRUE(compact(*reader, copy.path() / "store").has_value());
  }
  const auto compacted = test::open_store(copy.path() / "store", read_only);
  EXPECT_TRUE(compacted->has_search());
  test::expect_consistent(*compacted);
  reopen(with_search(false));
  EXPECT_FALSE(store_->has_search());
  put(*store_, make_event(3, 5'000, 1, {}, "meanwhile"));
  reopen(with_search());
  test::expect_consistent(*store_);
}

TEST_F(StoreTest, AWriterThatKnowsOfNoSearchIsStopped) {
  is_damaged_ = true;
  store_.reset();
  const auto early = test::open_store(dir_.path());
  const auto later = test::open_store(dir_.path(), with_search());
  const auto refused =
      early->put_unverified(std::vector{test::unverified(make_event(1, 100, 1))}, 0);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, testing::HasSubstr("start again"));
  EXPECT_EQ(put(*later, make_event(1, 100, 1, {}, "words")), PutResult::Stored);
  test::expect_consistent(*later);
}

TEST_F(StoreTest, DoesWhatTheSlowModelDoes) {
  reopen(with_search());
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  test::RandomWorld world(seed);
  test::ModelStore model;
  for (int round = 0; round < 60; ++round) {
    std::vector<Event> batch;
    for (std::uint64_t i = world.below(20); i > 0; --i) batch.push_back(world.event());
    const std::int64_t now_s = 1000 + round;
    std::vector<PutResult> expected;
    expected.reserve(batch.size());
    for (const Event& event : batch) expected.push_back(model.put(event, now_s));
    ASSERT_EQ(test::put_all(*store_, batch, now_s), expected) << "round " << round;
  }
  ASSERT_EQ(store_->count(), model.events().size());
  for (const Event& event : model.events()) EXPECT_TRUE(has(event));
}

TEST_F(StoreTest, GrowsItsMapWithoutARestart) {
  EXPECT_EQ(store_->stats().map_bytes, std::size_t{1} << 20);
  std::vector<Event> events;
  events.reserve(3000);
  for (int i = 0; i < 3000; ++i) {
    events.push_back(make_event(1, i, 1, {{"t", std::to_string(i)}}, std::string(1000, 'x')));
  }
  for (const PutResult result : test::put_all(*store_, events)) {
    ASSERT_EQ(result, PutResult::Stored);
  }
  EXPECT_GT(store_->stats().map_bytes, std::size_t{1} << 20);
  EXPECT_EQ(store_->count(), 3000U);
}

TEST_F(StoreTest, RefusesWhatTheLargestMapHasNoRoomFor) {
  StoreOptions options = test::test_options();
  options.map_bytes_max = options.map_bytes_initial;
  reopen(options);
  std::vector<UnverifiedEvent> events;
  events.reserve(2000);
  for (int i = 0; i < 2000; ++i) {
    events.push_back(test::unverified(make_event(1, i, 1, {}, std::string(1000, 'x'))));
  }
  const auto refused = store_->put_unverified(events, 0);
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().is_disk_full);
  EXPECT_EQ(store_->count(), 0U);
  EXPECT_TRUE(store_->put_unverified(std::span(events).first(1), 0).has_value());
  EXPECT_EQ(store_->count(), 1U);
}

TEST_F(StoreTest, CompactsToAnEqualCopy) {
  std::vector<Event> events;
  events.reserve(500);
  for (int i = 0; i < 500; ++i) events.push_back(make_event(1, i, 1, {}, std::to_string(i)));
  test::put_all(*store_, events);
  test::TempDir copy_dir;
  ASSERT_TRUE(compact(*store_, copy_dir.path() / "copy").has_value());
  const auto copy = test::open_store(copy_dir.path() / "copy");
  EXPECT_EQ(copy->count(), 500U);
  test::expect_consistent(*copy);
  EXPECT_FALSE(compact(*store_, copy_dir.path() / "copy").has_value());  // not over another file
}

TEST(PendingKeys, AreWrittenOnceAndSortedAndTellWhenTheyAreTooMany) {
  const test::TempDir dir;
  auto env = lmdb::Env::open(dir.path(), {});
  ASSERT_TRUE(env.has_value());
  const auto one = (*env)->open_table("one", true);
  const auto two = (*env)->open_table("two", true);
  ASSERT_TRUE(one.has_value() && two.has_value());
  lmdb::WriteTxn txn(**env);
  PendingKeys pending;
  std::uint64_t added = 0;
  for (; !pending.is_full(); ++added) {
    pending.add(added % 2 == 0 ? *one : *two, Key().add_integer(added * 7919 % 65536, 4));
  }
  EXPECT_EQ(added, PendingKeys::kCountMax);
  pending.flush(txn);
  EXPECT_FALSE(pending.is_full());
  EXPECT_EQ(txn.entries(*one) + txn.entries(*two), 65536U);
  pending.flush(txn);
  EXPECT_TRUE(txn.ok());
  lmdb::Cursor cursor(txn, *one);
  ASSERT_TRUE(cursor.last());
  EXPECT_EQ(read_integer(cursor.key()), 65534U);  // 7919 is odd: the even ones went there
}

// --- Files that are not as they should be.

// Writes below the store's feet.
void tamper(const std::filesystem::path& path, const char* table, ByteSpan key, ByteSpan value) {
  auto env = lmdb::Env::open(path, {});
  ASSERT_TRUE(env.has_value());
  const auto dbi = (*env)->open_table(table, true);
  ASSERT_TRUE(dbi.has_value());
  lmdb::WriteTxn txn(**env);
  txn.put(*dbi, key, value);
  ASSERT_TRUE(txn.commit().has_value());
}

std::string open_error(const std::filesystem::path& path, const StoreOptions& options) {
  const auto store = Store::open(path, options);
  return store ? "" : store.error().text;
}

TEST_F(StoreTest, RefusesOtherFormats) {
  store_.reset();
  const auto set_format = [this](std::uint32_t format) {
    tamper(dir_.path(), "meta", as_bytes("format"), Key().add_integer(format, 4).span());
  };
  set_format(kStoreFormat + 1);
  EXPECT_THAT(open_error(dir_.path(), {}), testing::HasSubstr("is newer than"));
  set_format(0);
  EXPECT_THAT(open_error(dir_.path(), {}), testing::HasSubstr("is older than"));
  set_format(kStoreFormat);
  EXPECT_EQ(open_error(dir_.path(), test::test_options()), "");
}

TEST_F(StoreTest, RefusesFilesOfOthers) {
  test::TempDir other;
  tamper(other.path(), "somebody's", as_bytes("key"), as_bytes("value"));
  EXPECT_THAT(open_error(other.path(), {}), testing::HasSubstr("not an event store"));
  test::TempDir garbage;
  std::ofstream(garbage.path() / "data.mdb") << std::string(10000, 'x');
  EXPECT_THAT(open_error(garbage.path(), {}), testing::HasSubstr("cannot open"));
  std::ofstream(garbage.path() / "file") << "x";
  EXPECT_THAT(open_error(garbage.path() / "file", {}), testing::HasSubstr("file: "));
}

TEST_F(StoreTest, OpensReadOnlyBesideAWriter) {
  const Event event = make_event(1, 100, 1);
  put(*store_, event);
  store_.reset();
  StoreOptions options = test::test_options();
  options.read_only = true;
  reopen(options);
  EXPECT_TRUE(has(event));
  const std::vector events = {test::unverified(make_event(1, 101, 1))};
  const auto refused = store_->put_unverified(events, 0);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().text, "the store was opened read-only");
  test::TempDir empty;
  EXPECT_THAT(open_error(empty.path() / "none", options), testing::HasSubstr("No such file"));
}

TEST_F(StoreTest, ReportsADirectoryItMayNotWrite) {
  EXPECT_THAT(open_error("/proc/nostril-store", {}),
              testing::StartsWith("cannot open /proc/nostril-store: "));
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  store_.reset();
  std::filesystem::permissions(dir_.path() / "data.mdb", std::filesystem::perms::owner_read);
  EXPECT_THAT(open_error(dir_.path(), {}), testing::HasSubstr("Permission denied"));
}

TEST_F(StoreTest, CheckFindsWhatIsWrong) {
  const Event event = make_event(1, 100, 30023, {{"d", "x"}, {"e", std::string(64, 'a')}});
  put(*store_, event);
  const auto problems_after = [this](const char* table, const Key& key, ByteSpan value) {
    store_.reset();
    tamper(dir_.path(), table, key.span(), value);
    reopen();
    return store_->check(true).problem_count;
  };
  const Sequence missing{77};
  EXPECT_EQ(problems_after("by_id", id_key(event.id, missing), {}), 1U);
  EXPECT_EQ(problems_after("by_expiry", expiry_key(5, missing), {}), 2U);
  EXPECT_EQ(problems_after("by_address", address_key(author(1), 30023, "y"),
                           sequence_key(Sequence{1}).span()),
            3U);
  EXPECT_GT(problems_after("records", sequence_key(Sequence{9}), as_bytes("not a record")), 3U);
  // Reading goes on around the damage, and says so.
  EXPECT_EQ(query(*store_, {Filter()}), std::vector{event.id});
  const auto before = store_->damaged_reads();
  ReadTxn txn = store_->read();
  EXPECT_FALSE(store_->find(txn, Sequence{9}).has_value());
  EXPECT_EQ(store_->damaged_reads(), before + 1);
  is_damaged_ = true;
}

TEST(StoreMessages, HaveNip01Prefixes) {
  EXPECT_TRUE(is_accepted(PutResult::Stored));
  EXPECT_TRUE(is_accepted(PutResult::Duplicate));
  EXPECT_EQ(ok_message(PutResult::Stored), "");
  for (std::size_t i = 1; i < kPutResultCount; ++i) {
    const auto result = static_cast<PutResult>(i);
    EXPECT_EQ(is_accepted(result), result == PutResult::Duplicate);
    EXPECT_THAT(std::string(ok_message(result)),
                testing::MatchesRegex("(duplicate|blocked|invalid|error): .+"));
  }
}

}  // namespace

}  // namespace nostril::relay
