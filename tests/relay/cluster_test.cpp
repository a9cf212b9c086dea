// Relays of a cluster, in this process, over a real nats-server: from a publisher at one to a
// subscriber at another. Several servers, partitions and kills of processes: tests/cluster.
#include "relay/relay.h"
#include "tests/relay/nats_server.h"
#include "tests/relay/relay_support.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

namespace nostril::relay::test {
namespace {

constexpr std::uint32_t kEphemeral = 20'001;

class ClusterTest : public testing::Test {
 protected:
  struct Member {
    RelayConfig config;
    TempDir dir;
    std::unique_ptr<Relay> relay;
  };

  void SetUp() override {
    if (!Bus::is_built_in()) GTEST_SKIP() << "built without libnats";
    if (!NatsServer::installed()) GTEST_SKIP() << NatsServer::kMissing;
    server = std::make_unique<NatsServer>(nats_dir.path() / "nats");
    for (const char* name : {"a", "b"}) prepare(name);
  }

  void prepare(const std::string& name) {
    Member& member = members[name];
    RelayConfig& config = member.config;
    config.listen = "127.0.0.1:0";
    config.data = (member.dir.path() / "data").string();
    config.url = "ws://cluster.example";
    config.threads.loops = 2;
    config.threads.verifiers = 1;
    config.cluster.name = "test";
    config.cluster.relay = name;
    config.cluster.servers = {server->url()};
    config.cluster.replicas = 1;
    config.cluster.stream_bytes_max = 64 << 20;
    config.cluster.ack_wait_s = 3;
  }

  void TearDown() override {
    clients.clear();
    (void)world.wait([] { return false; }, 50);  // the loop closes their sockets
    for (auto& [name, member] : members) {
      if (member.relay) member.relay->stop();
    }
  }

  void start(const std::string& name) {
    Member& member = members[name];
    member.relay = std::make_unique<Relay>(member.config, clock, rng);
    member.relay->start();
  }

  void stop(const std::string& name) {
    members[name].relay->stop();
    members[name].relay.reset();
  }

  std::string http(const std::string& name, const std::string& path) {
    return "http" + members[name].relay->listen_url().substr(2) + path;
  }

  int health(const std::string& name) { return http_get(world, http(name, "/health")).status; }

  bool comes_to_serve(const std::string& name) {
    return world.poll([&] { return health(name) == 200; });
  }

  std::uint64_t metric(const std::string& name, const std::string& metric) {
    const std::string text = members[name].relay->metrics_text();
    const std::string line = "\nnostril_relay_cluster_" + metric + " ";
    const std::size_t at = text.find(line);
    if (at == std::string::npos) {
      ADD_FAILURE() << "no metric " << metric;
      return 0;
    }
    return std::stoull(text.substr(at + line.size()));
  }

  Client& connect(const std::string& name) {
    clients.push_back(std::make_unique<Client>(world, members[name].relay->listen_url()));
    EXPECT_TRUE(clients.back()->wait_open());
    return *clients.back();
  }

  void start_both() {
    start("a");
    start("b");
    ASSERT_TRUE(comes_to_serve("a"));
    ASSERT_TRUE(comes_to_serve("b"));
  }

  /// A moderator's decision, as the desk of a relay "c" would publish it.
  void publish_ban_of(const PublicKey& author) {
    ModerationMessage ban;
    ban.id = new_message_id(rng);
    ban.relay = "c";
    ban.decided_at_s = clock.unix_s();
    ban.changes = {{ModerationList::BannedKeys, item_of(author), "spam"}};
    ban.erased_authors = {author};
    BusOptions options = members["a"].config.cluster_options().bus;
    options.name = "c";
    Bus bus(options, nullptr);
    ASSERT_TRUE(bus.wait_connected(20'000));
    EXPECT_EQ(bus.publish("test.s.moderation", ban.id, to_json(ban), 1), Bus::Sent::Yes);
  }

  /// What they have comes to be the same, and this.
  bool both_come_to_have(const std::vector<Event>& events) {
    std::vector<std::string> wanted;
    for (const Event& event : events) wanted.push_back(hex(event));
    std::ranges::sort(wanted);
    return std::ranges::all_of(members, [&](const auto& member) {
      Client& client = connect(member.first);
      return world.poll([&] {
        auto found = client.query("all", "{}");
        std::ranges::sort(found);
        return found == wanted;
      });
    });
  }

  TempDir nats_dir;
  std::unique_ptr<NatsServer> server;
  World world;
  SystemClock clock;
  SystemRng rng;
  Author alice;
  Author bob;
  std::map<std::string, Member> members;
  std::vector<std::unique_ptr<Client>> clients;
};

TEST_F(ClusterTest, WhatOneTakesBothStoreAndDeliver) {
  start_both();
  Client& reader = connect("b");
  reader.query("s", R"({"kinds":[1]})");
  Client& writer = connect("a");
  std::vector<Event> events;
  for (int i = 0; i < 100; ++i) {
    events.push_back(alice.sign(1, std::to_string(i)));
    ASSERT_EQ(writer.publish(events.back()), "true ");
    // Its author reads what he wrote.
    ASSERT_EQ(writer.query("own", fmt::format(R"({{"ids":["{}"]}})", hex(events.back()))).size(),
              1U);
  }
  for (const Event& event : events) ASSERT_EQ(reader.next_event("s"), hex(event));
  EXPECT_TRUE(both_come_to_have(events));
  EXPECT_EQ(metric("a", "position"), 100U);
  EXPECT_EQ(metric("a", "applied_own_total"), 100U);
  EXPECT_TRUE(world.poll([&] { return metric("b", "position") == 100; }));
  EXPECT_EQ(metric("b", "applied_own_total"), 0U);
  EXPECT_EQ(metric("b", "malformed_total"), 0U);
}

TEST_F(ClusterTest, WhatBothAreGivenIsStoredOnce) {
  start_both();
  Client& a = connect("a");
  Client& b = connect("b");
  for (int i = 0; i < 50; ++i) {
    const Event event = alice.sign(1, std::to_string(i));
    a.send(publish_text(event));
    b.send(publish_text(event));
    EXPECT_TRUE(a.answer_to(hex(event)).starts_with("true "));
    EXPECT_TRUE(b.answer_to(hex(event)).starts_with("true "));
  }
  EXPECT_EQ(a.query("all", "{}").size(), 50U);
  EXPECT_TRUE(world.poll([&] { return b.query("all", "{}").size() == 50; }));
  const Event again = alice.sign(1, "again");
  EXPECT_EQ(a.publish(again), "true ");
  // Whether b has it already, or takes it for its own while it comes.
  EXPECT_TRUE(b.publish(again).starts_with("true "));
  EXPECT_EQ(b.query("end", "{}").size(), 51U);
}

TEST_F(ClusterTest, ReplacementsAndDeletionsEndTheSame) {
  start_both();
  Client& a = connect("a");
  Client& b = connect("b");
  const Event first = alice.sign(0, "first", {}, 100);
  const Event second = alice.sign(0, "second", {}, 50);
  const Event note = alice.sign(1, "note", {}, 50);
  EXPECT_EQ(a.publish(second), "true ");
  EXPECT_EQ(a.publish(note), "true ");
  EXPECT_TRUE(world.poll([&] { return b.query("all", "{}").size() == 2; }));
  EXPECT_EQ(b.publish(first), "false duplicate: have a newer version of this event");
  Tags tags;
  tags.add({"e", hex(note)});
  const Event deletion = alice.sign(5, "", std::move(tags));
  EXPECT_EQ(b.publish(deletion), "true ");
  EXPECT_TRUE(both_come_to_have({second, deletion}));
  // The stream knows its id for two minutes, and takes it no second time.
  EXPECT_EQ(a.publish(note),
            "false duplicate: the cluster has had this event before and does not keep it");
}

TEST_F(ClusterTest, EphemeralEventsReachWhoeverCanMatchThem) {
  start_both();
  Client& reader = connect("b");
  reader.query("mine", fmt::format(R"({{"kinds":[{}],"#p":["{}"]}})", kEphemeral, bob.hex()));
  Client& writer = connect("a");
  Tags tags;
  tags.add({"p", bob.hex()});
  // The other relay's interest travels: until it is there nobody hears.
  EXPECT_TRUE(world.poll([&] {
    (void)writer.publish(alice.sign(kEphemeral, "try", tags));
    return !reader.take_events("mine").empty();
  }));
  EXPECT_EQ(metric("b", "interests"), 2U);
  (void)world.wait([] { return false; }, 100);
  (void)reader.take_events("mine");
  const std::uint64_t before = metric("b", "ephemeral_in_total");
  EXPECT_TRUE(writer.publish(alice.sign(kEphemeral + 1, "another kind", tags)).starts_with("true"));
  const Event wanted = alice.sign(kEphemeral, "wanted", tags);
  EXPECT_EQ(writer.publish(wanted), "true ");
  EXPECT_EQ(reader.next_event("mine"), hex(wanted));
  EXPECT_EQ(metric("b", "ephemeral_in_total"), before + 1);
  reader.send(R"(["CLOSE","mine"])");
  EXPECT_TRUE(world.poll([&] { return metric("b", "interests") == 0; }));
}

// As a relay's desk would publish it, and between two events that were published elsewhere.
TEST_F(ClusterTest, AModeratorsDecisionHoldsEverywhereFromItsPlaceInTheStream) {
  start_both();
  Client& a = connect("a");
  const Event spam = alice.sign(1, "spam");
  const Event note = bob.sign(1, "note");
  EXPECT_EQ(a.publish(spam), "true ");
  EXPECT_EQ(a.publish(note), "true ");
  publish_ban_of(spam.pubkey);
  EXPECT_TRUE(both_come_to_have({note}));
  for (const char* name : {"a", "b"}) {
    EXPECT_TRUE(connect(name).publish(alice.sign(1, "more")).starts_with("false blocked:")) << name;
  }
  EXPECT_EQ(metric("a", "malformed_total"), 0U);
}

TEST_F(ClusterTest, WhatMeansNothingInTheStreamIsPassedOver) {
  start_both();
  BusOptions options = members["a"].config.cluster_options().bus;
  options.name = "c";
  Bus bus(options, nullptr);
  ASSERT_TRUE(bus.wait_connected(20'000));
  Event forged = alice.sign(1, "forged");
  forged.sig.bytes[40] ^= 1U;
  EXPECT_EQ(bus.publish("test.s.event", "", "no event", 1), Bus::Sent::Yes);
  EXPECT_EQ(bus.publish("test.s.event", hex(forged), to_json(forged), 2), Bus::Sent::Yes);
  EXPECT_EQ(bus.publish("test.s.moderation", "", "{}", 3), Bus::Sent::Yes);
  EXPECT_EQ(bus.publish("test.s.later", "", "{}", 4), Bus::Sent::Yes);
  const Event note = bob.sign(1, "note");
  EXPECT_EQ(connect("a").publish(note), "true ");
  // Without credentials nothing is believed.
  EXPECT_TRUE(both_come_to_have({note}));
  EXPECT_EQ(metric("a", "position"), 5U);
  EXPECT_EQ(metric("a", "malformed_total"), 3U);
}

TEST_F(ClusterTest, ARelayThatComesLaterServesOnceItHasAll) {
  start("a");
  ASSERT_TRUE(comes_to_serve("a"));
  Client& writer = connect("a");
  std::vector<Event> events;
  for (int i = 0; i < 300; ++i) {
    events.push_back(alice.sign(1, std::to_string(i)));
    ASSERT_EQ(writer.publish(events.back()), "true ");
  }
  members["b"].config.cluster.join = "stream";  // a snapshot: cluster_process_test.cpp
  start("b");
  ASSERT_TRUE(comes_to_serve("b"));
  EXPECT_EQ(connect("b").query("all", R"({"limit":5000})").size(), 300U);
}

TEST_F(ClusterTest, ARelayThatWasStoppedGoesOnWhereItWas) {
  start_both();
  const Event before = alice.sign(1, "before");
  EXPECT_EQ(connect("b").publish(before), "true ");
  clients.clear();
  stop("b");
  const Event meanwhile = alice.sign(1, "meanwhile");
  EXPECT_EQ(connect("a").publish(meanwhile), "true ");
  start("b");
  ASSERT_TRUE(comes_to_serve("b"));
  EXPECT_TRUE(both_come_to_have({before, meanwhile}));
  EXPECT_EQ(metric("b", "applied_total"), 1U);
}

// As if the server that it read from before had given the same numbers to other messages.
TEST_F(ClusterTest, WhatANumberOfBeforeStandsForNowIsAppliedLate) {
  start_both();
  const Event spam = alice.sign(1, "spam");
  EXPECT_EQ(connect("b").publish(spam), "true ");
  EXPECT_TRUE(both_come_to_have({spam}));
  clients.clear();
  stop("b");
  Client& a = connect("a");
  std::vector<Event> events;
  for (int i = 0; i < 8; ++i) {
    events.push_back(bob.sign(1, std::to_string(i)));
    EXPECT_EQ(a.publish(events.back()), "true ");
  }
  publish_ban_of(spam.pubkey);
  EXPECT_TRUE(world.poll([&] { return metric("a", "position") == 10; }));
  {
    auto store = open_store(members["b"].config.data);
    StreamPosition position = store->stream_position().value();
    EXPECT_EQ(position.sequence, 1U);
    position.sequence = 10;
    ASSERT_TRUE(store->set_stream_position(position));
  }
  start("b");
  ASSERT_TRUE(comes_to_serve("b"));
  EXPECT_TRUE(both_come_to_have(events));
  EXPECT_TRUE(connect("b").publish(alice.sign(1, "more")).starts_with("false blocked:"));
  EXPECT_GE(metric("b", "applied_late_total"), events.size() + 1);
  EXPECT_EQ(metric("b", "position"), 10U);
  // What it publishes itself is answered and stored as before.
  events.push_back(bob.sign(1, "then"));
  EXPECT_EQ(connect("b").publish(events.back()), "true ");
  EXPECT_TRUE(both_come_to_have(events));
}

TEST_F(ClusterTest, WithoutNatsReadsGoOnAndWritesAreRefused) {
  start_both();
  Client& client = connect("a");
  const Event before = alice.sign(1, "before");
  EXPECT_EQ(client.publish(before), "true ");
  server->kill();
  EXPECT_EQ(client.publish(alice.sign(1, "late")),
            "false error: the cluster did not confirm this event in time, send it again");
  EXPECT_TRUE(world.poll([&] {
    return client.publish(alice.sign(1, "away")) ==
           "false error: the cluster is away and takes no events now, send it again later";
  }));
  EXPECT_EQ(client.query("all", "{}"), std::vector<std::string>{hex(before)});
  EXPECT_EQ(health("a"), 200);
  server->start();
  const Event after = alice.sign(1, "after");
  EXPECT_TRUE(world.poll([&] { return client.publish(after).starts_with("true"); }));
  EXPECT_TRUE(both_come_to_have({before, after}));
}

TEST_F(ClusterTest, ARelayThatCannotAskItsClusterServesNobody) {
  server->kill();
  start("a");
  (void)world.wait([] { return false; }, 300);
  EXPECT_EQ(health("a"), 503);
  Client refused(world, members["a"].relay->listen_url());
  EXPECT_FALSE(refused.wait_open());
  server->start();
  EXPECT_TRUE(comes_to_serve("a"));
}

TEST_F(ClusterTest, AStoreOfEventsThatAreNotTheClustersIsNotMixedWithThem) {
  start("a");
  ASSERT_TRUE(comes_to_serve("a"));
  EXPECT_EQ(connect("a").publish(alice.sign(1)), "true ");
  members["b"].config.cluster.name = "";
  start("b");
  EXPECT_EQ(connect("b").publish(alice.sign(1, "alone")), "true ");
  clients.clear();
  stop("b");
  members["b"].config.cluster.name = "test";
  start("b");
  EXPECT_TRUE(world.poll([&] {
    return http_get(world, http("b", "/health")).body.find("stuck") != std::string::npos;
  }));
}

}  // namespace
}  // namespace nostril::relay::test
