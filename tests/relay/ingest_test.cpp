#include "relay/ingest.h"

#include "tests/relay/event_support.h"
#include "tests/support/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace nostril::relay::test {
namespace {

using nostril::test::Gate;
using Lock = std::unique_lock<std::mutex>;

constexpr std::chrono::seconds kWaitMax{20};

/// Keeps all that comes, and with it its credits, until the test lets go.
class FakeDeliveries final : public Deliveries {
 public:
  void committed(std::shared_ptr<const Committed> committed) override {
    if (writer_gate != nullptr) writer_gate->wait();
    const Lock lock(mutex_);
    commits_.push_back(std::move(committed));
    changed_.notify_all();
  }

  [[nodiscard]] std::vector<std::uint32_t> loops_that_want(const Event& /*event*/) override {
    if (verifier_gate != nullptr) verifier_gate->wait();
    const Lock lock(mutex_);
    return wanting_loops;
  }

  void ephemeral(std::shared_ptr<const Ephemeral> ephemeral,
                 std::span<const std::uint32_t> loops) override {
    if (verifier_gate != nullptr) verifier_gate->wait();
    const Lock lock(mutex_);
    ephemerals_.push_back(std::move(ephemeral));
    told_loops.assign(loops.begin(), loops.end());
    changed_.notify_all();
  }

  void answer(Answer&& answer) override {
    const Lock lock(mutex_);
    answers_.push_back(std::move(answer));
    changed_.notify_all();
  }

  /// Once that many events are answered, by any of the three ways: how, in words.
  std::multimap<std::string, std::string> wait_for(std::size_t count) {
    Lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kWaitMax, [&] { return how().size() >= count; }));
    return how();
  }

  /// The loops are done with all of it.
  void let_go() {
    const Lock lock(mutex_);
    commits_.clear();
    ephemerals_.clear();
    answers_.clear();
  }

  std::shared_ptr<const Ephemeral> first_ephemeral() {
    const Lock lock(mutex_);
    return ephemerals_.at(0);
  }

  std::vector<std::shared_ptr<const Committed>> commits() {
    const Lock lock(mutex_);
    return commits_;
  }

  std::vector<std::uint32_t> wanting_loops = {0, 1};
  std::vector<std::uint32_t> told_loops;  // of the last ephemeral event
  Gate* writer_gate = nullptr;
  Gate* verifier_gate = nullptr;

 private:
  // With mutex_ held.
  [[nodiscard]] std::multimap<std::string, std::string> how() const {
    std::multimap<std::string, std::string> out;
    const auto add = [&](const EventId& id, bool accepted, std::string_view text) {
      out.emplace(encode_hex(id), std::string(accepted ? "true " : "false ") + std::string(text));
    };
    for (const auto& commit : commits_) {
      for (const WriteOutcome& outcome : commit->batch.outcomes) {
        add(outcome.id, is_accepted(outcome.result), ok_message(outcome.result));
      }
    }
    for (const auto& ephemeral : ephemerals_) add(ephemeral->event->id, true, "ephemeral");
    for (const auto& answer : answers_) add(answer.id, answer.accepted, answer.message);
    return out;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<std::shared_ptr<const Committed>> commits_;
  std::vector<std::shared_ptr<const Ephemeral>> ephemerals_;
  std::vector<Answer> answers_;
};

using Answers = std::multimap<std::string, std::string>;

constexpr SessionId kOrigin{1, net::ConnectionId{9}};

class IngestTest : public testing::Test {
 protected:
  void start(const IngestOptions& options = {}) {
    ingest = std::make_unique<Ingest>(*store, clock, options, deliveries);
  }

  void TearDown() override {
    gate.open();
    if (!ingest) return;
    ingest->stop();
    deliveries.let_go();
    EXPECT_TRUE(ingest->idle());
    EXPECT_EQ(ingest->verify_queued(), 0U);
  }

  Offer offer(const Event& event) {
    UnverifiedEvent one = unverified(event);
    return ingest->offer(one, kOrigin);
  }

  // What offer() answers in one word.
  std::string offered(const Event& event) {
    const Offer answer = offer(event);
    if (const auto* queued = std::get_if<Queued>(&answer)) return queued->is_copy ? "copy" : "new";
    if (const auto* settled = std::get_if<Settled>(&answer)) {
      return std::string(ok_message(settled->result));
    }
    return "full";
  }

  static Event forged(Event event) {
    event.sig.bytes[7] ^= 1;
    return event;
  }

  [[nodiscard]] std::uint64_t verified_count() const {
    std::uint64_t count = 0;
    for (const auto& metrics : ingest->metrics()) count += metrics->verified.read();
    return count;
  }

  Author alice;
  TempDir dir;
  std::unique_ptr<Store> store = open_store(dir.path());
  SystemClock clock;
  Gate gate;
  FakeDeliveries deliveries;
  std::unique_ptr<Ingest> ingest;
};

const std::string kDuplicate(ok_message(PutResult::Duplicate));

TEST_F(IngestTest, AnEventIsAnnouncedOnceItIsStored) {
  start();
  const Event event = alice.sign(1);
  EXPECT_EQ(offered(event), "new");
  EXPECT_EQ(deliveries.wait_for(1), (Answers{{hex(event), "true "}}));
  EXPECT_TRUE(store->has_id(event.id));
  const auto commit = deliveries.commits().at(0);
  EXPECT_EQ(commit->number, 1U);
  EXPECT_EQ(ingest->commits_announced(), 1U);
  ASSERT_EQ(commit->batch.events.size(), 1U);
  EXPECT_EQ(*commit->batch.events[0]->json(), to_json(event));
  EXPECT_EQ(commit->batch.outcomes[0].token.session, 9U);
  EXPECT_EQ(commit->batch.outcomes[0].token.loop, 1U);
  EXPECT_FALSE(ingest->stored_idle());  // this test has not let go of it
  EXPECT_EQ(offered(event), kDuplicate);
  EXPECT_EQ(verified_count(), 1U);
}

TEST_F(IngestTest, AFalseSignatureIsAnsweredFalseAndDoesNotPoisonTheTrueEvent) {
  start();
  for (const std::uint32_t kind : {1U, 20001U}) {
    const Event event = alice.sign(kind);
    EXPECT_EQ(offered(forged(event)), "new");
    EXPECT_EQ(deliveries.wait_for(1), (Answers{{hex(event), "false invalid: wrong signature"}}));
    EXPECT_FALSE(store->has_id(event.id));
    EXPECT_EQ(offered(forged(event)), "new");  // a second time too
    deliveries.wait_for(2);
    EXPECT_EQ(offered(event), "new");
    EXPECT_EQ(deliveries.wait_for(3).count(hex(event)), 3U);
    EXPECT_EQ(store->has_id(event.id), kind == 1);
    deliveries.let_go();
  }
  std::uint64_t bad = 0;
  for (const auto& metrics : ingest->metrics()) bad += metrics->bad_signatures.read();
  EXPECT_EQ(bad, 4U);
}

TEST_F(IngestTest, ACopyOfOneUnderWayJoinsItAndIsAnsweredOnlyAfterItIsDurable) {
  deliveries.writer_gate = &gate;
  start();
  EXPECT_EQ(offered(alice.sign(1, "first")), "new");
  gate.wait_for_waiting(1);  // the writer stands still
  const Event event = alice.sign(1, "second");
  EXPECT_EQ(offered(event), "new");
  while (ingest->writer().queued() == 0) std::this_thread::yield();
  EXPECT_EQ(offered(event), "copy");
  EXPECT_EQ(offered(forged(event)), "new");  // another signature is looked at
  EXPECT_FALSE(store->has_id(event.id));
  gate.open();
  const Answers answers = deliveries.wait_for(4);
  EXPECT_EQ(answers.count(hex(event)), 3U);
  std::multiset<std::string> texts;
  for (auto [at, end] = answers.equal_range(hex(event)); at != end; ++at) texts.insert(at->second);
  EXPECT_EQ(texts, (std::multiset<std::string>{"true ", "true " + kDuplicate,
                                               "false " + std::string(kWrongSignature)}));
  EXPECT_EQ(verified_count(), 3U);
  EXPECT_EQ(store->count(), 2U);
  EXPECT_EQ(offered(event), kDuplicate);
  EXPECT_EQ(offered(forged(event)), "new");
  EXPECT_EQ(deliveries.wait_for(5).count(hex(event)), 4U);
}

TEST_F(IngestTest, TwoCopiesThatMeetBeforeTheVerifierAreBothAnswered) {
  deliveries.verifier_gate = &gate;
  start();
  EXPECT_EQ(offered(alice.sign(20001)), "new");
  gate.wait_for_waiting(1);  // the verifier stands still
  const Event stored = alice.sign(1);
  const Event ephemeral = alice.sign(20002);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(offered(stored), "new");
    EXPECT_EQ(offered(ephemeral), "new");
  }
  gate.open();
  const Answers answers = deliveries.wait_for(5);
  EXPECT_EQ(answers.count(hex(stored)), 2U);
  ASSERT_EQ(answers.count(hex(ephemeral)), 2U);
  std::multiset<std::string> texts;
  for (auto [at, end] = answers.equal_range(hex(ephemeral)); at != end; ++at) {
    texts.insert(at->second);
  }
  EXPECT_EQ(texts, (std::multiset<std::string>{"true ephemeral", "true " + kDuplicate}));
  EXPECT_EQ(store->count(), 1U);
}

TEST_F(IngestTest, EphemeralEventsAreNeverStored) {
  start();
  const Event event = alice.sign(21472);
  EXPECT_EQ(offered(event), "new");
  deliveries.wait_for(1);
  const auto ephemeral = deliveries.first_ephemeral();
  EXPECT_EQ(*ephemeral->json(), to_json(event));
  EXPECT_EQ(ephemeral->origin, kOrigin);
  EXPECT_EQ(offered(event), kDuplicate);
  EXPECT_EQ(ingest->ephemeral_under_way(), 1);
  EXPECT_TRUE(ingest->stored_idle());
  EXPECT_EQ(store->count(), 0U);
  EXPECT_EQ(ingest->commits_announced(), 0U);
}

TEST_F(IngestTest, ALoopChecksOneSignatureATurnItself) {
  start();
  LoopVerifier own;
  const Event first = alice.sign(20001, "first");
  UnverifiedEvent event = unverified(first);
  EXPECT_TRUE(std::holds_alternative<Queued>(ingest->offer(event, kOrigin, &own)));
  EXPECT_EQ(deliveries.wait_for(1).size(), 1U);
  EXPECT_EQ(own.metrics.verified.read(), 1U);
  EXPECT_EQ(verified_count(), 0U);
  event = unverified(alice.sign(20001, "second"));
  EXPECT_TRUE(std::holds_alternative<Queued>(ingest->offer(event, kOrigin, &own)));
  EXPECT_EQ(deliveries.wait_for(2).size(), 2U);
  EXPECT_EQ(own.metrics.verified.read(), 1U);
  EXPECT_EQ(verified_count(), 1U);
}

TEST_F(IngestTest, AForgeryThatTheLoopFindsKeepsNothingUnderWay) {
  start();
  LoopVerifier own;
  UnverifiedEvent event = unverified(forged(alice.sign(1)));
  EXPECT_TRUE(std::holds_alternative<Forged>(ingest->offer(event, kOrigin, &own)));
  EXPECT_EQ(own.metrics.bad_signatures.read(), 1U);
  EXPECT_TRUE(ingest->idle());
}

TEST_F(IngestTest, AnEphemeralEventThatNobodyHeardMayBeSentAgain) {
  start();
  deliveries.wanting_loops = {};
  const Event unheard = alice.sign(20001, "unheard");
  EXPECT_EQ(offered(unheard), "new");
  deliveries.wait_for(1);
  EXPECT_FALSE(deliveries.first_ephemeral()->is_heard);
  EXPECT_EQ(deliveries.told_loops, std::vector<std::uint32_t>{kOrigin.loop});
  EXPECT_EQ(offered(unheard), "new");
  deliveries.wait_for(2);
  deliveries.let_go();
  deliveries.wanting_loops = {3};
  const Event heard = alice.sign(20001, "heard");
  EXPECT_EQ(offered(heard), "new");
  deliveries.wait_for(1);
  EXPECT_TRUE(deliveries.first_ephemeral()->is_heard);
  EXPECT_EQ(deliveries.told_loops, (std::vector<std::uint32_t>{3, kOrigin.loop}));
  EXPECT_EQ(offered(heard), kDuplicate);
}

TEST_F(IngestTest, WhatItsAuthorDeletedStaysRefusedWithoutAVerification) {
  start();
  const Event event = alice.sign(1);
  ASSERT_EQ(offered(event), "new");
  deliveries.wait_for(1);
  ASSERT_EQ(offered(alice.sign(5, "", {{"e", hex(event)}})), "new");
  deliveries.wait_for(2);
  EXPECT_EQ(offered(event), "new");
  deliveries.wait_for(3);
  const std::uint64_t before = verified_count();
  EXPECT_EQ(offered(event), std::string(ok_message(PutResult::Deleted)));
  EXPECT_EQ(verified_count(), before);
}

TEST_F(IngestTest, AtTheBoundItTakesNothingAndTheCreditsComeBack) {
  IngestOptions options;
  options.stored_under_way_max = 2;
  options.ephemeral_under_way_max = 1;
  start(options);
  int made = 0;
  const auto next = [&](std::uint32_t kind) { return alice.sign(kind, std::to_string(++made)); };
  const auto fill = [&](std::uint32_t kind, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(offered(next(kind)), "new");
    UnverifiedEvent refused = unverified(next(kind));
    const std::string text = to_json(refused.event());
    EXPECT_TRUE(std::holds_alternative<QueueFull>(ingest->offer(refused, kOrigin)));
    EXPECT_EQ(to_json(refused.event()), text);  // it is still the session's
  };
  for (int round = 0; round < 3; ++round) {
    fill(1, 2);
    fill(20001, 1);  // each sort has its own bound
    deliveries.wait_for(3);
    EXPECT_EQ(offered(next(1)), "full");  // answered, and not delivered by all loops yet
    EXPECT_EQ(ingest->stored_under_way(), 2);
    EXPECT_EQ(ingest->ephemeral_under_way(), 1);
    deliveries.let_go();
    EXPECT_TRUE(ingest->idle());
  }
}

TEST_F(IngestTest, ACopyNeedsACreditToo) {
  deliveries.writer_gate = &gate;
  IngestOptions options;
  options.stored_under_way_max = 2;
  start(options);
  EXPECT_EQ(offered(alice.sign(1, "first")), "new");
  gate.wait_for_waiting(1);
  const Event event = alice.sign(1, "second");
  EXPECT_EQ(offered(event), "new");
  while (ingest->writer().queued() == 0) std::this_thread::yield();
  EXPECT_EQ(offered(event), "full");
  gate.open();
  deliveries.wait_for(2);
  EXPECT_EQ(offered(event), kDuplicate);  // needs none: it is stored
}

TEST_F(IngestTest, FalseSignaturesGiveTheirCreditsBack) {
  IngestOptions options;
  options.stored_under_way_max = 1;
  start(options);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(offered(forged(alice.sign(1))), "new");
    deliveries.wait_for(1);
    deliveries.let_go();
  }
  EXPECT_TRUE(ingest->idle());
}

TEST_F(IngestTest, StopAnswersAllThatIsUnderWay) {
  IngestOptions options;
  options.verifier_threads = 2;
  start(options);
  constexpr std::size_t kEvents = 90;
  for (std::size_t i = 0; i < kEvents; ++i) {
    const Event event = alice.sign(i % 3 == 0 ? 20001 : 1, std::to_string(i));
    ASSERT_EQ(offered(i % 5 == 0 ? forged(event) : event), "new");
  }
  ingest->stop();
  EXPECT_EQ(deliveries.wait_for(kEvents).size(), kEvents);
  EXPECT_EQ(store->count(), 48U);  // 60 of kind 1, 12 of them forged
  deliveries.let_go();
  EXPECT_TRUE(ingest->idle());
  ingest->stop();  // again is nothing
}

// Four loops offer the same events, true and forged, in different orders: each offer that was
// queued is answered once, and each event is stored once.
TEST_F(IngestTest, ConcurrentCopiesAreAnsweredOnceEach) {
  IngestOptions options;
  options.verifier_threads = 2;
  options.verify_batch_max = 3;
  start(options);
  constexpr std::size_t kEvents = 40;
  std::vector<Event> events;
  for (std::size_t i = 0; i < kEvents; ++i) {
    events.push_back(alice.sign(i % 4 == 0 ? 20001 : 1, std::to_string(i)));
  }
  std::atomic<std::size_t> queued{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (std::size_t number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      for (std::size_t i = 0; i < kEvents; ++i) {
        const Event& event = events[(i * 7 + number * 11) % kEvents];
        const Offer answer = offer(number == 3 ? forged(event) : event);
        if (std::holds_alternative<Queued>(answer)) queued.fetch_add(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ingest->stop();
  EXPECT_GE(queued.load(), kEvents);
  EXPECT_EQ(deliveries.wait_for(queued.load()).size(), queued.load());
  EXPECT_EQ(store->count(), 30U);
  std::map<EventId, int> announced;
  for (const auto& commit : deliveries.commits()) {
    for (const auto& event : commit->batch.events) ++announced[event->event->id];
  }
  EXPECT_EQ(announced.size(), 30U);
  for (const auto& [id, count] : announced) EXPECT_EQ(count, 1);
  EXPECT_EQ(deliveries.commits().back()->number, ingest->commits_announced());
}

}  // namespace
}  // namespace nostril::relay::test
