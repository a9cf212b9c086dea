#include "net/ws_client.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/rng.h"
#include "net/connector.h"
#include "net/out_queue.h"
#include "net/raw_socket.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace nostril::net {

namespace {

enum class State : std::uint8_t { Idle, Connecting, Handshake, Open, Closing };

// Frame masks in bulk: one system call for 64 frames.
class MaskSource {
 public:
  std::array<std::uint8_t, 4> next() {
    if (used_ == pool_.size()) {
      SystemRng().fill(pool_);
      used_ = 0;
    }
    std::array<std::uint8_t, 4> mask{};
    std::copy_n(pool_.begin() + static_cast<std::ptrdiff_t>(used_), mask.size(), mask.begin());
    used_ += mask.size();
    return mask;
  }

 private:
  std::array<std::uint8_t, 256> pool_{};
  std::size_t used_ = 256;
};

}  // namespace

struct WsClient::Impl final : RawSocketOwner, std::enable_shared_from_this<Impl> {
  Impl(Loop& the_loop, const WsClientLimits& the_limits) : loop(the_loop), limits(the_limits) {}

  void on_socket_ready() override;
  void on_socket_bytes(std::span<std::uint8_t> bytes) override;
  void on_socket_writable() override;
  void on_socket_closed(std::string_view why) override;

  void connect(const Url& url, const WsClientOptions& options);
  void connected(UniqueFd fd, const std::string& why);
  void send_handshake();
  bool read_handshake(std::span<std::uint8_t>& bytes);
  void begin_frames(const std::optional<WsDeflateAgreement>& agreed);
  void read_frames(std::span<std::uint8_t> bytes);
  void on_event(const WsEvent& event);
  bool send(WsOpcode opcode, std::string_view payload);
  void begin_closing(std::uint16_t code, std::string_view reason);
  void flush();
  void tick();
  void fail_later(std::string why);
  void release();
  void finish();

  Loop& loop;
  WsClientLimits limits;
  State state = State::Idle;
  std::shared_ptr<const WsClientCallbacks>
      callbacks;  // shared: the client may be destroyed inside one
  Url target;
  HttpHeaders headers;
  WsDeflateOptions deflate;
  std::shared_ptr<TlsContext> tls;
  std::unique_ptr<Connector> connector;
  std::unique_ptr<RawSocket> socket;
  std::unique_ptr<WsInflaters> inflaters;  // these two: when agreed on
  std::unique_ptr<WsDeflater> deflater;
  std::string deflated;
  std::unique_ptr<WsDecoder> decoder;
  OutQueue out;
  std::string scratch;
  std::string key;
  std::string held;  // handshake head so far, or frames read while paused
  MaskSource masks;
  WsCloseInfo info;
  HookId hook = HookId::None;
  TimerId ticker = TimerId::None;
  TimerId deadline = TimerId::None;
  std::uint64_t heard_ms = 0;
  std::uint64_t pinged_ms = 0;
  bool ready = false;
  bool paused = false;
  bool wants_drained = false;
};

void WsClient::Impl::connect(const Url& url, const WsClientOptions& options) {
  CHECK(loop.on_loop_thread() && state == State::Idle);
  CHECK(url.scheme == UrlScheme::Ws || url.scheme == UrlScheme::Wss);
  state = State::Connecting;
  target = url;
  headers = options.headers;
  deflate = options.deflate;
  if (deflate.enabled) headers.add("Sec-WebSocket-Extensions", std::string(kWsDeflateOffer));
  info = WsCloseInfo{};
  try {
    tls = url.secure() ? TlsContext::client(options.ca_path) : nullptr;
  } catch (const std::exception& error) {
    fail_later(error.what());
    return;
  }
  deadline = loop.after(limits.connect_ms_max, [this] {
    deadline = TimerId::None;
    info.reason = "timed out";
    finish();
  });
  connector = std::make_unique<Connector>(loop);
  connector->start(url.host, url.port, limits.connect_ms_max,
                   [this](UniqueFd fd, const std::string& why) { connected(std::move(fd), why); });
}

void WsClient::Impl::connected(UniqueFd fd, const std::string& why) {
  const auto keep = shared_from_this();
  if (!fd.is_open()) {
    info.reason = why;
    finish();
    return;
  }
  socket = RawSocket::adopt(loop, std::move(fd), *this, tls, target.host);
  connector.reset();
  if (!socket) {
    info.reason = "cannot take over the socket";
    finish();
    return;
  }
  state = State::Handshake;
  hook = loop.on_turn_end([this] { flush(); });
  ready = tls == nullptr;
  if (ready) send_handshake();
}

void WsClient::Impl::on_socket_ready() {
  ready = true;
  send_handshake();
}

void WsClient::Impl::send_handshake() {
  std::array<std::uint8_t, 16> nonce{};
  SystemRng().fill(nonce);
  key = encode_base64(nonce);
  out.append(ws_handshake_request(target.authority(), target.target, key, headers));
}

void WsClient::Impl::on_socket_bytes(std::span<std::uint8_t> bytes) {
  const auto keep = shared_from_this();
  heard_ms = loop.now_ms();
  pinged_ms = 0;
  if (state == State::Handshake && !read_handshake(bytes)) return;
  if (state != State::Open && state != State::Closing) return;
  if (paused) {
    held.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return;
  }
  read_frames(bytes);
}

// True: open, and `bytes` is what came after the head.
bool WsClient::Impl::read_handshake(std::span<std::uint8_t>& bytes) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  const std::size_t before = held.size();
  held.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t end = held.find(kEnd, before - std::min(before, kEnd.size() - 1));
  if (std::min(end, held.size()) > limits.head_bytes_max) {
    info.reason = "handshake answer too large";
    finish();
    return false;
  }
  if (end == std::string::npos) return false;
  const std::string head = held.substr(0, end + kEnd.size());
  held = std::string();
  const auto answer = check_ws_handshake_response(head, key, deflate.enabled);
  if (!answer) {
    info.reason = std::string(to_string(answer.error())) + ": " +
                  head.substr(0, std::min<std::size_t>(head.find("\r\n"), 80));
    finish();
    return false;
  }
  bytes = bytes.subspan(head.size() - before);
  state = State::Open;
  info.was_open = true;
  loop.cancel(std::exchange(deadline, TimerId::None));
  begin_frames(*answer);
  if (limits.ping_after_ms > 0) {
    const std::uint64_t period =
        std::max<std::uint64_t>(10, std::min(limits.ping_after_ms, limits.pong_wait_ms_max) / 4);
    ticker = loop.every(period, [this] { tick(); });
  }
  const auto call = callbacks;
  if (call->on_open) call->on_open();
  return state == State::Open || state == State::Closing;
}

void WsClient::Impl::begin_frames(const std::optional<WsDeflateAgreement>& agreed) {
  inflaters.reset();
  deflater.reset();
  if (agreed) {
    inflaters = std::make_unique<WsInflaters>(!agreed->server_no_context_takeover);
    const int bits = std::min(deflate.window_bits, agreed->client_window_bits);
    // zlib makes no window of 2^8 bytes: then what we send is not compressed.
    if (bits >= 9)
      deflater = std::make_unique<WsDeflater>(deflate, bits, !agreed->client_no_context_takeover);
  }
  decoder = std::make_unique<WsDecoder>(WsRole::Client, limits.message_bytes_max, inflaters.get());
}

void WsClient::Impl::read_frames(std::span<std::uint8_t> bytes) {
  while (!paused && (state == State::Open || state == State::Closing)) {
    const Result<std::optional<WsEvent>, WsError> next = decoder->next(bytes);
    if (!next) {
      info.reason = to_string(next.error());
      if (state == State::Closing) {
        finish();
      } else {
        begin_closing(close_code_of(next.error()), info.reason);
      }
      return;
    }
    if (!*next) return;
    on_event(**next);
    if ((*next)->kind == WsEventKind::Close) return;
  }
  if (paused) held.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void WsClient::Impl::on_event(const WsEvent& event) {
  const auto call = callbacks;
  switch (event.kind) {
    case WsEventKind::Text:
      if (state == State::Open && call->on_text) call->on_text(event.payload);
      return;
    case WsEventKind::Binary:
      if (state == State::Open && call->on_binary) call->on_binary(event.payload);
      return;
    case WsEventKind::Ping:
      if (state == State::Open) static_cast<void>(send(WsOpcode::Pong, event.payload));
      return;
    case WsEventKind::Pong:
      return;
    case WsEventKind::Close: {
      const bool answer = state == State::Closing;  // to our Close
      if (!answer) begin_closing(event.close_code, {});
      info.code = event.close_code;
      info.reason = event.payload;
      if (answer) finish();
      return;
    }
  }
}

bool WsClient::Impl::send(WsOpcode opcode, std::string_view payload) {
  CHECK(loop.on_loop_thread());
  if (state != State::Open) return false;
  const std::size_t pending = out.bytes() + socket->unsent_bytes();
  if (payload.size() > limits.pending_bytes_max ||
      pending > limits.pending_bytes_max - payload.size())
    return false;
  WsPayload form = WsPayload::Plain;
  const bool is_message = opcode == WsOpcode::Text || opcode == WsOpcode::Binary;
  if (deflater && is_message && payload.size() >= deflate.message_bytes_min) {
    deflated.clear();
    deflater->append_message(deflated, payload);
    payload = deflated;  // also if it is longer: with context takeover the next one refers to it
    form = WsPayload::Compressed;
  }
  std::string& tail = out.tail();
  const std::size_t before = tail.size();
  append_ws_frame(tail, opcode, payload, masks.next(), form);
  out.grew(tail.size() - before);
  wants_drained = true;
  if (loop.hook_has_begun(hook)) loop.wake();
  return true;
}

void WsClient::Impl::begin_closing(std::uint16_t code, std::string_view reason) {
  std::string frame;
  const std::string payload =
      is_ws_close_code(code) ? ws_close_payload(code, reason) : std::string();
  append_ws_frame(frame, WsOpcode::Close, payload, masks.next());
  out.append(frame);
  state = State::Closing;
  info.code = code;
  if (paused) {
    paused = false;
    socket->set_reading(true);
  }
  deadline = loop.after(limits.close_wait_ms_max, [this] {
    deadline = TimerId::None;
    finish();
  });
}

void WsClient::Impl::flush() {
  if (!socket || !ready) return;
  const auto keep = shared_from_this();
  if (!paused && !held.empty() && state == State::Open) {  // after resume_reading()
    std::string frames = std::exchange(held, {});
    read_frames({reinterpret_cast<std::uint8_t*>(frames.data()), frames.size()});
    if (!socket) return;
  }
  while (!out.empty() && !socket->choked()) {
    const std::string_view piece = out.front(scratch, RawSocket::kWriteBytesMax);
    if (!socket->write(piece)) {
      info.reason = "connection broken";
      finish();
      return;
    }
    out.consume(piece.size());
  }
  if (!out.empty() || socket->choked() || !wants_drained) return;
  wants_drained = false;
  const auto call = callbacks;
  if (state == State::Open && call->on_drained) call->on_drained();
  // What on_drained queued must not wait for the next event.
  if (socket && !out.empty()) loop.wake();
}

void WsClient::Impl::on_socket_writable() {
  flush();
}

void WsClient::Impl::on_socket_closed(std::string_view why) {
  if (info.reason.empty()) info.reason = why.empty() ? std::string_view("connection ended") : why;
  finish();
}

void WsClient::Impl::tick() {
  if (state != State::Open || paused || socket->choked()) return;
  const std::uint64_t now = loop.now_ms();
  if (pinged_ms != 0) {
    if (now - pinged_ms < limits.pong_wait_ms_max) return;
    info.reason = "no answer to a Ping";
    finish();
  } else if (now - std::min(now, heard_ms) >= limits.ping_after_ms) {
    pinged_ms = now;
    static_cast<void>(send(WsOpcode::Ping, {}));
  }
}

void WsClient::Impl::fail_later(std::string why) {
  loop.cancel(deadline);
  deadline = loop.after(0, [this, why = std::move(why)] {
    deadline = TimerId::None;
    info.reason = why;
    finish();
  });
}

void WsClient::Impl::release() {
  loop.cancel(std::exchange(deadline, TimerId::None));
  loop.cancel(std::exchange(ticker, TimerId::None));
  loop.remove_turn_end(std::exchange(hook, HookId::None));
  connector.reset();
  socket.reset();
  tls.reset();
  out.clear();
  held = std::string();
  state = State::Idle;
  ready = paused = wants_drained = false;
  pinged_ms = 0;
}

void WsClient::Impl::finish() {
  const auto keep = shared_from_this();
  if (state == State::Idle) return;
  release();
  const auto call = std::exchange(callbacks, nullptr);
  const WsCloseInfo said = info;
  if (call->on_close) call->on_close(said);
}

WsClient::WsClient(Loop& loop, const WsClientLimits& limits)
    : impl_(std::make_shared<Impl>(loop, limits)) {}

WsClient::~WsClient() {
  CHECK(impl_->loop.on_loop_thread());
  impl_->release();
}

void WsClient::connect(const Url& url, WsClientCallbacks callbacks,
                       const WsClientOptions& options) {
  CHECK(is_idle());
  impl_->callbacks = std::make_shared<const WsClientCallbacks>(std::move(callbacks));
  impl_->connect(url, options);
}

bool WsClient::is_open() const {
  return impl_->state == State::Open;
}

bool WsClient::is_idle() const {
  return impl_->state == State::Idle;
}

bool WsClient::send_text(std::string_view message) {
  return impl_->send(WsOpcode::Text, message);
}

bool WsClient::send_binary(std::string_view message) {
  return impl_->send(WsOpcode::Binary, message);
}

std::size_t WsClient::pending_bytes() const {
  return impl_->socket ? impl_->out.bytes() + impl_->socket->unsent_bytes() : 0;
}

void WsClient::pause_reading() {
  CHECK(impl_->loop.on_loop_thread());
  if (impl_->state != State::Open) return;
  impl_->paused = true;
  impl_->socket->set_reading(false);
}

void WsClient::resume_reading() {
  CHECK(impl_->loop.on_loop_thread());
  if (impl_->state != State::Open) return;
  impl_->paused = false;
  impl_->heard_ms = impl_->loop.now_ms();
  impl_->socket->set_reading(true);
  impl_->loop.wake();
}

void WsClient::close(std::uint16_t code, std::string_view reason) {
  CHECK(impl_->loop.on_loop_thread());
  if (impl_->state == State::Open) {
    impl_->begin_closing(code, reason);
    if (impl_->info.reason.empty()) impl_->info.reason = reason;
  } else if (impl_->state == State::Connecting || impl_->state == State::Handshake) {
    impl_->fail_later("closed before it was open");
  }
}

}  // namespace nostril::net
