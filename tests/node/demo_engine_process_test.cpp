// The demo engine's process, with a shell script in the place of Node.js.
#include "node/demo_engine_process.h"

#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using test::run_until;

constexpr std::uint64_t kWaitMs = 10'000;

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Neither gone nor a corpse that waits for its parent.
bool alive(pid_t pid) {
  const std::string status = text_of("/proc/" + std::to_string(pid) + "/status");
  return !status.empty() && status.find("\nState:\tZ") == std::string::npos;
}

class DemoEngine : public ::testing::Test {
 protected:
  DemoEngine() : path_(std::getenv("PATH")) {
    fs::create_directories(folder_.path() / "model");
    std::ofstream(folder_.path() / "engine.mjs") << "// never run\n";
    std::ofstream(folder_.path() / "model/nostril-demo.gguf") << "weights";
  }

  ~DemoEngine() override { setenv("PATH", path_.c_str(), 1); }

  /// What stands for Node.js writes its pid and its words, then does this.
  void script(const std::string& body) {
    const fs::path bin = folder_.path() / "bin";
    fs::create_directories(bin);
    std::ofstream(bin / "node") << "#!/bin/sh\necho \"$@\" > " << words_file().string()
                                << "\necho $$ > " << pid_file().string() << "\n"
                                << body << "\n";
    fs::permissions(bin / "node", fs::perms::owner_all);
    setenv("PATH", (bin.string() + ":" + path_).c_str(), 1);
  }

  [[nodiscard]] fs::path pid_file() const { return folder_.path() / "pid"; }

  [[nodiscard]] fs::path words_file() const { return folder_.path() / "words"; }

  [[nodiscard]] pid_t child() const { return std::atoi(text_of(pid_file()).c_str()); }

  Result<void, std::string> start(std::int64_t slow_ms = 0) {
    process_ = std::make_unique<DemoEngineProcess>(
        loop_, DemoEngineSettings{folder_.path(), {}, slow_ms},
        [this](std::string url) { ready_.push_back(std::move(url)); },
        [this](const std::string& why) { exits_.push_back(why); });
    return process_->start();
  }

  bool until(const std::function<bool()>& condition) {
    return run_until(loop_, condition, kWaitMs);
  }

  std::string path_;
  test::TempDir folder_;
  net::Loop loop_;
  std::unique_ptr<DemoEngineProcess> process_;
  std::vector<std::string> ready_;
  std::vector<std::string> exits_;
};

TEST_F(DemoEngine, SaysWhatIsMissingBeforeItStarts) {
  script("exec sleep 60");
  fs::remove(folder_.path() / "model/nostril-demo.gguf");
  const auto no_model = start();
  ASSERT_FALSE(no_model);
  EXPECT_NE(no_model.error().find("nostril-demo.gguf is not there"), std::string::npos);
  fs::remove(folder_.path() / "engine.mjs");
  const auto no_program = start();
  ASSERT_FALSE(no_program);
  EXPECT_NE(no_program.error().find("engine.mjs is not there"), std::string::npos);
  EXPECT_FALSE(fs::exists(pid_file()));
}

TEST_F(DemoEngine, IsReadyWhenItsLineIsWholeHoweverItComes) {
  script(
      "echo 'some warning'; printf 'listening on http://127.'; sleep 0.2\n"
      "echo '0.0.1:4711 model demo'; echo 'listening on http://elsewhere'; exec sleep 60");
  ASSERT_TRUE(start(25));
  ASSERT_TRUE(until([&] { return !ready_.empty(); }));
  test::run_for(loop_, 200);
  EXPECT_EQ(ready_, std::vector<std::string>{"http://127.0.0.1:4711"});
  EXPECT_TRUE(exits_.empty());
  EXPECT_EQ(text_of(words_file()), (folder_.path() / "engine.mjs").string() + " --model " +
                                       (folder_.path() / "model/nostril-demo.gguf").string() +
                                       " --listen 127.0.0.1:0 --slow-ms 25\n");
}

TEST_F(DemoEngine, ThatDiesIsReportedOnceBeforeAndAfterItWasReady) {
  script("exit 1");
  ASSERT_TRUE(start());
  ASSERT_TRUE(until([&] { return !exits_.empty(); }));
  EXPECT_TRUE(ready_.empty());
  EXPECT_EQ(exits_[0], "the demo engine ended by itself");

  script("echo 'listening on http://127.0.0.1:1 model demo'; exec sleep 60");
  ASSERT_TRUE(start());
  ASSERT_TRUE(until([&] { return !ready_.empty(); }));
  ASSERT_GT(child(), 0);
  kill(child(), SIGKILL);
  ASSERT_TRUE(until([&] { return exits_.size() == 2; }));
  test::run_for(loop_, 150);
  EXPECT_EQ(exits_.size(), 2U);
}

TEST_F(DemoEngine, WithoutNodeSaysHowToGetIt) {
  fs::create_directories(folder_.path() / "empty");
  setenv("PATH", (folder_.path() / "empty").c_str(), 1);
  ASSERT_TRUE(start());
  ASSERT_TRUE(until([&] { return !exits_.empty(); }));
  EXPECT_NE(exits_[0].find("Node.js was not found"), std::string::npos);
}

TEST_F(DemoEngine, EndsWithItsOwner) {
  script("echo 'listening on http://127.0.0.1:1 model demo'; exec sleep 60");
  ASSERT_TRUE(start());
  ASSERT_TRUE(until([&] { return !ready_.empty(); }));
  const pid_t pid = child();
  ASSERT_TRUE(alive(pid));
  process_.reset();
  EXPECT_FALSE(alive(pid));
  EXPECT_TRUE(exits_.empty()) << "it did not end by itself";
}

TEST_F(DemoEngine, ThatDoesNotObeyIsKilled) {
  script("trap '' TERM; echo 'listening on http://127.0.0.1:1 model demo'; exec sleep 60");
  ASSERT_TRUE(start());
  ASSERT_TRUE(until([&] { return !ready_.empty(); }));
  const pid_t pid = child();
  process_.reset();
  EXPECT_FALSE(alive(pid));
}

TEST_F(DemoEngine, EndsWhenItsOwnerIsKilled) {
  script("echo 'listening on http://127.0.0.1:1 model demo'; exec sleep 60");
  const pid_t owner = fork();
  if (owner == 0) {
    net::Loop loop;
    bool ready = false;
    DemoEngineProcess engine(
        loop, {folder_.path(), {}, 0}, [&](const std::string&) { ready = true; },
        [](const std::string&) {});
    if (!engine.start()) _exit(1);
    run_until(
        loop, [] { return false; }, 60'000);
    _exit(0);
  }
  ASSERT_GT(owner, 0);
  const bool started = until([&] { return child() > 0; });
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  ASSERT_TRUE(started);
  EXPECT_TRUE(until([&] { return !alive(child()); }));
}

}  // namespace
}  // namespace nostril::node
