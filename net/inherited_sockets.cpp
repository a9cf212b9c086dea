#include "net/inherited_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace nostril::net {

namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr int kCountMax = 1'024;

std::optional<int> number_in(const char* name) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (text == nullptr) return std::nullopt;
  const std::string_view view(text);
  int value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc{} || end != view.data() + view.size()) return std::nullopt;
  return value;
}

void forget_environment() {
  // NOLINTBEGIN(concurrency-mt-unsafe): before any thread, or after all but one
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  // NOLINTEND(concurrency-mt-unsafe)
}

bool is_listening_stream(int fd) {
  int type = 0;
  int listens = 0;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) return false;
  size = sizeof listens;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) return false;
  sockaddr_storage address{};
  size = sizeof address;
  return getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
         (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

/// A descriptor that has to make room for a while.
struct Displaced {
  int place = -1;
  UniqueFd kept;
};

/// Moves `sockets` to the places where the next image looks. False with errno: see what `displaced`
/// holds.
bool put_in_place(const std::vector<UniqueFd>& sockets, std::vector<Displaced>& displaced) {
  const int end = kFirst + static_cast<int>(sockets.size());
  std::vector<UniqueFd> aside;  // none of them in the way of another
  for (const UniqueFd& socket : sockets) {
    aside.emplace_back(fcntl(socket.get(), F_DUPFD_CLOEXEC, end));
    if (!aside.back().is_open()) return false;
  }
  for (int place = kFirst; place < end; ++place) {
    UniqueFd kept(fcntl(place, F_DUPFD_CLOEXEC, end));
    if (!kept.is_open() && errno != EBADF) return false;
    displaced.push_back({place, std::move(kept)});
    if (dup2(aside[static_cast<std::size_t>(place - kFirst)].get(), place) < 0) return false;
  }
  return true;
}

void put_back(const std::vector<Displaced>& displaced) {
  for (const Displaced& one : displaced) {
    if (one.kept.is_open()) {
      (void)dup3(one.kept.get(), one.place, O_CLOEXEC);
    } else {
      (void)close(one.place);
    }
  }
}

}  // namespace

std::vector<UniqueFd> take_inherited_sockets() {
  const auto pid = number_in("LISTEN_PID");
  const auto count = number_in("LISTEN_FDS");
  forget_environment();
  std::vector<UniqueFd> out;
  if (!pid || !count || *pid != getpid() || *count <= 0) return out;
  if (*count > kCountMax) throw std::runtime_error("LISTEN_FDS: too many inherited sockets");
  for (int fd = kFirst; fd < kFirst + *count; ++fd) {
    if (!is_listening_stream(fd)) {
      throw std::runtime_error("inherited descriptor " + std::to_string(fd) +
                               " is no listening TCP socket (LISTEN_FDS)");
    }
    // Those of systemd block, and may come without the flag.
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
      throw std::runtime_error("an inherited socket can't be set up");
    }
    out.emplace_back(fd);
  }
  return out;
}

int exec_with_sockets(const std::string& program, const std::vector<std::string>& arguments,
                      const std::vector<UniqueFd>& sockets) {
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (const auto& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  std::vector<Displaced> displaced;
  int error = 0;
  if (put_in_place(sockets, displaced)) {
    // NOLINTBEGIN(concurrency-mt-unsafe): no other thread
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", std::to_string(sockets.size()).c_str(), 1);
    // NOLINTEND(concurrency-mt-unsafe)
    execv(program.c_str(), words.data());
  }
  error = errno;
  forget_environment();
  put_back(displaced);
  return error;
}

}  // namespace nostril::net
