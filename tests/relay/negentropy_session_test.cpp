// Reconciliations (NIP-77) of a session, with the query workers' own code and no thread but theirs.
#include "relay/query_pool.h"
#include "tests/relay/session_support.h"
#include "tests/relay/store_support.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <mutex>

namespace nostril::relay::test {
namespace {

/// Nothing is ever in a log here.
class NegentropySessionTest : public testing::Test {
 protected:
  explicit NegentropySessionTest() { limits.negentropy.frame_bytes_max = 60'000; }

  void begin(AuthRules auth = {}) {
    bed = std::make_unique<SessionBed>(limits, AdmissionRules{}, std::move(auth));
    pool = std::make_unique<QueryPool>(
        *store, gate, pool_options, [] { return 0; },
        [this](QueryStep&& step) {
          const std::lock_guard lock(mutex);
          results.push_back(std::move(step));
          arrived.notify_one();
        });
  }

  /// Runs the steps that are out until none is.
  void run() {
    while (!bed->host.steps.empty()) {
      auto query = bed->host.take_step();
      ASSERT_TRUE(pool->submit(query));
      std::unique_lock lock(mutex);
      ASSERT_TRUE(
          arrived.wait_for(lock, std::chrono::seconds(20), [&] { return !results.empty(); }));
      QueryStep step = std::move(results.front());
      results.pop_front();
      lock.unlock();
      bed->session->on_step(std::move(step));
    }
  }

  std::vector<std::string> say(const std::string& text) {
    bed->session->on_text(text);
    run();
    return bed->host.take();
  }

  std::vector<std::string> open(const std::string& id, const std::string& filter,
                                const negentropy::Set& mine = {}) {
    return say("[\"NEG-OPEN\",\"" + id + "\"," + filter + ",\"" +
               encode_hex(ByteSpan(negentropy::Asker(mine, 1 << 20).first())) + "\"]");
  }

  void store_events(unsigned count, std::uint32_t kind = 1) {
    std::vector<Event> events;
    for (unsigned i = 0; i < count; ++i) {
      events.push_back(make_event(i % 3, 1000 + i / 2, kind, {}, std::to_string(i)));
    }
    put(events);
  }

  void put(const std::vector<Event>& events) {
    std::vector<UnverifiedEvent> unverified;
    for (const Event& event : events) unverified.push_back(*check_id(event));
    ASSERT_TRUE(store->put_unverified(unverified, 1000));
    for (const Event& event : events) items.push_back({event.created_at, event.id});
  }

  static std::string refusal(const std::string& id, const std::string& reason) {
    return negentropy_error_text(id, reason);
  }

  TempDir dir;
  std::unique_ptr<Store> store = open_store(dir.path());
  CommitGate gate{[] {}};
  SessionLimits limits;
  QueryPoolOptions pool_options;
  std::vector<negentropy::Item> items;
  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<QueryStep> results;
  std::unique_ptr<QueryPool> pool;
  std::unique_ptr<SessionBed> bed;
};

using Texts = std::vector<std::string>;

TEST_F(NegentropySessionTest, SaysWhichEventsMatch) {
  store_events(20);
  begin();
  const Texts answers = open("n", "{}");
  ASSERT_EQ(answers.size(), 1U);
  const auto message = parse_relay_message(answers[0], limits.message);
  ASSERT_TRUE(message) << answers[0];
  negentropy::Differences found;
  const negentropy::Set nothing;
  negentropy::Asker asker(nothing, negentropy::kFrameBytesMin);
  (void)asker.first();
  const auto next = asker.next(std::get<relay_message::NegentropyMessage>(*message).message, found);
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->empty());
  EXPECT_EQ(found.need.size(), 20U);
}

TEST_F(NegentropySessionTest, HasTheSetOfTheFilterAlone) {
  store_events(200);
  begin();
  const auto answer_to = [&](const std::string& filter, const negentropy::Set& same) {
    const Texts answers = open("n", filter, same);
    return answers.size() == 1 ? answers[0] : "?";
  };
  const std::string nothing_differs = R"(["NEG-MSG","n","61"])";
  EXPECT_EQ(answer_to("{}", negentropy::Set(items)), nothing_differs);
  std::vector<negentropy::Item> late;
  for (const auto& item : items) {
    if (item.created_at >= 1050) late.push_back(item);
  }
  EXPECT_EQ(answer_to(R"({"since":1050})", negentropy::Set(late)), nothing_differs);
  EXPECT_NE(answer_to(R"({"since":1051})", negentropy::Set(late)), nothing_differs);
  EXPECT_EQ(bed->metrics.negentropies_opened.read(), 3U);
  EXPECT_EQ(bed->metrics.negentropies_closed.read(), 2U);  // each replaced the one before
}

TEST_F(NegentropySessionTest, RefusesASetThatIsTooBig) {
  store_events(30);
  limits.negentropy.events_max = 29;
  begin();
  EXPECT_EQ(open("n", "{}"), Texts{refusal("n", "blocked: this query is too big")});
  EXPECT_EQ(open("n", R"({"since":1001})").size(), 1U);
  EXPECT_EQ(say(R"(["NEG-MSG","n","61"])"), Texts{R"(["NEG-MSG","n","61"])"});
}

TEST_F(NegentropySessionTest, AllTogetherHoldSoManyEvents) {
  store_events(30);
  pool_options.negentropy_events_max = 8'192;  // two, by their chunks
  begin();
  EXPECT_THAT(open("a", "{}")[0], testing::StartsWith(R"(["NEG-MSG","a")"));
  EXPECT_THAT(open("b", "{}")[0], testing::StartsWith(R"(["NEG-MSG","b")"));
  EXPECT_THAT(open("c", "{}")[0], testing::StartsWith(R"(["NEG-ERR","c","blocked: too much)"));
  EXPECT_EQ(say(R"(["NEG-CLOSE","a"])"), Texts{});
  EXPECT_EQ(pool->negentropy_events(), 4'096);
  EXPECT_THAT(open("c", "{}")[0], testing::StartsWith(R"(["NEG-MSG","c")"));
  bed->session.reset();
  EXPECT_EQ(pool->negentropy_events(), 0);
}

TEST_F(NegentropySessionTest, AConnectionHasSoManyOpen) {
  limits.negentropy.open_max = 2;
  begin();
  EXPECT_EQ(open("a", "{}").size(), 1U);
  EXPECT_EQ(open("b", "{}").size(), 1U);
  EXPECT_THAT(open("c", "{}")[0], testing::StartsWith(R"(["NEG-ERR","c","blocked: )"));
  EXPECT_THAT(open("b", "{}")[0], testing::StartsWith(R"(["NEG-MSG","b")"));  // replaced
}

TEST_F(NegentropySessionTest, RefusesMessagesThatNobodyAwaits) {
  begin();
  EXPECT_EQ(say(R"(["NEG-MSG","n","61"])"),
            Texts{refusal("n", "closed: no such reconciliation is open")});
  bed->session->on_text(R"(["NEG-OPEN","n",{},"6100000200"])");
  bed->session->on_text(R"(["NEG-MSG","n","61"])");
  run();
  EXPECT_EQ(bed->host.take(),
            Texts{refusal("n", "invalid: a message before the answer to the last one")});
  EXPECT_EQ(say(R"(["NEG-CLOSE","n"])"), Texts{});
}

TEST_F(NegentropySessionTest, SaysWhyAMessageIsBad) {
  begin();
  EXPECT_EQ(say(R"(["NEG-OPEN","n",{},"7000"])"),
            Texts{refusal("n", "invalid: not a message of negentropy version 1")});
  EXPECT_EQ(say(R"(["NEG-OPEN","n",{},"6100"])"),
            Texts{refusal("n", "invalid: the message ends inside a range")});
  EXPECT_EQ(bed->metrics.negentropies_closed.read(), 2U);
  EXPECT_EQ(say(R"(["NEG-OPEN","n",{},"6200000200"])"), Texts{R"(["NEG-MSG","n","61"])"});
}

TEST_F(NegentropySessionTest, ClosesWhatIsIdle) {
  begin();
  EXPECT_EQ(open("n", "{}").size(), 1U);
  bed->clock.advance_ms(limits.negentropy.idle_ms_max);
  bed->session->close_idle_negentropies();
  EXPECT_EQ(bed->host.take(), Texts{});
  bed->clock.advance_ms(1);
  bed->session->close_idle_negentropies();
  EXPECT_EQ(bed->host.take(), Texts{refusal("n", "closed: no message came for too long")});
}

TEST_F(NegentropySessionTest, HoldsNoneWhereTheOperatorSaysSo) {
  limits.negentropy.events_max = 0;
  begin();
  EXPECT_EQ(open("n", "{}"), Texts{refusal("n", "blocked: this relay does not reconcile")});
}

TEST_F(NegentropySessionTest, PrivateEventsAreTheirPartiesAlone) {
  store_events(40);
  const auto shown = items;
  store_events(5, 1059);
  AuthRules auth;
  auth.address = RelayAddress::of("wss://relay.example.org");
  auth.private_kinds = {1059};
  begin(auth);
  EXPECT_EQ(open("n", "{}", negentropy::Set(shown)), Texts{R"(["NEG-MSG","n","61"])"});
  EXPECT_THAT(open("n", R"({"kinds":[1059]})")[0],
              testing::StartsWith(R"(["NEG-ERR","n","auth-required: )"));
}

}  // namespace
}  // namespace nostril::relay::test
