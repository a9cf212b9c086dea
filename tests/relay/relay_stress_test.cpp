// The assembled relay under several clients at once, each doing everything a client can: for the
// thread sanitizer, and for what must hold whatever the order was. Bounded by work, not by time.
#include "base/log.h"
#include "relay/relay.h"
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <latch>
#include <set>
#include <thread>

namespace nostril::relay::test {
namespace {

constexpr std::size_t kClients = 4;
constexpr std::size_t kEventsEach = 40;

/// Small bounds, so that they are met.
RelayConfig config_in(const TempDir& dir) {
  RelayConfig config;
  config.listen = "127.0.0.1:0";
  config.data = dir.path().string();
  config.threads.loops = 2;
  config.threads.verifiers = 2;
  config.limits.publishes_under_way_max = 8;
  config.limits.stored_under_way_max = 12;
  config.limits.ephemeral_under_way_max = 4;
  config.limits.queries_queued_max = 2;
  config.limits.limit_default = 1'000;
  return config;
}

/// One client on a thread of its own. Its events: every fourth one ephemeral, every fifth forged,
/// every sixth sent twice.
class BusyClient {
 public:
  BusyClient(const Relay& relay, std::size_t number)
      : number_(number), url_(relay.listen_url()), port_(relay.port()) {
    for (std::size_t i = 0; i < kEventsEach; ++i) {
      events_.push_back(author_.sign(i % 4 == 0 ? 20001 : 1, fmt::format("{} {}", number, i)));
      if (i % 5 == 0) events_.back().sig.bytes[3] ^= 1;
    }
  }

  // Publishes without waiting, while it subscribes, replaces, closes, asks for metrics and comes
  // back on a second connection; then takes every answer.
  void work() {
    connect();
    client_->send(R"(["REQ","live",{"kinds":[1,20001]}])");
    for (std::size_t i = 0; i < events_.size(); ++i) {
      client_->send(publish_text(events_[i]));
      if (i % 6 == 0) client_->send(publish_text(events_[i]));
      client_->send(fmt::format(R"(["REQ","s{}",{{"kinds":[1]}},{{"authors":["{}"]}}])", i % 3,
                                author_.hex()));
      client_->send(fmt::format(R"(["REQ","id",{{"ids":["{}"]}}])", hex(events_[i / 2])));
      client_->send(fmt::format(R"(["COUNT","c{}",{{"kinds":[1]}}])", i % 4));
      if (i % 2 == 0) client_->send(fmt::format(R"(["CLOSE","s{}"])", i % 3));
      if (i % 10 == 5) visit();
    }
    for (const Event& event : events_) take_answer(event);
  }

  [[nodiscard]] const std::vector<std::string>& accepted() const { return accepted_; }

  Client& client() { return *client_; }

 private:
  void connect() {
    client_ = std::make_unique<Client>(world_, url_);
    ASSERT_TRUE(client_->wait_open());
  }

  // A connection that goes in the middle of its query.
  void visit() {
    Client visitor(world_, url_);
    ASSERT_TRUE(visitor.wait_open());
    visitor.send(R"(["REQ","v",{}])");
    visitor.send(publish_text(author_.sign(20002)));
    const auto page = http_get(world_, fmt::format("http://127.0.0.1:{}/metrics", port_));
    EXPECT_EQ(page.status, 200);
  }

  void take_answer(const Event& event) {
    const std::string answer = client_->answer_to(hex(event));
    ASSERT_NE(answer, "none") << number_;
    if (answer.starts_with("true") && event.kind == 1) accepted_.push_back(hex(event));
  }

  const std::size_t number_;
  const std::string url_;
  const std::uint16_t port_;
  Author author_;
  World world_;
  std::vector<Event> events_;
  std::vector<std::string> accepted_;  // stored ones
  std::unique_ptr<Client> client_;
};

std::set<std::string> stored_ids(const TempDir& dir) {
  const auto store = open_store(dir.path());
  expect_consistent(*store);
  ScanOptions everything;
  everything.limit_max = 100'000;
  std::set<std::string> ids;
  for (const EventId& id : query(*store, {Filter{}}, everything)) ids.insert(encode_hex(id));
  return ids;
}

class RelayStress : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::Error); }

  void start() {
    relay = std::make_unique<Relay>(config_in(dir), clock, rng);
    relay->start();
    for (std::size_t i = 0; i < kClients; ++i) {
      clients.push_back(std::make_unique<BusyClient>(*relay, i));
    }
  }

  TempDir dir;
  SystemClock clock;
  SystemRng rng;
  std::unique_ptr<Relay> relay;
  std::vector<std::unique_ptr<BusyClient>> clients;
};

TEST_F(RelayStress, AnswersEverybodyAndStopsCleanly) {
  start();
  std::vector<std::thread> threads;
  threads.reserve(kClients);
  for (auto& client : clients) threads.emplace_back([&client] { client->work(); });
  for (auto& thread : threads) thread.join();
  std::set<std::string> accepted;
  for (const auto& client : clients) {
    accepted.insert(client->accepted().begin(), client->accepted().end());
  }
  for (auto& client : clients) {
    const auto all = client->client().query("all", R"({"kinds":[1]})");
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()), accepted);
    EXPECT_EQ(all.size(), accepted.size());
  }
  clients.clear();
  relay->stop();
  relay.reset();
  EXPECT_EQ(stored_ids(dir), accepted);
  EXPECT_EQ(accepted.size(), kClients * 24);  // of 40: 10 ephemeral, 8 forged, 2 of them both
}

/// Publishes and asks until the relay ends the connection; what was accepted by then.
std::set<std::string> publish_until_closed(const std::string& url, std::latch& under_way) {
  World world;
  Author author;
  std::set<std::string> accepted;
  Client client(world, url);
  EXPECT_TRUE(client.wait_open());
  constexpr std::size_t kEventsMax = 2'000;
  constexpr std::size_t kWarm = 10;
  std::size_t i = 0;
  for (; i < kEventsMax && !client.closed; ++i) {
    const Event event = author.sign(i % 3 == 0 ? 20001 : 1, std::to_string(i));
    if (!client.socket().send_text(publish_text(event))) break;
    (void)client.socket().send_text(fmt::format(R"(["REQ","s{}",{{}}])", i % 4));
    if (client.answer_to(hex(event)) == "true " && event.kind == 1) accepted.insert(hex(event));
    client.messages.clear();
    if (i == kWarm) under_way.count_down();
  }
  if (i <= kWarm) under_way.count_down();  // it failed: nobody is to wait for it
  EXPECT_TRUE(world.wait([&] { return client.closed.has_value(); }));
  return accepted;
}

TEST_F(RelayStress, AStopInTheMiddleKeepsWhatWasAnswered) {
  relay = std::make_unique<Relay>(config_in(dir), clock, rng);
  relay->start();
  std::vector<std::set<std::string>> accepted(kClients);
  std::latch under_way(kClients);
  std::vector<std::thread> threads;
  threads.reserve(kClients);
  for (auto& mine : accepted) {
    threads.emplace_back([&mine, &under_way, url = relay->listen_url()] {
      mine = publish_until_closed(url, under_way);
    });
  }
  under_way.wait();
  relay->stop();
  relay.reset();
  for (auto& thread : threads) thread.join();
  const std::set<std::string> stored = stored_ids(dir);
  for (const auto& mine : accepted) {
    EXPECT_GE(mine.size(), 7U);
    for (const auto& id : mine) EXPECT_TRUE(stored.contains(id));
  }
}

}  // namespace
}  // namespace nostril::relay::test
