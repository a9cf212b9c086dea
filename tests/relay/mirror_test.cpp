// [[mirror]]: relays that exchange events all the time, over real sockets.
#include "tests/relay/relay_support.h"
#include "tests/relay/scripted_relay.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>

namespace nostril::relay::test {
namespace {

using Ids = std::vector<std::string>;

class MirrorTest : public testing::Test {
 protected:
  static std::string table(const std::string& url, const std::string& direction,
                           const std::string& more = {}) {
    return fmt::format("[[mirror]]\nurl = \"{}\"\ndirection = \"{}\"\n{}\n", url, direction, more);
  }

  void start_there() { there = std::make_unique<RelayProcess>(there_dir.path()); }

  void start_here(const std::string& direction, const std::string& more = {}) {
    here = std::make_unique<RelayProcess>(here_dir.path(), table(there->url(), direction, more));
    wait_connected(*here, there->url());
  }

  void wait_connected(const RelayProcess& relay, const std::string& to) {
    EXPECT_TRUE(world.poll([&] { return metric(relay, "connected", to) == 1; }));
  }

  std::uint64_t metric(const RelayProcess& relay, const std::string& name, const std::string& to) {
    return relay.metric(world, fmt::format("mirror_{}{{relay=\"{}/\"}}", name, to));
  }

  std::uint64_t metric_here(const std::string& name) { return metric(*here, name, there->url()); }

  std::unique_ptr<Client> connect(const RelayProcess& relay) {
    auto client = std::make_unique<Client>(world, relay.url());
    EXPECT_TRUE(client->wait_open());
    return client;
  }

  /// The relay comes to have these, whatever their order.
  bool comes_to_have(const RelayProcess& relay, const std::vector<Event>& events) {
    auto client = connect(relay);
    Ids wanted;
    for (const Event& event : events) wanted.push_back(hex(event));
    std::ranges::sort(wanted);
    return world.poll([&] {
      Ids found = client->query("all", "{}");
      std::ranges::sort(found);
      return found == wanted;
    });
  }

  void stop(RelayProcess& relay) { stop(relay.process()); }

  // The clients go on answering meanwhile.
  void stop(nostril::test::Process& process) {
    process.signal(SIGTERM);
    std::optional<int> status;
    EXPECT_TRUE(world.poll([&] {
      status = process.wait(std::chrono::milliseconds(0));
      return status.has_value();
    }));
    EXPECT_EQ(status, 0);
  }

  void TearDown() override {
    for (auto* relay : {&here, &there}) {
      if (*relay && (*relay)->process().is_running()) stop(**relay);
    }
  }

  TempDir here_dir;
  TempDir there_dir;
  World world;
  std::unique_ptr<RelayProcess> there;
  std::unique_ptr<RelayProcess> here;
  Author alice;
};

TEST_F(MirrorTest, BringsWhatWasThereAndWhatComes) {
  start_there();
  auto writer = connect(*there);
  const Event old = alice.sign(1, "old", {}, 5'000);
  ASSERT_EQ(writer->publish(old), "true ");
  start_here("down");
  EXPECT_TRUE(comes_to_have(*here, {old}));
  auto reader = connect(*here);
  reader->query("s", "{}");
  const Event fresh = alice.sign(1, "fresh");
  ASSERT_EQ(writer->publish(fresh), "true ");
  EXPECT_EQ(reader->next_event("s"), hex(fresh));  // live, as of any client
  const Event mine = alice.sign(1, "mine");
  EXPECT_EQ(connect(*here)->publish(mine), "true ");
  EXPECT_EQ(reader->next_event("s"), hex(mine));
  EXPECT_TRUE(comes_to_have(*there, {old, fresh}));  // nothing goes up
  EXPECT_EQ(metric_here("stored_total"), 2U);
  EXPECT_EQ(metric_here("sent_total"), 0U);
  EXPECT_EQ(metric_here("syncs_total"), 1U);
}

TEST_F(MirrorTest, SendsWhatWasHereAndWhatComes) {
  start_there();
  const Event old = alice.sign(1, "old", {}, 5'000);
  {
    RelayProcess before(here_dir.path());
    EXPECT_EQ(connect(before)->publish(old), "true ");
    stop(before);
  }
  start_here("up");
  EXPECT_TRUE(comes_to_have(*there, {old}));
  auto reader = connect(*there);
  reader->query("s", "{}");
  const Event fresh = alice.sign(1, "fresh");
  EXPECT_EQ(connect(*here)->publish(fresh), "true ");
  EXPECT_EQ(reader->next_event("s"), hex(fresh));
  EXPECT_EQ(metric_here("sent_total"), 1U);
  EXPECT_TRUE(world.poll([&] { return metric_here("taken_total") == 2; }));
  EXPECT_EQ(metric_here("received_total"), 0U);
}

TEST_F(MirrorTest, ShowsItsKeyWhereItIsAskedFor) {
  there = std::make_unique<RelayProcess>(there_dir.path(), "log_level = \"info\"\n");
  const Event theirs = alice.sign(1, "theirs");
  EXPECT_EQ(connect(*there)->publish(theirs), "true ");
  require_authentication(world, *there, there_dir.path());
  start_here("both", fmt::format("key = \"{}\"", key_file(here_dir.path(), std::string(64, '7'))));
  EXPECT_TRUE(comes_to_have(*here, {theirs}));
  const Event mine = alice.sign(1, "mine");
  EXPECT_EQ(connect(*here)->publish(mine), "true ");
  EXPECT_TRUE(world.poll([&] { return metric_here("taken_total") >= 1; }));
  EXPECT_EQ(metric_here("not_taken_total"), 0U);
}

TEST_F(MirrorTest, ExchangesOnlyWhatTheFilterMatches) {
  start_there();
  start_here("both", "filter = '{\"kinds\":[7]}'");
  auto up = connect(*here);
  auto down = connect(*there);
  const Event a = alice.sign(7, "a");
  const Event b = alice.sign(7, "b");
  const Event other = alice.sign(1, "other");
  const Event theirs = alice.sign(1, "theirs");
  EXPECT_EQ(up->publish(other), "true ");
  EXPECT_EQ(up->publish(a), "true ");
  EXPECT_EQ(down->publish(theirs), "true ");
  EXPECT_EQ(down->publish(b), "true ");
  EXPECT_TRUE(comes_to_have(*there, {a, b, theirs}));
  EXPECT_TRUE(comes_to_have(*here, {a, b, other}));
}

TEST_F(MirrorTest, NothingGoesRoundInCircles) {
  // A ring of two, both ways: each mirrors the other.
  start_there();
  start_here("both");
  const std::string first_url = there->url();
  const std::string listen = first_url.substr(first_url.find("//") + 2);
  stop(*there);
  const auto config = there_dir.path() / "ring.toml";
  std::ofstream(config) << table(here->url(), "both");
  nostril::test::Process ring({nostril::test::program("nostril-relay"), "run", "--listen", listen,
                               "--data", there_dir.path().string(), "--config", config.string()});
  ASSERT_TRUE(ring.read_line());
  wait_connected(*here, first_url);
  Client other(world, first_url);
  ASSERT_TRUE(other.wait_open());
  EXPECT_TRUE(world.poll([&] { return metric_here("syncs_total") >= 1; }));
  const Event event = alice.sign(1, "round");
  const Event back = alice.sign(1, "back");
  const Event passing = alice.sign(20'001, "ephemeral");
  auto client = connect(*here);
  other.query("s", "{}");
  client->query("s", "{}");
  EXPECT_EQ(client->publish(event), "true ");
  EXPECT_EQ(other.next_event("s"), hex(event));
  EXPECT_EQ(other.publish(back), "true ");
  EXPECT_EQ(client->next_event("s"), hex(event));  // each hears its own, too
  EXPECT_EQ(client->next_event("s"), hex(back));
  EXPECT_EQ(other.next_event("s"), hex(back));
  EXPECT_EQ(client->publish(passing), "true ");
  EXPECT_EQ(client->next_event("s"), hex(passing));
  // One more goes all the way: what circled would have been counted before it.
  const Event last = alice.sign(1, "last");
  EXPECT_EQ(client->publish(last), "true ");
  EXPECT_EQ(other.next_event("s"), hex(last));  // and not the ephemeral one
  EXPECT_LE(metric_here("sent_total"), 3U);
  EXPECT_LE(metric_here("received_total"), 3U);
  EXPECT_TRUE(world.poll([&] {
    return metric_here("stored_total") + metric_here("known_total") ==
           metric_here("received_total");
  }));
  stop(ring);
}

TEST_F(MirrorTest, GoesOnAfterALostConnection) {
  start_there();
  start_here("down");
  const std::string url = there->url();
  EXPECT_TRUE(world.poll([&] { return metric_here("syncs_total") == 1; }));
  stop(*there);
  EXPECT_TRUE(world.poll([&] { return metric(*here, "connected", url) == 0; }));
  nostril::test::Process again({nostril::test::program("nostril-relay"), "run", "--listen",
                                url.substr(url.find("//") + 2), "--data",
                                there_dir.path().string()});
  ASSERT_TRUE(again.read_line());
  Client writer(world, url);
  ASSERT_TRUE(writer.wait_open());
  const Event event = alice.sign(1, "while nobody listened");
  EXPECT_EQ(writer.publish(event), "true ");
  EXPECT_TRUE(comes_to_have(*here, {event}));
  EXPECT_EQ(metric(*here, "connections_total", url), 2U);
  stop(again);
}

TEST_F(MirrorTest, WhatAStrangerSaysIsCheckedLikeAnyEvent) {
  const Event good = alice.sign(1, "good");
  Event forged = alice.sign(1, "forged");
  forged.sig.bytes[1] ^= 1;
  const Event blocked = alice.sign(9, "blocked");
  const Event unasked = alice.sign(8, "not of the filter");
  const Event passing = alice.sign(20'001, "ephemeral");
  Scripted stranger(world, [&](const std::string& text) -> std::vector<std::string> {
    if (!text.starts_with(R"(["REQ","live")")) return {};
    std::vector<std::string> out = {"nonsense", R"(["EVENT","live",{}])"};
    for (const Event& event : {forged, blocked, unasked, passing, good}) {
      out.push_back(event_prefix("live") + to_json(event) + "]");
    }
    out.push_back(eose_text("live"));
    return out;
  });
  here = std::make_unique<RelayProcess>(
      here_dir.path(),
      "[policy]\nblocked_kinds = [\"9\"]\n" +
          table(stranger.url(), "down", "sync_every_s = 0\nfilter = '{\"kinds\":[1,9,20001]}'"));
  EXPECT_TRUE(comes_to_have(*here, {good}));
  EXPECT_TRUE(world.poll([&] { return metric(*here, "refused_total", stranger.url()) == 4; }));
  EXPECT_EQ(metric(*here, "received_total", stranger.url()), 5U);
}

TEST_F(MirrorTest, AStrangerWithoutTheProtocolIsMirroredLive) {
  const Event good = alice.sign(1, "good");
  Scripted stranger(world, [&](const std::string& text) -> std::vector<std::string> {
    if (text.starts_with(R"(["NEG-OPEN")")) return {notice_text("unknown command")};
    if (!text.starts_with(R"(["REQ","live")")) return {};
    return {event_prefix("live") + to_json(good) + "]", eose_text("live")};
  });
  here = std::make_unique<RelayProcess>(here_dir.path(), table(stranger.url(), "down"));
  EXPECT_TRUE(comes_to_have(*here, {good}));
  EXPECT_TRUE(world.poll([&] { return metric(*here, "syncs_failed_total", stranger.url()) == 1; }));
}

TEST_F(MirrorTest, AMistakeInTheConfigurationIsNamed) {
  for (const std::string& wrong :
       {table("http://127.0.0.1:1", "down"), table("ws://127.0.0.1:1", "sideways"),
        table("ws://127.0.0.1:1", "down", "filter = '{\"nope\":1}'"),
        table("ws://127.0.0.1:1", "down", "nope = 1")}) {
    const auto config = here_dir.path() / "wrong.toml";
    std::ofstream(config) << wrong;
    nostril::test::Process process({nostril::test::program("nostril-relay"), "run", "--listen",
                                    "127.0.0.1:0", "--data", here_dir.path().string(), "--config",
                                    config.string()});
    EXPECT_EQ(process.wait(), 1) << wrong;
  }
}

}  // namespace
}  // namespace nostril::relay::test
