// The program nostril-relay from outside: what clients and operators see.
#include "base/command_tree.h"
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <numeric>
#include <thread>

namespace nostril::relay::test {
namespace {

using Ids = std::vector<std::string>;

class RelayTest : public testing::Test {
 protected:
  // Each test ends with a clean stop: a sanitizer that found something in the relay's process
  // changes its exit status.
  void TearDown() override {
    if (relay && relay->process().is_running()) stop_cleanly();
  }

  void start(const std::string& config = {}) {
    relay = std::make_unique<RelayProcess>(dir.path(), config);
  }

  std::unique_ptr<Client> connect(const net::WsClientLimits& limits = {}) {
    auto client = std::make_unique<Client>(world, relay->url(), limits);
    EXPECT_TRUE(client->wait_open());
    return client;
  }

  void stop_cleanly() {
    relay->process().signal(SIGTERM);
    std::optional<int> status;
    EXPECT_TRUE(world.poll([&] {  // the clients go on answering
      status = relay->process().wait(std::chrono::milliseconds(0));
      return status.has_value();
    }));
    EXPECT_EQ(status, 0);
  }

  TempDir dir;
  World world;
  std::unique_ptr<RelayProcess> relay;
  Author alice;
  Author bob;
};

TEST_F(RelayTest, StoresAnswersAndDeliversAnEvent) {
  start();
  auto reader = connect();
  auto writer = connect();
  EXPECT_EQ(reader->query("s", R"({"kinds":[1]})"), Ids{});
  const Event event = alice.sign(1);
  EXPECT_EQ(writer->publish(event), "true ");
  EXPECT_EQ(reader->next_event("s"), hex(event));
  EXPECT_EQ(writer->query("mine", R"({"authors":[")" + alice.hex() + R"("]})"), Ids{hex(event)});
  stop_cleanly();
}

TEST_F(RelayTest, SendsTheEventAsItWasSigned) {
  start();
  auto client = connect();
  const Event event = alice.sign(1, "\x7f \"\\\b\t\n\f\r \x01 \xc3\xa4\xf0\x9f\x98\x80",
                                 {{"t", "x"}, {"e", hex(alice.sign(1)), ""}, {"-x"}});
  ASSERT_EQ(client->publish(event), "true ");
  client->send(R"(["REQ","s",{"#t":["x"]}])");
  const auto message = client->take("EVENT", "s");
  ASSERT_TRUE(message);
  EXPECT_TRUE(parse_event(message->items()[2].dump()));
}

TEST_F(RelayTest, AnswersADuplicateWithoutVerifyingIt) {
  start();
  auto client = connect();
  const Event event = alice.sign(1);
  EXPECT_EQ(client->publish(event), "true ");
  const auto before = relay->metric(world, "verifications_total");
  EXPECT_EQ(client->publish(event).substr(0, 15), "true duplicate:");
  EXPECT_EQ(relay->metric(world, "verifications_total"), before);
  EXPECT_EQ(relay->metric(world, "events_duplicate_early_total"), 1U);
  Event forged = event;
  forged.sig.bytes[5] ^= 1;  // the same id is no proof of another signature
  EXPECT_EQ(client->publish(forged).substr(0, 8), "false in");
  EXPECT_EQ(relay->metric(world, "events_duplicate_early_total"), 1U);
}

TEST_F(RelayTest, AFalseCopyFirstDoesNotKeepTheTrueEventOut) {
  start();
  auto client = connect();
  for (const std::uint32_t kind : {1U, 20001U}) {
    const Event event = alice.sign(kind);
    Event forged = event;
    forged.sig.bytes[5] ^= 1;
    (void)client->query("s", fmt::format(R"({{"kinds":[{}]}})", kind));
    EXPECT_EQ(client->publish(forged), "false invalid: wrong signature");
    EXPECT_EQ(client->publish(event), "true ");
    EXPECT_EQ(client->next_event("s"), hex(event));
  }
}

TEST_F(RelayTest, AnswersEveryEventOfABurst) {
  start("[limits]\npublishes_under_way_max = 8\nstored_under_way_max = 16\n");
  auto client = connect();
  (void)client->query("s", R"({"kinds":[1]})");
  std::vector<Event> events;
  for (int i = 0; i < 200; ++i) events.push_back(alice.sign(1, std::to_string(i)));
  for (const Event& event : events) client->send(publish_text(event));
  for (const Event& event : events) EXPECT_EQ(client->answer_to(hex(event)), "true ");
  Ids live;
  ASSERT_TRUE(world.wait([&] {
    for (auto& id : client->take_events("s")) live.push_back(std::move(id));
    return live.size() >= 200;
  }));
  std::ranges::sort(live);
  EXPECT_EQ(std::ranges::adjacent_find(live), live.end());
  EXPECT_GT(relay->metric(world, "reading_paused_total"), 0U);
  EXPECT_LT(relay->metric(world, "commits_total"), 200U);
}

TEST_F(RelayTest, StoredPartIsNewestFirstAndLimited) {
  start("[limits]\nlimit_default = 3\nlimit_max = 5\n");
  auto client = connect();
  Ids newest_first;
  for (int age = 7; age >= 0; --age) {
    const Event event = alice.sign(1, "x", {}, age);
    ASSERT_EQ(client->publish(event), "true ");
    newest_first.insert(newest_first.begin(), hex(event));
  }
  const auto first = [&](std::ptrdiff_t count) {
    return Ids(newest_first.begin(), newest_first.begin() + count);
  };
  EXPECT_EQ(client->query("a", R"({"kinds":[1]})"), first(3));
  EXPECT_EQ(client->query("b", R"({"kinds":[1],"limit":4})"), first(4));
  EXPECT_EQ(client->query("c", R"({"kinds":[1],"limit":100})"), first(5));
  EXPECT_EQ(client->query("d", R"({"kinds":[1],"limit":0})"), Ids{});
  EXPECT_EQ(client->query("e", R"({"kinds":[1],"limit":2},{"kinds":[1],"limit":1})"), first(2));
}

TEST_F(RelayTest, AnEqualSubscriptionIdReplacesAndCloseEnds) {
  start();
  auto client = connect();
  EXPECT_EQ(client->query("s", R"({"kinds":[1]})"), Ids{});
  EXPECT_EQ(client->query("s", R"({"kinds":[2]})"), Ids{});
  EXPECT_EQ(relay->metric(world, "subscriptions"), 1U);
  const Event two = alice.sign(2);
  ASSERT_EQ(client->publish(alice.sign(1)), "true ");
  ASSERT_EQ(client->publish(two), "true ");
  EXPECT_EQ(client->next_event("s"), hex(two));
  client->send(R"(["CLOSE","s"])");
  ASSERT_EQ(client->publish(alice.sign(2, "after")), "true ");
  EXPECT_EQ(client->query("end", R"({"limit":0})"), Ids{});
  EXPECT_EQ(client->take_events("s"), Ids{});
}

TEST_F(RelayTest, RefusesMoreSubscriptionsThanAllowed) {
  start("[limits]\nsubscriptions_max = 2\nfilter_values_max = 10\nfilters_max = 2\n");
  auto client = connect();
  EXPECT_EQ(client->query("a", R"({"kinds":[1]})"), Ids{});
  EXPECT_EQ(client->query("b", R"({"kinds":[1]})"), Ids{});
  client->send(R"(["REQ","c",{"kinds":[1]}])");
  auto closed = client->take("CLOSED", "c");
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->items()[2].string()->substr(0, 13), "rate-limited:");
  client->send(R"(["REQ","b",{"kinds":[1,2,3,4,5,6,7,8,9,10]}])");
  EXPECT_TRUE(client->take("CLOSED", "b"));
  client->send(R"(["REQ","d",{},{},{}])");
  closed = client->take("CLOSED", "d");
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->items()[2].string()->substr(0, 8), "invalid:");
  EXPECT_EQ(relay->metric(world, "subscriptions"), 1U);  // the refused REQ has ended "b"
  EXPECT_EQ(client->query("c", R"({"kinds":[1]})"), Ids{});
}

TEST_F(RelayTest, EphemeralEventsReachWhoListensAndAreNotStored) {
  start("[threads]\nloops = 3\n");
  auto writer = connect();
  const Event lost = alice.sign(21472, "lost");
  EXPECT_EQ(writer->publish(lost).substr(0, 11), "false mute:");
  std::vector<std::unique_ptr<Client>> readers;
  for (int i = 0; i < 12; ++i) {  // on all loops
    readers.push_back(connect());
    EXPECT_EQ(readers.back()->query("s", R"({"kinds":[21472]})"), Ids{});
  }
  EXPECT_EQ(writer->publish(lost), "true ");  // a second try is no duplicate
  for (auto& reader : readers) EXPECT_EQ(reader->next_event("s"), hex(lost));
  EXPECT_EQ(writer->publish(lost).substr(0, 15), "true duplicate:");
  EXPECT_EQ(writer->query("q", R"({"kinds":[21472]})"), Ids{});
  EXPECT_EQ(relay->metric(world, "store_events"), 0U);
  readers.clear();
  EXPECT_TRUE(world.poll([&] { return relay->metric(world, "websockets") == 1; }));
  writer->send(R"(["CLOSE","q"])");
  EXPECT_EQ(writer->publish(alice.sign(21472, "late")).substr(0, 11), "false mute:");
}

TEST_F(RelayTest, NeverShowsAuthEventsNorExpiredOnes) {
  start();
  auto client = connect();
  EXPECT_EQ(client->query("s", R"({})"), Ids{});
  EXPECT_EQ(client->publish(alice.sign(22242)), "false invalid: kind 22242 is never published");
  const auto now = SystemClock().unix_s();
  EXPECT_EQ(client->publish(alice.sign(1, "x", {{"expiration", std::to_string(now - 1)}})),
            "false invalid: the event has expired");
  EXPECT_EQ(client->publish(alice.sign(1, "x", {{"-"}})).substr(0, 20), "false auth-required:");
  const Event brief = alice.sign(1, "x", {{"expiration", std::to_string(now + 2)}});
  EXPECT_EQ(client->publish(brief), "true ");
  EXPECT_EQ(client->next_event("s"), hex(brief));
  while (SystemClock().unix_s() < now + 2)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(client->query("later", R"({"kinds":[1]})"), Ids{});
}

TEST_F(RelayTest, RefusesEventsFromTheFuture) {
  start();
  auto client = connect();
  EXPECT_EQ(client->publish(alice.sign(1, "x", {}, -1000)),
            "false invalid: created_at is too far in the future");
  EXPECT_EQ(client->publish(alice.sign(1, "x", {}, -800)), "true ");
  EXPECT_EQ(client->publish(alice.sign(1, "x", {}, 300'000'000)), "true ");
}

TEST_F(RelayTest, DeletesForTheAuthorOnly) {
  start();
  auto client = connect();
  const Event event = alice.sign(1);
  ASSERT_EQ(client->publish(event), "true ");
  ASSERT_EQ(client->publish(bob.sign(5, "", {{"e", hex(event)}})), "true ");
  EXPECT_EQ(client->query("a", R"({"kinds":[1]})"), Ids{hex(event)});
  ASSERT_EQ(client->publish(alice.sign(5, "", {{"e", hex(event)}})), "true ");
  EXPECT_EQ(client->query("b", R"({"kinds":[1]})"), Ids{});
  EXPECT_EQ(client->publish(event).substr(0, 6), "false ");
  const auto verified = relay->metric(world, "verifications_total");
  EXPECT_EQ(client->publish(event).substr(0, 6), "false ");
  EXPECT_EQ(relay->metric(world, "verifications_total"), verified);
  EXPECT_EQ(client->query("c", R"({"kinds":[1]})"), Ids{});
}

TEST_F(RelayTest, PolicyListsAreObeyed) {
  start(
      fmt::format("[policy]\nblocked_kinds = [\"7\"]\nallowed_authors = [\"{}\"]\n[limits]\n"
                  "events_a_second_max = 1\nevents_burst_max = 2\n",
                  alice.hex()));
  auto client = connect();
  EXPECT_EQ(client->publish(alice.sign(7)).substr(0, 14), "false blocked:");
  EXPECT_EQ(client->publish(bob.sign(1)).substr(0, 17), "false restricted:");
  EXPECT_EQ(client->publish(alice.sign(1, "a")), "true ");
  EXPECT_EQ(client->publish(alice.sign(1, "b")), "true ");
  EXPECT_EQ(client->publish(alice.sign(1, "c")).substr(0, 19), "false rate-limited:");
}

TEST_F(RelayTest, BadInputIsAnsweredAndDisturbsNobody) {
  start();
  auto good = connect();
  auto bad = connect();
  EXPECT_TRUE(good->take("AUTH"));
  EXPECT_EQ(good->query("s", R"({"kinds":[1]})"), Ids{});
  const auto notice = [&](std::string_view text) {
    bad->send(text);
    const auto answer = bad->take("NOTICE");
    return answer ? std::string(answer->items()[1].string().value_or("?")) : std::string("none");
  };
  EXPECT_EQ(notice("{").substr(0, 8), "invalid:");
  EXPECT_EQ(notice("").substr(0, 8), "invalid:");
  EXPECT_EQ(notice(R"(["NOPE"])").substr(0, 8), "invalid:");
  EXPECT_EQ(notice(std::string(100'000, '[')).substr(0, 8), "invalid:");
  EXPECT_EQ(notice(R"(["EVENT",{"id":7}])").substr(0, 8), "invalid:");
  EXPECT_EQ(notice("[\"CLOSE\",\"\xed\xa0\x80\"]").substr(0, 4), "none");  // not UTF-8: closed 1007
  ASSERT_TRUE(world.wait([&] { return bad->closed.has_value(); }));
  EXPECT_EQ(bad->closed->code, 1007);

  bad = connect();
  Event event = alice.sign(1);
  event.content += "!";  // the id is another event's
  EXPECT_EQ(bad->publish(event).substr(0, 14), "false invalid:");
  bad->send(R"(["REQ","r",{"nope":1}])");
  EXPECT_TRUE(bad->take("CLOSED", "r"));
  bad->send(R"(["COUNT","n",{"nope":1}])");
  EXPECT_TRUE(bad->take("CLOSED", "n"));
  const Event auth = alice.sign(22242);
  bad->send(auth_text(auth));
  EXPECT_EQ(bad->answer_to(hex(auth)).substr(0, 14), "false invalid:");
  EXPECT_TRUE(bad->socket().send_binary("binary"));
  EXPECT_TRUE(bad->take("NOTICE"));
  bad->send(std::string(600 << 10, ' '));  // above message_bytes_max
  ASSERT_TRUE(world.wait([&] { return bad->closed.has_value(); }));
  EXPECT_EQ(bad->closed->code, 1009);

  const Event fine = alice.sign(1, "fine");
  EXPECT_EQ(good->publish(fine), "true ");
  EXPECT_EQ(good->next_event("s"), hex(fine));
  EXPECT_EQ(good->messages.size(), 0U);
  EXPECT_TRUE(world.poll(
      [&] { return relay->metric(world, "connection_errors_total{reason=\"bad_utf8\"}") == 1; }));
  EXPECT_TRUE(world.poll(
      [&] { return relay->metric(world, "connection_errors_total{reason=\"too_big\"}") == 1; }));
  EXPECT_EQ(relay->metric(world, "messages_unsupported_total"), 1U);
  EXPECT_EQ(relay->metric(world, "authentications_refused_total"), 1U);
  stop_cleanly();
}

// A frame without mask, byte for byte: no client library would send it.
TEST_F(RelayTest, RefusesUnmaskedFrames) {
  start();
  const std::uint16_t port = net::parse_url(relay->url())->port;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::string bytes =
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
      "\x81\x02[]";
  ASSERT_EQ(write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  std::string answer;
  char buffer[1024];
  for (ssize_t count = 0; (count = read(fd, buffer, sizeof buffer)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(count));
  }
  close(fd);
  EXPECT_NE(answer.find("101 Switching"), std::string::npos);
  EXPECT_NE(answer.find("\x03\xea"), std::string::npos);  // Close 1002
  EXPECT_TRUE(world.poll([&] {  // counted when the socket is gone: the peer may know first
    return relay->metric(world, "connection_errors_total{reason=\"protocol\"}") == 1;
  }));
}

TEST_F(RelayTest, WhatWasAnsweredSurvivesAKill) {
  Ids all;
  for (int round = 0; round < 6; ++round) {
    start();
    auto client = connect();
    EXPECT_EQ(client->query("all", R"({"kinds":[1]})").size(), all.size());
    for (int i = 0; i < 5; ++i) {
      const Event event = alice.sign(1, fmt::format("{} {}", round, i));
      client->send(publish_text(event));
      all.push_back(hex(event));
    }
    for (auto it = all.end() - 5; it != all.end(); ++it) EXPECT_EQ(client->answer_to(*it), "true ");
    EXPECT_GT(relay->metric(world, "commits_logged_total"), 0U);
    relay->process().kill_now();
  }
  {
    StoreOptions options;
    options.read_only = true;  // as export and check do
    EXPECT_EQ(open_store(dir.path(), options)->count(), all.size());
  }
  start();
  auto client = connect();
  Ids found = client->query("all", R"({"kinds":[1]})");
  std::ranges::sort(found);
  std::ranges::sort(all);
  EXPECT_EQ(found, all);
}

// On whatever connection, by whatever kind of request: the answer comes before the tables have it.
TEST_F(RelayTest, ShowsAnEventAsSoonAsItIsAnswered) {
  start("[threads]\nloops = 2\n");
  auto publisher = connect();
  std::vector<std::unique_ptr<Client>> readers;
  for (int i = 0; i < 4; ++i) readers.push_back(connect());
  Event replaced = alice.sign(0, "first", {}, 1000);
  ASSERT_EQ(publisher->publish(replaced), "true ");
  for (int round = 0; round < 40; ++round) {
    const Event note = bob.sign(1, std::to_string(round));
    ASSERT_EQ(publisher->publish(note), "true ");
    Client& reader = *readers[static_cast<std::size_t>(round) % readers.size()];
    const std::string name = std::to_string(round);
    EXPECT_EQ(reader.query(name, R"({"ids":[")" + hex(note) + R"("]})"), Ids{hex(note)});
    EXPECT_EQ(reader.query(name, R"({"kinds":[1]})").size(), static_cast<std::size_t>(round) + 1);
    const Event profile = alice.sign(0, name, {}, 900 - round);
    ASSERT_EQ(publisher->publish(profile), "true ");
    EXPECT_EQ(reader.query(name, R"({"ids":[")" + hex(replaced) + R"("]})"), Ids{});
    EXPECT_EQ(reader.query(name, R"({"kinds":[0],"authors":[")" + alice.hex() + R"("]})"),
              Ids{hex(profile)});
    EXPECT_EQ(publisher->publish(replaced).substr(0, 15), "false duplicate");
    replaced = profile;
  }
  EXPECT_GT(relay->metric(world, "commits_logged_total"), 0U);
  EXPECT_GT(relay->metric(world, "query_commit_waits_total"), 0U);
}

// A limit on the size of its files is a disk without room, for any program and without privileges.
class FileSizeLimit {
 public:
  FileSizeLimit(pid_t pid, std::uintmax_t bytes) : pid_(pid) {
    EXPECT_EQ(prlimit(pid_, RLIMIT_FSIZE, nullptr, &before_), 0);
    const rlimit limit{bytes, before_.rlim_max};
    EXPECT_EQ(prlimit(pid_, RLIMIT_FSIZE, &limit, nullptr), 0);
  }

  ~FileSizeLimit() { EXPECT_EQ(prlimit(pid_, RLIMIT_FSIZE, &before_, nullptr), 0); }

  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  FileSizeLimit(FileSizeLimit&&) = delete;
  FileSizeLimit& operator=(FileSizeLimit&&) = delete;

 private:
  const pid_t pid_;
  rlimit before_{};
};

TEST_F(RelayTest, ReadsGoOnWhileTheDiskIsFullAndWritesComeBack) {
  const std::string refusal = "false error: the relay's disk is full, nothing can be stored now";
  start();
  auto publisher = connect();
  auto reader = connect();
  Ids stored;
  int published = 0;
  const auto publish = [&] {
    const Event event = alice.sign(1, fmt::format("{} {}", ++published, std::string(60'000, 'x')));
    const std::string answer = publisher->publish(event);
    if (answer == "true ") stored.push_back(hex(event));
    return answer;
  };
  EXPECT_EQ(publish(), "true ");
  {
    const FileSizeLimit limit(relay->process().pid(),
                              std::filesystem::file_size(dir.path() / "data.mdb"));
    std::string answer = "true ";
    while (answer == "true ") answer = publish();  // ends by the test's time limit else
    EXPECT_EQ(answer, refusal);
    EXPECT_GT(stored.size(), 10U);
    EXPECT_EQ(publish(), refusal);
    EXPECT_EQ(relay->metric(world, "store_writable"), 0U);
    for (const std::string& id : stored) {
      EXPECT_EQ(reader->query("s", R"({"ids":[")" + id + R"("]})"), Ids{id});
    }
    EXPECT_EQ(reader->query("all", R"({"kinds":[1]})").size(), stored.size());
    // Who only listens is not concerned.
    const Event fleeting = bob.sign(20001);
    EXPECT_EQ(reader->query("live", R"({"kinds":[20001]})"), Ids{});
    EXPECT_EQ(publisher->publish(fleeting), "true ");
    EXPECT_EQ(reader->next_event("live"), hex(fleeting));
  }
  while (relay->metric(world, "store_writable") != 1U) {
  }
  EXPECT_EQ(publish(), "true ");
  EXPECT_EQ(reader->query("again", R"({"kinds":[1]})").size(), stored.size());
  stop_cleanly();
  const auto store = open_store(dir.path());
  EXPECT_EQ(store->count(), stored.size());
  expect_consistent(*store);
}

TEST_F(RelayTest, WorksWithoutALog) {
  start("[store]\nlog = false\n");
  auto client = connect();
  const Event event = alice.sign(1);
  EXPECT_EQ(client->publish(event), "true ");
  EXPECT_EQ(client->query("s", R"({"kinds":[1]})"), Ids{hex(event)});
  EXPECT_EQ(relay->metric(world, "commits_logged_total"), 0U);
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "log"));
}

TEST_F(RelayTest, StopsCleanlyAndAnswersWhatItHasRead) {
  start();
  auto client = connect();
  std::vector<Event> events;
  for (int i = 0; i < 100; ++i) events.push_back(alice.sign(1, std::to_string(i)));
  for (const Event& event : events) client->send(publish_text(event));
  ASSERT_TRUE(client->take("OK"));
  relay->process().signal(SIGTERM);
  ASSERT_TRUE(world.wait([&] { return client->closed.has_value(); }));
  EXPECT_EQ(client->closed->code, 1001);
  EXPECT_EQ(relay->process().wait(), 0);
  Ids answered;
  for (const Json& message : client->messages) {
    if (message.items()[0].string() == "OK" && message.items()[2].boolean().value_or(false)) {
      answered.emplace_back(*message.items()[1].string());
    }
  }
  start();
  client = connect();
  const Ids stored = client->query("all", R"({"kinds":[1]})");
  for (const auto& id : answered) EXPECT_EQ(std::ranges::count(stored, id), 1);
}

TEST_F(RelayTest, ASlowReaderIsBoundedAndHurtsNobody) {
  start("[limits]\npending_bytes_max = 1000000\nlimit_max = 5000\n");
  auto writer = connect();
  const std::string big(20'000, 'x');
  for (int i = 0; i < 150; ++i) {
    ASSERT_EQ(writer->publish(alice.sign(1, big + std::to_string(i))), "true ");
  }
  // It reads nothing: the stored part waits, live events overflow and it is dropped.
  // A peer whose output waits is not read either, so the live subscription comes first.
  auto slow = connect();
  slow->send(R"(["REQ","live",{"kinds":[2],"limit":0}])");
  for (int i = 0; i < 8; ++i) slow->send(fmt::format(R"(["REQ","s{}",{{"kinds":[1]}}])", i));
  ASSERT_TRUE(world.poll([&] { return relay->metric(world, "subscriptions") >= 9; }));
  slow->socket().pause_reading();
  auto patient = connect();
  EXPECT_EQ(patient->query("p", R"({"kinds":[1],"limit":1000})").size(), 150U);
  (void)slow->take_events("s0");
  for (int i = 0; i < 600; ++i) {
    ASSERT_EQ(writer->publish(alice.sign(2, big + std::to_string(i))), "true ");
  }
  EXPECT_TRUE(world.poll([&] {
    return relay->metric(world, "connection_errors_total{reason=\"slow_reader\"}") == 1;
  }));
  EXPECT_EQ(writer->publish(alice.sign(1, "still here")), "true ");
}

TEST_F(RelayTest, TwoHundredConnectionsGetTheSameEvents) {
  start("[threads]\nloops = 2\n");
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(std::make_unique<Client>(world, relay->url()));
  for (auto& client : clients) ASSERT_TRUE(client->wait_open());
  for (auto& client : clients) client->send(R"(["REQ","s",{"kinds":[1]}])");
  for (auto& client : clients) ASSERT_TRUE(client->take_until_eose("s"));
  Ids published;
  for (int i = 0; i < 10; ++i) {
    const Event event = alice.sign(1, std::to_string(i));
    published.push_back(hex(event));
    ASSERT_EQ(clients[static_cast<std::size_t>(i) * 7]->publish(event), "true ");
  }
  for (auto& client : clients) {
    Ids got;
    for (std::size_t i = 0; i < published.size(); ++i) got.push_back(client->next_event("s"));
    EXPECT_EQ(got, published);
  }
  EXPECT_EQ(relay->metric(world, "websockets"), 200U);
  stop_cleanly();
}

// While somebody publishes without pause, every subscription sees each event exactly once.
TEST_F(RelayTest, NoGapAndNoDoubleBetweenStoredAndLive) {
  start("[threads]\nloops = 2\n[limits]\nlimit_default = 5000\n");
  auto writer = connect();
  std::vector<std::unique_ptr<Client>> readers;
  Ids published;
  for (int i = 0; i < 300; ++i) {
    const Event event = alice.sign(1, std::to_string(i));
    published.push_back(hex(event));
    writer->send(publish_text(event));
    if (i % 10 == 0) {
      readers.push_back(std::make_unique<Client>(world, relay->url()));
      ASSERT_TRUE(readers.back()->wait_open());
      readers.back()->send(R"(["REQ","s",{"kinds":[1]}])");
    }
  }
  for (const auto& id : published) ASSERT_EQ(writer->answer_to(id), "true ");
  std::ranges::sort(published);
  for (auto& reader : readers) {
    ASSERT_TRUE(reader->take_until_eose("s"));
    Ids got;
    ASSERT_TRUE(world.wait([&] {
      for (auto& id : reader->take_events("s")) got.push_back(std::move(id));
      return got.size() >= published.size();
    })) << got.size();
    // A double would come right behind: ask something else to be sure that nothing is left.
    EXPECT_EQ(reader->query("end", R"({"limit":0})"), Ids{});
    for (auto& id : reader->take_events("s")) got.push_back(std::move(id));
    std::ranges::sort(got);
    EXPECT_EQ(got, published);
  }
}

TEST_F(RelayTest, TellsAboutItself) {
  start("[info]\nname = \"Test <relay>\"\n[limits]\nsubscriptions_max = 7\n");
  const auto document = http_get(world, relay->http_url(), {{"Accept", "application/nostr+json"}});
  EXPECT_EQ(document.status, 200);
  EXPECT_EQ(document.headers.find("Content-Type"), "application/nostr+json");
  EXPECT_EQ(document.headers.find("Access-Control-Allow-Origin"), "*");
  const auto json = Json::parse(document.body);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->find_string("name"), "Test <relay>");
  std::vector<std::int64_t> nips;
  for (const Json& nip : json->find("supported_nips")->items()) nips.push_back(*nip.integer());
  EXPECT_EQ(nips, (std::vector<std::int64_t>{1, 9, 11, 17, 40, 42, 45, 50, 59, 62, 65, 70, 77}));
  EXPECT_EQ(json->find("limitation")->find_integer("max_subscriptions"), 7);
  EXPECT_EQ(json->find("limitation")->find_integer("max_subid_length"), 64);
  const auto page = http_get(world, relay->http_url());
  EXPECT_NE(page.body.find("<h1>Test &lt;relay&gt;</h1>"), std::string::npos);
  EXPECT_EQ(http_get(world, relay->http_url(), {}, "OPTIONS").status, 204);
  EXPECT_EQ(http_get(world, relay->http_url("/nothing")).status, 404);
  EXPECT_EQ(http_get(world, relay->http_url(), {}, "POST").status, 405);
}

TEST_F(RelayTest, CountsInMetrics) {
  start();
  auto client = connect();
  ASSERT_EQ(client->publish(alice.sign(1)), "true ");
  Event forged = alice.sign(1, "forged");
  forged.sig.bytes[0] ^= 1;
  ASSERT_EQ(client->publish(forged), "false invalid: wrong signature");
  ASSERT_EQ(client->publish(alice.sign(22242)).substr(0, 5), "false");
  EXPECT_EQ(client->query("s", "{}").size(), 1U);
  EXPECT_EQ(relay->metric(world, "events_received_total"), 3U);
  EXPECT_EQ(relay->metric(world, "events_answered_total{accepted=\"true\"}"), 1U);
  EXPECT_EQ(relay->metric(world, "events_answered_total{accepted=\"false\"}"), 2U);
  EXPECT_EQ(relay->metric(world, "events_refused_total{reason=\"auth_kind\"}"), 1U);
  EXPECT_EQ(relay->metric(world, "verifications_total"), 2U);
  EXPECT_EQ(relay->metric(world, "verifications_failed_total"), 1U);
  EXPECT_EQ(relay->metric(world, "commits_total"), 1U);
  EXPECT_EQ(relay->metric(world, "events_written_total{outcome=\"stored\"}"), 1U);
  EXPECT_EQ(relay->metric(world, "events_sent_total{part=\"stored\"}"), 1U);
  EXPECT_EQ(relay->metric(world, "websockets"), 1U);
  EXPECT_EQ(relay->metric(world, "queue_depth{queue=\"stored_under_way\"}"), 0U);
  EXPECT_EQ(relay->metric(world, "store_events"), 1U);
}

// --- The command line.

struct Ran {
  int status = -1;
  std::string output;
};

Ran run(std::vector<std::string> arguments, const std::string& input = {}) {
  arguments.insert(arguments.begin(), nostril::test::program("nostril-relay"));
  nostril::test::Process process(arguments, input);
  Ran out;
  out.output = process.read_all();
  out.status = process.wait().value_or(-1);
  return out;
}

TEST_F(RelayTest, ASecondRelayOnTheSameDataIsRefused) {
  start();
  EXPECT_EQ(run({"run", "--listen", "127.0.0.1:0", "--data", dir.path().string()}).status, 1);
  TempDir other;
  const std::string port = relay->url().substr(relay->url().rfind(':') + 1);
  // SO_REUSEPORT must not let two relays share a port without anybody noticing.
  EXPECT_EQ(run({"run", "--listen", "127.0.0.1:" + port, "--data", other.path().string()}).status,
            1);
}

TEST_F(RelayTest, ImportsAndExports) {
  const std::string data = dir.path().string();
  const Event older = alice.sign(1, "older", {}, 10);
  const Event newer = alice.sign(1, "newer", {}, 5);
  const std::string lines = to_json(newer) + "\nnot json\n" + to_json(older) + "\n";
  EXPECT_EQ(run({"import", "--data", data}, lines).status, 0);
  const std::string expected = to_json(older) + "\n" + to_json(newer) + "\n";
  EXPECT_EQ(run({"export", "--data", data}).output, expected);
  start();
  auto client = connect();
  EXPECT_EQ(client->query("s", "{}"), (Ids{hex(newer), hex(older)}));
  EXPECT_EQ(run({"export", "--data", data}).output, expected);  // beside the running relay
  EXPECT_EQ(run({"check", "--data", data}).status, 0);
}

TEST_F(RelayTest, IsLookedAfterWhileItRuns) {
  const std::string data = dir.path().string();
  const std::string copy = (dir.path() / "copy").string();
  start();
  auto client = connect();
  std::string lines;
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text = fmt::format("{} relays store what {} authors sign, and all of {} readers ask for it", i,
                       i * 7, i * 13);
    lines += to_json(alice.sign(1, text)) + "\n";
  }
  EXPECT_EQ(run({"import", "--data", data}, lines).status, 0);
  EXPECT_EQ(run({"dict", "train", "--data", data, "--samples", "150"}).status, 0);
  // The relay packs with it from the next event on, and unpacks what it sends.
  const Event packed =
      alice.sign(7, "5 relays store what 6 authors sign, and all of 7 readers ask for it");
  EXPECT_EQ(client->publish(packed), "true ");
  EXPECT_EQ(client->query("s", R"({"kinds":[7]})"), Ids{hex(packed)});
  EXPECT_NE(run({"dict", "stats", "--data", data}).output.find("dictionary 1 records 1 "),
            std::string::npos);
  EXPECT_EQ(run({"dict", "list", "--data", data}).output.substr(0, 13), "dictionary 1 ");
  EXPECT_EQ(run({"stats", "--data", data}).output.substr(0, 11), "events 201\n");
  EXPECT_EQ(run({"check", "--data", data}).status, 0);
  EXPECT_EQ(run({"compact", "--recompress", "--data", data, "--to", copy}).status, 0);
  EXPECT_EQ(run({"export", "--data", copy}).output, run({"export", "--data", data}).output);
  EXPECT_NE(run({"dict", "stats", "--data", copy}).output.find("dictionary 1 records 201 "),
            std::string::npos);
  EXPECT_EQ(run({"compact", "--data", data, "--to", copy}).status, 1);  // not over another store
  EXPECT_NE(run({"compact", "--data", data}).status, 0);
  stop_cleanly();
}

TEST(RelayCommandLine, SaysWhatIsWrong) {
  EXPECT_EQ(run({"run", "--config", "/nonexistent/relay.toml"}).status, 1);
  EXPECT_EQ(run({}).status, kWrongUsageStatus);
  EXPECT_EQ(run({"run", "--nonsense"}).status, kWrongUsageStatus);
  EXPECT_EQ(run({"--version"}).output.substr(0, 14), "nostril-relay ");
  EXPECT_EQ(run({"--help"}).status, 0);
}

TEST(RelayCommandLine, PrintsAConfigurationThatItReads) {
  const Ran printed = run({"--print-config"});
  ASSERT_EQ(printed.status, 0);
  TempDir dir;
  const std::string path = (dir.path() / "relay.toml").string();
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fputs(printed.output.c_str(), file);
  std::fclose(file);
  const Ran again = run({"--config", path, "--print-config"});
  EXPECT_EQ(again.status, 0);
  EXPECT_EQ(again.output, printed.output);
}

}  // namespace
}  // namespace nostril::relay::test
