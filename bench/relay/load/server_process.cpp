#include "bench/relay/load/server_process.h"

#include <fmt/format.h>

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace nostril::bench {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kListening = "0A";

// Columns of /proc/net/tcp: sl local_address rem_address st queues timer retransmits uid timeout
// inode.
void add_listening_sockets(const char* table, std::uint16_t port, std::vector<std::string>& out) {
  std::ifstream file(table);
  std::string line;
  const std::string ending = fmt::format(":{:04X}", port);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string local;
    std::string state;
    std::string inode;
    std::string other;
    fields >> other >> local >> other >> state;
    for (int i = 0; i < 5; ++i) fields >> other;
    fields >> inode;
    if (state == kListening && local.ends_with(ending)) {
      out.push_back(fmt::format("socket:[{}]", inode));
    }
  }
}

bool holds_one_of(const fs::path& process, const std::vector<std::string>& sockets) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(process / "fd", error)) {
    const std::string target = fs::read_symlink(entry.path(), error).string();
    if (!error && std::find(sockets.begin(), sockets.end(), target) != sockets.end()) return true;
  }
  return false;
}

}  // namespace

ServerProcess::ServerProcess(std::vector<int> pids) : pids_(std::move(pids)) {
  if (cpu_ns() <= 0) throw std::runtime_error("the server's CPU time cannot be read");
}

ServerProcess ServerProcess::listening_on(std::uint16_t port) {
  std::vector<std::string> sockets;
  add_listening_sockets("/proc/net/tcp", port, sockets);
  add_listening_sockets("/proc/net/tcp6", port, sockets);
  std::vector<int> pids;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    int pid = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (read.ptr != name.data() + name.size()) continue;
    if (holds_one_of(entry.path(), sockets)) pids.push_back(pid);
  }
  if (pids.empty()) {
    throw std::runtime_error(fmt::format("no process of ours listens on port {}: give pid=", port));
  }
  return ServerProcess(std::move(pids));
}

std::int64_t ServerProcess::cpu_ns() const {
  std::int64_t sum = 0;
  for (const int pid : pids_) {
    std::error_code gone;
    for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid), gone)) {
      std::ifstream file(task.path() / "schedstat");
      std::int64_t ran = 0;
      if (file >> ran) sum += ran;  // else a thread that has just ended
    }
    if (gone) throw std::runtime_error(fmt::format("process {} is gone", pid));
  }
  return sum;
}

ServerProcess::Memory ServerProcess::memory() const {
  Memory memory;
  for (const int pid : pids_) {
    std::ifstream file(fmt::format("/proc/{}/status", pid));
    std::string name;
    std::string rest;
    while (file >> name) {
      std::int64_t kib = 0;
      if (name == "RssAnon:" && file >> kib) memory.anonymous_bytes += kib * 1024;
      if (name == "RssFile:" && file >> kib) memory.file_bytes += kib * 1024;
      std::getline(file, rest);
    }
  }
  return memory;
}

std::int64_t disk_bytes(const fs::path& folder) {
  std::int64_t sum = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat status {};

    if (stat(entry.path().c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      sum += std::int64_t{status.st_blocks} * 512;
    }
  }
  return sum;
}

}  // namespace nostril::bench
