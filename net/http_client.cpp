#include "net/http_client.h"

#include "base/check.h"
#include "net/url.h"

#include <curl/curl.h>

#include <uv.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril::net {

std::string_view to_string(HttpCallError error) {
  switch (error) {
    case HttpCallError::None:
      return "ok";
    case HttpCallError::BadUrl:
      return "bad URL";
    case HttpCallError::Connect:
      return "cannot connect";
    case HttpCallError::Tls:
      return "TLS failed";
    case HttpCallError::ConnectTimeout:
      return "connecting timed out";
    case HttpCallError::FirstByteTimeout:
      return "no answer in time";
    case HttpCallError::IdleTimeout:
      return "answer stalled";
    case HttpCallError::TooLarge:
      return "answer too large";
    case HttpCallError::Protocol:
      return "bad HTTP answer";
    case HttpCallError::Broken:
      return "connection broken";
    case HttpCallError::TooManyCalls:
      return "too many calls under way";
  }
  return "unknown";
}

namespace {

HttpCallError error_of(CURLcode code) {
  switch (code) {
    case CURLE_OK:
      return HttpCallError::None;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return HttpCallError::BadUrl;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return HttpCallError::Connect;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
      return HttpCallError::Tls;
    case CURLE_OPERATION_TIMEDOUT:
      return HttpCallError::ConnectTimeout;  // the only time-out left to libcurl
    case CURLE_WEIRD_SERVER_REPLY:
      return HttpCallError::Protocol;
    default:
      return HttpCallError::Broken;
  }
}

/// The peer's own certificate: the first of those it showed.
std::string peer_certificate_of(CURL* easy) {
  curl_certinfo* info = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == nullptr) return {};
  if (info->num_of_certs < 1) return {};
  constexpr std::string_view kField = "Cert:";
  for (const curl_slist* line = info->certinfo[0]; line != nullptr; line = line->next) {
    const std::string_view text = line->data;
    if (text.substr(0, kField.size()) == kField) return std::string(text.substr(kField.size()));
  }
  return {};
}

}  // namespace

struct HttpClient::Impl {
  struct Watch {
    uv_poll_t handle{};
    Impl* client = nullptr;
    curl_socket_t fd = CURL_SOCKET_BAD;
    int events = 0;        ///< that libcurl wants to know of
    bool resting = false;  ///< and is not told of
  };

  struct Call {
    Impl* client = nullptr;
    CallId id = CallId::None;
    HttpCall call;
    HttpCallbacks callbacks;
    CURL* easy = nullptr;
    curl_slist* fields = nullptr;
    curl_slist* connect_to = nullptr;
    std::array<char, CURL_ERROR_SIZE> error_text{};
    HttpHeaders headers;
    int status = 0;
    std::size_t head_bytes = 0;
    std::size_t body_bytes = 0;
    std::uint64_t heard_ms = 0;
    TimerId timer = TimerId::None;
    HttpCallError error = HttpCallError::None;  // ours, before libcurl's
    std::string detail;
    std::string peer_certificate;
    bool added = false;
    bool head_done = false;
    bool paused = false;
    bool cancelled = false;
    Watch* watch = nullptr;  ///< of its socket, while there is one

    Call() = default;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    Call(Call&&) = delete;
    Call& operator=(Call&&) = delete;

    ~Call() {
      if (easy != nullptr) curl_easy_cleanup(easy);
      curl_slist_free_all(fields);
      curl_slist_free_all(connect_to);
    }
  };

  Impl(Loop& the_loop, std::size_t calls_max);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;

  CallId start(HttpCall call, HttpCallbacks callbacks);
  void begin(CallId id);
  void set_up(Call& call, const Url& url);
  void fail(Call& call, HttpCallError error, std::string detail);
  void finish(CallId id, HttpCallError error, std::string detail);
  void forget(CallId id);
  void later(Loop::Task task);
  void act(curl_socket_t fd, int events);
  void reap();
  void watch_time(Call& call);
  void on_time(CallId id);
  Call* find(CallId id);

  static std::size_t on_head(char* data, std::size_t size, std::size_t count, void* user) noexcept;
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) noexcept;
  std::size_t head_line(Call& call, std::string_view line);
  std::size_t body_piece(Call& call, std::string_view bytes);
  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* user,
                       void* socket_user) noexcept;
  static int on_timer(CURLM*, long wait_ms, void* user) noexcept;
  void set_watch(Call* call, curl_socket_t fd, int what, Watch* watch);
  static void listen(Watch& watch);
  static void close_watch(Watch* watch);

  Loop& loop;
  std::size_t calls_count_max;
  CURLM* multi = nullptr;
  std::unordered_map<CallId, std::unique_ptr<Call>> calls;
  std::vector<Watch*> watches;  // owned by their uv handles
  TimerId curl_timer = TimerId::None;
  TimerId later_timer = TimerId::None;
  std::vector<Loop::Task> later_tasks;
  std::uint64_t next_id = 1;
};

HttpClient::Impl::Impl(Loop& the_loop, std::size_t calls_max)
    : loop(the_loop), calls_count_max(calls_max) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(kReady == CURLE_OK);
  multi = curl_multi_init();
  CHECK(multi != nullptr);
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
}

HttpClient::Impl::~Impl() {
  CHECK(loop.on_loop_thread());
  for (auto& [id, call] : calls) {
    loop.cancel(call->timer);
    if (call->added) curl_multi_remove_handle(multi, call->easy);
  }
  calls.clear();
  curl_multi_cleanup(multi);
  while (!watches.empty()) close_watch(watches.back());
  loop.cancel(curl_timer);
  loop.cancel(later_timer);
}

HttpClient::Impl::Call* HttpClient::Impl::find(CallId id) {
  const auto found = calls.find(id);
  return found == calls.end() || found->second->cancelled ? nullptr : found->second.get();
}

// libcurl may not be entered from its own callbacks, and ours must not be called from start(): both
// wait for this.
void HttpClient::Impl::later(Loop::Task task) {
  later_tasks.push_back(std::move(task));
  if (later_timer != TimerId::None) return;
  later_timer = loop.after(0, [this] {
    later_timer = TimerId::None;
    for (const Loop::Task& each : std::exchange(later_tasks, {})) each();
  });
}

CallId HttpClient::Impl::start(HttpCall call, HttpCallbacks callbacks) {
  CHECK(loop.on_loop_thread());
  const CallId id{next_id++};
  auto made = std::make_unique<Call>();
  made->client = this;
  made->id = id;
  made->call = std::move(call);
  made->callbacks = std::move(callbacks);
  const bool full = calls.size() >= calls_count_max;
  calls.emplace(id, std::move(made));
  if (full) {
    later([this, id] { finish(id, HttpCallError::TooManyCalls, {}); });
  } else {
    later([this, id] { begin(id); });
  }
  return id;
}

void HttpClient::Impl::begin(CallId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  const Result<Url, UrlError> url = parse_url(call->call.url);
  if (!url || (url->scheme != UrlScheme::Http && url->scheme != UrlScheme::Https)) {
    finish(id, HttpCallError::BadUrl,
           url ? "not http or https" : std::string(to_string(url.error())));
    return;
  }
  set_up(*call, *url);
  call->heard_ms = loop.now_ms();
  CHECK(curl_multi_add_handle(multi, call->easy) == CURLM_OK);
  call->added = true;
  watch_time(*call);
}

void HttpClient::Impl::set_up(Call& call, const Url& url) {
  const HttpCall& wanted = call.call;
  CURL* easy = curl_easy_init();
  CHECK(easy != nullptr);
  call.easy = easy;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &call);
  curl_easy_setopt(easy, CURLOPT_URL, url.to_string().c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(wanted.connect_ms_max));
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call.error_text.data());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
  if (wanted.wants_peer_certificate) curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);
  if (!wanted.unix_socket_path.empty())
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, wanted.unix_socket_path.c_str());
  if (!wanted.connect_to.empty()) {
    call.connect_to = curl_slist_append(nullptr, ("::" + wanted.connect_to).c_str());
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, call.connect_to);
  }
  if (!wanted.ca_path.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, wanted.ca_path.c_str());
  if (wanted.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else {
    if (!wanted.body.empty() || wanted.method == "POST") {
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(wanted.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, wanted.body.c_str());
    }
    CHECK(is_http_token(wanted.method));
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, wanted.method.c_str());
  }
  for (const HttpHeader& field : wanted.headers.fields()) {
    CHECK(is_http_token(field.name) && is_http_field_value(field.value));
    // "Name;" is libcurl's way to send a field without a value.
    const std::string line =
        field.value.empty() ? field.name + ";" : field.name + ": " + field.value;
    call.fields = curl_slist_append(call.fields, line.c_str());
  }
  call.fields =
      curl_slist_append(call.fields, "Expect:");  // no second of waiting before a large body
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call.fields);
}

std::size_t HttpClient::Impl::on_head(char* data, std::size_t size, std::size_t count,
                                      void* user) noexcept {
  auto* call = static_cast<Call*>(user);
  return call->client->head_line(*call, {data, size * count});
}

std::size_t HttpClient::Impl::on_body(char* data, std::size_t size, std::size_t count,
                                      void* user) noexcept {
  auto* call = static_cast<Call*>(user);
  return call->client->body_piece(*call, {data, size * count});
}

// A number other than the one offered makes libcurl end the transfer.
std::size_t HttpClient::Impl::head_line(Call& call, std::string_view line) {
  const std::size_t offered = line.size();
  if (call.cancelled) return 0;
  if (call.head_done) return offered;  // trailers
  call.head_bytes += offered;
  if (call.head_bytes > call.call.response_head_bytes_max) {
    fail(call, HttpCallError::TooLarge, "answer head too large");
    return 0;
  }
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.empty()) {
    if (call.status < 200) {  // an interim answer: the real one follows
      call.headers = {};
      return offered;
    }
    call.head_done = true;
    if (call.call.wants_peer_certificate) call.peer_certificate = peer_certificate_of(call.easy);
    call.heard_ms = loop.now_ms();
    loop.cancel(call.timer);
    watch_time(call);
    if (call.callbacks.on_status) call.callbacks.on_status(call.status, call.headers);
    return call.cancelled ? 0 : offered;
  }
  if (line.substr(0, 5) == "HTTP/") {
    const std::string_view digits = line.substr(std::min(line.find(' ') + 1, line.size()), 3);
    call.status = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), call.status);
    call.headers = {};
    return offered;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return offered;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  call.headers.add(std::string(line.substr(0, colon)), std::string(value));
  return offered;
}

std::size_t HttpClient::Impl::body_piece(Call& call, std::string_view bytes) {
  if (call.cancelled) return 0;
  if (call.paused) return CURL_WRITEFUNC_PAUSE;  // offered again after resume()
  call.heard_ms = loop.now_ms();
  call.body_bytes += bytes.size();
  if (call.body_bytes > call.call.response_bytes_max) {
    fail(call, HttpCallError::TooLarge, "answer body too large");
    return 0;
  }
  if (call.callbacks.on_data && !call.callbacks.on_data(bytes)) call.paused = true;
  return call.cancelled ? 0 : bytes.size();
}

void HttpClient::Impl::fail(Call& call, HttpCallError error, std::string detail) {
  call.error = error;
  call.detail = std::move(detail);
}

// Only from outside libcurl.
void HttpClient::Impl::finish(CallId id, HttpCallError error, std::string detail) {
  Call* call = find(id);
  if (call == nullptr) return;
  const auto on_done = std::move(call->callbacks.on_done);
  HttpCallResult result{error, std::move(detail), std::move(call->peer_certificate)};
  forget(id);
  if (on_done) on_done(result);
}

// Removing an unfinished transfer closes its connection. Only from outside libcurl.
void HttpClient::Impl::forget(CallId id) {
  const auto found = calls.find(id);
  if (found == calls.end()) return;
  Call& call = *found->second;
  loop.cancel(call.timer);
  if (call.added) curl_multi_remove_handle(multi, call.easy);
  calls.erase(found);
}

void HttpClient::Impl::watch_time(Call& call) {
  const std::uint64_t limit = call.head_done ? call.call.idle_ms_max : call.call.first_byte_ms_max;
  const std::uint64_t now = loop.now_ms();
  const std::uint64_t due = call.heard_ms + limit;
  call.timer = loop.after(due > now ? due - now : 1, [this, id = call.id] { on_time(id); });
}

void HttpClient::Impl::on_time(CallId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  call->timer = TimerId::None;
  if (call->paused) call->heard_ms = loop.now_ms();  // the silence is ours
  const std::uint64_t limit =
      call->head_done ? call->call.idle_ms_max : call->call.first_byte_ms_max;
  if (loop.now_ms() - std::min(loop.now_ms(), call->heard_ms) < limit) {
    watch_time(*call);
    return;
  }
  finish(id, call->head_done ? HttpCallError::IdleTimeout : HttpCallError::FirstByteTimeout, {});
}

void HttpClient::Impl::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi, fd, events, &running);
  reap();
}

void HttpClient::Impl::reap() {
  std::vector<std::pair<CallId, CURLcode>> over;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Call* call = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
    over.emplace_back(call->id, message->data.result);
  }
  for (const auto& [id, code] : over) {
    const auto found = calls.find(id);
    if (found == calls.end()) continue;
    Call& call = *found->second;
    if (call.cancelled) {
      forget(id);
    } else if (call.error != HttpCallError::None) {
      finish(id, call.error, call.detail);
    } else if (code == CURLE_OK && !call.head_done) {
      finish(id, HttpCallError::Protocol, "no HTTP answer");
    } else {
      finish(id, error_of(code),
             code == CURLE_OK ? std::string() : std::string(call.error_text.data()));
    }
  }
}

int HttpClient::Impl::on_timer(CURLM*, long wait_ms, void* user) noexcept {
  auto* self = static_cast<Impl*>(user);
  self->loop.cancel(std::exchange(self->curl_timer, TimerId::None));
  if (wait_ms < 0) return 0;
  self->curl_timer = self->loop.after(static_cast<std::uint64_t>(wait_ms), [self] {
    self->curl_timer = TimerId::None;
    self->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

int HttpClient::Impl::on_socket(CURL* easy, curl_socket_t fd, int what, void* user,
                                void* socket_user) noexcept {
  Call* call = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
  static_cast<Impl*>(user)->set_watch(call, fd, what, static_cast<Watch*>(socket_user));
  return 0;
}

void HttpClient::Impl::set_watch(Call* call, curl_socket_t fd, int what, Watch* watch) {
  if (what == CURL_POLL_REMOVE) {
    if (watch != nullptr) close_watch(watch);
    return;
  }
  if (watch == nullptr) {
    auto made = std::make_unique<Watch>();
    made->client = this;
    made->fd = fd;
    made->handle.data = made.get();
    CHECK(uv_poll_init_socket(loop.uv(), &made->handle, fd) == 0);
    watch = made.release();
    watches.push_back(watch);
    curl_multi_assign(multi, fd, watch);
  }
  if (call != nullptr) call->watch = watch;
  watch->events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) |
                  ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
  if (!watch->resting) listen(*watch);
}

void HttpClient::Impl::listen(Watch& watch) {
  uv_poll_start(&watch.handle, watch.events, [](uv_poll_t* handle, int status, int ready) noexcept {
    const auto* self = static_cast<Watch*>(handle->data);
    int action = 0;
    if (status < 0) action |= CURL_CSELECT_ERR;
    if ((ready & UV_READABLE) != 0) action |= CURL_CSELECT_IN;
    if ((ready & UV_WRITABLE) != 0) action |= CURL_CSELECT_OUT;
    self->client->act(self->fd, action);
  });
}

void HttpClient::Impl::close_watch(Watch* watch) {
  for (auto& [id, call] : watch->client->calls) {
    if (call->watch == watch) call->watch = nullptr;
  }
  auto& all = watch->client->watches;
  all.erase(std::remove(all.begin(), all.end(), watch), all.end());
  uv_poll_stop(&watch->handle);
  uv_close(reinterpret_cast<uv_handle_t*>(&watch->handle), [](uv_handle_t* handle) noexcept {
    const std::unique_ptr<Watch> owned(static_cast<Watch*>(handle->data));
  });
}

HttpClient::HttpClient(Loop& loop, std::size_t calls_count_max)
    : impl_(std::make_unique<Impl>(loop, calls_count_max)) {}

HttpClient::~HttpClient() = default;

CallId HttpClient::start(HttpCall call, HttpCallbacks callbacks) {
  return impl_->start(std::move(call), std::move(callbacks));
}

void HttpClient::cancel(CallId id) {
  CHECK(impl_->loop.on_loop_thread());
  Impl::Call* call = impl_->find(id);
  if (call == nullptr) return;
  call->cancelled = true;
  impl_->later([impl = impl_.get(), id] { impl->forget(id); });
}

void HttpClient::resume(CallId id) {
  CHECK(impl_->loop.on_loop_thread());
  impl_->later([impl = impl_.get(), id] {
    Impl::Call* call = impl->find(id);
    if (call == nullptr || !call->paused) return;
    call->paused = false;
    call->heard_ms = impl->loop.now_ms();
    curl_easy_pause(call->easy, CURLPAUSE_CONT);
    impl->act(CURL_SOCKET_TIMEOUT, 0);
  });
}

void HttpClient::rest(CallId id, bool resting) {
  CHECK(impl_->loop.on_loop_thread());
  Impl::Call* call = impl_->find(id);
  if (call == nullptr || call->watch == nullptr || call->watch->resting == resting) return;
  call->watch->resting = resting;
  if (resting) {
    uv_poll_stop(&call->watch->handle);
  } else {
    Impl::listen(*call->watch);
  }
}

std::size_t HttpClient::calls_under_way() const {
  return static_cast<std::size_t>(
      std::count_if(impl_->calls.begin(), impl_->calls.end(),
                    [](const auto& entry) { return !entry.second->cancelled; }));
}

}  // namespace nostril::net
