// Relays of one cluster as processes, over a real nats-server: joining by snapshot, replacing a
// store, leaving, and events that wait on the disk while the server is away.
#include "relay/cluster/applied_ids.h"
#include "relay/cluster/bus.h"
#include "tests/relay/nats_server.h"
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace nostril::relay::test {
namespace {

namespace fs = std::filesystem;
using nostril::test::Process;

struct Ended {
  int status = -1;
  std::string output;
};

Ended run(const std::vector<std::string>& words, const std::string& input = {}) {
  std::vector<std::string> command = {nostril::test::program("nostril-relay")};
  command.insert(command.end(), words.begin(), words.end());
  Process process(command, input);
  Ended out;
  out.output = process.read_all(std::chrono::seconds(60));
  out.status = process.wait(std::chrono::seconds(60)).value_or(-1);
  return out;
}

class ClusterProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Bus::is_built_in()) GTEST_SKIP() << "built without libnats";
    if (!NatsServer::installed()) GTEST_SKIP() << NatsServer::kMissing;
    server = std::make_unique<NatsServer>(dir.path() / "nats");
  }

  [[nodiscard]] fs::path data(const std::string& name) const { return dir.path() / name; }

  [[nodiscard]] std::string config_path(const std::string& name) const {
    return (data(name) / "relay.toml").string();
  }

  std::unique_ptr<RelayProcess> start(const std::string& name, const std::string& more = {}) {
    fs::create_directories(data(name));
    return std::make_unique<RelayProcess>(
        data(name), fmt::format("[cluster]\nname = \"main\"\nrelay = \"{}\"\nservers = [\"{}\"]\n"
                                "replicas = 1\nack_wait_s = 1\nstream_bytes_max = 67108864\n{}",
                                name, server->url(), more));
  }

  void stop(RelayProcess& relay) {
    relay.process().signal(SIGTERM);
    EXPECT_EQ(relay.process().wait(std::chrono::seconds(40)), 0);
  }

  Ended cluster(std::vector<std::string> words, const std::string& as = "a") {
    words.insert(words.begin(), "cluster");
    words.insert(words.end(), {"--config", config_path(as)});
    return run(words);
  }

  /// As `cluster status` shows it now; empty: it does not answer.
  std::string state_of(const std::string& name, std::string* note = nullptr) {
    const auto ended = cluster({"status", "--json", "--answer-ms", "300"});
    const auto json = Json::parse(ended.output);
    if (!json) return "";
    const Json* relays = json->find("relays");
    if (relays == nullptr) return "";
    for (const Json& relay : relays->items()) {
      if (relay.find_string("relay") != name) continue;
      if (note != nullptr) *note = relay.find_string("note").value_or("");
      return std::string(relay.find_string("state").value_or(""));
    }
    return "";
  }

  void expect_serving(const std::string& name) {
    std::string note;
    for (int i = 0; i < 100; ++i) {
      if (state_of(name, &note) == "serving") return;
      (void)world.wait([] { return false; }, 50);
    }
    ADD_FAILURE() << name << " is " << state_of(name, &note) << ": " << note;
  }

  std::set<std::string> exported(const std::string& name) {
    const auto ended = run({"export", "--data", data(name).string()});
    EXPECT_EQ(ended.status, 0);
    std::set<std::string> out;
    std::istringstream lines(ended.output);
    for (std::string line; std::getline(lines, line);) out.insert(line);
    return out;
  }

  std::unique_ptr<Client> connect(RelayProcess& relay) {
    auto client = std::make_unique<Client>(world, relay.url());
    EXPECT_TRUE(client->wait_open());
    return client;
  }

  /// A store with events of before there was a cluster.
  void fill(const std::string& name, int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      lines += to_json(author.sign(1, "before " + std::to_string(i), {}, count - i)) + "\n";
    }
    fs::create_directories(data(name));
    EXPECT_EQ(run({"import", "--no-verify", "--data", data(name).string()}, lines).status, 0);
  }

  TempDir dir;
  World world;
  Author author;
  std::unique_ptr<NatsServer> server;
};

TEST_F(ClusterProcessTest, StatusSaysHowEachRelayIs) {
  auto a = start("a");
  expect_serving("a");
  auto b = start("b");
  expect_serving("b");
  auto client = connect(*a);
  EXPECT_EQ(client->publish(author.sign(1)), "true ");
  const auto table = cluster({"status"});
  EXPECT_EQ(table.status, 0) << table.output;
  EXPECT_NE(table.output.find("\na "), std::string::npos) << table.output;
  EXPECT_NE(table.output.find("\nb "), std::string::npos);
  EXPECT_EQ(cluster({"drain", "nobody"}).status, 4);
  EXPECT_EQ(cluster({"resnapshot", "no.name"}).status, 1);
  stop(*b);
  EXPECT_EQ(cluster({"status"}).status, 0);
  stop(*a);
  EXPECT_EQ(cluster({"status"}).status, 4);
  server->kill();
  EXPECT_EQ(cluster({"status"}).status, 1);
  server->start();
}

TEST_F(ClusterProcessTest, AnEmptyRelayGetsASnapshotAndThenWhatCameMeanwhile) {
  fill("a", 200);
  auto a = start("a");
  expect_serving("a");
  auto client = connect(*a);
  std::vector<std::string> ids;
  const auto publish = [&](int count) {
    for (int i = 0; i < count; ++i) {
      const Event event = author.sign(1, "then " + std::to_string(ids.size()));
      EXPECT_EQ(client->publish(event), "true ");
      ids.push_back(hex(event));
    }
  };
  publish(50);
  auto b = start("b");
  for (int i = 0; i < 100 && state_of("b") != "serving"; ++i) publish(10);
  expect_serving("b");
  publish(20);
  auto reader = connect(*b);
  EXPECT_TRUE(world.poll([&] {
    return reader->query("last", fmt::format("{{\"ids\":[\"{}\"]}}", ids.back())).size() == 1;
  }));
  stop(*b);
  stop(*a);
  const auto here = exported("a");
  EXPECT_EQ(here.size(), 200 + ids.size());
  EXPECT_EQ(exported("b"), here);
}

TEST_F(ClusterProcessTest, ResnapshotPutsAnothersStoreInItsPlace) {
  fill("a", 50);
  auto a = start("a");
  expect_serving("a");
  auto b = start("b");
  expect_serving("b");
  stop(*b);
  b.reset();
  {
    // What should not be: it lacks what the others have.
    auto store = open_store(data("b"));
    EXPECT_EQ(*store->erase(query(*store, {Filter()})), 50U);
  }
  EXPECT_TRUE(exported("b").empty());
  b = start("b");
  expect_serving("b");
  auto client = connect(*a);
  EXPECT_EQ(client->publish(author.sign(1, "one more")), "true ");
  const auto ended = cluster({"resnapshot", "b", "--wait", "60"});
  EXPECT_EQ(ended.status, 0) << ended.output;
  EXPECT_EQ(client->publish(author.sign(1, "and another")), "true ");
  expect_serving("b");
  EXPECT_TRUE(world.poll([&] { return exported("b").size() == 52; }));
  stop(*b);
  stop(*a);
  EXPECT_EQ(exported("b"), exported("a"));
}

// As a server does now and then that was cut off while it led the stream: see
// relay/cluster/repair.h.
TEST_F(ClusterProcessTest, WhatARelayWasNotToldAndWhatOnlyItWasToldComesToAll) {
  auto a = start("a");
  expect_serving("a");
  auto b = start("b");
  expect_serving("b");
  auto client = connect(*a);
  constexpr std::size_t kNotes = AppliedIds::kWindow + 100;
  std::vector<EventId> notes;
  for (std::size_t i = 0; i < kNotes; ++i) {
    const Event note = author.sign(1, "note " + std::to_string(i));
    EXPECT_EQ(client->publish(note), "true ");
    notes.push_back(note.id);
  }
  EXPECT_TRUE(world.poll([&] { return exported("b").size() == kNotes; }));
  stop(*b);
  b.reset();
  const std::set<EventId> lost(notes.begin() + 10, notes.begin() + 400);
  const Event only_here = author.sign(1, "nobody else was told");
  {
    auto store = open_store(data("b"));
    EXPECT_EQ(*store->erase(std::vector<EventId>(lost.begin(), lost.end())), lost.size());
    (void)put_all(*store, {only_here});
    const StreamPosition position = store->stream_position().value();
    auto noted = std::move(*AppliedIds::open(data("b") / kAppliedIdsFile));
    noted->begin(position.of, position.sequence);
    std::vector<EventId> ids;
    for (std::uint64_t at = 1; at <= position.sequence; ++at) {
      ids.push_back(noted->ids({at, at}).value().front());
    }
    EXPECT_TRUE(std::ranges::equal(ids, notes)) << "it has noted what the stream had";
    noted->begin({"another", 1}, 0);
    noted->begin(position.of, 0);
    EventId nothing;
    for (std::uint64_t at = 1; at <= position.sequence; ++at) {
      EventId id = ids.at(at - 1);
      if (id == notes.at(10)) {
        id = only_here.id;
      } else if (lost.contains(id)) {
        nothing.bytes.fill(static_cast<std::uint8_t>(at));
        id = nothing;
      }
      noted->add(at, id);
    }
    noted->flush();
  }
  b = start("b");
  expect_serving("b");
  EXPECT_TRUE(world.poll([&] {
    const auto here = exported("b");
    return here.size() == kNotes + 1 && here == exported("a");
  }));
  stop(*a);
  stop(*b);
}

TEST_F(ClusterProcessTest, ARelayThatDrainsLosesNothingAndEnds) {
  auto a = start("a");
  expect_serving("a");
  auto b = start("b");
  expect_serving("b");
  auto client = connect(*b);
  Process drain({nostril::test::program("nostril-relay"), "cluster", "drain", "b", "--config",
                 config_path("a")});
  std::set<std::string> acknowledged;
  for (int i = 0; i < 200'000 && !client->closed; ++i) {
    const Event event = author.sign(1, "n " + std::to_string(i));
    if (!client->socket().send_text(publish_text(event))) break;
    const std::string answer = client->answer_to(hex(event));
    if (answer.starts_with("true")) acknowledged.insert(hex(event));
  }
  EXPECT_TRUE(client->closed);
  EXPECT_EQ(b->process().wait(), 0);
  EXPECT_EQ(drain.wait(std::chrono::seconds(40)), 0);
  EXPECT_FALSE(acknowledged.empty());
  EXPECT_EQ(state_of("b"), "");
  stop(*a);
  std::set<std::string> here;
  for (const auto& line : exported("a")) {
    here.insert(std::string(Json::parse(line)->find_string("id").value_or("")));
  }
  for (const auto& id : acknowledged) EXPECT_TRUE(here.contains(id)) << id;
}

TEST_F(ClusterProcessTest, WhatIsQueuedWhileTheServerIsAwaySurvivesAndIsSent) {
  auto a = start("a", "when_away = \"queue\"\n");
  expect_serving("a");
  auto b = start("b");
  expect_serving("b");
  auto client = connect(*a);
  EXPECT_EQ(client->publish(author.sign(1, "first")), "true ");
  server->kill();
  std::vector<std::string> queued;
  for (int i = 0; i < 20; ++i) {
    const Event event = author.sign(1, "queued " + std::to_string(i));
    const std::string answer = client->publish(event);
    EXPECT_TRUE(answer.starts_with("true info: queued:")) << answer;
    queued.push_back(hex(event));
  }
  a->process().kill_now();
  a = start("a", "when_away = \"queue\"\n");
  server->start();
  expect_serving("a");
  expect_serving("b");
  auto reader = connect(*b);
  EXPECT_TRUE(world.poll([&] { return reader->query("all", "{\"kinds\":[1]}").size() == 21; }));
  stop(*a);
  stop(*b);
  EXPECT_EQ(exported("a"), exported("b"));
  EXPECT_EQ(exported("a").size(), 21U);
}

}  // namespace
}  // namespace nostril::relay::test
