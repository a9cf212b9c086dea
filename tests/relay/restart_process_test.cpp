// What changes while nostril-relay runs: its configuration (SIGHUP, a changed file), and the
// program itself (SIGUSR2).
#include "base/file.h"
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

namespace nostril::relay::test {
namespace {

using Milliseconds = std::chrono::milliseconds;

/// One plain HTTP request on a connection of its own: "" when it was answered with 200.
std::string request_alone(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval wait{20, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fmt::format("connect: errno {}", errno);
  }
  constexpr std::string_view kRequest =
      "GET / HTTP/1.1\r\nHost: relay\r\nAccept: application/nostr+json\r\nConnection: "
      "close\r\n\r\n";
  if (::send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(kRequest.size())) {
    return fmt::format("send: errno {}", errno);
  }
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 1; got > 0;) {
    got = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (got < 0) return fmt::format("recv: errno {}", errno);
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  return answer.starts_with("HTTP/1.1 200 ") ? "" : "answered: " + answer.substr(0, 60);
}

class RestartTest : public testing::Test {
 protected:
  void TearDown() override {
    if (!relay || !relay->process().is_running()) return;
    relay->process().signal(SIGTERM);
    EXPECT_EQ(relay->process().wait(), 0);
  }

  void start(const std::string& config) {
    relay = std::make_unique<RelayProcess>(dir.path(), config);
  }

  void write_config(const std::string& config) const {
    std::ofstream(dir.path() / "new.toml") << config;
    std::filesystem::rename(dir.path() / "new.toml", dir.path() / "relay.toml");
  }

  std::unique_ptr<Client> connect() {
    auto client = std::make_unique<Client>(world, relay->url());
    EXPECT_TRUE(client->wait_open());
    return client;
  }

  std::string name() {
    const auto document = Json::parse(
        http_get(world, relay->http_url(), {{"Accept", "application/nostr+json"}}).body);
    return std::string(document->find_string("name").value_or("?"));
  }

  [[nodiscard]] std::uint16_t port() const { return net::parse_url(relay->url())->port; }

  TempDir dir;
  World world;
  std::unique_ptr<RelayProcess> relay;
  Author alice;
  Author bob;
};

TEST_F(RestartTest, AChangedFileChangesWhatItMay) {
  start("[threads]\nloops = 2\n");
  auto client = connect();
  EXPECT_EQ(client->publish(alice.sign(1)), "true ");
  write_config("[threads]\nloops = 2\n[info]\nname = \"Anew\"\n[policy]\nblocked_authors = [\"" +
               alice.hex() + "\"]\n");
  EXPECT_TRUE(world.poll([&] { return name() == "Anew"; }));  // looked at once a second
  EXPECT_EQ(client->publish(alice.sign(1)).substr(0, 14), "false blocked:");
  EXPECT_EQ(client->publish(bob.sign(1)), "true ");
  EXPECT_FALSE(client->closed);
}

TEST_F(RestartTest, HangupReadsTheFileAndABadOneChangesNothing) {
  constexpr auto kRefused = "reloads_total{result=\"refused\"}";
  start("[info]\nname = \"First\"\n");
  for (const char* bad :
       {"[info]\nname = 7\n", "nonsense", "[policy]\nblocked_kinds = [\"x\"]\n",
        "tls_key = \"x\"\n", "log_format = \"xml\"\n", "[admin]\nkeys = [\"00\"]\n"}) {
    write_config(std::string("[info]\n") + "name = \"Second\"\n" + bad);
    const std::uint64_t before = relay->metric(world, kRefused);
    relay->process().signal(SIGHUP);
    EXPECT_TRUE(world.poll([&] { return relay->metric(world, kRefused) > before; })) << bad;
    EXPECT_EQ(name(), "First") << bad;
  }
  // Keys that need a restart keep their value; the others of the same file change.
  write_config("data = \"elsewhere\"\n[info]\nname = \"Third\"\n[threads]\nloops = 7\n");
  relay->process().signal(SIGHUP);
  EXPECT_TRUE(world.poll([&] { return name() == "Third"; }));
  EXPECT_FALSE(std::filesystem::exists("elsewhere"));
}

TEST_F(RestartTest, ChangedTablesKeepTheirRunningItems) {
  start("[info]\nname = \"First\"\n");
  write_config(
      "[info]\nname = \"Second\"\n[[mirror]]\nurl = \"ws://127.0.0.1:1\"\n"
      "[[plugins]]\ncommand = [\"/bin/false\"]\n");
  relay->process().signal(SIGHUP);
  EXPECT_TRUE(world.poll([&] { return name() == "Second"; }));
  EXPECT_EQ(connect()->publish(alice.sign(1)), "true ") << "no plug-in is asked";
  EXPECT_EQ(http_get(world, relay->http_url("/metrics")).body.find("mirror_connected{"),
            std::string::npos);
}

TEST_F(RestartTest, AuthenticationComesAndGoesUnderOpenConnections) {
  start("log_level = \"off\"\n");
  auto client = connect();
  const Event letter = alice.sign(4, "psst", {{"p", bob.hex()}});
  EXPECT_EQ(client->publish(letter), "true ");
  EXPECT_EQ(client->query("a", R"({"kinds":[4]})").size(), 1U);
  write_config("log_level = \"off\"\nurl = \"wss://relay.example.org\"\n");
  relay->process().signal(SIGHUP);
  EXPECT_TRUE(client->take("AUTH"));
  client->send(R"(["REQ","b",{"kinds":[4]}])");
  EXPECT_TRUE(client->take("CLOSED", "b"));
  EXPECT_EQ(client->query("c", R"({"ids":[")" + hex(letter) + R"("]})"),
            std::vector<std::string>{});
}

TEST_F(RestartTest, ARestartRefusesNobodyAndLosesNothing) {
  start("[threads]\nloops = 2\nverifiers = 1\n");
  const pid_t pid = relay->process().pid();
  std::atomic<bool> is_over = false;
  std::mutex mutex;
  std::vector<std::string> failures;
  std::atomic<int> answered = 0;
  std::atomic<std::int64_t> longest_ms = 0;
  std::vector<std::thread> knockers;
  for (int i = 0; i < 4; ++i) {
    knockers.emplace_back([&] {
      while (!is_over) {
        const auto began = std::chrono::steady_clock::now();
        const std::string failure = request_alone(port());
        const auto took =
            std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - began)
                .count();
        if (took > longest_ms) longest_ms = took;
        ++answered;
        if (failure.empty()) continue;
        const std::lock_guard lock(mutex);
        failures.push_back(failure);
      }
    });
  }
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 3; ++round) {
    auto client = connect();
    std::vector<Event> sent;
    for (int i = 0; i < 50; ++i) {
      sent.push_back(alice.sign(1, fmt::format("{} {}", round, i)));
      client->send(publish_text(sent.back()));
    }
    if (client->answer_to(hex(sent.front())) == "true ") acknowledged.push_back(hex(sent.front()));
    relay->process().signal(SIGUSR2);
    EXPECT_TRUE(world.wait([&] { return client->closed.has_value(); }));
    EXPECT_EQ(client->closed->code, net::kWsCloseServiceRestart);
    for (const Json& message : client->messages) {
      const auto items = message.items();
      if (items.size() == 4 && items[0].string() == "OK" && items[2].boolean() == true) {
        acknowledged.emplace_back(items[1].string().value_or("?"));
      }
    }
    EXPECT_EQ(relay->process().read_line(), "listening on " + relay->url());
  }
  EXPECT_EQ(relay->process().pid(), pid);
  is_over = true;
  for (auto& thread : knockers) thread.join();
  EXPECT_EQ(failures, std::vector<std::string>{});
  EXPECT_GT(answered, 10);
  fmt::print("{} connections in 3 restarts, the longest wait {} ms\n", answered.load(),
             longest_ms.load());

  auto client = connect();
  std::vector<std::string> stored = client->query("all", R"({"kinds":[1],"limit":5000})");
  std::ranges::sort(stored);
  for (const auto& id : acknowledged) EXPECT_TRUE(std::ranges::binary_search(stored, id));
  EXPECT_FALSE(acknowledged.empty());
}

TEST_F(RestartTest, ASuccessorThatWouldNotStartIsNotStarted) {
  start("[info]\nname = \"First\"\n");
  auto client = connect();
  write_config("nonsense = 1\n");
  relay->process().signal(SIGUSR2);
  EXPECT_TRUE(world.poll([&] { return relay->metric(world, "restarts_refused_total") == 1; }));
  write_config("[info]\nname = \"Mended\"\n");
  EXPECT_TRUE(world.poll([&] { return name() == "Mended"; }));
  EXPECT_EQ(client->publish(alice.sign(1)), "true ");
  EXPECT_FALSE(client->closed);
}

TEST_F(RestartTest, AProgramThatCanNotBeRunLeavesThisOneServing) {
  const auto copy = dir.path() / "nostril-relay";
  std::filesystem::copy_file(nostril::test::program("nostril-relay"), copy);
  nostril::test::Process process({"/bin/sh", "-c", "exec \"$0\" \"$@\"", copy.string(), "run",
                                  "--listen", "127.0.0.1:0", "--data",
                                  (dir.path() / "data").string()});
  const auto line = process.read_line();
  ASSERT_TRUE(line);
  const std::string url = line->substr(std::string_view("listening on ").size());
  std::filesystem::remove(copy);
  process.signal(SIGUSR2);
  Client client(world, url);
  EXPECT_TRUE(client.wait_open());
  EXPECT_EQ(client.publish(alice.sign(1)), "true ");
  process.signal(SIGTERM);
  EXPECT_TRUE(
      world.poll([&] { return process.wait(Milliseconds(0)) == 0 || !process.is_running(); }));
}

// The file on the disk checks the configuration and is gone when it is to be run.
TEST_F(RestartTest, AFailedExecLeavesThisOneServing) {
  const auto copy = dir.path() / "nostril-relay";
  std::filesystem::copy_file(nostril::test::program("nostril-relay"), copy);
  nostril::test::Process process(
      {copy.string(), "run", "--listen", "127.0.0.1:0", "--data", (dir.path() / "data").string()});
  const auto line = process.read_line();
  ASSERT_TRUE(line);
  const std::string url = line->substr(std::string_view("listening on ").size());
  Client before(world, url);
  ASSERT_TRUE(before.wait_open());
  const Event event = alice.sign(1);
  EXPECT_EQ(before.publish(event), "true ");
  const auto fake = dir.path() / "fake";
  std::ofstream(fake) << "#!/bin/sh\nrm \"$0\"\n";
  std::filesystem::permissions(fake, std::filesystem::perms::owner_all);
  std::filesystem::rename(fake, copy);
  process.signal(SIGUSR2);
  // It says so once more: the relay is another one, in the same process on the same socket.
  EXPECT_TRUE(world.wait([&] { return before.closed.has_value(); }));
  EXPECT_EQ(process.read_line(), "listening on " + url);
  EXPECT_FALSE(std::filesystem::exists(copy));
  Client after(world, url);
  ASSERT_TRUE(after.wait_open());
  EXPECT_EQ(after.query("all", R"({"kinds":[1]})"), std::vector<std::string>{hex(event)});
  EXPECT_EQ(after.publish(alice.sign(1, "later")), "true ");
  process.signal(SIGTERM);
  EXPECT_TRUE(
      world.poll([&] { return process.wait(Milliseconds(0)) == 0 || !process.is_running(); }));
}

TEST_F(RestartTest, TakesTheSocketOfASupervisor) {
  // As systemd does it: descriptor 3, named by the environment, for this PID.
  const UniqueFd listening(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0);
  ASSERT_EQ(::listen(listening.get(), 16), 0);
  socklen_t size = sizeof address;
  ::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size);
  const std::string script = fmt::format(
      "exec 3<&{0}; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run --listen 127.0.0.1:0 --threads 3 "
      "--data \"$1\"",
      listening.get());
  nostril::test::Process process({"/bin/bash", "-c", script,
                                  nostril::test::program("nostril-relay"),
                                  (dir.path() / "data").string()});
  EXPECT_EQ(process.read_line(),
            fmt::format("listening on ws://127.0.0.1:{}", ntohs(address.sin_port)));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(request_alone(ntohs(address.sin_port)), "");
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 0);
}

}  // namespace
}  // namespace nostril::relay::test
