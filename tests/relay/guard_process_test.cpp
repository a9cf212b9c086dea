// The relay's protection from outside: clients of several addresses, proxies, plugins.
#include "tests/net/support.h"
#include "tests/relay/relay_support.h"
#include "tests/support/source_dir.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace nostril::relay::test {
namespace {

using net::Peer;
using net::WsOpcode;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kLimited = "[clients]\nexempt = []\n";

/// A blocking client of an address of its own.
class RawClient {
 public:
  RawClient(std::uint16_t port, const char* source) : peer_(Peer::connect_from(source, port)) {}

  bool open(std::string_view headers = {}) { return peer_.upgrade({}, {}, headers); }

  Peer& peer() { return peer_; }

  void send(std::string_view text) { EXPECT_TRUE(peer_.send_frame(WsOpcode::Text, text)); }

  /// The next message but EVENTs and the challenge that each connection gets first.
  std::string next() {
    while (true) {
      const auto frame = peer_.read_frame();
      if (!frame) return "closed";
      if (frame->kind == net::WsEventKind::Ping) continue;
      if (frame->kind != net::WsEventKind::Text) return "closed";
      const std::string& text = frame->payload;
      if (!text.starts_with("[\"EVENT\"") && !text.starts_with("[\"AUTH\"")) return text;
    }
  }

  /// How many events of the kind are stored.
  std::string count(std::uint32_t kind) {
    send(fmt::format(R"(["COUNT","n",{{"kinds":[{}]}}])", kind));
    const std::string text = next();
    const auto json = Json::parse(text);
    if (!json || json->items().size() != 3) return text;
    return json->items()[2].dump();
  }

  /// "true TEXT" or "false TEXT".
  std::string publish(const Event& event) {
    send(publish_text(event));
    return answer();
  }

  std::string answer() {
    const std::string text = next();
    const auto json = Json::parse(text);
    if (!json || json->items().size() != 4) return text;
    return (json->items()[2].boolean().value_or(false) ? "true " : "false ") +
           std::string(json->items()[3].string().value_or("?"));
  }

 private:
  Peer peer_;
};

class GuardTest : public testing::Test {
 protected:
  void TearDown() override {
    if (!relay) return;
    relay->process().signal(SIGTERM);
    EXPECT_EQ(relay->process().wait(), 0);
  }

  void start(const std::string& config) {
    relay = std::make_unique<RelayProcess>(dir.path(), config);
    const std::string& url = relay->url();
    port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  }

  std::unique_ptr<RawClient> connect(const char* source, std::string_view headers = {}) {
    auto client = std::make_unique<RawClient>(port, source);
    EXPECT_TRUE(client->open(headers)) << client->peer().head();
    return client;
  }

  std::uint64_t overruns(const std::string& limit) {
    return relay->metric(world, "overruns_total{limit=\"" + limit + "\"}");
  }

  static std::string plugin_config(const std::string& more = {}) {
    const auto script = nostril::test::source_dir() / "tests/relay/scripted_plugin.mjs";
    return fmt::format(
        "[[plugins]]\ncommand = [\"node\", \"{}\", \"word\"]\ntimeout_ms = 60000\n{}",
        script.string(), more);
  }

  TempDir dir;
  World world;
  std::unique_ptr<RelayProcess> relay;
  std::uint16_t port = 0;
  Author alice;
  Author bob;
};

TEST_F(GuardTest, LimitsTheConnectionsOfAnAddress) {
  start(kLimited + "connections_max = 2\n");
  auto one = connect("127.0.0.2");
  auto two = connect("127.0.0.2");
  RawClient third(port, "127.0.0.2");
  EXPECT_FALSE(third.open());
  EXPECT_THAT(third.peer().head(), StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(third.peer().head(), HasSubstr("Retry-After: 60\r\n"));
  auto other = connect("127.0.0.3");
  two.reset();
  bool is_free = false;
  for (int i = 0; i < 1'000 && !is_free; ++i) is_free = RawClient(port, "127.0.0.2").open();
  EXPECT_TRUE(is_free);
}

TEST_F(GuardTest, LimitsNewConnections) {
  start(kLimited + "connections_a_minute_max = 3\n");
  for (int i = 0; i < 3; ++i) (void)connect("127.0.0.2");
  RawClient next(port, "127.0.0.2");
  EXPECT_FALSE(next.open());
  EXPECT_THAT(next.peer().head(), HasSubstr("HTTP/1.1 429 "));
  EXPECT_EQ(overruns("connection_rate"), 1U);
  (void)connect("127.0.0.3");
}

TEST_F(GuardTest, ClosesSocketsThatAreFarTooMany) {
  start(kLimited + "connections_max = 1\n");
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 18; ++i) idle.push_back(std::make_unique<RawClient>(port, "127.0.0.2"));
  EXPECT_TRUE(world.poll([&] { return overruns("sockets") == 1; }));  // one of them
  EXPECT_EQ(relay->metric(world, "connection_errors_total{reason=\"refused_address\"}"), 1U);
  (void)connect("127.0.0.3");
}

TEST_F(GuardTest, RefusesEventsBeyondAnAddressesRate) {
  start(kLimited + "events_a_second_max = 1\nburst_s = 3\n");
  auto one = connect("127.0.0.2");
  auto two = connect("127.0.0.2");
  EXPECT_EQ(one->publish(alice.sign(1, "1")), "true ");
  EXPECT_EQ(two->publish(alice.sign(1, "2")), "true ");
  std::string answer;
  for (int i = 0; i < 50 && !answer.starts_with("false"); ++i) {
    answer = one->publish(alice.sign(1, "more " + std::to_string(i)));
  }
  EXPECT_EQ(answer, "false rate-limited: too many events from your address, slow down");
  EXPECT_EQ(connect("127.0.0.3")->publish(bob.sign(1)), "true ");
  EXPECT_GE(overruns("events"), 1U);
}

TEST_F(GuardTest, RefusesRequestsBeyondAnAddressesRate) {
  start(kLimited + "requests_a_second_max = 1\nburst_s = 2\n");
  auto one = connect("127.0.0.2");
  std::string answer;
  for (int i = 0; i < 50 && !answer.starts_with("[\"CLOSED\""); ++i) {
    one->send(fmt::format(R"(["{}","s{}",{{"kinds":[1]}}])", i % 2 == 0 ? "REQ" : "COUNT", i));
    answer = one->next();
  }
  EXPECT_THAT(answer, HasSubstr("rate-limited: too many requests from your address"));
  auto other = connect("127.0.0.3");
  other->send(R"(["REQ","s",{"kinds":[1]}])");
  EXPECT_EQ(other->next(), R"(["EOSE","s"])");
}

TEST_F(GuardTest, RefusesHttpRequestsBeyondAnAddressesRate) {
  start(kLimited + "requests_a_second_max = 1\nburst_s = 2\n");
  std::string answer;
  for (int i = 0; i < 50 && !answer.starts_with("HTTP/1.1 429"); ++i) {
    RawClient one(port, "127.0.0.2");
    ASSERT_TRUE(one.peer().send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    answer = one.peer().read_all();
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1\r\n"));
}

// Nothing is refused and nothing lost: it is read more slowly.
TEST_F(GuardTest, ReadsWhoSendsTooManyMessagesMoreSlowly) {
  start(kLimited + "messages_a_second_max = 50\nburst_s = 1\n");
  auto one = connect("127.0.0.2");
  for (int i = 0; i < 100; ++i) one->send(R"(["CLOSE","x"])");
  one->send(R"(["REQ","s",{"kinds":[1]}])");
  EXPECT_EQ(one->next(), R"(["EOSE","s"])");
  EXPECT_GT(overruns("messages"), 0U);
  EXPECT_GT(relay->metric(world, "client_rests_total"), 0U);
}

TEST_F(GuardTest, ReadsWhoGoesOnInSpiteOfRefusalsMoreSlowly) {
  start(kLimited + "events_a_second_max = 1\nburst_s = 1\n");
  auto one = connect("127.0.0.2");
  for (int i = 0; i < 40; ++i) one->send(publish_text(alice.sign(1, std::to_string(i))));
  for (int i = 0; i < 40; ++i) EXPECT_NE(one->answer(), "closed");
  EXPECT_GE(relay->metric(world, "client_rests_total"), 1U);
}

TEST_F(GuardTest, LimitsAKeyFromWherever) {
  start(kLimited + "key_events_a_minute_max = 1\nkey_events_burst_max = 2\n");
  EXPECT_EQ(connect("127.0.0.2")->publish(alice.sign(1, "1")), "true ");
  Event forged = alice.sign(1, "forged");
  forged.sig.bytes[7] ^= 1;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(connect("127.0.0.3")->publish(forged), "false invalid: wrong signature");
  }
  EXPECT_EQ(connect("127.0.0.3")->publish(alice.sign(1, "2")), "true ");
  EXPECT_EQ(connect("127.0.0.4")->publish(alice.sign(1, "3")),
            "false rate-limited: too many events of this key, slow down");
  EXPECT_EQ(connect("127.0.0.4")->publish(bob.sign(1)), "true ");
}

// --- Proxies.

TEST_F(GuardTest, BelievesTheHeaderOfATrustedProxy) {
  start(kLimited + "connections_max = 1\n[proxy]\ntrusted = [\"127.0.0.2\"]\n");
  auto one = connect("127.0.0.2", "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n");
  auto two = connect("127.0.0.2", "X-Forwarded-For: 192.0.2.2\r\n");
  RawClient again(port, "127.0.0.2");
  EXPECT_FALSE(again.open("X-Forwarded-For: 7.7.7.7, 192.0.2.1\r\n"));
  // Anybody else's word is nothing.
  auto direct = connect("127.0.0.3", "X-Forwarded-For: 192.0.2.9\r\n");
  RawClient liar(port, "127.0.0.3");
  EXPECT_FALSE(liar.open("X-Forwarded-For: 192.0.2.10\r\n"));
}

TEST_F(GuardTest, BelievesTheProxyProtocolOfATrustedProxy) {
  start(kLimited + "connections_max = 1\n[proxy]\ntrusted = [\"127.0.0.2\"]\nprotocol = true\n");
  constexpr std::string_view kVersion2(
      "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x02\x12\x34\0\x50", 28);
  RawClient one(port, "127.0.0.2");
  ASSERT_TRUE(one.peer().send("PROXY TCP4 192.0.2.7 198.51.100.2 4660 80\r\n"));
  EXPECT_TRUE(one.open());
  RawClient same(port, "127.0.0.2");
  ASSERT_TRUE(same.peer().send(kVersion2));
  EXPECT_FALSE(same.open());
  EXPECT_THAT(same.peer().head(), StartsWith("HTTP/1.1 429 "));
  RawClient other(port, "127.0.0.2");
  ASSERT_TRUE(other.peer().send("PROXY TCP4 192.0.2.8 198.51.100.2 4660 80\r\n"));
  EXPECT_TRUE(other.open());
  RawClient without(port, "127.0.0.2");
  EXPECT_FALSE(without.open());
  EXPECT_EQ(relay->metric(world, "connection_errors_total{reason=\"bad_proxy_header\"}"), 1U);
  RawClient direct(port, "127.0.0.3");
  ASSERT_TRUE(direct.peer().send("PROXY TCP4 192.0.2.9 198.51.100.2 4660 80\r\n"));
  EXPECT_FALSE(direct.open());
  EXPECT_TRUE(RawClient(port, "127.0.0.4").open());
}

// --- Plugins.

TEST_F(GuardTest, AsksThePluginAboutStoredAndEphemeralEvents) {
  start(plugin_config());
  auto one = connect("127.0.0.5");
  one->send(R"(["REQ","s",{"kinds":[1,20001]}])");
  EXPECT_EQ(one->next(), R"(["EOSE","s"])");
  for (const std::uint32_t kind : {1U, 20'001U}) {
    EXPECT_EQ(one->publish(alice.sign(kind, "fine")), "true ");
    EXPECT_EQ(one->publish(alice.sign(kind, "reject")), "false blocked: no");
    EXPECT_EQ(one->publish(alice.sign(kind, "shadow")), "true ");
    EXPECT_EQ(one->publish(alice.sign(kind, "source")), "false blocked: IP4 127.0.0.5 nobody");
  }
  EXPECT_EQ(one->count(1), R"({"count":1})");  // not the shadowed one
}

TEST_F(GuardTest, TellsThePluginWhoIsBehindAProxy) {
  start("[proxy]\ntrusted = [\"127.0.0.2\"]\n" + plugin_config());
  auto one = connect("127.0.0.2", "X-Forwarded-For: 2001:db8::7\r\n");
  EXPECT_EQ(one->publish(alice.sign(1, "source")), "false blocked: IP6 2001:db8::7 nobody");
}

TEST_F(GuardTest, AsksNoPluginAboutAFalseSignature) {
  start(plugin_config());
  auto one = connect("127.0.0.2");
  Event forged = alice.sign(1, "reject");
  forged.sig.bytes[7] ^= 1;
  EXPECT_EQ(one->publish(forged), "false invalid: wrong signature");
  EXPECT_EQ(one->publish(alice.sign(1, "reject me")), "false blocked: no");
  EXPECT_EQ(relay->metric(world, "plugin_events_total{plugin=\"0\",outcome=\"rejected\"}"), 1U);
}

TEST_F(GuardTest, AnswersEveryEventOfABurstThatAPluginJudges) {
  start("[limits]\npublishes_under_way_max = 64\nstored_under_way_max = 32\n" + plugin_config());
  auto one = connect("127.0.0.2");
  for (int i = 0; i < 1'000; ++i) one->send(publish_text(alice.sign(1, std::to_string(i))));
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(one->answer(), "true ");
  EXPECT_EQ(one->count(1), R"({"count":1000})");
}

TEST_F(GuardTest, RefusesEventsWhileAPluginIsDeadAndTakesThemAfter) {
  start(plugin_config());
  auto one = connect("127.0.0.2");
  EXPECT_THAT(one->publish(alice.sign(1, "die")), StartsWith("false error: "));
  EXPECT_EQ(one->publish(alice.sign(1, "fine")), "true ");
}

TEST_F(GuardTest, TheExamplePluginWorks) {
  const auto script = nostril::test::source_dir() / "examples/plugin/no_links.mjs";
  start(fmt::format("[[plugins]]\ncommand = [\"node\", \"{}\"]\ntimeout_ms = 60000\n",
                    script.string()));
  auto one = connect("127.0.0.2");
  EXPECT_EQ(one->publish(alice.sign(1, "hello")), "true ");
  EXPECT_EQ(one->publish(alice.sign(1, "see https://example.org")),
            "false restricted: links need authentication");
  EXPECT_EQ(one->publish(alice.sign(30'023, "see https://example.org", {{"d", "x"}})), "true ");
}

TEST_F(GuardTest, NoPluginOutlivesAKilledRelay) {
  start(plugin_config());
  const std::string answer = connect("127.0.0.2")->publish(alice.sign(1, "pid"));
  const pid_t pid = std::stoi(answer.substr(answer.rfind(' ') + 1));
  ASSERT_EQ(kill(pid, 0), 0);
  relay->process().kill_now();
  relay.reset();
  const auto is_gone = [&] {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    const std::string text{std::istreambuf_iterator<char>(status), {}};
    return text.empty() || text.find("State:\tZ") != std::string::npos;
  };
  EXPECT_TRUE(world.poll(is_gone));
}

// --- Moderators.

TEST_F(GuardTest, AModeratorsReportErasesAnEventForGood) {
  start("[content]\nmoderators = [\"" + bob.hex() + "\"]\n");
  auto one = connect("127.0.0.2");
  const Event spam = alice.sign(1, "spam");
  EXPECT_EQ(one->publish(spam), "true ");
  EXPECT_EQ(one->publish(bob.sign(1984, "", {{"e", hex(spam), "spam"}, {"p", alice.hex()}})),
            "true ");
  EXPECT_TRUE(world.poll([&] { return one->count(1) == R"({"count":0})"; }));
  EXPECT_THAT(one->publish(spam), StartsWith("false blocked: "));
  EXPECT_EQ(one->publish(alice.sign(1, "else")), "true ");
}

}  // namespace
}  // namespace nostril::relay::test
