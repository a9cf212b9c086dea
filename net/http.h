#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::net {

struct HttpHeader {
  std::string name;
  std::string value;
};

/// Header fields in order of arrival. Names are compared without case.
class HttpHeaders {
 public:
  HttpHeaders() = default;

  HttpHeaders(std::initializer_list<HttpHeader> fields) : fields_(fields) {}

  void add(std::string name, std::string value);
  /// In place of the first field of that name; added where there is none.
  void set(std::string_view name, std::string value);
  /// The first field of that name.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const;
  /// Whether a comma list, over all fields of that name, holds `token` (without case).
  [[nodiscard]] bool has_token(std::string_view name, std::string_view token) const;

  [[nodiscard]] const std::vector<HttpHeader>& fields() const { return fields_; }

 private:
  std::vector<HttpHeader> fields_;
};

struct HttpRequest {
  std::string method;
  /// Origin form ("/path?query") or "*". Of an absolute one ("http://host/path") what follows the
  /// host, which is the request's Host then, whatever the field said (RFC 9112 3.2.2).
  std::string target;
  std::string path;   ///< target up to '?', not percent-decoded
  std::string query;  ///< after '?', not decoded
  HttpHeaders headers;
  std::string body;
  bool keep_alive = true;  ///< HTTP/1.1 without "Connection: close", or 1.0 with keep-alive
  bool http_1_0 = false;
};

struct HttpResponse {
  int status = 200;
  HttpHeaders
      headers;  ///< without Content-Length, Transfer-Encoding, Connection: the server adds them
  std::string body;
};

struct HttpLimits {
  std::size_t head_bytes_max = 16 << 10;  ///< request line and all fields
  std::size_t headers_count_max = 100;
  std::size_t body_bytes_max = 1 << 20;  ///< after removal of chunk framing
};

enum class HttpError : std::uint8_t {
  BadRequestLine,
  BadVersion,
  BadTarget,
  BadHeader,
  BadHost,
  HeadTooLarge,
  TooManyHeaders,
  BadLength,
  BodyTooLarge,
  BadChunk,
  UnknownTransferEncoding,
};

std::string_view to_string(HttpError error);
/// The status to refuse with: 400, 413, 431, 501, 505.
int status_of(HttpError error);
std::string_view reason_of(int status);

/// HTTP/1.1 request parser (RFC 9112), fed in pieces cut anywhere. Strict where leniency lets two
/// readers disagree: lines end in CRLF only, no obs-fold, no space before the colon, no control
/// bytes, Content-Length digits only and never beside Transfer-Encoding, chunked the only coding,
/// one Host that is a host. Empty lines before a request are passed over (2.2), kEmptyLinesMax of
/// them. Memory: never more than the limits. Pure; one thread.
class HttpRequestParser {
 public:
  /// Before each request; old clients send one behind the body of the request before.
  static constexpr int kEmptyLinesMax = 4;

  explicit HttpRequestParser(HttpLimits limits) : limits_(limits) {}

  /// Reads up to the end of one request and says how many bytes it used; the rest belongs to what
  /// follows. After an error the parser takes nothing more.
  Result<std::size_t, HttpError> feed(std::string_view bytes);

  [[nodiscard]] bool done() const { return state_ == State::Done; }

  /// Head read, body outstanding and the client waits for "100 Continue". True once only.
  [[nodiscard]] bool take_continue();

  /// Nothing of a request has arrived yet, empty lines aside.
  [[nodiscard]] bool idle() const { return state_ == State::RequestLine && line_.empty(); }

  /// Of a request that is not complete.
  [[nodiscard]] std::size_t held_bytes() const { return head_bytes_ + request_.body.size(); }

  /// The finished request; the parser is ready for the next. Only if done().
  HttpRequest take();

 private:
  enum class State : std::uint8_t {
    RequestLine,
    Headers,
    Body,
    ChunkSize,
    ChunkData,
    ChunkEnd,
    Trailer,
    Done,
    Failed
  };

  Result<bool, HttpError> read_line(std::string_view& bytes);
  std::optional<HttpError> on_line();
  std::optional<HttpError> request_line();
  std::optional<HttpError> header_line();
  std::optional<HttpError> settle_host();
  std::optional<HttpError> end_of_head();
  std::optional<HttpError> chunk_size_line();
  Result<std::size_t, HttpError> failed(HttpError error);

  HttpLimits limits_;
  State state_ = State::RequestLine;
  HttpError error_ = HttpError::BadRequestLine;  // once Failed
  std::string line_;
  int empty_lines_ = 0;      // before the request line
  std::string target_host_;  // of an absolute target: host and port
  std::size_t head_bytes_ = 0;
  std::uint64_t left_ = 0;  // of the body or of the chunk
  bool wants_continue_ = false;
  HttpRequest request_;
};

/// Header fields of a response, with body framing by Content-Length. CHECKs that no field holds a
/// control byte.
std::string encode_response(const HttpResponse& response, bool keep_alive, bool head_only = false);
/// The head of a streamed response: chunked for HTTP/1.1, until close for HTTP/1.0.
std::string encode_stream_head(int status, const HttpHeaders& headers, bool keep_alive,
                               bool chunked);
/// One chunk; appends to `out`. Nothing for no bytes (an empty chunk would end the stream).
void append_chunk(std::string& out, std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

/// Whether `text` is a token (RFC 9110 5.6.2) / may stand in a field value.
[[nodiscard]] bool is_http_token(std::string_view text);
[[nodiscard]] bool is_http_field_value(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace nostril::net
