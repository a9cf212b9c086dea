// `nostril-relay sync` between real relays, over real sockets; and against sides that misbehave.
#include "base/command_tree.h"
#include "tests/relay/relay_support.h"
#include "tests/relay/scripted_relay.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>

namespace nostril::relay::test {
namespace {

using testing::HasSubstr;

struct RunResult {
  int status = -1;
  std::string output;
};

RunResult run(std::vector<std::string> arguments, const std::string& input = {}) {
  arguments.insert(arguments.begin(), nostril::test::program("nostril-relay"));
  nostril::test::Process process(arguments, input);
  RunResult out;
  out.output = process.read_all();
  out.status = process.wait().value_or(-1);
  return out;
}

class SyncTest : public testing::Test {
 protected:
  void start(const std::string& config = {}) {
    relay = std::make_unique<RelayProcess>(there.path(), config);
  }

  RunResult sync(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"sync",      relay->url(), "--data", here.path().string(),
                                          "--timeout", "20"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(std::move(arguments));
  }

  static void store(const TempDir& dir, const std::vector<Event>& events) {
    std::string lines;
    for (const Event& event : events) lines += to_json(event) + "\n";
    ASSERT_EQ(run({"import", "--data", dir.path().string()}, lines).status, 0);
  }

  static std::string all_of(const TempDir& dir) {
    return run({"export", "--data", dir.path().string()}).output;
  }

  std::vector<Event> make(std::size_t count, std::uint32_t kind = 1, Tags tags = {}) {
    std::vector<Event> out;
    for (std::size_t i = 0; i < count; ++i) {
      out.push_back(
          alice.sign(kind, std::to_string(made++), tags, static_cast<std::int64_t>(i % 60)));
    }
    return out;
  }

  TempDir here;
  TempDir there;
  std::unique_ptr<RelayProcess> relay;
  Author alice;
  std::size_t made = 0;
};

TEST_F(SyncTest, BothSidesThenHaveTheSame) {
  const auto shared = make(60);
  store(here, shared);
  store(here, make(25));
  store(there, shared);
  store(there, make(30));
  start();
  const RunResult first = sync({"--dir", "both"});
  EXPECT_EQ(first.status, 0) << first.output;
  EXPECT_THAT(first.output, HasSubstr("lacking here 30: 30 stored"));
  EXPECT_THAT(first.output, HasSubstr("lacking there 25: 25 taken"));
  EXPECT_EQ(all_of(here), all_of(there));
  const RunResult again = sync({"--dir", "both"});
  EXPECT_EQ(again.status, 0);
  EXPECT_THAT(again.output, HasSubstr("115 events here, 1 rounds"));
  EXPECT_THAT(again.output, HasSubstr("lacking here 0: "));
}

TEST_F(SyncTest, EachDirectionMovesOnlyItsOwn) {
  store(here, make(5));
  store(there, make(7));
  start();
  EXPECT_THAT(sync({"--dir", "up"}).output, HasSubstr("lacking there 5: 5 taken"));
  EXPECT_THAT(run({"stats", "--data", here.path().string()}).output, HasSubstr("events 5\n"));
  EXPECT_THAT(sync({"--dir", "down"}).output, HasSubstr("lacking here 7: 7 stored"));
  EXPECT_THAT(sync({"--dir", "both"}).output, HasSubstr("12 events here, 1 rounds"));
}

TEST_F(SyncTest, MovesOnlyWhatTheFilterMatches) {
  store(there, make(3, 1));
  store(there, make(4, 7));
  start();
  const RunResult result = sync({"--filter", R"({"kinds":[7]})"});
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.output, HasSubstr("lacking here 4: 4 stored"));
}

TEST_F(SyncTest, ShowsItsKeyWhereItIsAskedFor) {
  store(here, make(3));
  store(there, make(4));
  start("log_level = \"info\"\n");
  World world;
  require_authentication(world, *relay, there.path());
  EXPECT_EQ(sync({"--dir", "both"}).status, 1);
  const std::string secret(64, '7');
  const std::string key = key_file(here.path(), secret);
  const RunResult known = sync({"--dir", "both", "--key", key});
  EXPECT_EQ(known.status, 0) << known.output;
  EXPECT_THAT(known.output, HasSubstr("lacking here 4: 4 stored"));
  EXPECT_THAT(known.output, HasSubstr("lacking there 3: 3 taken"));
  EXPECT_THAT(known.output, testing::Not(HasSubstr(secret)));
  std::filesystem::permissions(key, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  EXPECT_EQ(sync({"--key", key}).status, 1) << "others may read it";
}

TEST_F(SyncTest, WorksBesideARelayOnTheSameStore) {
  store(there, make(20));
  start();
  RelayProcess mine(here.path());
  EXPECT_EQ(sync().status, 0);
  World world;
  Client client(world, mine.url());
  ASSERT_TRUE(client.wait_open());
  EXPECT_EQ(client.query("s", "{}").size(), 20U);
}

TEST_F(SyncTest, ManyRoundsOfSmallMessagesEndWithTheSame) {
  store(there, make(700));
  store(here, make(700));
  start();
  const RunResult result = sync({"--dir", "both", "--frame-bytes", "4096"});
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(all_of(here), all_of(there));
}

TEST_F(SyncTest, WithholdsWhatIsNotForOthers) {
  store(here, make(2));
  store(here, make(3, 1, {{"-"}}));
  store(here, make(4, 1059));
  start("[proxy]\ntrusted = [\"192.0.2.1\"]\n");  // it asks nobody who he is
  const RunResult result = sync({"--dir", "up"});
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("lacking there 9: 2 taken, 0 refused, 7 withheld"));
  const RunResult named = sync({"--dir", "up", "--filter", R"({"kinds":[1059]})"});
  EXPECT_THAT(named.output, HasSubstr("lacking there 4: 4 taken"));
}

TEST_F(SyncTest, SaysThatEventsWereRefused) {
  store(here, make(2, 1));
  store(here, make(3, 7));
  start("[policy]\nblocked_kinds = [\"7\"]\n");
  const RunResult result = sync({"--dir", "up"});
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.output, HasSubstr("lacking there 5: 2 taken, 3 refused"));
}

TEST_F(SyncTest, TakesNothingThatItsOwnRelayWouldRefuse) {
  store(there, make(3, 7));
  start();
  const auto config = (here.path() / "relay.toml").string();
  std::ofstream(config) << "[policy]\nblocked_kinds = [\"7\"]\n";
  const RunResult result = sync({"--config", config});
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.output,
              HasSubstr("lacking here 3: 0 stored, 0 replaced or deleted here, 3 refused"));
}

TEST_F(SyncTest, SaysWhatTheOtherSideSays) {
  store(there, make(3));
  start("[negentropy]\nevents_max = 2\n");
  EXPECT_EQ(sync().status, 1);
  EXPECT_EQ(run({"sync", "ws://127.0.0.1:1", "--data", here.path().string()}).status, 1);
  EXPECT_EQ(run({"sync", "nonsense", "--data", here.path().string()}).status, 1);
  EXPECT_EQ(sync({"--filter", R"({"nope":1})"}).status, 1);
}

class SyncWithAStrangerTest : public SyncTest {
 protected:
  RunResult sync_with(const Scripted::Answer& answer, const std::string& direction = "both") {
    Scripted other(world, answer);
    nostril::test::Process process({nostril::test::program("nostril-relay"), "sync", other.url(),
                                    "--data", here.path().string(), "--timeout", "1", "--dir",
                                    direction});
    RunResult out;
    std::optional<int> status;
    EXPECT_TRUE(world.poll([&] {
      status = process.wait(std::chrono::milliseconds(0));
      return status.has_value();
    }));
    out.status = status.value_or(-1);
    out.output = process.read_all();
    return out;
  }

  static bool is(const std::string& text, const std::string& command) {
    return text.starts_with("[\"" + command + "\"");
  }

  World world;
};

using Texts = std::vector<std::string>;

TEST_F(SyncWithAStrangerTest, WhoLacksTheProtocolIsNamed) {
  for (const std::string answer :
       {R"(["NOTICE","ERROR: bad msg: unknown cmd"])", R"(["NOTICE","something of no help"])",
        R"(["CLOSED","sync","unsupported"])", R"(["NEG-MSG","sync","60"])"}) {
    EXPECT_EQ(sync_with([&](const std::string&) { return Texts{answer}; }).status, 5) << answer;
  }
}

TEST_F(SyncWithAStrangerTest, WhoIsSilentIsNotWaitedForForEver) {
  EXPECT_EQ(sync_with([](const std::string&) { return Texts{}; }).status, 3);
  EXPECT_EQ(
      sync_with([](const std::string&) { return Texts{R"(["NEG-MSG","other","61"])"}; }).status, 3);
}

TEST_F(SyncWithAStrangerTest, NonsenseEndsIt) {
  for (const std::string answer : {R"(["NEG-MSG","sync","61ff"])", R"(["NEG-MSG","sync",""])",
                                   R"(["NEG-ERR","sync","blocked: too big"])"}) {
    EXPECT_EQ(sync_with([&](const std::string&) { return Texts{answer}; }).status, 1) << answer;
  }
}

TEST_F(SyncWithAStrangerTest, WhoNeverComesToAnEndIsLeft) {
  store(here, make(40));
  // Each time: something differs.
  const auto answer = [](const std::string& text) {
    if (!is(text, "NEG-OPEN") && !is(text, "NEG-MSG")) return Texts{};
    return Texts{R"(["NEG-MSG","sync","6100000100000000000000000000000000000000"])"};
  };
  EXPECT_EQ(sync_with(answer).status, 1);
}

TEST_F(SyncWithAStrangerTest, OnlyWhatWasAskedForAndIsSignedIsTaken) {
  const Event wanted = alice.sign(1, "wanted");
  Event forged = alice.sign(1, "forged");
  forged.sig.bytes[3] ^= 1;
  const Event other = alice.sign(1, "nobody asked");
  const auto answer = [&](const std::string& text) {
    if (is(text, "NEG-OPEN")) {
      return Texts{R"(["NEG-MSG","sync","6100000203)" + hex(wanted) + hex(forged) +
                   std::string(64, 'a') + "\"]"};
    }
    if (!is(text, "REQ")) return Texts{};
    Texts out;
    for (const Event& event : {other, wanted, wanted, forged}) {
      out.push_back(event_prefix("sync-1") + to_json(event) + "]");
    }
    out.push_back(eose_text("sync-1"));
    return out;
  };
  const RunResult result = sync_with(answer);
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.output, HasSubstr("lacking here 3: 1 stored, 0 replaced or deleted here, 1 "
                                       "refused, 1 not given"));
  EXPECT_EQ(all_of(here), to_json(wanted) + "\n");
}

TEST_F(SyncWithAStrangerTest, WhoWantsAPauseGetsOne) {
  store(here, make(1));
  int asked = 0;
  const auto answer = [&](const std::string& text) {
    if (is(text, "NEG-OPEN")) return Texts{R"(["NEG-MSG","sync","6100000200"])"};
    if (!is(text, "EVENT")) return Texts{};
    const std::string id = text.substr(text.find("\"id\":\"") + 6, 64);
    return Texts{++asked == 1 ? ok_text(id, false, "rate-limited: wait") : ok_text(id, true, "")};
  };
  Scripted other(world, answer);
  nostril::test::Process process({nostril::test::program("nostril-relay"), "sync", other.url(),
                                  "--data", here.path().string(), "--dir", "up"});
  std::optional<int> status;
  EXPECT_TRUE(world.poll([&] {
    status = process.wait(std::chrono::milliseconds(0));
    return status.has_value();
  }));
  EXPECT_EQ(status, 0);
  EXPECT_EQ(asked, 2);
}

// Some relays ask only once they have refused something.
TEST_F(SyncWithAStrangerTest, WhoAsksLateIsAnsweredAndAskedAgain) {
  store(here, make(1));
  bool is_known = false;
  std::vector<std::string> said;
  const auto answer = [&](const std::string& text) {
    said.push_back(text.substr(0, 10));
    if (is(text, "NEG-OPEN") && !is_known) {
      return Texts{R"(["NEG-ERR","sync","auth-required: who are you"])", R"(["AUTH","riddle"])"};
    }
    if (is(text, "NEG-OPEN")) return Texts{R"(["NEG-MSG","sync","6100000200"])"};
    const std::string id = text.substr(text.find("\"id\":\"") + 6, 64);
    if (is(text, "AUTH")) {
      is_known = text.find("riddle") != std::string::npos;
      return Texts{ok_text(id, true, "")};
    }
    return is(text, "EVENT") ? Texts{ok_text(id, true, "")} : Texts{};
  };
  Scripted other(world, answer);
  nostril::test::Process process({nostril::test::program("nostril-relay"), "sync", other.url(),
                                  "--data", here.path().string(), "--dir", "up", "--key",
                                  key_file(here.path(), std::string(64, '7'))});
  std::optional<int> status;
  EXPECT_TRUE(world.poll([&] {
    status = process.wait(std::chrono::milliseconds(0));
    return status.has_value();
  }));
  EXPECT_EQ(status, 0) << testing::PrintToString(said);
  EXPECT_TRUE(is_known);
}

// --- delete.

TEST_F(SyncTest, DeleteRemovesWhatMatchesBesideARunningRelay) {
  store(there, make(3, 1));
  store(there, make(4, 7));
  start();
  const std::string data = there.path().string();
  const std::string filter = R"({"kinds":[7]})";
  EXPECT_EQ(run({"delete", "--data", data, "--filter", filter, "--dry-run"}).output,
            "4 events would be removed\n");
  EXPECT_EQ(run({"delete", "--data", data, "--filter", filter}).output, "4 events removed\n");
  World world;
  Client client(world, relay->url());
  ASSERT_TRUE(client.wait_open());
  EXPECT_EQ(client.query("s", "{}").size(), 3U);
  EXPECT_EQ(run({"check", "--data", data}).status, 0);
  EXPECT_EQ(run({"delete", "--data", data}).status, kWrongUsageStatus);
  EXPECT_EQ(run({"delete", "--data", data, "--filter", "{"}).status, 1);
  EXPECT_EQ(run({"delete", "--data", (here.path() / "none").string(), "--filter", "{}"}).status, 1);
}

}  // namespace
}  // namespace nostril::relay::test
