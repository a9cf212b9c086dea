#pragma once

#include "base/file.h"
#include "base/metrics.h"
#include "net/address_range.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/memory_budget.h"
#include "net/peer_address.h"
#include "net/ws_codec.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::net {

/// A connection of one Server. Never reused within a server's life; a stale id is harmless
/// everywhere.
enum class ConnectionId : std::uint64_t {
  None = 0,
};

struct ServerLimits {
  /// Open sockets of this server; more are accepted and closed at once. About 3 KB each when idle.
  std::size_t connections_count_max = 20'000;
  /// Requests: head, header count, body. Held in memory until the request is complete.
  HttpLimits http;
  /// One WebSocket message, all fragments together; above: Close 1009. Held while it is joined.
  std::size_t message_bytes_max = 512 << 10;
  /// Output queued for one connection; a send above it drops the connection (reason SlowReader).
  std::size_t pending_bytes_max = 8 << 20;
  /// Input and output that waits, over all connections of all servers that share it; nothing: no
  /// bound. While it is full a connection that needs more than kMemoryShareBytes is dropped (reason
  /// MemoryFull).
  std::shared_ptr<MemoryBudget> memory = {};
  /// From accept (or the last answer, for the next request) to a complete request or upgrade.
  std::uint64_t handshake_ms_max = 10'000;
  /// Keep-alive: idle time between two requests.
  std::uint64_t http_idle_ms_max = 60'000;
  /// A WebSocket silent for this long gets a Ping, 0: never …
  std::uint64_t ping_after_ms = 60'000;
  /// … and is closed when nothing at all arrives for this long after it.
  std::uint64_t pong_wait_ms_max = 30'000;
  /// A connection whose output makes no progress for this long is dropped.
  std::uint64_t write_stall_ms_max = 60'000;
  /// After our Close frame, or the last answer of a closing connection: wait for the peer to
  /// finish.
  std::uint64_t close_wait_ms_max = 3'000;
  /// SO_SNDBUF of accepted sockets, 0: the system's own. Tests make it small to meet the bounds
  /// above.
  int send_buffer_bytes = 0;
};

class TlsContext;

/// Certificate chain and key: PEM files, or ready made (tls_identity.h). All empty: no TLS.
struct TlsConfig {
  std::string certificate_path;
  std::string key_path;
  std::shared_ptr<TlsContext> context = {};

  [[nodiscard]] bool enabled() const { return context || !certificate_path.empty(); }
};

struct ListenConfig {
  /// Sockets that listen already; not empty: host, port, joins and backlog say nothing. Each is
  /// duplicated, so several servers may have the same.
  std::vector<int> inherited;
  std::string host = "127.0.0.1";  ///< numeric IPv4 or IPv6 address; "::" takes both
  std::uint16_t port = 0;          ///< 0: the system picks, see local_port()
  bool joins = false;              ///< see Listener
  int backlog = 4'096;
  TlsConfig tls;
  WsDeflateOptions deflate;  ///< permessage-deflate, where a client offers it
  /// Connections from here begin with a PROXY protocol header (net/proxy_protocol.h), before TLS:
  /// its source is their peer. Who sends none is refused, and so is one from anywhere else.
  AddressRanges proxies = {};
};

/// Why a connection or message was refused; for counters and logs.
enum class ServerError : std::uint8_t {
  TooManyConnections,
  RefusedAddress,
  BadHttp,
  BadHandshake,
  RefusedUpgrade,
  BadProxyHeader,
  HandshakeTimeout,
  Protocol,    ///< WebSocket 1002
  BadUtf8,     ///< 1007
  BadDeflate,  ///< 1007
  TooBig,      ///< 1009
  PingTimeout,
  SlowReader,
  WriteStall,
  MemoryFull,
  Socket,
  Count,  ///< number of reasons
};
std::string_view to_string(ServerError error);

/// Written by the loop thread, readable by any: each value is exact, together they are not a
/// snapshot.
struct ServerCounters {
  Counter connections_accepted;
  Counter connections_closed;
  Counter websockets_opened;
  Counter websockets_closed;
  Counter http_requests;
  Counter messages_in;
  Counter pings_in;  ///< and Pongs
  Counter messages_out;
  Counter messages_deflated;  ///< of those: sent compressed
  Counter deflates;           ///< compressions made for them: one serves many
  Counter bytes_in;
  Counter bytes_out;
  Counter
      writes;  ///< calls that handed bytes to a socket: messages_out / writes is the joining factor
  std::array<Counter, static_cast<std::size_t>(ServerError::Count)> errors;
};

/// What a program does with its connections. All calls come on the loop thread. Views and requests
/// are borrowed until the call returns. Every call of Server is allowed inside, except destroying
/// it.
class ServerHandler {
 public:
  virtual ~ServerHandler() = default;

  /// Before a single byte is read, or after a PROXY header: limits by address. False closes the
  /// socket without a word.
  virtual bool accept_connection(const PeerAddress& /*peer*/) { return true; }

  /// Once for each that was accepted so, when it is gone. Not called by ~Server.
  virtual void connection_closed(const PeerAddress& /*peer*/) {}

  /// A complete request. Answer by respond() or start_stream(), now or later. One at a time for
  /// each connection; on_http_closed() comes if the peer leaves before the answer is complete.
  virtual void on_http(ConnectionId id, const HttpRequest& request) = 0;

  /// What a peer is told whose request can't be read, or came too slowly: plain text of one line.
  virtual HttpResponse refusal(int status, std::string_view text);

  virtual void on_http_closed(ConnectionId /*id*/) {}

  /// A valid upgrade request. False: refused with 403.
  virtual bool accept_websocket(const PeerAddress& /*peer*/, const HttpRequest& /*request*/) {
    return true;
  }

  /// The same for who says why: the answer that refuses it. Where it is taken on_ws_open() follows
  /// at once.
  virtual std::optional<HttpResponse> refuse_websocket(const PeerAddress& peer,
                                                       const HttpRequest& request) {
    if (accept_websocket(peer, request)) return std::nullopt;
    return refusal(403, "refused");
  }

  virtual void on_ws_open(ConnectionId /*id*/, const PeerAddress& /*peer*/,
                          const HttpRequest& /*request*/) {}

  virtual void on_ws_text(ConnectionId /*id*/, std::string_view /*message*/) {}

  virtual void on_ws_binary(ConnectionId /*id*/, std::string_view /*message*/) {}

  /// A Ping, before it is answered, or a Pong.
  virtual void on_ws_control(ConnectionId /*id*/, std::size_t /*bytes*/) {}

  /// So many small pieces of messages (kWsSmallFragmentBytes) have come.
  virtual void on_ws_small_fragments(ConnectionId /*id*/, std::size_t /*count*/) {}

  /// Exactly once for each on_ws_open; `id` is stale from here on. Not called by ~Server.
  virtual void on_ws_close(ConnectionId /*id*/) {}

  /// All queued output has left for the socket's buffer (WebSocket and streams): time to send more.
  virtual void on_drained(ConnectionId /*id*/) {}

  /// For counting and logs; the connection's own closing call follows where there is one.
  virtual void on_error(const PeerAddress& /*peer*/, ServerError /*error*/) {}
};

/// HTTP/1.1 and WebSocket server of one loop, plain or TLS. For more threads: a Server on each Loop
/// with the same port (SO_REUSEPORT; the first picks port 0, the others name its local_port()), the
/// kernel deals connections out. Output is gathered during a turn and written once a connection at
/// the turn's end. Reading a connection stops while pause_reading() holds: TCP pushes back on the
/// peer.
///
/// Threads: the loop's only; counters() from any. Calls with a stale id do nothing and return false
/// or 0.
class Server {
 public:
  /// Binds and listens; throws std::runtime_error with the address when it cannot.
  Server(Loop& loop, ServerHandler& handler, const ListenConfig& listen,
         const ServerLimits& limits = {});
  /// Closes every connection without calling the handler.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Server(Server&&) = delete;
  Server& operator=(Server&&) = delete;

  [[nodiscard]] std::uint16_t local_port() const;
  [[nodiscard]] const ServerCounters& counters() const;
  /// For connections from now on: a renewed certificate. Open ones keep theirs. CHECK: the server
  /// began with TLS.
  void set_tls(std::shared_ptr<TlsContext> context);
  /// From now on. What a connection took over when it was opened (the size of a message, the buffer
  /// of its socket, its handshake's time) it keeps.
  void set_limits(const ServerLimits& limits);
  /// The listening sockets once more, for who takes them over.
  [[nodiscard]] std::vector<UniqueFd> duplicate_listeners() const;
  /// No new connections from here on; open ones stay. For a graceful end: then close() each.
  void stop_listening();
  /// Connections whose first request has not come, or not been answered.
  [[nodiscard]] std::size_t unanswered_count() const;
  /// Close to all WebSockets, end idle HTTP connections.
  void close_all(std::string_view reason, std::uint16_t code = kWsCloseGoingAway);

  bool respond(ConnectionId id, const HttpResponse& response);
  bool start_stream(ConnectionId id, int status, const HttpHeaders& headers);
  bool write_stream(ConnectionId id, std::string_view bytes);
  bool end_stream(ConnectionId id);

  /// Where the client agreed to permessage-deflate, messages are sent compressed if that is
  /// shorter. Queue one text message. False: stale, closing, or dropped for pending_bytes_max.
  bool send_text(ConnectionId id, std::string_view message);
  /// The message `prefix` + `*shared` + `suffix`; `shared` is not copied while it waits and may be
  /// common to many. It is compressed once a turn for all of them.
  bool send_shared(ConnectionId id, std::string_view prefix,
                   std::shared_ptr<const std::string> shared, std::string_view suffix = {});

  [[nodiscard]] std::size_t pending_bytes(ConnectionId id) const;
  bool pause_reading(ConnectionId id);
  bool resume_reading(ConnectionId id);
  /// Sends what is queued, a Close frame (WebSocket), and ends. on_ws_close follows.
  bool close(ConnectionId id, std::uint16_t code = kWsCloseNormal, std::string_view reason = {});
  /// Ends the connection now, without a word and with nothing more sent.
  bool drop(ConnectionId id);
  [[nodiscard]] std::optional<PeerAddress> peer(ConnectionId id) const;

  /// It has had more than its share of this loop's time (turn_share.h): its input waits until that
  /// of the others has been looked at.
  [[nodiscard]] bool is_busy(ConnectionId id) const;
  /// When its next turn is due, on the monotonic clock: now, or later where it has had more than
  /// its share. For queues of other threads.
  [[nodiscard]] std::int64_t due_us(ConnectionId id) const;
  /// Time that others spent on what it asked for counts, too.
  void charge(ConnectionId id, std::int64_t us);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nostril::net
