#include "net/listener.h"

#include "base/check.h"
#include "net/local_address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <uv.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace nostril::net {

namespace {

constexpr int kAcceptsATurn = 256;      // then the open connections get their share
constexpr std::uint64_t kRestMs = 100;  // out of descriptors: try again later, not in a circle

struct Address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address parse_address(const std::string& host, std::uint16_t port) {
  Address out;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.bytes = sizeof v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.bytes = sizeof v6;
  } else {
    throw std::runtime_error("not a numeric address to listen on: " + host);
  }
  return out;
}

bool set_option(const UniqueFd& fd, int level, int name) {
  const int on = 1;
  return ::setsockopt(fd.get(), level, name, &on, sizeof on) == 0;
}

/// SO_REUSEPORT counts when a socket is bound, for it and for those that have the port. So who
/// comes first is bound without it, alone; and has it afterwards, for those that join.
bool bind_socket(const UniqueFd& fd, const Address& address, bool joins) {
  return set_option(fd, SOL_SOCKET, SO_REUSEADDR) &&
         (!joins || set_option(fd, SOL_SOCKET, SO_REUSEPORT)) &&
         ::bind(fd.get(), address.get(), address.bytes) == 0 &&
         (joins || set_option(fd, SOL_SOCKET, SO_REUSEPORT));
}

UniqueFd open_listening_socket(const std::string& host, std::uint16_t port, bool joins,
                               int backlog) {
  const Address address = parse_address(host, port);
  UniqueFd fd(::socket(address.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.is_open() && bind_socket(fd, address, joins) && ::listen(fd.get(), backlog) == 0) {
    return fd;
  }
  const std::string why = errno == EADDRINUSE
                              ? "another program does; end it, or choose another port"
                              : std::generic_category().message(errno);
  throw std::runtime_error("cannot listen on " + host + " port " + std::to_string(port) + ": " +
                           why);
}

}  // namespace

struct Listener::Watch {
  uv_poll_t handle{};
  Listener* listener = nullptr;
  UniqueFd fd;
};

Listener::Listener(Loop& loop, const std::string& host, std::uint16_t port, bool joins, int backlog,
                   OnAccept on_accept)
    : Listener(loop, open_listening_socket(host, port, joins, backlog), std::move(on_accept)) {}

Listener::Listener(Loop& loop, UniqueFd listening, OnAccept on_accept)
    : loop_(loop), on_accept_(std::move(on_accept)) {
  CHECK(loop.on_loop_thread());
  watch(std::move(listening));
}

void Listener::watch(UniqueFd fd) {
  auto watch = std::make_unique<Watch>();
  watch->fd = std::move(fd);
  watch->listener = this;
  local_port_ = local_address(watch->fd).port;
  CHECK(uv_poll_init(loop_.uv(), &watch->handle, watch->fd.get()) == 0);
  watch->handle.data = watch.get();
  watch_ = watch.release();
  start_watching();
}

Listener::~Listener() {
  stop();
}

UniqueFd Listener::duplicate() const {
  CHECK(watch_ != nullptr);
  UniqueFd out(::fcntl(watch_->fd.get(), F_DUPFD_CLOEXEC, 0));
  CHECK(out.is_open());
  return out;
}

void Listener::stop() {
  loop_.cancel(rest_timer_);
  if (watch_ == nullptr) return;
  uv_poll_stop(&watch_->handle);
  watch_->fd.close_now();
  uv_close(reinterpret_cast<uv_handle_t*>(&watch_->handle), [](uv_handle_t* handle) noexcept {
    const std::unique_ptr<Watch> owned(static_cast<Watch*>(handle->data));
  });
  watch_ = nullptr;
}

// Starts watching, at first and after a rest.
void Listener::start_watching() {
  rest_timer_ = TimerId::None;
  CHECK(uv_poll_start(&watch_->handle, UV_READABLE, [](uv_poll_t* handle, int, int) noexcept {
          static_cast<Watch*>(handle->data)->listener->accept_some();
        }) == 0);
}

void Listener::accept_some() {
  for (int i = 0; i < kAcceptsATurn && watch_ != nullptr; ++i) {
    Address from;
    from.bytes = sizeof from.storage;
    UniqueFd fd(::accept4(watch_->fd.get(), from.get(), &from.bytes, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.is_open()) {
      (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY);
      on_accept_(std::move(fd), PeerAddress::from(*from.get()));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      uv_poll_stop(&watch_->handle);
      rest_timer_ = loop_.after(kRestMs, [this] { start_watching(); });
    }
    return;
  }
}

}  // namespace nostril::net
