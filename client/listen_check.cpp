#include "client/listen_check.h"

#include "base/file.h"
#include "net/url.h"

#include <fmt/format.h>

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

namespace nostril::client {

namespace fs = std::filesystem;

namespace {

/// 0 or an errno: of listening there, as the node does, but that nobody else may have it.
int try_listen(const net::HostPort& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found) !=
      0) {
    return EADDRNOTAVAIL;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> held(found, freeaddrinfo);
  const UniqueFd fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  const bool good =
      fd.is_open() && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      bind(fd.get(), found->ai_addr, found->ai_addrlen) == 0 && listen(fd.get(), 1) == 0;
  return good ? 0 : errno;
}

/// Inode of the socket that listens at that port, by the kernel's table.
std::optional<std::string> socket_inode(const char* table, std::uint16_t port) {
  constexpr std::size_t kStateField = 3;
  constexpr std::size_t kInodeField = 9;
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // its head
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::vector<std::string> fields;
    for (std::string word; words >> word;) fields.push_back(std::move(word));
    if (fields.size() <= kInodeField || fields[kStateField] != "0A") continue;
    if (fields[1].ends_with(fmt::format(":{:04X}", port))) return fields[kInodeField];
  }
  return std::nullopt;
}

struct Holder {
  std::string pid;
  std::string program;
};

bool has_socket(const fs::path& process, const std::string& inode) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(process / "fd", error)) {
    const auto target = fs::read_symlink(entry.path(), error);
    if (!error && target == "socket:[" + inode + "]") return true;
  }
  return false;
}

/// Nothing when this user may not see it.
std::optional<Holder> holder_of(std::uint16_t port) {
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const auto inode = socket_inode(table, port);
    if (!inode) continue;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc", error)) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      if (!has_socket(entry.path(), *inode)) continue;
      std::string program;
      std::getline(std::ifstream(entry.path() / "comm"), program);
      return Holder{name, program};
    }
  }
  return std::nullopt;
}

Finding judge_taken(Finding out, const net::HostPort& address, std::string_view own) {
  const auto holder = holder_of(address.port);
  if (!holder) {
    out.health = Health::Warning;
    out.found += ": taken, by a process that this user can't see";
    out.remedy = "ask as root: if it is not this node, end it or choose another port";
    return out;
  }
  if (holder->program == own) {
    out.found += fmt::format(": held by {} (process {}), which runs", own, holder->pid);
    return out;
  }
  out.health = Health::Wrong;
  out.found += fmt::format(": held by {} (process {})", holder->program, holder->pid);
  out.remedy = "end that program, or choose another port";
  return out;
}

}  // namespace

Finding check_listen_address(std::string_view check, const std::string& address,
                             std::string_view own) {
  Finding out{std::string(check), Health::Ok, address, {}};
  const auto parsed = net::parse_host_port(address);
  if (!parsed) {
    out.health = Health::Wrong;
    out.found += ": is no ADDRESS:PORT";
    out.remedy = fmt::format("set {}.listen, e.g. 127.0.0.1:9464", check);
    return out;
  }
  const int error = try_listen(*parsed);
  if (error == EADDRINUSE) return judge_taken(std::move(out), *parsed, own);
  if (error == 0) {
    out.found += ": free";
    return out;
  }
  out.health = Health::Wrong;
  out.found += fmt::format(": can't be listened at ({})", std::generic_category().message(error));
  if (error == EACCES) {
    out.remedy =
        "a port below 1024 needs a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or "
        "take a higher one";
  } else if (error == EADDRNOTAVAIL) {
    out.remedy = "this machine has no such address: 0.0.0.0 or [::] are all that it has";
  } else {
    out.remedy = "choose another address";
  }
  return out;
}

}  // namespace nostril::client
