#include "net/server.h"

#include "base/check.h"
#include "net/listener.h"
#include "net/out_queue.h"
#include "net/proxy_protocol.h"
#include "net/raw_socket.h"
#include "net/tls_identity.h"
#include "net/turn_share.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <uv.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace nostril::net {

namespace {

// Input read while a request is being answered; above it the socket is not read.
constexpr std::size_t kHeldBytesMax = 64 << 10;
// Of one connection at a time: one read may hold thousands of messages, or few that take long, and
// the others wait meanwhile.
constexpr std::size_t kMessagesATimeMax = 64;
constexpr std::int64_t kUsATimeMax = 200;
// Of work for one connection: long enough to ask whether all of it was work.
constexpr std::int64_t kLongUs = 300;
// Of all that are busy (TurnShare) in a turn, together; less when somebody else has something.
constexpr std::int64_t kBusyUsATurnMax = 1'000;
// Handed to one socket at a time.
constexpr std::size_t kFlushBytesMax = 512 << 10;

enum class State : std::uint8_t {
  Greeting,  // reading a PROXY header
  Request,   // reading a request
  Answer,    // the handler owes an answer
  Stream,    // the handler sends the body
  Open,      // WebSocket
  Closing,   // output goes out, input is dropped, then FIN
  Dead,      // to be buried at the end of the turn
};

std::uint64_t sweep_period_ms(const ServerLimits& limits) {
  std::uint64_t period = 1'000;
  for (const std::uint64_t limit :
       {limits.handshake_ms_max, limits.http_idle_ms_max, limits.ping_after_ms,
        limits.pong_wait_ms_max, limits.write_stall_ms_max, limits.close_wait_ms_max}) {
    if (limit > 0) period = std::min(period, limit / 4);
  }
  return std::max<std::uint64_t>(period, 10);
}

// Something has come that the next turn will see. Sockets of the busy are not among it: what they
// have sent already is more than is read of them.
bool has_news(Loop& loop) {
  pollfd events{uv_backend_fd(loop.uv()), POLLIN, 0};
  return ::poll(&events, 1, 0) > 0;
}

}  // namespace

std::string_view to_string(ServerError error) {
  switch (error) {
    case ServerError::TooManyConnections:
      return "too_many_connections";
    case ServerError::RefusedAddress:
      return "refused_address";
    case ServerError::BadHttp:
      return "bad_http";
    case ServerError::BadHandshake:
      return "bad_handshake";
    case ServerError::RefusedUpgrade:
      return "refused_upgrade";
    case ServerError::BadProxyHeader:
      return "bad_proxy_header";
    case ServerError::HandshakeTimeout:
      return "handshake_timeout";
    case ServerError::Protocol:
      return "protocol";
    case ServerError::BadUtf8:
      return "bad_utf8";
    case ServerError::BadDeflate:
      return "bad_deflate";
    case ServerError::TooBig:
      return "too_big";
    case ServerError::PingTimeout:
      return "ping_timeout";
    case ServerError::SlowReader:
      return "slow_reader";
    case ServerError::WriteStall:
      return "write_stall";
    case ServerError::MemoryFull:
      return "memory_full";
    case ServerError::Socket:
      return "socket";
    case ServerError::Count:
      break;
  }
  return "unknown";
}

HttpResponse ServerHandler::refusal(int status, std::string_view text) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::string(text) + "\n"};
}

struct Server::Impl {
  struct Connection final : RawSocketOwner {
    explicit Connection(Impl& owner) : server(owner) {}

    void on_socket_ready() override { ready = true; }

    void on_socket_bytes(std::span<std::uint8_t> bytes) override { server.receive(*this, bytes); }

    void on_socket_writable() override {
      server.flush(*this);
      (void)server.fits_memory(*this, 0);
    }

    void on_socket_closed(std::string_view) override { server.peer_left(*this); }

    Impl& server;
    ConnectionId id = ConnectionId::None;
    PeerAddress peer;
    State state = State::Request;
    std::optional<ServerError> error;                 // reported when the handler is told
    std::unique_ptr<ProxyHeaderReader> proxy_header;  // while State::Greeting
    std::unique_ptr<HttpRequestParser> parser;
    std::unique_ptr<WsDecoder> decoder;
    OutQueue out;
    TurnShare share;
    std::size_t accounted_bytes = 0;  // of limits.memory
    std::string held;                 // input read and not looked at yet
    std::uint64_t deadline_ms = 0;    // of Request and Closing; 0: none
    std::uint64_t heard_ms = 0;
    std::uint64_t pinged_ms = 0;    // 0: no Ping under way
    std::uint64_t progress_ms = 0;  // when output last moved
    bool ready = true;              // TLS handshake done
    bool accepted = false;          // by the handler, which is told when it is gone
    bool paused = false;
    bool was_websocket = false;
    bool owed_answer = false;  // ended while the handler owed one
    bool first_request = true;
    bool keep_alive = true;
    bool head_only = false;
    bool chunked = false;
    bool dirty = false;    // in dirty
    bool revisit = false;  // in revisits
    bool ending = false;   // in endings
    bool told = false;     // the handler knows that it is over: the id is stale
    bool wants_drained = false;
    std::uint8_t deflate_window_bits = 0;  // 0: what we send is not compressed
    bool output_finished = false;
    // Last: its destructor may still call into libwebsockets, never back into us.
    std::unique_ptr<RawSocket> socket;
  };

  struct Slot {
    std::unique_ptr<Connection> connection;
    std::uint32_t generation = 1;
  };

  Impl(Loop& the_loop, ServerHandler& the_handler, const ListenConfig& listen,
       ServerLimits the_limits);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;

  // Lookup.
  Connection* any(ConnectionId id);
  Connection* live(ConnectionId id);

  // Life of a connection.
  void accept(UniqueFd fd, const PeerAddress& peer);
  bool admit(Connection& connection);
  void place(std::unique_ptr<Connection> connection);
  void peer_left(Connection& connection);
  void doom(Connection& connection, std::optional<ServerError> error);
  void begin_closing(Connection& connection);
  void tell_over(Connection& connection);
  void bury(Connection& connection);
  void count_error(const PeerAddress& peer, ServerError error);

  // Input.
  void greet(Connection& connection, std::span<std::uint8_t> bytes);
  void take(Connection& connection, std::span<std::uint8_t> bytes);
  void receive(Connection& connection, std::span<std::uint8_t> bytes);
  std::span<std::uint8_t> consume(Connection& connection, std::span<std::uint8_t> bytes);
  std::span<std::uint8_t> consume_http(Connection& connection, std::span<std::uint8_t> bytes);
  std::span<std::uint8_t> consume_frames(Connection& connection, std::span<std::uint8_t> bytes,
                                         const Stopwatch& watch);
  void on_request(Connection& connection);
  void upgrade(Connection& connection, const HttpRequest& request);
  void refuse(Connection& connection, int status, std::string_view text, const HttpHeaders& headers,
              ServerError error);
  void on_event(Connection& connection, const WsEvent& event);
  void fail_frames(Connection& connection, WsError error);
  void apply_reading(Connection& connection);
  void revisit_later(Connection& connection);
  void revisit(Connection& connection);
  template <typename Serve>
  void serve_calm(std::vector<ConnectionId>& waiting, Serve serve);
  template <typename Serve, typename GoesOn>
  void serve_busy(std::vector<ConnectionId>& waiting, Serve serve, GoesOn goes_on);

  // Memory over all connections.
  bool fits_memory(Connection& connection, std::size_t more);
  void account(Connection& connection, std::size_t bytes);

  // Output.
  struct Outgoing {
    std::string_view prefix;
    std::shared_ptr<const std::string> shared;
    std::string_view suffix;
    WsPayload form = WsPayload::Plain;

    [[nodiscard]] std::size_t bytes() const {
      return prefix.size() + (shared ? shared->size() : 0) + suffix.size();
    }
  };

  void deflate(const Connection& connection, Outgoing& message);
  bool room(Connection& connection, std::size_t bytes);
  void queued(Connection& connection);
  void flush_later(Connection& connection);
  void flush(Connection& connection);
  void answered(Connection& connection);

  void end_turn();
  void end_turn_comes();
  void charge(Connection& connection, const Stopwatch& watch);
  [[nodiscard]] static bool has_input(const Connection& connection);
  [[nodiscard]] static bool is_inflating(const Connection& connection);
  [[nodiscard]] bool is_busy(const Connection& connection, TurnClock::time_point now) const;
  void sweep();
  void sweep_one(Connection& connection, std::uint64_t now);

  Loop& loop;
  ServerHandler& handler;
  ServerLimits limits;
  ServerCounters counters;
  // Without context takeover: one of each serves all connections.
  const AddressRanges proxies;
  const WsDeflateOptions deflate_options;
  WsSharedForms deflated;
  WsInflaters inflaters{false};
  std::string deflate_scratch;
  std::shared_ptr<TlsContext> tls;
  std::vector<Slot> slots;
  std::vector<std::uint32_t> free_slots;
  std::size_t open_count = 0;
  std::vector<ConnectionId> dirty;
  std::vector<ConnectionId> revisits;
  std::vector<ConnectionId> endings;
  std::vector<ConnectionId> batch;
  std::vector<std::unique_ptr<Connection>> graveyard;
  std::string scratch;
  TurnPart part;
  HookId hook = HookId::None;
  bool in_end_turn = false;
  const std::uint64_t sweep_ms;  // from one sweep to the next
  std::uint64_t late_ms;         // a sweep by then is late
  TimerId sweeper = TimerId::None;
  std::vector<std::unique_ptr<Listener>> listeners;  // one, or those that came with the start
};

Server::Impl::Impl(Loop& the_loop, ServerHandler& the_handler, const ListenConfig& listen,
                   ServerLimits the_limits)
    : loop(the_loop),
      handler(the_handler),
      limits(std::move(the_limits)),
      proxies(listen.proxies),
      deflate_options(listen.deflate),
      deflated(listen.deflate),
      sweep_ms(sweep_period_ms(limits)),
      late_ms(loop.now_ms() + 2 * sweep_ms) {
  if (listen.tls.context) {
    tls = listen.tls.context;
  } else if (listen.tls.enabled()) {
    tls = TlsIdentity::load(listen.tls.certificate_path, listen.tls.key_path).server_context();
  }
  const auto on_accept = [this](UniqueFd fd, const PeerAddress& peer) {
    accept(std::move(fd), peer);
  };
  for (const int inherited : listen.inherited) {
    UniqueFd fd(::fcntl(inherited, F_DUPFD_CLOEXEC, 0));
    if (!fd.is_open()) throw std::runtime_error("an inherited socket is not open");
    listeners.push_back(std::make_unique<Listener>(loop, std::move(fd), on_accept));
  }
  if (listeners.empty()) {
    listeners.push_back(std::make_unique<Listener>(loop, listen.host, listen.port, listen.joins,
                                                   listen.backlog, on_accept));
  }
  hook = loop.on_turn_end([this] { end_turn(); });
  sweeper = loop.every(sweep_ms, [this] { sweep(); });
}

Server::Impl::~Impl() {
  CHECK(loop.on_loop_thread());
  loop.cancel(sweeper);
  loop.remove_turn_end(hook);
  for (Slot& slot : slots) {
    if (slot.connection) account(*slot.connection, 0);
  }
}

// id = generation << 32 | slot index.
Server::Impl::Connection* Server::Impl::any(ConnectionId id) {
  const auto value = static_cast<std::uint64_t>(id);
  const std::size_t index = value & 0xFFFF'FFFFU;
  if (index >= slots.size() || slots[index].generation != value >> 32U) return nullptr;
  return slots[index].connection.get();
}

Server::Impl::Connection* Server::Impl::live(ConnectionId id) {
  CHECK(loop.on_loop_thread());
  Connection* found = any(id);
  return found == nullptr || found->told || found->state == State::Dead ? nullptr : found;
}

void Server::Impl::count_error(const PeerAddress& peer, ServerError error) {
  counters.errors[static_cast<std::size_t>(error)].add();
  handler.on_error(peer, error);
}

void Server::Impl::accept(UniqueFd fd, const PeerAddress& peer) {
  counters.connections_accepted.add();
  const bool full = open_count >= limits.connections_count_max;
  const bool is_proxy = proxies.contain(peer);
  if (full || (!is_proxy && !handler.accept_connection(peer))) {
    counters.connections_closed.add();
    count_error(peer, full ? ServerError::TooManyConnections : ServerError::RefusedAddress);
    return;
  }
  if (limits.send_buffer_bytes > 0) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &limits.send_buffer_bytes,
                 sizeof limits.send_buffer_bytes);
  }
  auto connection = std::make_unique<Connection>(*this);
  connection->peer = peer;
  connection->accepted = !is_proxy;
  if (is_proxy) {
    connection->proxy_header = std::make_unique<ProxyHeaderReader>();
    connection->state = State::Greeting;
  }
  connection->parser = std::make_unique<HttpRequestParser>(limits.http);
  connection->ready = tls == nullptr && !is_proxy;
  connection->heard_ms = loop.now_ms();
  connection->deadline_ms = loop.now_ms() + limits.handshake_ms_max;
  connection->socket = RawSocket::adopt(loop, std::move(fd), *connection, is_proxy ? nullptr : tls);
  if (!connection->socket) {
    counters.connections_closed.add();
    if (connection->accepted) handler.connection_closed(peer);
    count_error(peer, ServerError::Socket);
    return;
  }
  place(std::move(connection));
}

void Server::Impl::place(std::unique_ptr<Connection> connection) {
  if (free_slots.empty()) {
    free_slots.push_back(static_cast<std::uint32_t>(slots.size()));
    slots.emplace_back();
  }
  const std::uint32_t index = free_slots.back();
  free_slots.pop_back();
  Slot& slot = slots[index];
  connection->id = ConnectionId{static_cast<std::uint64_t>(slot.generation) << 32U | index};
  slot.connection = std::move(connection);
  ++open_count;
}

// Outside every call of the handler into us: callbacks are fine.
void Server::Impl::peer_left(Connection& connection) {
  tell_over(connection);
  connection.state = State::Dead;
  bury(connection);
}

void Server::Impl::doom(Connection& connection, std::optional<ServerError> error) {
  if (connection.state == State::Dead) return;
  if (error && !connection.error) connection.error = error;
  connection.owed_answer = connection.owed_answer || connection.state == State::Answer ||
                           connection.state == State::Stream;
  connection.state = State::Dead;
  connection.out.clear();
  if (!connection.ending) {
    connection.ending = true;
    endings.push_back(connection.id);
  }
  loop.wake();
}

void Server::Impl::begin_closing(Connection& connection) {
  if (!connection.ready) {  // in the middle of a TLS handshake: nothing can be said
    doom(connection, std::nullopt);
    return;
  }
  connection.owed_answer = connection.owed_answer || connection.state == State::Answer ||
                           connection.state == State::Stream;
  connection.state = State::Closing;
  connection.deadline_ms = loop.now_ms() + limits.write_stall_ms_max;
  connection.held = std::string();
  connection.paused = false;
  apply_reading(connection);
  queued(connection);
  if (!connection.ending) {
    connection.ending = true;
    endings.push_back(connection.id);
  }
}

// Once: the last callbacks of a connection.
void Server::Impl::tell_over(Connection& connection) {
  if (connection.told) return;
  connection.told = true;
  if (connection.error) count_error(connection.peer, *connection.error);
  const bool owed = connection.owed_answer || connection.state == State::Answer ||
                    connection.state == State::Stream;
  if (connection.was_websocket) {
    counters.websockets_closed.add();
    handler.on_ws_close(connection.id);
  } else if (owed) {
    handler.on_http_closed(connection.id);
  }
}

void Server::Impl::bury(Connection& connection) {
  const std::size_t index = static_cast<std::uint64_t>(connection.id) & 0xFFFF'FFFFU;
  Slot& slot = slots[index];
  CHECK(slot.connection.get() == &connection);
  graveyard.push_back(std::move(slot.connection));
  ++slot.generation;
  free_slots.push_back(static_cast<std::uint32_t>(index));
  --open_count;
  counters.connections_closed.add();
  account(*graveyard.back(), 0);
  if (graveyard.back()->accepted) handler.connection_closed(graveyard.back()->peer);
}

void Server::Impl::receive(Connection& connection, std::span<std::uint8_t> bytes) {
  counters.bytes_in.add(bytes.size());
  connection.heard_ms = loop.now_ms();
  connection.pinged_ms = 0;
  if (connection.state == State::Greeting) {
    greet(connection, bytes);
  } else {
    take(connection, bytes);
  }
}

// What follows the header is the peer's: TLS or HTTP, as without one.
void Server::Impl::greet(Connection& connection, std::span<std::uint8_t> bytes) {
  std::string_view left(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto header = connection.proxy_header->feed(left);
  if (header && !*header) return;
  if (header && (**header).source) connection.peer = *(**header).source;
  connection.proxy_header.reset();
  if (!header) {
    doom(connection, ServerError::BadProxyHeader);
    return;
  }
  if (!handler.accept_connection(connection.peer)) {
    doom(connection, ServerError::RefusedAddress);
    return;
  }
  connection.accepted = true;
  connection.state = State::Request;
  const std::span<std::uint8_t> rest = bytes.last(left.size());
  if (tls) {
    connection.socket->begin_tls(tls, rest);
    return;
  }
  connection.ready = true;
  if (!rest.empty()) take(connection, rest);
}

void Server::Impl::take(Connection& connection, std::span<std::uint8_t> bytes) {
  if (connection.state == State::Closing || connection.state == State::Dead) return;
  // What waits is looked at in its turn, and so is a busy peer's.
  const bool is_now = !has_input(connection) && !is_busy(connection, TurnClock::now());
  if (is_now) bytes = consume(connection, bytes);
  if (connection.state == State::Closing || connection.state == State::Dead) return;
  if (!bytes.empty()) {
    connection.held.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    apply_reading(connection);
    if (!is_now) revisit_later(connection);
  }
  (void)fits_memory(connection, 0);
}

// Takes what can be taken now; the rest waits for an answer, for resume_reading() or the next turn.
std::span<std::uint8_t> Server::Impl::consume(Connection& connection,
                                              std::span<std::uint8_t> bytes) {
  const Stopwatch watch;
  while ((!bytes.empty() || is_inflating(connection)) && !connection.paused) {
    if (connection.state == State::Request) {
      // One answer after the other: who asks on without reading them gets no more of them.
      if (connection.wants_drained) break;
      bytes = consume_http(connection, bytes);
    } else if (connection.state == State::Open) {
      bytes = consume_frames(connection, bytes, watch);
      break;
    } else {
      break;
    }
  }
  charge(connection, watch);
  return bytes;
}

std::span<std::uint8_t> Server::Impl::consume_http(Connection& connection,
                                                   std::span<std::uint8_t> bytes) {
  if (connection.parser->idle() && !connection.first_request)
    connection.deadline_ms = loop.now_ms() + limits.handshake_ms_max;
  const Result<std::size_t, HttpError> used =
      connection.parser->feed({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!used) {
    refuse(connection, status_of(used.error()), to_string(used.error()), {}, ServerError::BadHttp);
    return {};
  }
  if (connection.parser->take_continue()) {
    connection.out.append("HTTP/1.1 100 Continue\r\n\r\n");
    queued(connection);
  }
  if (connection.parser->done()) on_request(connection);
  return bytes.subspan(*used);
}

void Server::Impl::on_request(Connection& connection) {
  const HttpRequest request = connection.parser->take();
  connection.first_request = false;
  connection.deadline_ms = 0;
  connection.keep_alive = request.keep_alive;
  connection.head_only = request.method == "HEAD";
  connection.chunked = !request.http_1_0;
  if (wants_websocket(request)) {
    upgrade(connection, request);
    return;
  }
  counters.http_requests.add();
  connection.state = State::Answer;
  handler.on_http(connection.id, request);
}

void Server::Impl::upgrade(Connection& connection, const HttpRequest& request) {
  const auto answer = answer_ws_handshake(request, deflate_options);
  if (!answer) {
    const bool version = answer.error() == WsHandshakeError::BadVersion;
    const HttpHeaders headers =
        version ? HttpHeaders{{"Sec-WebSocket-Version", "13"}} : HttpHeaders{};
    refuse(connection, version ? 426 : 400, to_string(answer.error()), headers,
           ServerError::BadHandshake);
    return;
  }
  if (const auto refusal = handler.refuse_websocket(connection.peer, request)) {
    connection.error = ServerError::RefusedUpgrade;
    connection.out.append(encode_response(*refusal, false));
    begin_closing(connection);
    return;
  }
  counters.websockets_opened.add();
  connection.out.append(answer->text);
  connection.was_websocket = true;
  connection.state = State::Open;
  connection.parser.reset();
  connection.decoder = std::make_unique<WsDecoder>(WsRole::Server, limits.message_bytes_max,
                                                   answer->deflate ? &inflaters : nullptr);
  if (answer->deflate)
    connection.deflate_window_bits = static_cast<std::uint8_t>(answer->deflate->server_window_bits);
  queued(connection);
  handler.on_ws_open(connection.id, connection.peer, request);
}

void Server::Impl::refuse(Connection& connection, int status, std::string_view text,
                          const HttpHeaders& headers, ServerError error) {
  connection.error = error;
  HttpResponse response = handler.refusal(status, text);
  for (const HttpHeader& field : headers.fields()) response.headers.add(field.name, field.value);
  connection.out.append(encode_response(response, false));
  begin_closing(connection);
}

std::span<std::uint8_t> Server::Impl::consume_frames(Connection& connection,
                                                     std::span<std::uint8_t> bytes,
                                                     const Stopwatch& watch) {
  std::size_t taken = 0;
  while (connection.state == State::Open && !connection.paused) {
    if (++taken > kMessagesATimeMax || (taken > 1 && watch.us() >= kUsATimeMax)) {
      revisit_later(connection);
      break;
    }
    const Result<std::optional<WsEvent>, WsError> next = connection.decoder->next_piece(bytes);
    if (!next) {
      fail_frames(connection, next.error());
      return {};
    }
    if (const std::size_t count = connection.decoder->take_small_fragments(); count > 0) {
      handler.on_ws_small_fragments(connection.id, count);
      if (connection.state != State::Open) return {};
    }
    if (*next) {
      on_event(connection, **next);
    } else if (!connection.decoder->is_inflating()) {
      return {};
    }
  }
  return connection.state == State::Open ? bytes : std::span<std::uint8_t>{};
}

void Server::Impl::on_event(Connection& connection, const WsEvent& event) {
  switch (event.kind) {
    case WsEventKind::Text:
      counters.messages_in.add();
      handler.on_ws_text(connection.id, event.payload);
      return;
    case WsEventKind::Binary:
      counters.messages_in.add();
      handler.on_ws_binary(connection.id, event.payload);
      return;
    case WsEventKind::Ping:
      counters.pings_in.add();
      handler.on_ws_control(connection.id, event.payload.size());
      if (connection.state != State::Open) return;
      if (!room(connection, event.payload.size() + kWsHeaderBytesMax)) return;
      append_ws_frame(connection.out.tail(), WsOpcode::Pong, event.payload);
      connection.out.grew(event.payload.size() + 2);
      queued(connection);
      return;
    case WsEventKind::Pong:
      counters.pings_in.add();
      handler.on_ws_control(connection.id, event.payload.size());
      return;
    case WsEventKind::Close: {
      std::string frame;
      const std::string payload = event.close_code == kWsCloseNoStatus
                                      ? std::string()
                                      : ws_close_payload(event.close_code, {});
      append_ws_frame(frame, WsOpcode::Close, payload);
      connection.out.append(frame);
      begin_closing(connection);
      return;
    }
  }
}

void Server::Impl::fail_frames(Connection& connection, WsError error) {
  switch (close_code_of(error)) {
    case kWsCloseBadData:
      connection.error =
          error == WsError::BadDeflate ? ServerError::BadDeflate : ServerError::BadUtf8;
      break;
    case kWsCloseTooBig:
      connection.error = ServerError::TooBig;
      break;
    default:
      connection.error = ServerError::Protocol;
      break;
  }
  std::string frame;
  append_ws_frame(frame, WsOpcode::Close, ws_close_payload(close_code_of(error), to_string(error)));
  connection.out.append(frame);
  begin_closing(connection);
}

void Server::Impl::apply_reading(Connection& connection) {
  connection.socket->set_reading(!connection.paused && connection.held.size() < kHeldBytesMax);
}

void Server::Impl::revisit_later(Connection& connection) {
  if (connection.revisit) return;
  connection.revisit = true;
  revisits.push_back(connection.id);
  end_turn_comes();
}

// Where this turn's end has been and gone, there is another one. Its own last look sees what it
// made itself: to wake the loop for that would look like news.
void Server::Impl::end_turn_comes() {
  if (!in_end_turn && loop.hook_has_begun(hook)) loop.wake();
}

// Of what has come, something is not looked at yet.
bool Server::Impl::has_input(const Connection& connection) {
  return !connection.held.empty() || is_inflating(connection);
}

bool Server::Impl::is_inflating(const Connection& connection) {
  return connection.decoder && connection.decoder->is_inflating();
}

bool Server::Impl::is_busy(const Connection& connection, TurnClock::time_point now) const {
  return connection.share.is_busy(now);
}

// Nobody pays for what other threads did meanwhile. To look is dear, and what is short has hardly
// been interrupted.
void Server::Impl::charge(Connection& connection, const Stopwatch& watch) {
  std::int64_t us = watch.us();
  if (us >= kLongUs) us -= std::min(us, loop.take_stolen_us());
  connection.share.charge(us, TurnPlace::Loop, watch.began(), part);
}

// Replaces the message by its compressed form where that is shorter. Distances are shorter than the
// message, so a peer with a small window understands what is not larger than the window.
void Server::Impl::deflate(const Connection& connection, Outgoing& message) {
  const std::size_t bytes = message.bytes();
  const int window_bits = connection.deflate_window_bits;
  if (window_bits == 0 || bytes < deflate_options.message_bytes_min) return;
  if (!message.shared && deflate_options.shared_only) return;
  if (window_bits < deflate_options.window_bits && bytes >> window_bits != 0) return;
  deflate_scratch.clear();
  if (deflate_scratch.capacity() > kHeldBytesMax) deflate_scratch.shrink_to_fit();
  const std::uint64_t made_before = deflated.made_count();
  if (message.shared) {
    if (message.prefix.size() > kStoredBlockBytesMax) return;
    auto payload = deflated.form_of(message.shared, message.suffix);
    counters.deflates.add(deflated.made_count() - made_before);
    if (!payload) return;
    if (!message.prefix.empty()) append_stored_block(deflate_scratch, message.prefix);
    message = {deflate_scratch, std::move(payload), {}, WsPayload::Compressed};
  } else {
    deflated.deflater().append_message(deflate_scratch, message.prefix, message.suffix);
    counters.deflates.add();
    if (deflate_scratch.size() >= bytes) return;
    message = {deflate_scratch, nullptr, {}, WsPayload::Compressed};
  }
  counters.messages_deflated.add();
}

// False: the connection is dropped for not reading.
bool Server::Impl::room(Connection& connection, std::size_t bytes) {
  const std::size_t pending = connection.out.bytes() + connection.socket->unsent_bytes();
  if (bytes > limits.pending_bytes_max || pending > limits.pending_bytes_max - bytes) {
    doom(connection, ServerError::SlowReader);
    return false;
  }
  return fits_memory(connection, bytes);
}

// What waits for a connection and of it, `more` about to come included.
bool Server::Impl::fits_memory(Connection& connection, std::size_t more) {
  if (!limits.memory || connection.state == State::Dead) return true;
  std::size_t bytes =
      more + connection.out.bytes() + connection.socket->unsent_bytes() + connection.held.size();
  if (connection.decoder) bytes += connection.decoder->held_bytes();
  if (connection.parser) bytes += connection.parser->held_bytes();
  account(connection, bytes);
  if (bytes <= kMemoryShareBytes || !limits.memory->is_full()) return true;
  doom(connection, ServerError::MemoryFull);
  return false;
}

// Few bytes are not counted: most connections have no more at any time, and each change would meet
// those of all other loops.
void Server::Impl::account(Connection& connection, std::size_t bytes) {
  if (!limits.memory) return;
  if (bytes < kMemoryUncountedBytes) bytes = 0;
  limits.memory->change(connection.accounted_bytes, bytes);
  connection.accounted_bytes = bytes;
}

void Server::Impl::queued(Connection& connection) {
  if (!connection.wants_drained) connection.progress_ms = loop.now_ms();
  connection.wants_drained = true;
  flush_later(connection);
}

void Server::Impl::flush_later(Connection& connection) {
  if (connection.dirty) return;
  connection.dirty = true;
  dirty.push_back(connection.id);
  end_turn_comes();
}

void Server::Impl::flush(Connection& connection) {
  if (connection.state == State::Dead || !connection.ready) return;
  RawSocket& socket = *connection.socket;
  const Stopwatch watch;
  std::size_t handed = 0;
  while (!connection.out.empty() && !socket.choked()) {
    if (handed >= kFlushBytesMax) {
      flush_later(connection);
      break;
    }
    const std::string_view piece = connection.out.front(scratch, RawSocket::kWriteBytesMax);
    if (!socket.write(piece)) {
      doom(connection, ServerError::Socket);
      return;
    }
    counters.writes.add();
    counters.bytes_out.add(piece.size());
    connection.progress_ms = loop.now_ms();
    handed += piece.size();
    connection.out.consume(piece.size());
  }
  if (handed > 0) charge(connection, watch);
  if (!connection.out.empty() || socket.choked() || !connection.wants_drained) return;
  connection.wants_drained = false;
  if (connection.state == State::Closing) {
    if (!connection.output_finished) {
      connection.output_finished = true;
      connection.deadline_ms = loop.now_ms() + limits.close_wait_ms_max;
      socket.finish_output();
    }
  } else if (!connection.told) {
    if (has_input(connection)) revisit_later(connection);
    handler.on_drained(connection.id);
  }
}

// The answer is complete: next request, or the end.
void Server::Impl::answered(Connection& connection) {
  if (!connection.keep_alive) {
    connection.state = State::Request;  // nothing is owed any more
    begin_closing(connection);
    return;
  }
  connection.state = State::Request;
  connection.deadline_ms = loop.now_ms() + limits.http_idle_ms_max;
  queued(connection);
  if (!connection.held.empty()) revisit_later(connection);
}

void Server::Impl::revisit(Connection& connection) {
  connection.revisit = false;
  if (!has_input(connection) || connection.state == State::Closing ||
      connection.state == State::Dead)
    return;
  std::string held = std::exchange(connection.held, {});
  const std::span<std::uint8_t> rest =
      consume(connection, {reinterpret_cast<std::uint8_t*>(held.data()), held.size()});
  if (connection.state == State::Closing || connection.state == State::Dead) return;
  held.erase(0, held.size() - rest.size());
  connection.held = std::move(held);
  apply_reading(connection);
  (void)fits_memory(connection, 0);
}

// Those of `waiting` that take little; the busy ones stay.
template <typename Serve>
void Server::Impl::serve_calm(std::vector<ConnectionId>& waiting, Serve serve) {
  if (waiting.empty()) return;
  batch.clear();
  batch.swap(waiting);
  const auto began = TurnClock::now();
  std::size_t busy_count = 0;
  for (const ConnectionId id : batch) {
    Connection* connection = any(id);
    if (connection == nullptr) continue;
    if (is_busy(*connection, began)) {
      batch[busy_count++] = id;
    } else {
      serve(*connection);
    }
  }
  waiting.insert(waiting.begin(), batch.begin(),
                 batch.begin() + static_cast<std::ptrdiff_t>(busy_count));
}

// One at least, and more while `goes_on(for how long)`. Those that are left are the first of them
// next time.
template <typename Serve, typename GoesOn>
void Server::Impl::serve_busy(std::vector<ConnectionId>& waiting, Serve serve, GoesOn goes_on) {
  if (waiting.empty()) return;
  batch.clear();
  batch.swap(waiting);
  const Stopwatch watch;
  std::size_t done = 0;
  for (; done < batch.size() && (done == 0 || goes_on(watch.us())); ++done) {
    if (Connection* connection = any(batch[done])) serve(*connection);
  }
  waiting.insert(waiting.begin(), batch.begin() + static_cast<std::ptrdiff_t>(done), batch.end());
}

void Server::Impl::end_turn() {
  in_end_turn = true;
  const auto take_input = [this](Connection& connection) { revisit(connection); };
  const auto send_output = [this](Connection& connection) {
    connection.dirty = false;
    flush(connection);
    (void)fits_memory(connection, 0);
  };
  // No answer waits for the busy ones' input, and no other for the copies that their sockets take.
  serve_calm(revisits, take_input);
  serve_calm(dirty, send_output);
  serve_busy(revisits, take_input,
             [this](std::int64_t us) { return us < kBusyUsATurnMax && !has_news(loop); });
  serve_calm(dirty, send_output);
  serve_busy(dirty, send_output, [](std::int64_t us) { return us < kBusyUsATurnMax; });

  batch.clear();
  batch.swap(endings);
  for (const ConnectionId id : batch) {
    Connection* connection = any(id);
    if (connection == nullptr) continue;
    connection->ending = false;
    tell_over(*connection);
    if (connection->state == State::Dead) bury(*connection);
  }
  graveyard.clear();
  deflated.clear();
  in_end_turn = false;
  part.look(TurnClock::now(), loop.idle_us());
  // What the handler did meanwhile must not wait for the next event.
  if (!revisits.empty() || !dirty.empty() || !endings.empty()) loop.wake();
}

// Timers come before sockets. Where the loop had no processor for long, what its peers have sent
// meanwhile is not read yet: nobody is late for that until the next sweep.
void Server::Impl::sweep() {
  const std::uint64_t now = loop.now_ms();
  const bool is_late = now >= late_ms;
  late_ms = is_late ? UINT64_MAX : now + 2 * sweep_ms;
  if (is_late) return;
  for (Slot& slot : slots) {
    if (slot.connection) sweep_one(*slot.connection, now);
  }
}

void Server::Impl::sweep_one(Connection& connection, std::uint64_t now) {
  if (connection.state == State::Dead) return;
  connection.out.release_spare();
  if (connection.deadline_ms != 0 && now >= connection.deadline_ms) {
    const bool silent = connection.state == State::Closing || connection.parser->idle();
    const bool fine = connection.state == State::Closing || (silent && !connection.first_request);
    if (silent || !connection.ready) {
      doom(connection, fine ? std::nullopt : std::optional(ServerError::HandshakeTimeout));
    } else {
      refuse(connection, 408, "request not complete in time", {}, ServerError::HandshakeTimeout);
    }
    return;
  }
  if (connection.wants_drained &&
      now - std::min(now, connection.progress_ms) >= limits.write_stall_ms_max) {
    doom(connection, ServerError::WriteStall);
    return;
  }
  if (connection.state != State::Open || limits.ping_after_ms == 0 || connection.paused ||
      connection.socket->choked())
    return;
  if (connection.pinged_ms != 0) {
    if (now - connection.pinged_ms >= limits.pong_wait_ms_max)
      doom(connection, ServerError::PingTimeout);
  } else if (now - std::min(now, connection.heard_ms) >= limits.ping_after_ms) {
    connection.pinged_ms = now;
    std::string frame;
    append_ws_frame(frame, WsOpcode::Ping, {});
    connection.out.append(frame);
    queued(connection);
  }
}

Server::Server(Loop& loop, ServerHandler& handler, const ListenConfig& listen,
               const ServerLimits& limits)
    : impl_(std::make_unique<Impl>(loop, handler, listen, limits)) {}

Server::~Server() = default;

std::uint16_t Server::local_port() const {
  return impl_->listeners.front()->local_port();
}

const ServerCounters& Server::counters() const {
  return impl_->counters;
}

void Server::set_tls(std::shared_ptr<TlsContext> context) {
  CHECK(impl_->tls != nullptr && context != nullptr);
  impl_->tls = std::move(context);
}

void Server::stop_listening() {
  for (auto& listener : impl_->listeners) listener->stop();
}

void Server::set_limits(const ServerLimits& limits) {
  CHECK(impl_->loop.on_loop_thread());
  impl_->limits = limits;
}

std::vector<UniqueFd> Server::duplicate_listeners() const {
  std::vector<UniqueFd> out;
  for (const auto& listener : impl_->listeners) out.push_back(listener->duplicate());
  return out;
}

std::size_t Server::unanswered_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(impl_->slots, [](const Impl::Slot& slot) {
    const auto* one = slot.connection.get();
    return one != nullptr && !one->was_websocket &&
           ((one->state == State::Request && one->first_request) || one->state == State::Answer);
  }));
}

void Server::close_all(std::string_view reason, std::uint16_t code) {
  for (Impl::Slot& slot : impl_->slots) {
    if (!slot.connection) continue;
    const State state = slot.connection->state;
    if (state == State::Open) close(slot.connection->id, code, reason);
    slot.connection->keep_alive = false;  // answers under way are the last
    if (state == State::Request || state == State::Greeting) impl_->begin_closing(*slot.connection);
  }
}

bool Server::respond(ConnectionId id, const HttpResponse& response) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state != State::Answer) return false;
  connection->out.append(encode_response(response, connection->keep_alive, connection->head_only));
  impl_->answered(*connection);
  return true;
}

bool Server::start_stream(ConnectionId id, int status, const HttpHeaders& headers) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state != State::Answer) return false;
  if (!connection->chunked) connection->keep_alive = false;
  connection->out.append(
      encode_stream_head(status, headers, connection->keep_alive, connection->chunked));
  connection->state = State::Stream;
  impl_->queued(*connection);
  return true;
}

bool Server::write_stream(ConnectionId id, std::string_view bytes) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state != State::Stream) return false;
  if (connection->head_only || bytes.empty()) return true;
  if (!impl_->room(*connection, bytes.size())) return false;
  if (connection->chunked) {
    std::string chunk;
    append_chunk(chunk, bytes);
    connection->out.append(chunk);
  } else {
    connection->out.append(bytes);
  }
  impl_->queued(*connection);
  return true;
}

bool Server::end_stream(ConnectionId id) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state != State::Stream) return false;
  if (connection->chunked && !connection->head_only) connection->out.append(kLastChunk);
  impl_->answered(*connection);
  return true;
}

bool Server::send_text(ConnectionId id, std::string_view message) {
  return send_shared(id, message, nullptr);
}

bool Server::send_shared(ConnectionId id, std::string_view prefix,
                         std::shared_ptr<const std::string> shared, std::string_view suffix) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state != State::Open) return false;
  Impl::Outgoing message{prefix, std::move(shared), suffix};
  impl_->deflate(*connection, message);
  if (!impl_->room(*connection, message.bytes() + kWsHeaderBytesMax)) return false;
  OutQueue& out = connection->out;
  std::string& tail = out.tail();
  const std::size_t before = tail.size();
  append_ws_header(tail, WsOpcode::Text, message.bytes(), message.form);
  tail.append(message.prefix);
  out.grew(tail.size() - before);
  out.append_shared(std::move(message.shared));
  out.append(message.suffix);
  impl_->counters.messages_out.add();
  impl_->queued(*connection);
  return true;
}

std::size_t Server::pending_bytes(ConnectionId id) const {
  const Impl::Connection* connection = impl_->live(id);
  return connection == nullptr ? 0 : connection->out.bytes() + connection->socket->unsent_bytes();
}

bool Server::pause_reading(ConnectionId id) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state == State::Closing) return false;
  connection->paused = true;
  impl_->apply_reading(*connection);
  return true;
}

bool Server::resume_reading(ConnectionId id) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state == State::Closing) return false;
  connection->paused = false;
  connection->heard_ms = impl_->loop.now_ms();  // its silence was ours
  impl_->apply_reading(*connection);
  if (Impl::has_input(*connection)) impl_->revisit_later(*connection);
  return true;
}

bool Server::close(ConnectionId id, std::uint16_t code, std::string_view reason) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr || connection->state == State::Closing) return false;
  if (connection->state == State::Open) {
    std::string frame;
    append_ws_frame(frame, WsOpcode::Close, ws_close_payload(code, reason));
    connection->out.append(frame);
  }
  impl_->begin_closing(*connection);
  return true;
}

bool Server::drop(ConnectionId id) {
  Impl::Connection* connection = impl_->live(id);
  if (connection == nullptr) return false;
  impl_->doom(*connection, std::nullopt);
  return true;
}

bool Server::is_busy(ConnectionId id) const {
  const Impl::Connection* connection = impl_->live(id);
  return connection != nullptr && impl_->is_busy(*connection, TurnClock::now());
}

std::int64_t Server::due_us(ConnectionId id) const {
  const Impl::Connection* connection = impl_->live(id);
  return (connection != nullptr ? connection->share : TurnShare()).due_us(TurnClock::now());
}

void Server::charge(ConnectionId id, std::int64_t us) {
  if (Impl::Connection* connection = impl_->live(id)) {
    connection->share.charge(us, TurnPlace::Elsewhere, TurnClock::now(), impl_->part);
  }
}

std::optional<PeerAddress> Server::peer(ConnectionId id) const {
  const Impl::Connection* connection = impl_->live(id);
  return connection == nullptr ? std::nullopt : std::optional(connection->peer);
}

}  // namespace nostril::net
