// The chain with real processes: tests/relay/scripted_plugin.mjs, and shells.
#include "relay/plugin_chain.h"

#include "relay/plugin_process.h"
#include "tests/relay/event_support.h"
#include "tests/support/source_dir.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace nostril::relay::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::chrono::seconds kWaitMax{60};
constexpr const char* kNoAnswer =
    "reject error: this relay's policy gives no answer now, try again later";

std::string scripted_plugin() {
  return (nostril::test::source_dir() / "tests/relay/scripted_plugin.mjs").string();
}

PluginOptions scripted(const std::string& word = "none") {
  PluginOptions out;
  out.command = {"node", scripted_plugin(), word};
  out.timeout_ms = 60'000;
  return out;
}

PluginOptions shell(const std::string& script) {
  PluginOptions out;
  out.command = {"sh", "-c", script};
  out.timeout_ms = 60'000;
  return out;
}

class PluginChainTest : public testing::Test {
 protected:
  void start(std::vector<PluginOptions> plugins) {
    chain = std::make_unique<PluginChain>(
        std::move(plugins), 10'000, clock, [this](JudgedEvent&& event, Verdict&& verdict) {
          const std::lock_guard lock(mutex);
          verdicts[hex(event.event.event())].push_back(words_of(verdict));
          ++verdict_count;
          changed.notify_all();
        });
  }

  static std::string words_of(const Verdict& verdict) {
    switch (verdict.action) {
      case PluginAction::Accept:
        return "accept" + verdict.message;
      case PluginAction::Reject:
        return "reject " + verdict.message;
      case PluginAction::ShadowReject:
        return "shadowReject" + verdict.message;
    }
    return "?";
  }

  Event give(const std::string& content, std::uint32_t kind = 1) {
    Event event = alice.sign(kind, content);
    give(event);
    return event;
  }

  void give(const Event& event, std::shared_ptr<const EventSource> source = nullptr) {
    chain->judge({verified(event), SessionId{}, Credit(), std::move(source)});
  }

  // The first verdict about it, once there is one.
  std::string verdict_of(const Event& event) {
    std::unique_lock lock(mutex);
    const auto there = [&] { return verdicts.contains(hex(event)); };
    if (!changed.wait_for(lock, kWaitMax, there)) return "none";
    return verdicts[hex(event)].front();
  }

  std::string ask(const std::string& content, std::uint32_t kind = 1) {
    return verdict_of(give(content, kind));
  }

  bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kWaitMax, [&] { return verdict_count >= count; });
  }

  [[nodiscard]] const PluginMetrics& metrics(std::size_t index = 0) const {
    return *chain->metrics()[index];
  }

  nostril::test::TempDir dir;
  SystemClock clock;
  Author alice;
  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex.
  std::map<std::string, std::vector<std::string>> verdicts;
  std::size_t verdict_count = 0;
  std::unique_ptr<PluginChain> chain;  // last: it calls into the above
};

TEST_F(PluginChainTest, PassesOnWhatThePluginSays) {
  start({scripted()});
  EXPECT_EQ(ask("fine"), "accept");
  EXPECT_EQ(ask("reject"), "reject blocked: no");
  EXPECT_EQ(ask("plain"), "reject blocked: no??[31m");
  EXPECT_EQ(ask("mute"), "reject blocked: this relay's policy refuses it");
  EXPECT_EQ(ask("shadow"), "shadowReject");
  EXPECT_EQ(metrics().accepted.read(), 1U);
  EXPECT_EQ(metrics().rejected.read(), 3U);
  EXPECT_EQ(metrics().shadow_rejected.read(), 1U);
  EXPECT_EQ(metrics().starts.read(), 1U);
}

TEST_F(PluginChainTest, SaysWhereAnEventComesFrom) {
  start({scripted()});
  EXPECT_EQ(ask("source"), "reject blocked: Import  nobody");
  const Event event = alice.sign(1, "source of another");
  give(event, std::make_shared<const EventSource>(
                  EventSource{EventSourceType::Ip4, "192.0.2.9", event.pubkey}));
  EXPECT_EQ(verdict_of(event), "reject blocked: IP4 192.0.2.9 " + alice.hex());
}

TEST_F(PluginChainTest, MatchesAThousandAnswersInReverseOrder) {
  start({scripted()});
  std::vector<Event> held;
  for (int i = 0; i < 999; ++i) held.push_back(give("hold " + std::to_string(i)));
  give("flush");
  ASSERT_TRUE(wait_for(1'000));
  for (const Event& event : held) EXPECT_EQ(verdict_of(event), "accept");
  EXPECT_EQ(metrics().starts.read(), 1U);
  EXPECT_EQ(metrics().bad_lines.read(), 0U);
}

TEST_F(PluginChainTest, ASerialPluginWorksToo) {
  // Reads a line, answers it, reads the next: with nothing but a shell.
  start({shell(R"(while IFS= read -r line; do
    id=${line#*\"id\":\"}; id=${id%%\"*}; echo "{\"id\":\"$id\",\"action\":\"accept\"}"; done)")});
  for (int i = 0; i < 500; ++i) give(std::to_string(i));
  ASSERT_TRUE(wait_for(500));
  EXPECT_EQ(metrics().accepted.read(), 500U);
}

TEST_F(PluginChainTest, DealsEventsOutToItsProcesses) {
  PluginOptions options = scripted();
  options.processes = 3;
  start({options});
  std::vector<Event> events;
  for (int i = 0; i < 60; ++i) events.push_back(give("pid " + std::to_string(i)));
  ASSERT_TRUE(wait_for(60));
  std::set<std::string> pids;
  for (const Event& event : events) pids.insert(verdict_of(event));
  EXPECT_EQ(pids.size(), 3U);
}

TEST_F(PluginChainTest, AsksPluginsInTheirOrderUntilOneRefuses) {
  start({scripted("first"), scripted("second")});
  EXPECT_EQ(ask("fine"), "accept");
  EXPECT_EQ(ask("word"), "reject blocked: first");
  EXPECT_EQ(metrics(0).accepted.read(), 1U);
  EXPECT_EQ(metrics(1).accepted.read(), 1U);
  EXPECT_EQ(metrics(1).rejected.read(), 0U);
}

TEST_F(PluginChainTest, LeavesOutPluginsThatDoNotWantEphemeralEvents) {
  PluginOptions stored_only = scripted("stored");
  stored_only.judges_ephemeral = false;
  start({stored_only, scripted("all")});
  EXPECT_TRUE(chain->judges(alice.sign(20'001)));
  EXPECT_EQ(ask("word", 20'001), "reject blocked: all");
  EXPECT_EQ(ask("word", 1), "reject blocked: stored");
  chain.reset();
  start({stored_only});
  EXPECT_FALSE(chain->judges(alice.sign(20'001)));
  EXPECT_TRUE(chain->judges(alice.sign(1)));
}

TEST_F(PluginChainTest, CopiesShareOneQuestion) {
  start({scripted()});
  const Event event = give("hold");
  give(event);
  give(event);
  give("flush");
  ASSERT_TRUE(wait_for(4));
  EXPECT_EQ(verdicts[hex(event)].size(), 3U);
  EXPECT_EQ(metrics().accepted.read(), 2U);
}

TEST_F(PluginChainTest, IgnoresLinesThatAreNoAnswers) {
  start({scripted()});
  EXPECT_EQ(ask("garbage"), "accept");
  EXPECT_EQ(ask("twice"), "accept");
  EXPECT_EQ(ask("fine"), "accept");
  EXPECT_EQ(metrics().bad_lines.read(), 4U);
  EXPECT_EQ(metrics().starts.read(), 1U);
}

TEST_F(PluginChainTest, AnAnswerOfAnUnknownWordIsNone) {
  start({scripted()});
  EXPECT_EQ(ask("confused"), kNoAnswer);
  EXPECT_EQ(ask("fine"), "accept");
}

TEST_F(PluginChainTest, StartsAPluginAgainThatHasDied) {
  start({scripted()});
  EXPECT_EQ(ask("fine"), "accept");
  const Event silent = give("silent");
  EXPECT_EQ(ask("die"), kNoAnswer);
  EXPECT_EQ(verdict_of(silent), kNoAnswer);
  EXPECT_EQ(ask("fine again"), "accept");
  EXPECT_EQ(metrics().starts.read(), 2U);
  EXPECT_EQ(metrics().failed.read(), 2U);
}

TEST_F(PluginChainTest, StartsAPluginAgainThatHangs) {
  PluginOptions options = scripted();
  options.timeout_ms = 1'000;
  start({options});
  EXPECT_EQ(ask("fine"), "accept");
  EXPECT_EQ(ask("hang"), kNoAnswer);
  EXPECT_EQ(ask("fine again"), "accept");
  EXPECT_EQ(metrics().starts.read(), 2U);
}

TEST_F(PluginChainTest, GivesUpOneEventOfAPluginThatAnswersOthers) {
  PluginOptions options = scripted();
  options.timeout_ms = 1'000;
  start({options});
  EXPECT_EQ(ask("fine"), "accept");
  const Event first = give("silent 1");
  const Event second = give("silent 2");
  bool is_lost = false;
  for (int i = 0; i < 600 && !is_lost; ++i) {
    EXPECT_EQ(ask("fine " + std::to_string(i)), "accept");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::lock_guard lock(mutex);
    is_lost = verdicts.contains(hex(first)) && verdicts.contains(hex(second));
  }
  EXPECT_EQ(verdict_of(first), kNoAnswer);
  EXPECT_EQ(verdict_of(second), kNoAnswer);
  EXPECT_EQ(metrics().starts.read(), 1U);
}

TEST_F(PluginChainTest, EndsAPluginWhoseLineHasNoEnd) {
  start({scripted()});
  EXPECT_EQ(ask("long"), kNoAnswer);
  EXPECT_EQ(ask("fine"), "accept");
  EXPECT_EQ(metrics().starts.read(), 2U);
}

TEST_F(PluginChainTest, TakesEventsWithoutAnAnswerWhereToldSo) {
  PluginOptions options = scripted();
  options.accepts_on_failure = true;
  start({options, scripted("second")});
  EXPECT_EQ(ask("die"), kNoAnswer);  // it dies of it, too
  EXPECT_EQ(metrics(0).failed.read(), 1U);
  EXPECT_EQ(metrics(1).failed.read(), 1U);
}

TEST_F(PluginChainTest, AProgramThatIsNotThereFailsEachEvent) {
  PluginOptions options;
  options.command = {"/nowhere/no-such-plugin"};
  options.timeout_ms = 100;
  start({options});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(std::to_string(i)), kNoAnswer);
  EXPECT_GE(metrics().starts.read(), 1U);
}

TEST_F(PluginChainTest, APluginThatReadsNothingIsEnded) {
  PluginOptions options = shell("exec sleep 1000");
  options.timeout_ms = 300;
  start({options});
  std::vector<Event> events;
  for (int i = 0; i < 50; ++i) events.push_back(give(std::string(60'000, 'x')));
  ASSERT_TRUE(wait_for(50));
  for (const Event& event : events) EXPECT_EQ(verdict_of(event), kNoAnswer);
}

TEST_F(PluginChainTest, BoundsWhatAPluginSaysInTheLog) {
  start({scripted()});
  testing::internal::CaptureStderr();
  EXPECT_EQ(ask("say"), "accept");
  EXPECT_EQ(ask("fine"), "accept");
  chain->stop();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_LT(std::ranges::count(log, '\n'), 80);
  EXPECT_EQ(log.find('\x1b'), std::string::npos);
  EXPECT_EQ(log.find(std::string(1'001, 'x')), std::string::npos);
}

TEST_F(PluginChainTest, ReplacesItsProcessesWhenTheFileChanges) {
  const auto file = dir.path() / "plugin.sh";
  const auto write = [&](const std::string& word) {
    const auto fresh = dir.path() / "fresh.sh";
    std::ofstream(fresh) << R"(while IFS= read -r line; do
      id=${line#*\"id\":\"}; id=${id%%\"*}
      case "$line" in *wait*) ;; *) echo "{\"id\":\"$id\",\"action\":\"reject\",\"msg\":\"blocked: )"
                         << word << "\\\"}\"; esac; done\n";
    std::filesystem::rename(fresh, file);
  };
  write("old");
  PluginOptions options;
  options.command = {"sh", file.string()};
  options.timeout_ms = 60'000;
  start({options});
  ASSERT_EQ(ask("one"), "reject blocked: old");
  write("new one");
  bool is_new = false;
  for (int i = 0; i < 400 && !is_new; ++i) {
    is_new = ask(std::to_string(i)) == "reject blocked: new one";
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_TRUE(is_new);
  EXPECT_EQ(metrics().failed.read(), 0U);
}

TEST_F(PluginChainTest, AsksTheNewProcessWhatTheOldOneHadNotAnswered) {
  const auto file = dir.path() / "plugin.sh";
  std::ofstream(file) << "exec cat >/dev/null\n";
  PluginOptions options;
  options.command = {"sh", file.string()};
  options.timeout_ms = 60'000;
  start({options});
  const Event event = give("one");
  std::ofstream(file) << R"(while IFS= read -r line; do
    id=${line#*\"id\":\"}; id=${id%%\"*}; echo "{\"id\":\"$id\",\"action\":\"accept\"}"; done)";
  EXPECT_EQ(verdict_of(event), "accept");
  EXPECT_EQ(metrics().failed.read(), 0U);
}

TEST_F(PluginChainTest, DecidesEverythingBeforeItStops) {
  start({scripted()});
  for (int i = 0; i < 300; ++i) give(std::to_string(i));
  chain->stop();
  const std::lock_guard lock(mutex);
  EXPECT_EQ(verdict_count, 300U);
}

bool is_there(pid_t pid) {
  return kill(pid, 0) == 0;
}

// The second and third are what the first has started.
TEST(PluginProcess, LeavesNothingBehind) {
  auto process =
      PluginProcess::start({"sh", "-c", "sleep 1000 & echo $!; sleep 1000 & echo $!; wait"});
  ASSERT_TRUE(process);
  std::string output;
  for (int i = 0; i < 2'000 && std::ranges::count(output, '\n') < 2; ++i) {
    (void)PluginProcess::read((*process)->output(), output, 1'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const pid_t first = std::stoi(output);
  const pid_t second = std::stoi(output.substr(output.find('\n')));
  const pid_t own = (*process)->pid();
  ASSERT_TRUE(is_there(first) && is_there(second) && is_there(own));
  (*process)->kill_now();
  EXPECT_FALSE(is_there(own));
  // Orphans by now: the system's first process takes their end, soon.
  const auto is_gone = [](pid_t pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    const std::string text{std::istreambuf_iterator<char>(status), {}};
    return text.empty() || text.find("State:\tZ") != std::string::npos;
  };
  for (int i = 0; i < 2'000 && !(is_gone(first) && is_gone(second)); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(is_gone(first) && is_gone(second));
}

TEST(PluginProcess, HasNothingOpenButItsPipes) {
  const UniqueFd leaky(open("/dev/null", O_RDONLY));  // NOLINT(*-vararg,android-cloexec-open)
  auto process = PluginProcess::start({"sh", "-c", "ls /proc/self/fd | wc -l; kill -l >/dev/null"});
  ASSERT_TRUE(process);
  std::string output;
  for (int i = 0; i < 2'000 && output.empty(); ++i) {
    (void)PluginProcess::read((*process)->output(), output, 1'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(std::stoi(output), 4);  // three, and the folder that is being listed
}

}  // namespace
}  // namespace nostril::relay::test
