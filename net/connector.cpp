#include "net/connector.h"

#include "base/check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <uv.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

namespace nostril::net {

namespace {

constexpr std::size_t kAddressesMax = 8;  // of one name

struct Address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
};

struct Lookup;
struct Attempt;

}  // namespace

struct Connector::Impl : std::enable_shared_from_this<Impl> {
  explicit Impl(Loop& the_loop) : loop(the_loop) {}

  void looked_up(int status, const addrinfo* found);
  void try_next();
  void attempt_over(int error);
  void stop_attempt();
  void done(UniqueFd fd, const std::string& why);

  Loop& loop;
  OnDone on_done;
  std::vector<Address> addresses;
  std::size_t next = 0;
  Lookup* lookup = nullptr;    // owned by libuv until its callback
  Attempt* attempt = nullptr;  // owned by its uv handle
  TimerId timer = TimerId::None;
  std::uint64_t deadline_ms = 0;
  std::string last_error = "no address";
};

namespace {

struct Lookup {
  uv_getaddrinfo_t request{};
  std::weak_ptr<Connector::Impl> owner;
};

struct Attempt {
  uv_poll_t handle{};
  UniqueFd fd;
  Connector::Impl* owner = nullptr;
};

}  // namespace

Connector::Connector(Loop& loop) : impl_(std::make_shared<Impl>(loop)) {}

Connector::~Connector() {
  impl_->loop.cancel(impl_->timer);
  impl_->stop_attempt();
  // A running look-up can't be stopped; it finds nobody then.
  if (impl_->lookup != nullptr) uv_cancel(reinterpret_cast<uv_req_t*>(&impl_->lookup->request));
}

void Connector::start(const std::string& host, std::uint16_t port, std::uint64_t wait_ms_max,
                      OnDone on_done) {
  CHECK(impl_->loop.on_loop_thread() && !impl_->on_done);
  impl_->on_done = std::move(on_done);
  impl_->deadline_ms = impl_->loop.now_ms() + wait_ms_max;
  impl_->timer = impl_->loop.after(wait_ms_max, [impl = impl_.get()] {
    impl->timer = TimerId::None;
    impl->done({}, "timed out");
  });
  auto lookup = std::make_unique<Lookup>();
  lookup->owner = impl_;
  lookup->request.data = lookup.get();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  const auto on_found = [](uv_getaddrinfo_t* request, int status, addrinfo* found) noexcept {
    const std::unique_ptr<Lookup> owned(static_cast<Lookup*>(request->data));
    if (const auto owner = owned->owner.lock()) {
      owner->lookup = nullptr;
      owner->looked_up(status, found);
    }
    uv_freeaddrinfo(found);
  };
  const int started = uv_getaddrinfo(impl_->loop.uv(), &lookup->request, on_found, host.c_str(),
                                     std::to_string(port).c_str(), &hints);
  CHECK(started == 0);  // fails on a bad argument or without memory only
  impl_->lookup = lookup.release();
}

void Connector::Impl::looked_up(int status, const addrinfo* found) {
  if (!on_done) return;
  if (status != 0) {
    done({}, std::string("name look-up: ") + uv_strerror(status));
    return;
  }
  for (const addrinfo* entry = found; entry != nullptr && addresses.size() < kAddressesMax;
       entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Address address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.bytes = entry->ai_addrlen;
    addresses.push_back(address);
  }
  try_next();
}

void Connector::Impl::try_next() {
  if (next == addresses.size()) {
    done({}, last_error);
    return;
  }
  const Address& address = addresses[next++];
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) {
    attempt_over(errno);
    return;
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto made = std::make_unique<Attempt>();
  made->fd = std::move(fd);
  made->owner = this;
  made->handle.data = made.get();
  CHECK(uv_poll_init(loop.uv(), &made->handle, made->fd.get()) == 0);
  attempt = made.release();
  if (::connect(attempt->fd.get(), reinterpret_cast<const sockaddr*>(&address.storage),
                address.bytes) != 0 &&
      errno != EINPROGRESS) {
    attempt_over(errno);
    return;
  }
  CHECK(uv_poll_start(&attempt->handle, UV_WRITABLE, [](uv_poll_t* handle, int, int) noexcept {
          Attempt* self = static_cast<Attempt*>(handle->data);
          int error = 0;
          socklen_t bytes = sizeof error;
          if (::getsockopt(self->fd.get(), SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
            error = errno;
          const auto keep = self->owner->weak_from_this().lock();
          keep->attempt_over(error);
        }) == 0);
  // An address that does not answer gets its share of the time left, so that the others get theirs.
  const std::uint64_t now = loop.now_ms();
  const std::uint64_t share =
      (deadline_ms - std::min(deadline_ms, now)) / (addresses.size() - next + 1);
  if (next < addresses.size()) {
    loop.cancel(timer);
    timer = loop.after(share, [this] {
      timer = TimerId::None;
      const auto keep = weak_from_this().lock();
      attempt_over(ETIMEDOUT);
    });
  } else {
    loop.cancel(timer);
    timer = loop.after(deadline_ms - std::min(deadline_ms, now), [this] {
      timer = TimerId::None;
      done({}, "timed out");
    });
  }
}

void Connector::Impl::attempt_over(int error) {
  if (error == 0) {
    done(std::move(attempt->fd), {});
    return;
  }
  last_error = std::generic_category().message(error);
  stop_attempt();
  try_next();
}

void Connector::Impl::stop_attempt() {
  if (attempt == nullptr) return;
  uv_poll_stop(&attempt->handle);
  attempt->fd.close_now();
  uv_close(reinterpret_cast<uv_handle_t*>(&attempt->handle), [](uv_handle_t* handle) noexcept {
    const std::unique_ptr<Attempt> owned(static_cast<Attempt*>(handle->data));
  });
  attempt = nullptr;
}

// The callback may destroy the Connector.
void Connector::Impl::done(UniqueFd fd, const std::string& why) {
  const auto keep = weak_from_this().lock();
  loop.cancel(timer);
  timer = TimerId::None;
  stop_attempt();
  const OnDone callback = std::exchange(on_done, nullptr);
  if (callback) callback(std::move(fd), why);
}

}  // namespace nostril::net
