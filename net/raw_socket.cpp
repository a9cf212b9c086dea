#include "net/raw_socket.h"

#include "base/check.h"

#include <libwebsockets.h>
#include <sys/socket.h>

#include <array>
#include <utility>

namespace nostril::net {

namespace {
constexpr std::size_t kTlsReadBytes = 16 << 10;  // one TLS record
}

int raw_socket_event(lws* wsi, int reason, void* in, std::size_t bytes);
int raw_socket_callback(lws* wsi, lws_callback_reasons reason, void* user, void* in,
                        std::size_t bytes);

// The only door from libwebsockets into our code.
int raw_socket_callback(lws* wsi, lws_callback_reasons reason, void* /*user*/, void* in,
                        std::size_t bytes) {
  switch (reason) {
    case LWS_CALLBACK_RAW_RX:
    case LWS_CALLBACK_RAW_WRITEABLE:
    case LWS_CALLBACK_RAW_CLOSE:
      return
          [&]() noexcept { return raw_socket_event(wsi, static_cast<int>(reason), in, bytes); }();
    default:
      return 0;
  }
}

int raw_socket_event(lws* wsi, int reason, void* in, std::size_t bytes) {
  auto* socket = static_cast<RawSocket*>(lws_get_opaque_user_data(wsi));
  if (socket == nullptr) return -1;  // killed by us: let libwebsockets finish it
  if (reason == LWS_CALLBACK_RAW_CLOSE) {
    lws_set_opaque_user_data(wsi, nullptr);
    socket->wsi_ = nullptr;
    socket->owner_->on_socket_closed({});
    return 0;
  }
  socket->in_callback_ = true;
  if (reason == LWS_CALLBACK_RAW_RX) {
    socket->receive({static_cast<std::uint8_t*>(in), bytes});
  } else if (!socket->choked()) {
    socket->apply_reading();
    socket->owner_->on_socket_writable();
  }
  if (lws_get_opaque_user_data(wsi) != socket) return -1;  // destroyed meanwhile
  socket->in_callback_ = false;
  return 0;
}

RawSocket::RawSocket(RawSocketOwner& owner) : owner_(&owner) {}

std::unique_ptr<RawSocket> RawSocket::adopt(Loop& loop, UniqueFd fd, RawSocketOwner& owner,
                                            const std::shared_ptr<TlsContext>& tls,
                                            const std::string& host) {
  CHECK(loop.on_loop_thread());
  std::unique_ptr<RawSocket> made(new RawSocket(owner));
  lws_sock_file_fd_type descriptor{};
  descriptor.sockfd = fd.release();  // libwebsockets closes it, also when it fails
  made->wsi_ =
      lws_adopt_descriptor_vhost(loop.vhost(), LWS_ADOPT_SOCKET, descriptor, "raw", nullptr);
  if (made->wsi_ == nullptr) return nullptr;
  lws_set_opaque_user_data(made->wsi_, made.get());
  if (tls) {
    made->tls_ = std::make_unique<TlsStream>(tls, host);
    std::string hello;
    made->tls_->take_output(hello);
    if (!hello.empty() && !made->send(hello)) return nullptr;
  }
  return made;
}

void RawSocket::begin_tls(const std::shared_ptr<TlsContext>& tls, std::span<std::uint8_t> bytes) {
  CHECK(in_callback_ && !tls_ && wsi_ != nullptr);
  tls_ = std::make_unique<TlsStream>(tls, std::string());
  if (!bytes.empty()) receive_tls(bytes);
}

RawSocket::~RawSocket() {
  if (destroyed_ != nullptr) *destroyed_ = true;
  if (wsi_ == nullptr) return;
  lws_set_opaque_user_data(wsi_, nullptr);
  // Inside its own callback libwebsockets still uses the wsi: the callback's return value ends it
  // then.
  if (!in_callback_) lws_set_timeout(wsi_, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

bool RawSocket::choked() const {
  return wsi_ != nullptr && lws_partial_buffered(wsi_) != 0;
}

bool RawSocket::write(std::string_view bytes) {
  CHECK(bytes.size() <= kWriteBytesMax && !choked());
  if (wsi_ == nullptr) return false;
  if (!tls_) return send(bytes);
  if (!tls_->write(bytes)) return false;
  std::string sealed;
  tls_->take_output(sealed);
  return send(sealed);
}

bool RawSocket::send(std::string_view bytes) {
  if (wsi_ == nullptr) return false;
  if (bytes.empty()) return true;
  // lws_write wants a mutable pointer; with LWS_WRITE_RAW it only reads.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  if (lws_write(wsi_, data, bytes.size(), LWS_WRITE_RAW) < 0) return false;
  last_write_bytes_ = bytes.size();
  apply_reading();
  return true;
}

void RawSocket::set_reading(bool reading) {
  want_reading_ = reading;
  apply_reading();
}

void RawSocket::apply_reading() {
  if (wsi_ == nullptr) return;
  const bool reading = want_reading_ && !choked();
  if (reading == reading_) return;
  reading_ = reading;
  lws_rx_flow_control(wsi_, reading ? 1 : 0);
}

void RawSocket::finish_output() {
  if (wsi_ == nullptr) return;
  if (tls_) {
    tls_->close();
    std::string goodbye;
    tls_->take_output(goodbye);
    if (!goodbye.empty() && !send(goodbye)) return;
  }
  ::shutdown(lws_get_socket_fd(wsi_), SHUT_WR);
}

void RawSocket::receive(std::span<std::uint8_t> bytes) {
  if (tls_) {
    receive_tls(bytes);
  } else {
    owner_->on_socket_bytes(bytes);
  }
}

void RawSocket::receive_tls(std::span<std::uint8_t> bytes) {
  bool destroyed = false;
  destroyed_ = &destroyed;
  const TlsStream::Status status = tls_->receive(bytes);
  std::string reply;
  tls_->take_output(reply);
  const bool sent = reply.empty() || send(reply);
  if (sent && tls_->established() && !ready_told_) {
    ready_told_ = true;
    owner_->on_socket_ready();
    if (destroyed) return;
  }
  std::array<std::uint8_t, kTlsReadBytes> plain;  // NOLINT(*-member-init): filled by read()
  while (sent && status == TlsStream::Status::Ok) {
    const std::size_t got = tls_->read(plain);
    if (got == 0) break;
    owner_->on_socket_bytes({plain.data(), got});
    if (destroyed) return;
  }
  destroyed_ = nullptr;
  if (sent && tls_->status() == TlsStream::Status::Ok) return;
  lws_set_opaque_user_data(wsi_, nullptr);  // ends the socket when this callback returns
  wsi_ = nullptr;
  owner_->on_socket_closed(tls_->error());
}

}  // namespace nostril::net
