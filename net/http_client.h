#pragma once

#include "net/http.h"
#include "net/loop.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace nostril::net {

enum class CallId : std::uint64_t {
  None = 0,
};

struct HttpCall {
  std::string method = "GET";
  std::string url;  ///< http or https; others are refused
  HttpHeaders headers;
  std::string body;
  std::string unix_socket_path;         ///< when set: connect there, whatever the host of the URL
  std::string connect_to;               ///< "host:port" to connect to in place of the URL's
  std::string ca_path;                  ///< PEM roots for https; empty: the system's
  bool wants_peer_certificate = false;  ///< HttpCallResult::peer_certificate
  std::uint64_t connect_ms_max = 10'000;
  std::uint64_t first_byte_ms_max =
      120'000;  ///< from start() to the response's head; an engine may load a model
  std::uint64_t idle_ms_max = 60'000;          ///< between two pieces of the body, while not paused
  std::size_t response_bytes_max = 256 << 20;  ///< whole body
  std::size_t response_head_bytes_max = 64 << 10;
};

enum class HttpCallError : std::uint8_t {
  None,
  BadUrl,
  Connect,
  Tls,
  ConnectTimeout,
  FirstByteTimeout,
  IdleTimeout,
  TooLarge,
  Protocol,
  Broken,  ///< the connection ended before the answer did
  TooManyCalls,
};
std::string_view to_string(HttpCallError error);

struct HttpCallResult {
  HttpCallError error = HttpCallError::None;
  std::string detail;  ///< for a log line; no secrets
  /// PEM, of the verified TLS connection that brought the answer's head; empty without
  /// wants_peer_certificate, over http, and on a connection that an earlier call has opened.
  std::string peer_certificate;

  [[nodiscard]] bool ok() const { return error == HttpCallError::None; }
};

struct HttpCallbacks {
  /// The final status line and header fields (not 1xx). Before any data.
  std::function<void(int status, const HttpHeaders& headers)> on_status;
  /// A piece of the body, consumed by this call. False: deliver no more until resume(). libcurl
  /// then stops reading the socket. (Pieces already taken from the socket may still arrive once
  /// after a resume.)
  std::function<bool(std::string_view bytes)> on_data;
  /// Once, last, never from inside start() or cancel(). Not called after cancel().
  std::function<void(const HttpCallResult& result)> on_done;
};

/// Outgoing HTTP on a loop (libcurl's multi interface over libuv). No redirects, no proxies from
/// the environment, no cookies, no decompression. https verifies certificate and host name.
/// Threads: the loop's only. Destroying it cancels all calls; not inside its own callbacks.
class HttpClient {
 public:
  /// `calls_count_max`: under way together, more are refused with TooManyCalls.
  explicit HttpClient(Loop& loop, std::size_t calls_count_max = 1'024);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  HttpClient(HttpClient&&) = delete;
  HttpClient& operator=(HttpClient&&) = delete;

  CallId start(HttpCall call, HttpCallbacks callbacks);
  /// Closes the TCP connection at once, so that the peer stops working; no further callback. A
  /// stale id is fine.
  void cancel(CallId id);
  /// Continues a call whose on_data returned false.
  void resume(CallId id);
  /// While `resting` the call's socket is not looked at: what comes stays with the kernel, and many
  /// small pieces are read at once when the rest is over. Unlike a pause it costs no work when the
  /// next piece comes. Only for a body that streams; the caller ends it.
  void rest(CallId id, bool resting);
  [[nodiscard]] std::size_t calls_under_way() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nostril::net
