#pragma once

#include "base/json.h"
#include "tests/support/process.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nostril::relay::test {

/// A nats-server of this machine with JetStream in a directory, at a port of loopback that it
/// chooses the first time and keeps.
class NatsServer {
 public:
  /// Where it is installed; nothing: skip the test, with kMissing.
  static std::optional<std::string> installed() {
    for (const char* path :
         {"/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"}) {
      if (std::filesystem::exists(path)) return path;
    }
    return std::nullopt;
  }

  static constexpr const char* kMissing = "nats-server is not installed: apt install nats-server";

  /// Starts it; `data` is made. `more`: further words of its command line.
  explicit NatsServer(std::filesystem::path data, std::vector<std::string> more = {})
      : data_(std::move(data)), more_(std::move(more)) {
    start();
  }

  void start() {
    std::filesystem::create_directories(data_ / "ports");
    for (const auto& file : std::filesystem::directory_iterator(data_ / "ports")) {
      std::filesystem::remove(file);
    }
    std::vector<std::string> command = {*installed(),
                                        "-a",
                                        "127.0.0.1",
                                        "-p",
                                        port_.empty() ? "-1" : port_,
                                        "-js",
                                        "-sd",
                                        (data_ / "js").string(),
                                        "--ports_file_dir",
                                        (data_ / "ports").string(),
                                        "-l",
                                        (data_ / "log").string()};
    command.insert(command.end(), more_.begin(), more_.end());
    process_ = std::make_unique<nostril::test::Process>(command);
    for (int i = 0; i < 2'000 && !read_port(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  /// SIGKILL.
  void kill() { process_->kill_now(); }

  /// It is there and does nothing.
  void freeze() { process_->signal(SIGSTOP); }

  void thaw() { process_->signal(SIGCONT); }

  [[nodiscard]] std::string url() const { return "nats://127.0.0.1:" + port_; }

 private:
  bool read_port() {
    for (const auto& file : std::filesystem::directory_iterator(data_ / "ports")) {
      std::ifstream in(file.path());
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      const auto json = Json::parse(text);
      const Json* urls = json ? json->find("nats") : nullptr;
      if (urls == nullptr || urls->items().empty()) continue;
      const std::string url(urls->items().front().string().value_or(""));
      port_ = url.substr(url.rfind(':') + 1);
      return true;
    }
    return false;
  }

  const std::filesystem::path data_;
  const std::vector<std::string> more_;
  std::string port_;
  std::unique_ptr<nostril::test::Process> process_;
};

}  // namespace nostril::relay::test
