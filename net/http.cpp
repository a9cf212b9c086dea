#include "net/http.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

namespace nostril::net {

namespace {

constexpr std::size_t kChunkLineBytesMax = 256;    // size and extensions
constexpr std::size_t kTrailerBytesMax = 4 << 10;  // read and dropped

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Visible ASCII without what a target may not hold unescaped in any reader's eyes.
bool has_target_chars(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c > 0x20 && c < 0x7F && c != '#' && c != '"' && c != '<' && c != '>' && c != '\\';
  });
}

bool is_host_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("-._~%!$&'()*+,;=").find(c) != std::string_view::npos;
}

// The host of `host [":" port]` (RFC 9110 7.2; may be empty), nothing if that is not its form. A
// user name has no place in it.
std::optional<std::string_view> host_in(std::string_view authority) {
  std::size_t end = std::min(authority.find(':'), authority.size());
  std::string_view name = authority.substr(0, end);
  if (authority.starts_with('[')) {
    end = authority.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    name = authority.substr(1, end - 1);
    const bool fits =
        std::all_of(name.begin(), name.end(), [](char c) { return c == ':' || is_host_char(c); });
    if (name.empty() || !fits) return std::nullopt;
    ++end;
  } else if (!std::all_of(name.begin(), name.end(), is_host_char)) {
    return std::nullopt;
  }
  std::string_view port = authority.substr(end);
  if (port.empty()) return name;
  if (port.front() != ':') return std::nullopt;
  port.remove_prefix(1);
  if (!std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  return name;
}

// A request target without what it says of where it is.
struct TargetParts {
  std::string_view host;  // and port; empty unless the target is absolute
  std::string_view rest;  // path and query; may be empty only if the target is absolute
};

std::optional<TargetParts> split_target(std::string_view target) {
  if (!has_target_chars(target)) return std::nullopt;
  if (target.starts_with('/') || target == "*") return TargetParts{{}, target};
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    const TargetParts parts{target.substr(0, end), target.substr(end)};
    if (host_in(parts.host).value_or("").empty()) return std::nullopt;
    return parts;
  }
  return std::nullopt;
}

// A target without a path means the root; OPTIONS without anything means the server (RFC 9112
// 3.2.4).
std::string origin_form(std::string_view method, std::string_view rest) {
  if (rest.starts_with('/') || rest == "*") return std::string(rest);
  return rest.empty() && method == "OPTIONS" ? "*" : "/" + std::string(rest);
}

std::optional<std::uint64_t> parse_number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || result.ec != std::errc{} || result.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

void append_fields(std::string& out, const HttpHeaders& headers) {
  for (const HttpHeader& field : headers.fields()) {
    CHECK(is_http_token(field.name) && is_http_field_value(field.value));
    out.append(field.name).append(": ").append(field.value).append("\r\n");
  }
}

void append_status_line(std::string& out, int status) {
  CHECK(status >= 100 && status <= 599);
  out.append("HTTP/1.1 ")
      .append(std::to_string(status))
      .append(" ")
      .append(reason_of(status))
      .append("\r\n");
}

bool status_has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace

bool is_http_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_http_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
  });
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

void HttpHeaders::add(std::string name, std::string value) {
  fields_.push_back(HttpHeader{std::move(name), std::move(value)});
}

void HttpHeaders::set(std::string_view name, std::string value) {
  for (HttpHeader& field : fields_) {
    if (!equals_ignoring_case(field.name, name)) continue;
    field.value = std::move(value);
    return;
  }
  add(std::string(name), std::move(value));
}

std::optional<std::string_view> HttpHeaders::find(std::string_view name) const {
  for (const HttpHeader& field : fields_) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::size_t HttpHeaders::count(std::string_view name) const {
  return static_cast<std::size_t>(std::count_if(
      fields_.begin(), fields_.end(),
      [&](const HttpHeader& field) { return equals_ignoring_case(field.name, name); }));
}

bool HttpHeaders::has_token(std::string_view name, std::string_view token) const {
  for (const HttpHeader& field : fields_) {
    if (!equals_ignoring_case(field.name, name)) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (equals_ignoring_case(trim(rest.substr(0, comma)), token)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

std::string_view to_string(HttpError error) {
  switch (error) {
    case HttpError::BadRequestLine:
      return "bad request line";
    case HttpError::BadVersion:
      return "HTTP version not supported";
    case HttpError::BadTarget:
      return "bad request target";
    case HttpError::BadHeader:
      return "bad header field";
    case HttpError::BadHost:
      return "missing, doubled or bad Host";
    case HttpError::HeadTooLarge:
      return "request head too large";
    case HttpError::TooManyHeaders:
      return "too many header fields";
    case HttpError::BadLength:
      return "bad Content-Length";
    case HttpError::BodyTooLarge:
      return "body too large";
    case HttpError::BadChunk:
      return "bad chunk";
    case HttpError::UnknownTransferEncoding:
      return "transfer encoding not supported";
  }
  return "unknown";
}

int status_of(HttpError error) {
  switch (error) {
    case HttpError::BadVersion:
      return 505;
    case HttpError::HeadTooLarge:
    case HttpError::TooManyHeaders:
      return 431;
    case HttpError::BodyTooLarge:
      return 413;
    case HttpError::UnknownTransferEncoding:
      return 501;
    default:
      return 400;
  }
}

std::string_view reason_of(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

Result<std::size_t, HttpError> HttpRequestParser::failed(HttpError error) {
  state_ = State::Failed;
  error_ = error;
  return failure(error);
}

Result<std::size_t, HttpError> HttpRequestParser::feed(std::string_view bytes) {
  if (state_ == State::Failed) return failure(error_);
  const std::size_t offered = bytes.size();
  while (state_ != State::Done) {
    if (state_ == State::Body || state_ == State::ChunkData) {
      const std::size_t take =
          static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      request_.body.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      left_ -= take;
      if (left_ > 0) break;
      state_ = state_ == State::Body ? State::Done : State::ChunkEnd;
      continue;
    }
    const Result<bool, HttpError> line = read_line(bytes);
    if (!line) return failed(line.error());
    if (!*line) break;
    if (const std::optional<HttpError> error = on_line()) return failed(*error);
    line_.clear();
  }
  return offered - bytes.size();
}

// Moves bytes into line_ up to CRLF. True: line_ is complete, without its end.
Result<bool, HttpError> HttpRequestParser::read_line(std::string_view& bytes) {
  const bool in_head = state_ == State::RequestLine || state_ == State::Headers;
  const std::size_t newline = bytes.find('\n');
  const std::size_t take = newline == std::string_view::npos ? bytes.size() : newline + 1;
  head_bytes_ += take;
  const std::size_t bytes_max = in_head                    ? limits_.head_bytes_max
                                : state_ == State::Trailer ? kTrailerBytesMax
                                                           : kChunkLineBytesMax;
  if (head_bytes_ > bytes_max)
    return failure(in_head ? HttpError::HeadTooLarge : HttpError::BadChunk);
  line_.append(bytes.substr(0, take));
  bytes.remove_prefix(take);
  if (newline == std::string_view::npos) return false;
  // A bare LF ends a line for some readers and not for others: nobody gets to choose.
  if (line_.size() < 2 || line_[line_.size() - 2] != '\r') {
    return failure(
        in_head ? (state_ == State::Headers ? HttpError::BadHeader : HttpError::BadRequestLine)
                : HttpError::BadChunk);
  }
  line_.resize(line_.size() - 2);
  return true;
}

std::optional<HttpError> HttpRequestParser::on_line() {
  switch (state_) {
    case State::RequestLine:
      return request_line();
    case State::Headers:
      return line_.empty() ? end_of_head() : header_line();
    case State::ChunkSize:
      return chunk_size_line();
    case State::ChunkEnd:
      if (!line_.empty()) return HttpError::BadChunk;
      state_ = State::ChunkSize;
      head_bytes_ = 0;
      return std::nullopt;
    case State::Trailer:
      if (line_.empty()) state_ = State::Done;
      return std::nullopt;
    default:
      CHECK(false);
      return HttpError::BadRequestLine;
  }
}

std::optional<HttpError> HttpRequestParser::request_line() {
  const std::string_view line = line_;
  if (line.empty() && empty_lines_ < kEmptyLinesMax) {
    ++empty_lines_;
    return std::nullopt;
  }
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) return HttpError::BadRequestLine;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (!is_http_token(method)) return HttpError::BadRequestLine;
  const std::optional<TargetParts> parts = split_target(target);
  if (!parts) return HttpError::BadTarget;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    const bool looks_like_http = version.size() == 8 && version.substr(0, 5) == "HTTP/" &&
                                 version.find(' ') == std::string_view::npos;
    return looks_like_http ? HttpError::BadVersion : HttpError::BadRequestLine;
  }
  request_.method = method;
  request_.target = origin_form(method, parts->rest);
  target_host_ = parts->host;
  const std::size_t mark = std::min(request_.target.find('?'), request_.target.size());
  request_.path = request_.target.substr(0, mark);
  request_.query = request_.target.substr(std::min(mark + 1, request_.target.size()));
  request_.http_1_0 = version == "HTTP/1.0";
  state_ = State::Headers;
  return std::nullopt;
}

std::optional<HttpError> HttpRequestParser::header_line() {
  const std::string_view line = line_;
  if (request_.headers.fields().size() >= limits_.headers_count_max)
    return HttpError::TooManyHeaders;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return HttpError::BadHeader;
  // Also refuses obs-fold (a leading space) and a space before the colon.
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_http_token(name) || !is_http_field_value(value)) return HttpError::BadHeader;
  request_.headers.add(std::string(name), std::string(value));
  return std::nullopt;
}

// What an absolute target says takes the place of the field, so that nobody can ask the wrong one.
std::optional<HttpError> HttpRequestParser::settle_host() {
  HttpHeaders& headers = request_.headers;
  const std::size_t hosts = headers.count("Host");
  if (hosts > 1 || (hosts == 0 && !request_.http_1_0)) return HttpError::BadHost;
  if (hosts == 1 && !host_in(*headers.find("Host"))) return HttpError::BadHost;
  if (target_host_.empty()) return std::nullopt;
  if (hosts == 0 && headers.fields().size() >= limits_.headers_count_max)
    return HttpError::TooManyHeaders;
  headers.set("Host", std::move(target_host_));
  return std::nullopt;
}

std::optional<HttpError> HttpRequestParser::end_of_head() {
  if (const std::optional<HttpError> error = settle_host()) return error;
  const HttpHeaders& headers = request_.headers;
  request_.keep_alive = request_.http_1_0 ? headers.has_token("Connection", "keep-alive")
                                          : !headers.has_token("Connection", "close");
  const std::size_t lengths = headers.count("Content-Length");
  const std::size_t codings = headers.count("Transfer-Encoding");
  head_bytes_ = 0;
  if (codings > 0) {
    if (lengths > 0 || request_.http_1_0) return HttpError::BadLength;
    if (codings > 1 || !equals_ignoring_case(*headers.find("Transfer-Encoding"), "chunked"))
      return HttpError::UnknownTransferEncoding;
    state_ = State::ChunkSize;
  } else if (lengths > 0) {
    const std::string_view text = *headers.find("Content-Length");
    const std::optional<std::uint64_t> length = parse_number(text, 10);
    if (lengths > 1 || !length) return HttpError::BadLength;
    if (*length > limits_.body_bytes_max) return HttpError::BodyTooLarge;
    left_ = *length;
    state_ = left_ == 0 ? State::Done : State::Body;
  } else {
    state_ = State::Done;
  }
  wants_continue_ =
      state_ != State::Done && !request_.http_1_0 && headers.has_token("Expect", "100-continue");
  return std::nullopt;
}

std::optional<HttpError> HttpRequestParser::chunk_size_line() {
  const std::string_view line = line_;
  const std::size_t end = std::min(line.find(';'), line.size());
  std::string_view digits = line.substr(0, end);
  if (end < line.size()) {
    // Extensions are ignored, but what they may not hold is refused.
    if (!is_http_field_value(line.substr(end))) return HttpError::BadChunk;
    digits = trim(digits);
  }
  const std::optional<std::uint64_t> size =
      digits.size() > 16 ? std::nullopt : parse_number(digits, 16);
  if (!size) return HttpError::BadChunk;
  if (*size > limits_.body_bytes_max - request_.body.size()) return HttpError::BodyTooLarge;
  left_ = *size;
  state_ = left_ == 0 ? State::Trailer : State::ChunkData;
  head_bytes_ = 0;
  return std::nullopt;
}

bool HttpRequestParser::take_continue() {
  return std::exchange(wants_continue_, false);
}

HttpRequest HttpRequestParser::take() {
  CHECK(done());
  HttpRequest out = std::move(request_);
  *this = HttpRequestParser(limits_);
  return out;
}

std::string encode_response(const HttpResponse& response, bool keep_alive, bool head_only) {
  std::string out;
  out.reserve(256 + response.body.size());
  append_status_line(out, response.status);
  append_fields(out, response.headers);
  if (status_has_body(response.status)) {
    out.append("Content-Length: ").append(std::to_string(response.body.size())).append("\r\n");
  }
  out.append(keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
  if (!head_only && status_has_body(response.status)) out.append(response.body);
  return out;
}

std::string encode_stream_head(int status, const HttpHeaders& headers, bool keep_alive,
                               bool chunked) {
  std::string out;
  append_status_line(out, status);
  append_fields(out, headers);
  if (chunked) out.append("Transfer-Encoding: chunked\r\n");
  out.append(keep_alive && chunked ? "Connection: keep-alive\r\n\r\n"
                                   : "Connection: close\r\n\r\n");
  return out;
}

void append_chunk(std::string& out, std::string_view bytes) {
  if (bytes.empty()) return;
  std::array<char, 16> digits{};
  const auto written =
      std::to_chars(digits.data(), digits.data() + digits.size(), bytes.size(), 16);
  out.append(digits.data(), written.ptr).append("\r\n").append(bytes).append("\r\n");
}

}  // namespace nostril::net
