// The live path through a whole relay of several loops in this process: who gets what, how often.
#include "relay/relay.h"
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <map>
#include <random>

namespace nostril::relay::test {
namespace {

constexpr std::uint32_t kNote = 1;
constexpr std::uint32_t kEphemeral = 20'001;
constexpr std::uint64_t kWaitMsMax = 60'000;

class LiveTest : public testing::Test {
 protected:
  void SetUp() override {
    config.listen = "127.0.0.1:0";
    config.data = (dir.path() / "data").string();
    config.threads.loops = 4;
    config.threads.verifiers = 2;
    config.limits.limit_default = 5'000;
  }

  void TearDown() override {
    clients.clear();
    (void)world.wait([] { return false; }, 50);  // the loop closes their sockets
    relay->stop();
  }

  void start() {
    relay = std::make_unique<Relay>(config, clock, rng);
    relay->start();
  }

  Client& connect() {
    clients.push_back(std::make_unique<Client>(world, relay->listen_url()));
    EXPECT_TRUE(clients.back()->wait_open());
    return *clients.back();
  }

  // Subscribes each to the events that name its number.
  void subscribe_each(std::vector<Client*>& readers, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      readers.push_back(&connect());
      readers.back()->send(fmt::format(R"(["REQ","s",{{"#p":["{}"]}}])", i));
    }
    for (Client* reader : readers) ASSERT_TRUE(reader->take_until_eose("s"));
  }

  Event event_for(std::uint32_t kind, std::size_t reader) {
    Tags tags;
    tags.add({"p", std::to_string(reader)});
    return alice.sign(kind, std::to_string(signed_++), std::move(tags));
  }

  // The OKs that have come to a client; takes them.
  static std::size_t take_answers(Client& client) {
    return std::erase_if(client.messages, [](const Json& message) {
      return message.items()[0].string() == "OK" && message.items()[2].boolean() == true;
    });
  }

  // What comes to a subscription that has `count` events to get. The OK of an event says that they
  // will be handed over, not that every loop has done it. A double would be seen before the answer
  // to what is asked then.
  std::vector<std::string> events_of(Client& client, const std::string& subscription,
                                     std::size_t count) {
    std::vector<std::string> got;
    const auto take = [&] {
      const auto more = client.take_events(subscription);
      got.insert(got.end(), more.begin(), more.end());
      return got.size() >= count;
    };
    EXPECT_TRUE(world.wait(take, kWaitMsMax));
    const std::string nothing = fmt::format(R"({{"ids":["{:064}"]}})", 0);
    EXPECT_EQ(client.query("end", nothing), std::vector<std::string>{});
    take();
    return got;
  }

  RelayConfig config;
  TempDir dir;
  World world;
  SystemClock clock;
  SystemRng rng;
  Author alice;
  std::unique_ptr<Relay> relay;
  std::vector<std::unique_ptr<Client>> clients;

 private:
  int signed_ = 0;
};

TEST_F(LiveTest, EachEventReachesItsSubscriberOnceAndInOrder) {
  start();
  Client& publisher = connect();
  std::vector<Client*> readers;
  ASSERT_NO_FATAL_FAILURE(subscribe_each(readers, 24));
  std::vector<std::vector<std::string>> expected(readers.size());
  for (std::size_t i = 0; i < 200; ++i) {
    const std::size_t reader = i * 7 % readers.size();
    const Event event = event_for(i % 3 == 0 ? kNote : kEphemeral, reader);
    expected[reader].push_back(hex(event));
    ASSERT_EQ(publisher.publish(event), "true ");
  }
  for (std::size_t i = 0; i < readers.size(); ++i) {
    EXPECT_EQ(events_of(*readers[i], "s", expected[i].size()), expected[i]) << i;
  }
}

TEST_F(LiveTest, AnEphemeralEventForNobodyIsMuteFromEveryLoop) {
  start();
  std::vector<Client*> readers;
  ASSERT_NO_FATAL_FAILURE(subscribe_each(readers, 8));
  for (Client* reader : readers) {
    const Event event = event_for(kEphemeral, 1'000);
    EXPECT_EQ(reader->publish(event), "false mute: nobody is subscribed to this event");
  }
}

TEST_F(LiveTest, AForgeryIsRefusedByTheLoopAndByTheVerifiers) {
  start();
  Client& publisher = connect();
  std::vector<std::string> ids;
  for (int i = 0; i < 50; ++i) {  // at once: the loop takes one a turn, verifiers the others
    Event event = event_for(kNote, 0);
    event.sig.bytes[40] ^= 1U;
    ids.push_back(hex(event));
    publisher.send(publish_text(event));
  }
  for (const auto& id : ids) EXPECT_EQ(publisher.answer_to(id), "false invalid: wrong signature");
  EXPECT_EQ(publisher.query("all", R"({"kinds":[1]})"), std::vector<std::string>{});
}

// Whoever subscribes while others publish gets each event from the stored or from the live part:
// a loop that is not told of a commit, because none of its subscriptions could match, loses none.
TEST_F(LiveTest, NoGapAndNoDoubleForTagsThatNobodyWaitedFor) {
  start();
  Client& publisher = connect();
  std::vector<Client*> readers;
  std::map<std::size_t, std::vector<std::string>> expected;
  constexpr std::size_t kReaders = 40;
  for (std::size_t i = 0; i < 400; ++i) {
    const Event event = event_for(kNote, i % kReaders);
    expected[i % kReaders].push_back(hex(event));
    publisher.send(publish_text(event));
    if (i % 8 != 0 || readers.size() == kReaders) continue;
    readers.push_back(&connect());
    readers.back()->send(fmt::format(R"(["REQ","s",{{"#p":["{}"]}}])", readers.size() - 1));
  }
  std::size_t answered = 0;
  ASSERT_TRUE(world.wait([&] { return (answered += take_answers(publisher)) == 400; }, kWaitMsMax));
  for (std::size_t i = 0; i < readers.size(); ++i) {
    ASSERT_TRUE(readers[i]->take_until_eose("s"));
    std::vector<std::string> got = events_of(*readers[i], "s", expected[i].size());
    std::ranges::sort(got);
    std::ranges::sort(expected[i]);
    EXPECT_EQ(got, expected[i]) << i;
  }
}

// By counting, not by the clock: the others' events don't wait for the end of the flood.
TEST_F(LiveTest, AFloodingPublisherDoesNotStarveTheOthers) {
  constexpr std::size_t kFlood = 4'000;
  constexpr std::size_t kOthers = 63;
  constexpr std::size_t kEventsEach = 4;
  start();
  std::vector<std::string> flood;
  for (std::size_t i = 0; i < kFlood; ++i) flood.push_back(publish_text(event_for(kNote, 0)));
  Client& flooder = connect();
  std::vector<Client*> others;
  for (std::size_t i = 0; i < kOthers; ++i) others.push_back(&connect());
  for (const auto& text : flood) flooder.send(text);

  std::size_t flood_answered = 0;
  std::vector<std::size_t> answered(kOthers);
  const auto publish_next = [&](std::size_t i) {
    if (answered[i] < kEventsEach) others[i]->send(publish_text(event_for(kNote, i)));
  };
  for (std::size_t i = 0; i < kOthers; ++i) publish_next(i);
  ASSERT_TRUE(world.wait(
      [&] {
        flood_answered += take_answers(flooder);
        std::size_t finished = 0;
        for (std::size_t i = 0; i < kOthers; ++i) {
          if (take_answers(*others[i]) > 0) {
            ++answered[i];
            publish_next(i);
          }
          finished += answered[i] == kEventsEach ? 1U : 0U;
        }
        return finished == kOthers;
      },
      kWaitMsMax));
  EXPECT_LT(flood_answered, kFlood * 3 / 4);
  ASSERT_TRUE(
      world.wait([&] { return (flood_answered += take_answers(flooder)) == kFlood; }, kWaitMsMax));
}

// Publishing, subscriptions and queries at once; under ThreadSanitizer this is what it watches.
TEST_F(LiveTest, MixedLoadAnswersEverybody) {
  constexpr std::size_t kReaders = 100;
  constexpr std::size_t kPublishers = 8;
  constexpr std::size_t kEvents = 50;
  start();
  std::vector<Client*> readers;
  ASSERT_NO_FATAL_FAILURE(subscribe_each(readers, kReaders));
  for (Client* reader : readers) reader->send(R"(["REQ","all",{"kinds":[1],"limit":0}])");
  for (Client* reader : readers) ASSERT_TRUE(reader->take_until_eose("all"));
  std::vector<Client*> publishers;
  for (std::size_t i = 0; i < kPublishers; ++i) publishers.push_back(&connect());
  std::size_t notes = 0;
  std::vector<std::size_t> own(kReaders);
  for (std::size_t i = 0; i < kEvents; ++i) {
    for (std::size_t p = 0; p < kPublishers; ++p) {
      const bool is_note = (i + p) % 4 == 0;
      const std::size_t reader = (i * 31 + p) % kReaders;
      notes += is_note ? 1U : 0U;
      ++own[reader];
      const Event event = event_for(is_note ? kNote : kEphemeral, reader);
      publishers[p]->send(publish_text(event));
      if (i % 10 == 5) publishers[p]->send(fmt::format(R"(["REQ","q{}",{{"kinds":[1]}}])", i));
    }
  }
  std::size_t answered = 0;
  ASSERT_TRUE(world.wait(
      [&] {
        for (Client* publisher : publishers) answered += take_answers(*publisher);
        return answered == kEvents * kPublishers;
      },
      kWaitMsMax));
  for (std::size_t i = 0; i < kReaders; ++i) {
    EXPECT_EQ(events_of(*readers[i], "all", notes).size(), notes);
    EXPECT_EQ(events_of(*readers[i], "s", own[i]).size(), own[i]) << i;
  }
  for (Client* publisher : publishers) {
    for (std::size_t i = 5; i < kEvents; i += 10) {
      EXPECT_TRUE(publisher->take_until_eose(fmt::format("q{}", i)));
    }
  }
}

// The other threads' question and the own thread's search answer alike.
TEST(SubscriptionInterest, WantsWhatItMatchesAndNothingElse) {
  SystemRng rng;
  const SubscriptionHash hash(rng);
  SubscriptionIndex index(hash);
  std::mt19937_64 random(11);
  std::vector<std::unique_ptr<IndexedSubscription>> filed;
  std::vector<SubscriptionHash::Key> keys;
  std::size_t wanted = 0;
  for (int round = 0; round < 2'000; ++round) {
    if (filed.size() < 20 && random() % 2 == 0) {
      auto& made = filed.emplace_back(std::make_unique<IndexedSubscription>());
      Filter filter;
      if (random() % 2 == 0) filter.authors = {author(random() % 8)};
      if (random() % 2 == 0) filter.kinds = {static_cast<std::uint32_t>(random() % 8)};
      if (random() % 2 == 0) filter.tags.push_back({'p', {std::to_string(random() % 8)}});
      if (!filter.authors && !filter.kinds && filter.tags.empty()) filter.kinds = {1};
      made->filters.push_back(filter);
      index.add(*made);
    } else if (!filed.empty() && random() % 2 == 0) {
      index.remove(*filed.back());
      filed.pop_back();
    }
    Tags tags;
    tags.add({"p", std::to_string(random() % 8)});
    const Event event =
        make_event(random() % 8, round, static_cast<std::uint32_t>(random() % 8), std::move(tags));
    bool matches = false;
    index.match(event, [&](IndexedSubscription&) { matches = true; });
    hash.keys_of(event, keys);
    EXPECT_EQ(index.wants(event, keys), matches) << round;
    wanted += matches ? 1U : 0U;
  }
  EXPECT_GT(wanted, 0U);
  EXPECT_LT(wanted, 2'000U);
  while (!filed.empty()) {
    index.remove(*filed.back());
    filed.pop_back();
  }
  EXPECT_EQ(index.size(), 0U);
}

TEST(SubscriptionInterest, AFilterOfEverythingWantsEverything) {
  SystemRng rng;
  const SubscriptionHash hash(rng);
  SubscriptionIndex index(hash);
  IndexedSubscription everything;
  everything.filters.emplace_back();
  const Event event = make_event(1, 1, 1);
  EXPECT_FALSE(index.wants(event, {}));
  index.add(everything);
  EXPECT_TRUE(index.wants(event, {}));
  index.remove(everything);
  EXPECT_FALSE(index.wants(event, {}));
}

}  // namespace
}  // namespace nostril::relay::test
