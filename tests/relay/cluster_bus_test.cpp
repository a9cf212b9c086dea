// The bus against a real nats-server.
#include "base/log.h"
#include "relay/cluster/bus.h"
#include "relay/cluster/subjects.h"
#include "tests/net/test_certificate.h"
#include "tests/relay/nats_server.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <fstream>
#include <map>
#include <mutex>

namespace nostril::relay::test {
namespace {

using Ack = PublishAck::Result;
using nostril::test::TempDir;

/// Keeps what it is told.
class Listener final : public BusHandler {
 public:
  void on_stream(std::uint64_t reading, StreamMessage&& message) override {
    const std::lock_guard lock(mutex_);
    messages_.emplace_back(reading, std::move(message));
    changed_.notify_all();
  }

  void on_ack(std::uint64_t token, PublishAck&& ack) override {
    const std::lock_guard lock(mutex_);
    acks_[token] = std::move(ack);
    changed_.notify_all();
  }

  void on_state() override {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  PublishAck ack_of(std::uint64_t token) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kWait, [&] { return acks_.contains(token); })) << token;
    return acks_[token];
  }

  std::vector<StreamMessage> wait_messages(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kWait, [&] { return messages_.size() >= count; }))
        << messages_.size();
    std::vector<StreamMessage> out;
    for (const auto& [reading, message] : messages_) out.push_back(message);
    return out;
  }

  std::vector<StreamMessage> messages() { return wait_messages(0); }

  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return messages_.size();
  }

  void forget() {
    const std::lock_guard lock(mutex_);
    messages_.clear();
  }

 private:
  static constexpr std::chrono::seconds kWait{30};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::uint64_t, StreamMessage>> messages_;
  std::map<std::uint64_t, PublishAck> acks_;
};

bool eventually(const std::function<bool()>& is_true) {
  for (int i = 0; i < 6'000; ++i) {
    if (is_true()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return is_true();
}

std::vector<StreamMessage> first_of_each(const std::vector<StreamMessage>& messages) {
  std::vector<StreamMessage> out;
  for (const auto& message : messages) {
    if (out.empty() || message.sequence > out.back().sequence) out.push_back(message);
  }
  return out;
}

std::vector<std::string> bodies(const std::vector<StreamMessage>& messages) {
  std::vector<std::string> out;
  for (const auto& message : messages) out.push_back(message.body);
  return out;
}

class BusTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Bus::is_built_in()) GTEST_SKIP() << "built without libnats";
    if (!NatsServer::installed()) GTEST_SKIP() << NatsServer::kMissing;
    server = std::make_unique<NatsServer>(dir.path() / "nats");
  }

  BusOptions options(const std::string& relay) const {
    const ClusterSubjects subjects("test", relay);
    BusOptions out;
    out.servers = {server->url()};
    out.name = relay;
    out.inbox_prefix = subjects.inbox_prefix();
    out.stream = subjects.stream();
    out.stream_subjects = subjects.in_stream();
    out.replicas = 1;
    out.stream_bytes_max = 64 << 20;
    return out;
  }

  static bool is_ready(const Bus& bus) {
    return eventually([&] { return bus.state() == BusState::Ready && bus.info().has_value(); });
  }

  TempDir dir;
  std::unique_ptr<NatsServer> server;
  Listener listener;
};

TEST_F(BusTest, WhatIsPublishedIsAcknowledgedAndReadInOrder) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus)) << bus.problem();
  std::vector<std::string> sent;
  for (std::uint64_t i = 1; i <= 500; ++i) {
    sent.push_back("event " + std::to_string(i));
    ASSERT_EQ(bus.publish("test.s.event", "id" + std::to_string(i), sent.back(), i),
              Bus::Sent::Yes);
  }
  for (std::uint64_t i = 1; i <= 500; ++i) {
    EXPECT_EQ(listener.ack_of(i).result, Ack::Stored);
    EXPECT_EQ(listener.ack_of(i).sequence, i);
  }
  bus.read_stream(bus.info()->identity, 1);
  const auto got = listener.wait_messages(500);
  EXPECT_EQ(bodies(got), sent);
  EXPECT_EQ(got[0].subject, "test.s.event");
  EXPECT_EQ(got[0].message_id, "id1");
  EXPECT_EQ(got[499].sequence, 500U);
}

TEST_F(BusTest, AnIdIsTakenOnce) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus));
  ASSERT_EQ(bus.publish("test.s.event", "same", "one", 1), Bus::Sent::Yes);
  EXPECT_EQ(listener.ack_of(1).result, Ack::Stored);
  ASSERT_EQ(bus.publish("test.s.event", "same", "one", 2), Bus::Sent::Yes);
  EXPECT_EQ(listener.ack_of(2).result, Ack::Duplicate);
  EXPECT_EQ(listener.ack_of(2).sequence, 1U);
}

TEST_F(BusTest, WhatNoStreamTakesIsNotNow) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus));
  ASSERT_EQ(bus.publish("test.elsewhere", "x", "one", 7), Bus::Sent::Yes);
  EXPECT_EQ(listener.ack_of(7).result, Ack::NotNow);
}

TEST_F(BusTest, WhatIsTooLargeForTheServersIsSaidSo) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus));
  EXPECT_EQ(bus.publish("test.s.event", "x", std::string(2 << 20, 'x'), 1), Bus::Sent::TooLarge);
}

TEST_F(BusTest, ReadingGoesOnWhenTheServerWasKilled) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus));
  bus.read_stream(bus.info()->identity, 1);
  std::vector<std::string> sent;
  std::uint64_t token = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      sent.push_back(std::to_string(++token));
      ASSERT_EQ(bus.publish("test.s.event", sent.back(), sent.back(), token), Bus::Sent::Yes);
      ASSERT_EQ(listener.ack_of(token).result, Ack::Stored);
    }
    if (round == 1) (void)listener.wait_messages(sent.size());
    server->kill();
    EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Away; }));
    EXPECT_EQ(bus.publish("test.s.event", "away", "away", 9'999), Bus::Sent::NotConnected);
    server->start();
    ASSERT_TRUE(is_ready(bus));
  }
  // What came before a kill comes again behind it, where it has its number still; nothing is
  // missing.
  EXPECT_TRUE(eventually([&] { return bodies(first_of_each(listener.messages())) == sent; }));
  EXPECT_EQ(bodies(first_of_each(listener.messages())), sent);
  EXPECT_GT(listener.count(), sent.size());
  EXPECT_GE(bus.reconnects(), 4U);
}

// A message takes about all that may come again: so little does.
TEST_F(BusTest, OnlySoManyBytesComeAgain) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus));
  bus.read_stream(bus.info()->identity, 1);
  for (std::uint64_t i = 1; i <= 20; ++i) {
    ASSERT_EQ(bus.publish("test.s.event", std::to_string(i), std::string(500'000, 'x'), i),
              Bus::Sent::Yes);
    ASSERT_EQ(listener.ack_of(i).result, Ack::Stored);
  }
  EXPECT_EQ(listener.wait_messages(20).size(), 20U);
  server->kill();
  EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Away; }));
  server->start();
  ASSERT_TRUE(is_ready(bus));
  ASSERT_EQ(bus.publish("test.s.event", "last", "last", 21), Bus::Sent::Yes);
  EXPECT_TRUE(eventually([&] { return listener.messages().back().sequence == 21; }));
  const auto got = listener.messages();
  EXPECT_GT(got.size(), 21U);
  EXPECT_LE(got.size(), 21U + 3U);
}

// A frozen server sends no heartbeats: the connection is given up by its pings.
TEST_F(BusTest, AServerThatDoesNothingIsLeft) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus));
  server->freeze();
  EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Away; }));
  server->thaw();
  EXPECT_TRUE(is_ready(bus));
}

TEST_F(BusTest, AnotherStreamOfTheSameNameIsLost) {
  Bus bus(options("a"), &listener);
  ASSERT_TRUE(is_ready(bus));
  StreamIdentity other = bus.info()->identity;
  other.created_ns -= 1;
  bus.read_stream(other, 1);
  EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Lost; }));
  bus.read_stream(bus.info()->identity, 1);
  EXPECT_TRUE(is_ready(bus));
}

TEST_F(BusTest, WhatIsGoneFromTheStreamIsLost) {
  BusOptions small = options("a");
  small.stream_bytes_max = 1 << 20;
  Bus bus(small, &listener);
  ASSERT_TRUE(is_ready(bus));
  for (std::uint64_t i = 1; i <= 40; ++i) {
    ASSERT_EQ(bus.publish("test.s.event", std::to_string(i), std::string(100'000, 'x'), i),
              Bus::Sent::Yes);
    ASSERT_EQ(listener.ack_of(i).result, Ack::Stored);
  }
  bus.read_stream(bus.info()->identity, 2);
  EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Lost; }));
  EXPECT_GT(bus.info()->first_sequence, 2U);
  bus.read_stream(bus.info()->identity, bus.info()->first_sequence);
  (void)listener.wait_messages(40 - bus.info()->first_sequence + 1);
}

// Nothing is confirmed, and more comes than the servers send without: what has come stays far
// below what there is, and all of it comes once it is confirmed.
TEST_F(BusTest, AReaderThatDoesNotConfirmIsNotFlooded) {
  BusOptions bounded = options("a");
  bounded.unread_bytes_max = 1 << 20;
  bounded.stream_bytes_max = std::int64_t{256} << 20;
  Bus bus(bounded, &listener);
  ASSERT_TRUE(is_ready(bus));
  constexpr std::uint64_t kCount = 1'000;
  for (std::uint64_t i = 1; i <= kCount; ++i) {
    ASSERT_EQ(bus.publish("test.s.event", std::to_string(i), std::string(100'000, 'x'), i),
              Bus::Sent::Yes);
    if (i % 20 == 0) {
      ASSERT_EQ(listener.ack_of(i).result, Ack::Stored);
    }
  }
  const std::uint64_t reading = bus.read_stream(bus.info()->identity, 1);
  (void)listener.wait_messages(10);
  std::size_t before = 0;
  for (std::size_t now = 1; now != before; std::this_thread::sleep_for(std::chrono::seconds(1))) {
    before = std::exchange(now, listener.count());
    if (before == now) break;
  }
  EXPECT_LT(listener.count(), kCount / 2);
  std::size_t confirmed = 0;
  EXPECT_TRUE(eventually([&] {
    const std::size_t here = listener.count();
    for (; confirmed < here; ++confirmed) bus.confirm(reading, 100'000 + 256);
    return here == kCount;
  })) << listener.count();
  EXPECT_EQ(listener.wait_messages(kCount).back().sequence, kCount);
}

TEST_F(BusTest, MessagesThatAreNotStoredReachTheOthersOnly) {
  Bus a(options("a"), nullptr);
  Bus b(options("b"), nullptr);
  ASSERT_TRUE(a.wait_connected(20'000));
  ASSERT_TRUE(b.wait_connected(20'000));
  std::mutex mutex;
  std::vector<std::string> at_a;
  std::vector<std::string> at_b;
  (void)a.subscribe("test.e.>", [&](BusMessage&& message) {
    const std::lock_guard lock(mutex);
    at_a.push_back(message.subject + " " + message.body);
  });
  const auto heard = b.subscribe("test.e.*.ab", [&](BusMessage&& message) {
    const std::lock_guard lock(mutex);
    at_b.push_back(message.subject + " " + message.body);
  });
  // A round trip: the server knows of both.
  (void)a.request("test.nobody", "", 1'000);
  (void)b.request("test.nobody", "", 1'000);
  EXPECT_TRUE(a.send("test.e.20001.ab", "one"));
  EXPECT_TRUE(a.send("test.e.20001.cd", "two"));
  EXPECT_TRUE(a.send("test.e.20002.ab", "three"));
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return at_b.size() == 2;
  }));
  b.unsubscribe(heard);
  EXPECT_TRUE(b.send("test.e.20001.ab", "four"));
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return !at_a.empty();
  }));
  const std::lock_guard lock(mutex);
  EXPECT_THAT(at_a, testing::ElementsAre("test.e.20001.ab four"));
  EXPECT_THAT(at_b, testing::ElementsAre("test.e.20001.ab one", "test.e.20002.ab three"));
}

TEST_F(BusTest, RequestsAreAnsweredByOneOrByAll) {
  Bus a(options("a"), nullptr);
  Bus b(options("b"), nullptr);
  Bus c(options("c"), nullptr);
  for (Bus* bus : {&a, &b, &c}) ASSERT_TRUE(bus->wait_connected(20'000));
  const auto answer_with = [](Bus& bus, const std::string& text) {
    (void)bus.subscribe("test.ctl.all", [&bus, text](BusMessage&& message) {
      EXPECT_TRUE(bus.send(message.reply, message.body + text));
    });
    (void)bus.request("test.nobody", "", 1'000);
  };
  EXPECT_FALSE(c.request("test.ctl.all", "?", 1'000).has_value());
  answer_with(a, "a");
  answer_with(b, "b");
  const auto one = c.request("test.ctl.all", "?", 10'000);
  ASSERT_TRUE(one.has_value()) << one.error();
  EXPECT_THAT(c.request_all("test.ctl.all", "!", 10'000, 2),
              testing::UnorderedElementsAre("!a", "!b"));
}

TEST_F(BusTest, WhoHasNoPasswordIsRefused) {
  server = std::make_unique<NatsServer>(
      dir.path() / "closed", std::vector<std::string>{"--user", "relay", "--pass", "right"});
  BusOptions with = options("a");
  with.user = "relay";
  with.password = "wrong";
  {
    Bus bus(with, &listener);
    EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Refused; })) << bus.problem();
    EXPECT_EQ(bus.problem().find("wrong"), std::string::npos);
  }
  with.password = "right";
  Bus bus(with, &listener);
  EXPECT_TRUE(is_ready(bus)) << bus.problem();
}

// libnats looks at the name in a certificate only when it is told to.
TEST_F(BusTest, AServerOverTlsShowsACertificateOfItsOwnName) {
  for (const auto& [names, is_right] :
       {std::pair("IP:127.0.0.1", true), std::pair("DNS:elsewhere.example", false)}) {
    const net::TestCertificate certificate(names);
    server = std::make_unique<NatsServer>(
        dir.path() / (is_right ? "right" : "wrong"),
        std::vector<std::string>{"--tls", "--tlscert=" + certificate.certificate_path,
                                 "--tlskey=" + certificate.key_path});
    BusOptions with = options("a");
    with.servers = {"tls" + server->url().substr(4)};
    with.tls_ca = certificate.certificate_path;
    Bus bus(with, &listener);
    if (is_right) {
      EXPECT_TRUE(is_ready(bus)) << bus.problem();
    } else {
      EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Refused; })) << bus.problem();
      EXPECT_FALSE(bus.wait_connected(1'000));
    }
  }
}

TEST_F(BusTest, TheNextServerIsTakenWhenTheFirstIsGone) {
  NatsServer other(dir.path() / "other");
  BusOptions with = options("a");
  with.servers = {server->url(), other.url()};
  server->kill();
  Bus bus(with, &listener);
  EXPECT_TRUE(is_ready(bus)) << bus.problem();
}

// --- What an operator has to mend is said in words (relay/cluster/jetstream.h, bus.cpp).

class RefusalTest : public BusTest {
 protected:
  /// A server of its own, with these lines in its configuration.
  void serve(const std::string& lines, std::vector<std::string> more = {}) {
    const auto folder = dir.path() / ("server" + std::to_string(++servers_));
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "conf") << lines;
    more.insert(more.end(), {"-c", (folder / "conf").string()});
    server = std::make_unique<NatsServer>(folder / "data", std::move(more));
  }

  /// One account, `more` of it, and of its user "relay".
  void serve_account(const std::string& more, const std::string& more_of_user = "") {
    serve("accounts {\n R: {\n" + more + "\n users: [{user: \"relay\", password: \"secret-word\"" +
          more_of_user + "}]\n}\n S: {\n users: [{user: \"sys\", password: \"sys\"}]\n}\n}\n" +
          "system_account: S\n");
  }

  BusOptions with_password() const {
    BusOptions out = options("a");
    out.user = "relay";
    out.password = "secret-word";
    return out;
  }

  /// Refused, with words that have all of `said`.
  void is_refused(Bus& bus, const std::vector<std::string>& said) {
    EXPECT_TRUE(eventually([&] { return bus.state() == BusState::Refused; }))
        << to_string(bus.state()) << ": " << bus.problem();
    const std::string problem = bus.problem();
    for (const auto& words : said) EXPECT_THAT(problem, testing::HasSubstr(words));
    EXPECT_THAT(problem, testing::Not(testing::HasSubstr("secret-word")));
    EXPECT_EQ(problem, one_line(problem));
    RecordProperty("said", problem);
  }

  void is_refused(const BusOptions& with, const std::vector<std::string>& said) {
    Bus bus(with, &listener);
    is_refused(bus, said);
  }

 private:
  int servers_ = 0;
};

TEST_F(RefusalTest, AWrongPasswordNamesTheUser) {
  serve_account("jetstream: enabled");
  BusOptions with = with_password();
  with.password = "wrong";
  is_refused(with, {server->url(), "refuses user \"relay\"", "[cluster] user and password_file"});
  with.user = with.password = "";
  is_refused(with, {"refuses", "without credentials and user"});
}

// The next server is down: that is not what has to be said.
TEST_F(RefusalTest, ARefusalIsNotHiddenByAServerThatIsDown) {
  serve_account("jetstream: enabled");
  NatsServer other(dir.path() / "other");
  BusOptions with = with_password();
  with.password = "wrong";
  with.servers.push_back(other.url());
  other.kill();
  Bus bus(with, &listener);
  is_refused(bus, {"refuses user \"relay\""});
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(bus.state(), BusState::Refused) << bus.problem();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST_F(RefusalTest, AServerThatIsDownIsAwayAndNamed) {
  server->kill();
  Bus bus(options("a"), &listener);
  EXPECT_TRUE(eventually([&] { return bus.problem().find(server->url()) != std::string::npos; }))
      << bus.problem();
  EXPECT_EQ(bus.state(), BusState::Away);
}

TEST_F(RefusalTest, WhoMayNotAskTheStreamIsToldWhatIsMissing) {
  serve_account("jetstream: enabled",
                ", permissions: {publish: [\"test.>\"], subscribe: [\"test.>\"]}");
  is_refused(with_password(), {"do not permit user \"relay\"", "docs/cluster.md, 3",
                               "Publish to \"$JS.API.STREAM.INFO.test\""});
  serve_account("jetstream: enabled", ", permissions: {publish: [\">\"], subscribe: [\"else.>\"]}");
  is_refused(with_password(), {"do not permit user \"relay\"", "Subscription to \"test.inbox.a."});
}

TEST_F(RefusalTest, TlsOnOneSideOnlyIsSaid) {
  const net::TestCertificate certificate("IP:127.0.0.1");
  const std::vector<std::string> tls = {"--tls", "--tlscert=" + certificate.certificate_path,
                                        "--tlskey=" + certificate.key_path};
  BusOptions secure = options("a");
  secure.servers = {"tls" + server->url().substr(4)};
  secure.tls_ca = certificate.certificate_path;
  is_refused(secure, {"has no TLS"});
  serve("", tls);
  is_refused(options("a"), {"no TLS with the server", "tls_ca"});
  secure.servers = {"tls" + server->url().substr(4)};
  const net::TestCertificate unknown("IP:127.0.0.1");
  secure.tls_ca = unknown.certificate_path;
  is_refused(secure, {"no TLS with the server", "tls_ca"});
}

TEST_F(RefusalTest, AServerThatWantsACertificateSaysSo) {
  const net::TestCertificate certificate("IP:127.0.0.1");
  serve("", {"--tlsverify", "--tlscert=" + certificate.certificate_path,
             "--tlskey=" + certificate.key_path, "--tlscacert=" + certificate.certificate_path});
  BusOptions secure = options("a");
  secure.servers = {"tls" + server->url().substr(4)};
  secure.tls_ca = certificate.certificate_path;
  is_refused(secure, {"tls_certificate"});
}

TEST_F(RefusalTest, AnAccountWithoutJetStreamIsSaid) {
  serve_account("");
  is_refused(with_password(), {"10039", "jetstream: enabled"});
}

TEST_F(RefusalTest, AStreamThatDoesNotFitIsSaid) {
  BusOptions large = options("a");
  large.stream_bytes_max = std::int64_t{1} << 50;
  is_refused(large,
             {"the stream test can't be made", "10047", "stream_bytes_max", "max_file_store"});
  serve_account("jetstream: {max_file: 10MB}");
  is_refused(with_password(), {"10047", "stream_bytes_max"});
  serve_account("jetstream: {disk_max_stream_bytes: 10MB}");
  is_refused(with_password(), {"10122", "max_stream_bytes"});
}

TEST_F(RefusalTest, ThreeCopiesOnOneServerAreNone) {
  BusOptions three = options("a");
  three.replicas = 3;
  is_refused(three, {"10074", "replicas = 1"});
}

TEST_F(RefusalTest, AnAccountWithoutRoomForAnotherStreamOrReaderIsSaid) {
  serve_account("jetstream: {max_streams: 1}");
  BusOptions first = with_password();
  first.stream = "first";
  first.stream_subjects = "first.>";
  {
    Bus bus(first, &listener);
    ASSERT_TRUE(is_ready(bus)) << bus.problem();
  }
  is_refused(with_password(), {"10027", "max_streams"});
  serve_account("jetstream: {max_consumers: 1}");
  Bus a(with_password(), &listener);
  ASSERT_TRUE(is_ready(a)) << a.problem();
  a.read_stream(a.info()->identity, 1);
  ASSERT_TRUE(eventually([&] { return a.consumers_made() == 1; }));
  Bus b(with_password(), &listener);
  ASSERT_TRUE(is_ready(b)) << b.problem();
  b.read_stream(b.info()->identity, 1);
  is_refused(b, {"can't be read", "10026"});
}

TEST_F(RefusalTest, AStreamOfSomebodyElseIsLeftAlone) {
  BusOptions other = options("a");
  other.stream_subjects = "else.>";
  {
    Bus bus(other, &listener);
    ASSERT_TRUE(is_ready(bus)) << bus.problem();
  }
  BusOptions ours = options("a");
  ours.stream_bytes_max = 32 << 20;  // so that it would be changed
  is_refused(ours, {"the stream test is not of relays", "test.s.>"});
  Bus bus(other, &listener);
  EXPECT_TRUE(is_ready(bus)) << bus.problem();
}

TEST_F(RefusalTest, SubjectsThatAnotherStreamTakesAreSaid) {
  BusOptions other = options("a");
  other.stream = "other";
  {
    Bus bus(other, &listener);
    ASSERT_TRUE(is_ready(bus)) << bus.problem();
  }
  is_refused(options("a"), {"10065", "another stream"});
}

// It is seen each second whether somebody has done something.
TEST_F(RefusalTest, WhatWasMendedGoesOnByItself) {
  BusOptions other = options("a");
  other.stream = "other";
  auto first = std::make_unique<Bus>(other, &listener);
  ASSERT_TRUE(is_ready(*first)) << first->problem();
  Bus bus(options("a"), &listener);
  is_refused(bus, {"10065"});
  EXPECT_TRUE(first->request("$JS.API.STREAM.DELETE.other", "", 5'000).has_value());
  first.reset();
  EXPECT_TRUE(is_ready(bus)) << bus.problem();
  EXPECT_EQ(bus.problem(), "");
}

TEST_F(BusTest, AFileThatIsNotThereIsSaidAtOnce) {
  BusOptions with = options("a");
  with.tls_ca = "/nowhere/ca.pem";
  EXPECT_THROW(Bus(with, &listener), std::runtime_error);
}

}  // namespace
}  // namespace nostril::relay::test
