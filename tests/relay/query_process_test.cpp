// Stored queries against the real program: COUNT, brief queries, clients that go away or never
// read.
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <fstream>

namespace nostril::relay::test {
namespace {

using Ids = std::vector<std::string>;

// Sanitizers keep what was freed, and shadows of all memory: sizes say nothing there.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMemoryIsOurs = false;
#else
constexpr bool kMemoryIsOurs = true;
#endif

// "RssAnon:" of /proc/PID/status: without the pages of the store's file.
std::size_t own_memory_bytes(int pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string word; status >> word;) {
    if (word != "RssAnon:") continue;
    std::size_t kib = 0;
    status >> kib;
    return kib * 1024;
  }
  ADD_FAILURE() << "no RssAnon";
  return 0;
}

class RelayQueryTest : public testing::Test {
 protected:
  // `count` events of kind 1 by author 0, a second apart, `content_bytes` each.
  void fill(std::size_t count, std::size_t content_bytes) {
    auto store = open_store(dir.path());
    for (std::size_t i = 0; i < count; ++i) {
      events.push_back(make_event(0, 1'700'000'000 + static_cast<std::int64_t>(i), 1, {},
                                  std::string(content_bytes, 'x')));
    }
    put_all(*store, events);
  }

  void start(const std::string& config = {}) {
    relay = std::make_unique<RelayProcess>(dir.path(), config);
  }

  std::unique_ptr<Client> connect() {
    auto client = std::make_unique<Client>(world, relay->url());
    EXPECT_TRUE(client->wait_open());
    return client;
  }

  std::string id_of(std::size_t number) const { return encode_hex(events[number].id); }

  // The number, or the text of CLOSED.
  static std::string count(Client& client, const std::string& filters) {
    client.send(R"(["COUNT","c",)" + filters + "]");
    for (std::size_t i = 0; i < 1000; ++i) {
      if (auto answer = client.take("COUNT", "c", 10)) {
        return std::to_string(answer->items()[2].find_integer("count").value_or(-1));
      }
      if (auto closed = client.take("CLOSED", "c", 10)) {
        return std::string(closed->items()[2].string().value_or("?"));
      }
    }
    return "no answer";
  }

  TempDir dir;
  World world;
  std::unique_ptr<RelayProcess> relay;
  std::vector<Event> events;
};

TEST_F(RelayQueryTest, CountsWhatMatches) {
  fill(700, 10);
  start("[limits]\nlimit_max = 50\n");
  auto client = connect();
  EXPECT_EQ(count(*client, "{}"), "700");  // limit_max is for what is sent
  EXPECT_EQ(count(*client, R"({"kinds":[2]})"), "0");
  EXPECT_EQ(count(*client, R"({"kinds":[1],"limit":60})"), "60");
  EXPECT_EQ(count(*client,
                  R"({"since":1700000690},{"ids":[")" + id_of(3) + R"("]},{"until":1700000004})"),
            "15");  // the union, each once
  EXPECT_EQ(relay->metric(world, "counts_total"), 4U);
  EXPECT_EQ(client->query("s", "{}").size(), 50U);
}

TEST_F(RelayQueryTest, ACountThatCostsTooMuchIsRefused) {
  fill(4000, 10);
  start("[limits]\ncount_visits_max = 3000\n");  // a step is 4,096
  auto client = connect();
  EXPECT_EQ(count(*client, R"({"kinds":[1],"since":1700003000})"), "1000");
  EXPECT_EQ(count(*client, "{}"), "error: to count this takes a look at more than 3000 entries");
  EXPECT_EQ(count(*client, R"({"kinds":[1],"since":1700003990})"), "10");
}

TEST_F(RelayQueryTest, ACountIsBoundedAsASubscriptionIs) {
  fill(10, 10);
  start("[limits]\nsubscriptions_max = 1\nfilter_values_max = 3\n");
  auto client = connect();
  EXPECT_EQ(count(*client, R"({"kinds":[1,2,3,4]})").substr(0, 13), "rate-limited:");
  EXPECT_EQ(count(*client, R"({"kinds":[1,2]})"), "10");
  EXPECT_EQ(client->query("c", R"({"limit":1})").size(),
            1U);  // the count is over: its place is free
  EXPECT_EQ(count(*client, "{}").substr(0, 13), "rate-limited:");
  client->send(R"(["CLOSE","c"])");
  EXPECT_EQ(count(*client, "{}"), "10");
}

TEST_F(RelayQueryTest, BriefQueriesAreAnsweredByTheLoopItself) {
  fill(100, 10);
  start();
  auto client = connect();
  EXPECT_EQ(client->query("a", R"({"ids":[")" + id_of(5) + R"("]})"), Ids{id_of(5)});
  EXPECT_EQ(client->query("b", R"({"ids":[")" + std::string(64, '0') + R"("]})"), Ids{});
  const std::string author_hex = encode_hex(author(0));
  EXPECT_EQ(client->query("c", R"({"authors":[")" + author_hex + R"("],"kinds":[1],"limit":2})"),
            (Ids{id_of(99), id_of(98)}));
  EXPECT_EQ(client->query("d", R"({"authors":[")" + author_hex + R"("],"kinds":[0]})"), Ids{});
  EXPECT_EQ(count(*client, R"({"ids":[")" + id_of(5) + R"("]})"), "1");
  // And as live ones they go on.
  Author alice;
  client->send(R"(["REQ","live",{"authors":[")" + alice.hex() + R"("],"kinds":[1],"limit":1}])");
  ASSERT_TRUE(client->take_until_eose("live"));
  const Event event = alice.sign(1);
  EXPECT_EQ(client->publish(event), "true ");
  EXPECT_EQ(client->next_event("live"), hex(event));
}

// All at once, on all threads: what is published while others search, count, subscribe and leave.
TEST_F(RelayQueryTest, PublishersQueriesAndCountsAtOnce) {
  constexpr std::size_t kPublished = 120;
  fill(500, 100);
  start("[threads]\nloops = 2\nqueries = 2\n");
  std::vector<std::unique_ptr<Client>> writers;
  std::vector<std::unique_ptr<Client>> readers;
  std::vector<std::unique_ptr<Client>> listeners;
  for (int i = 0; i < 3; ++i) writers.push_back(connect());
  for (int i = 0; i < 4; ++i) readers.push_back(connect());
  for (int i = 0; i < 4; ++i) listeners.push_back(connect());
  for (auto& listener : listeners) {
    listener->send(R"(["REQ","live",{"kinds":[1],"limit":0}])");
    ASSERT_TRUE(listener->take_until_eose("live"));
  }
  Author alice;
  Ids published;
  for (std::size_t i = 0; i < kPublished; ++i) {
    const Event event = alice.sign(1, std::to_string(i));
    published.push_back(hex(event));
    writers[i % writers.size()]->send(publish_text(event));
    Client& reader = *readers[i % readers.size()];
    reader.send(fmt::format(R"(["REQ","id",{{"ids":["{}"]}}])", id_of(i)));
    reader.send(fmt::format(R"(["COUNT","c{}",{{}}])", i % 3));
    reader.send(fmt::format(R"(["REQ","page{}",{{"kinds":[1],"limit":60}}])", i % 5));
    if (i % 4 == 0) reader.send(fmt::format(R"(["CLOSE","page{}"])", i % 5));
    if (i % 30 == 29) readers[i % readers.size()] = connect();  // leaves in the middle
  }
  for (std::size_t i = 0; i < kPublished; ++i) {
    EXPECT_EQ(writers[i % writers.size()]->answer_to(published[i]), "true ");
  }
  std::ranges::sort(published);
  for (auto& listener : listeners) {
    Ids heard;
    for (std::size_t i = 0; i < kPublished; ++i) heard.push_back(listener->next_event("live"));
    std::ranges::sort(heard);
    EXPECT_EQ(heard, published);
  }
  auto client = connect();
  EXPECT_EQ(count(*client, "{}"), std::to_string(events.size() + kPublished));
  Ids stored = client->query("all", R"({"authors":[")" + alice.hex() + R"("]})");
  std::ranges::sort(stored);
  EXPECT_EQ(stored, published);
  for (auto& listener : listeners) EXPECT_EQ(listener->take_events("live"), Ids{});
}

// 200 clients ask for everything, several times over, and never read a byte of it.
TEST_F(RelayQueryTest, ClientsThatNeverReadCostABoundedAmountOfMemory) {
  constexpr std::size_t kClients = kMemoryIsOurs ? 200 : 20;
  constexpr std::size_t kPendingBytes = 256 << 10;  // so stored events wait above a quarter of it
  constexpr std::size_t kSocketBytes = 256 << 10;   // the default
  constexpr std::size_t kStepBytes = 64 << 10;
  fill(2000, 1000);
  start(fmt::format("[limits]\npending_bytes_max = {}\nlimit_default = 5000\n", kPendingBytes));
  const std::size_t before = own_memory_bytes(relay->process().pid());
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.push_back(connect());
  for (auto& client : clients) {
    for (int i = 0; i < 8; ++i) client->send(fmt::format(R"(["REQ","s{}",{{}}])", i));
    client->socket().pause_reading();
  }
  // All that will be read for them has been read when the figure stands still.
  std::uint64_t rows = 0;
  ASSERT_TRUE(world.poll(
      [&] {
        (void)world.wait([] { return false; }, 300);
        const std::uint64_t now = relay->metric(world, "query_rows_total");
        return now > kClients && std::exchange(rows, now) == now;
      },
      60'000));
  EXPECT_LT(rows, kClients * 8 * events.size() / 2);
  // In the system's buffers: ours, doubled, and the clients' own, that has not grown for a client
  // that reads nothing.
  const std::uint64_t written = relay->metric(world, "bytes_out_total") / kClients;
  std::printf("%zu KiB a client in the system's buffers\n", std::size_t{written} / 1024);
  EXPECT_LT(written, kSocketBytes * 2 + (512U << 10U));
  if (kMemoryIsOurs) {
    const std::size_t grown = own_memory_bytes(relay->process().pid()) - before;
    RecordProperty("bytes_a_client", std::to_string(grown / kClients));
    std::printf("%zu KiB a client\n", grown / kClients / 1024);
    // What waits, the step that came last, the text of a step under way, and 40 KiB of slack each.
    EXPECT_LT(grown, kClients * (kPendingBytes / 4 + 2 * kStepBytes + (40 << 10)));
  }

  // They go, with their queries in the middle: nothing is read for them any more.
  clients.clear();
  ASSERT_TRUE(world.poll([&] { return relay->metric(world, "websockets") == 0; }));
  const std::uint64_t steps = relay->metric(world, "query_steps_total");
  auto client = connect();
  EXPECT_EQ(client->query("s", R"({"limit":3})").size(), 3U);
  EXPECT_LE(relay->metric(world, "query_steps_total"), steps + 2);
}

}  // namespace
}  // namespace nostril::relay::test
