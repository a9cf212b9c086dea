#include "bench/relay/load/connections.h"

#include "base/check.h"
#include "bench/relay/load/clocks.h"

#include <fmt/format.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace nostril::bench {

namespace {

constexpr std::array<std::uint8_t, 4> kMask = {0x37, 0xfa, 0x21, 0x3d};
constexpr std::string_view kKey = "bm9zdHJpbC1iZW5jaC0tLQ==";  // any 16 bytes
constexpr std::size_t kReadBytes = 256U << 10U;
constexpr std::size_t kMessageBytesMax = 16U << 20U;
constexpr std::size_t kHandshakesTogether = 64;
constexpr std::size_t kEventsATurn = 256;
constexpr std::uint64_t kTimerMark = ~std::uint64_t{0};

[[noreturn]] void fail_with_errno(const std::string& what) {
  throw std::runtime_error(what + ": " + std::generic_category().message(errno));
}

std::vector<std::uint8_t> resolve(const net::Url& url) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(url.port);
  if (getaddrinfo(url.host.c_str(), port.c_str(), &hints, &found) != 0 || found == nullptr) {
    throw std::runtime_error("no address for " + url.to_string());
  }
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(found->ai_addr);
  std::vector<std::uint8_t> address(bytes, bytes + found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

}  // namespace

std::string client_frame(std::string_view text) {
  std::string frame;
  net::append_ws_frame(frame, net::WsOpcode::Text, text, kMask);
  return frame;
}

Connections::Connections(net::Url url, bool deflate)
    : url_(std::move(url)),
      deflate_(deflate),
      address_(resolve(url_)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      buffer_(kReadBytes) {
  if (epoll_.get() < 0 || timer_.get() < 0) fail_with_errno("epoll");
  if (url_.secure()) throw std::runtime_error("only ws:// can be measured: " + url_.to_string());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kTimerMark;
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) == 0);
}

void Connections::open(std::size_t count) {
  while (connections_.size() < count) {
    const std::size_t more = std::min(kHandshakesTogether, count - connections_.size());
    for (std::size_t i = 0; i < more; ++i) connect_one();
    run("connecting");
  }
}

void Connections::close_all() {
  connections_.clear();
  dirty_.clear();
  open_count_ = 0;
}

void Connections::connect_one() {
  auto connection = std::make_unique<Connection>();
  const auto* address = reinterpret_cast<const sockaddr*>(address_.data());
  connection->socket = UniqueFd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int fd = connection->socket.get();
  if (fd < 0) fail_with_errno("socket");
  if (connect(fd, address, static_cast<socklen_t>(address_.size())) != 0) {
    fail_with_errno(url_.to_string());
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = connections_.size();
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  connections_.push_back(std::move(connection));
  net::HttpHeaders extensions;
  if (deflate_) extensions.add("Sec-WebSocket-Extensions", std::string(net::kWsDeflateOffer));
  queue(connections_.size() - 1,
        net::ws_handshake_request(url_.authority(), url_.target, kKey, extensions));
}

void Connections::send(std::size_t connection, std::string_view frame) {
  CHECK(connections_[connection]->open);
  queue(connection, frame);
}

void Connections::queue(std::size_t index, std::string_view bytes) {
  Connection& connection = *connections_[index];
  connection.out += bytes;
  if (!std::exchange(connection.dirty, true)) dirty_.push_back(index);
}

void Connections::every(std::int64_t period_ns, std::function<bool()> tick) {
  tick_ = std::move(tick);
  itimerspec spec{};
  spec.it_interval.tv_sec = period_ns / 1'000'000'000;
  spec.it_interval.tv_nsec = period_ns % 1'000'000'000;
  spec.it_value = spec.it_interval;
  CHECK(timerfd_settime(timer_.get(), 0, &spec, nullptr) == 0);
}

// A late timer counts the ticks that it missed: the rate holds.
void Connections::on_tick() {
  std::uint64_t ticks = 0;
  if (read(timer_.get(), &ticks, sizeof ticks) != sizeof ticks) return;
  while (ticks-- > 0 && tick_) {
    if (tick_()) continue;
    tick_ = nullptr;
    const itimerspec off{};
    CHECK(timerfd_settime(timer_.get(), 0, &off, nullptr) == 0);
  }
}

void Connections::fail(std::string why) {
  if (failure_.empty()) failure_ = std::move(why);
  done_ = true;
}

void Connections::run(const char* phase, std::int64_t ms_max) {
  const std::int64_t deadline = now_ns() + ms_max * 1'000'000;
  done_ = false;
  flush();
  while (!done_) {
    if (now_ns() > deadline) fail(fmt::format("no end within {} ms", ms_max));
    turn(100);
  }
  if (!failure_.empty()) throw std::runtime_error(fmt::format("{}: {}", phase, failure_));
}

void Connections::linger(const char* phase, std::int64_t ms) {
  const std::int64_t deadline = now_ns() + ms * 1'000'000;
  while (now_ns() < deadline) turn(static_cast<int>((deadline - now_ns()) / 1'000'000) + 1);
  if (!failure_.empty()) throw std::runtime_error(fmt::format("{}: {}", phase, failure_));
}

void Connections::turn(int wait_ms) {
  std::array<epoll_event, kEventsATurn> events{};
  const int count = epoll_wait(epoll_.get(), events.data(), kEventsATurn, wait_ms);
  for (int i = 0; i < count && failure_.empty(); ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kTimerMark) {
      on_tick();
      continue;
    }
    if ((event.events & EPOLLOUT) != 0) write(event.data.u64);
    if ((event.events & ~std::uint32_t{EPOLLOUT}) != 0) receive(event.data.u64);
  }
  flush();
}

void Connections::receive(std::size_t index) {
  const ssize_t count =
      recv(connections_[index]->socket.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return fail("the relay closed a connection");
  std::span<std::uint8_t> bytes(buffer_.data(), static_cast<std::size_t>(count));
  if (!connections_[index]->open) bytes = finish_handshake(index, bytes);
  take_bytes(index, bytes);
}

// What follows the head is the first frame.
std::span<std::uint8_t> Connections::finish_handshake(std::size_t index,
                                                      std::span<std::uint8_t> bytes) {
  Connection& connection = *connections_[index];
  const std::size_t before = connection.head.size();
  connection.head.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t end = connection.head.find("\r\n\r\n");
  if (end == std::string::npos) return {};
  connection.head.resize(end + 4);
  const auto agreed = net::check_ws_handshake_response(connection.head, kKey, deflate_);
  if (!agreed || deflate_ != agreed->has_value()) {
    fail(agreed ? "the relay does not compress" : std::string(net::to_string(agreed.error())));
    return {};
  }
  net::WsInflaters* inflaters = nullptr;
  if (deflate_) {
    const bool takes_over = !(*agreed)->server_no_context_takeover;
    if (takes_over) connection.inflaters = std::make_unique<net::WsInflaters>(true);
    inflaters = takes_over ? connection.inflaters.get() : &inflaters_;
  }
  connection.decoder =
      std::make_unique<net::WsDecoder>(net::WsRole::Client, kMessageBytesMax, inflaters);
  connection.open = true;
  const std::size_t used = connection.head.size() - before;
  connection.head = std::string();
  if (++open_count_ == connections_.size()) done();
  return bytes.subspan(used);
}

void Connections::take_bytes(std::size_t index, std::span<std::uint8_t> bytes) {
  Connection& connection = *connections_[index];
  while (failure_.empty() && !bytes.empty()) {
    const auto event = connection.decoder->next(bytes);
    if (!event) return fail(std::string(net::to_string(event.error())));
    if (!*event) return;
    const net::WsEvent& message = **event;
    if (message.kind == net::WsEventKind::Close) {
      return fail(fmt::format("closed by the relay: {}", message.payload));
    }
    if (message.kind == net::WsEventKind::Ping) {
      std::string pong;
      net::append_ws_frame(pong, net::WsOpcode::Pong, message.payload, kMask);
      queue(index, pong);
    }
    if (message.kind == net::WsEventKind::Text && on_message) on_message(index, message.payload);
  }
}

void Connections::flush() {
  for (const std::size_t index : dirty_) {
    connections_[index]->dirty = false;
    write(index);
  }
  dirty_.clear();
}

void Connections::write(std::size_t index) {
  Connection& connection = *connections_[index];
  std::size_t sent = 0;
  while (sent < connection.out.size()) {
    const ssize_t count = ::send(connection.socket.get(), connection.out.data() + sent,
                                 connection.out.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0)
      return fail("the relay does not read: " + std::generic_category().message(errno));
    sent += static_cast<std::size_t>(count);
  }
  connection.out.erase(0, sent);
  const bool waits = !connection.out.empty();
  if (waits != connection.waits_to_write) watch(index, waits);
}

void Connections::watch(std::size_t index, bool for_write) {
  Connection& connection = *connections_[index];
  connection.waits_to_write = for_write;
  epoll_event event{};
  event.events = for_write ? std::uint32_t{EPOLLIN} | std::uint32_t{EPOLLOUT} : EPOLLIN;
  event.data.u64 = index;
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.socket.get(), &event) == 0);
}

}  // namespace nostril::bench
