#include "net/loop.h"

#include "base/check.h"
#include "base/log.h"
#include "base/thread_turns.h"

#include <fcntl.h>
#include <libwebsockets.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril::net {

int raw_socket_callback(lws* wsi, lws_callback_reasons reason, void* user, void* in,
                        std::size_t bytes);

namespace {

// libwebsockets sends at most this much of one lws_write and copies the rest: larger than what we
// hand it.
constexpr std::size_t kTxPacketBytes = 256 << 10;
// One read of one socket.
constexpr unsigned kReadBytesMax = 64 << 10;
// Of a loop's thread: its turns are short.
constexpr std::chrono::microseconds kSlice{400};
// Work without a rest until the loop gives way to others; and what counts as one.
constexpr std::uint64_t kAwakeNsMax = 200'000;
constexpr std::uint64_t kRestNs = 20'000;
constexpr int kDestroyTurnsMax = 30'000;

// Creating and destroying a context touches libwebsockets' process-wide state (plug-in list, log
// level); and no loop begins, which opens descriptors, while another ends (see occupy).
std::mutex& context_mutex() {
  static std::mutex mutex;
  return mutex;
}

void emit_lws_log(int level, const char* line) {
  std::string_view text(line);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  log_line(level == LLL_ERR ? LogLevel::Warning : LogLevel::Debug, public_text(text));
}

// libwebsockets 4.1 closes the descriptor of a context's event pipe twice: in lws_context_destroy,
// and again when libuv has closed its watcher. Between the two another thread may have been given
// the number. On a loop that has no sockets yet the watcher is the only one.
int event_pipe_of_new_context(uv_loop_t* uv) {
  int descriptor = -1;
  uv_walk(
      uv,
      [](uv_handle_t* handle, void* found) noexcept {
        if (uv_handle_get_type(handle) != UV_POLL) return;
        CHECK(*static_cast<int*>(found) == -1);
        CHECK(uv_fileno(handle, static_cast<int*>(found)) == 0);
      },
      &descriptor);
  CHECK(descriptor != -1);
  return descriptor;
}

// Takes the number before anybody else does, so that the second close finds ours. False: too late.
bool occupy(int descriptor, int any_open) {
  const int taken = fcntl(any_open, F_DUPFD_CLOEXEC, descriptor);
  if (taken != descriptor && taken != -1) close(taken);
  return taken == descriptor;
}

template <typename Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace

// What the loop's thread has done with its time so far.
struct ThreadTimes {
  std::uint64_t clock_ns = 0;
  std::uint64_t idle_ns = 0;    // waiting for something to do
  std::uint64_t worked_ns = 0;  // on a processor

  // Without `worked_ns`, which is dear: 0.4 us.
  static ThreadTimes now(uv_loop_t& uv) { return {uv_hrtime(), uv_metrics_idle_time(&uv), 0}; }

  static ThreadTimes now_with_work(uv_loop_t& uv) {
    ThreadTimes out = now(uv);
    timespec worked{};
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &worked) == 0);
    out.worked_ns = static_cast<std::uint64_t>(worked.tv_sec) * 1'000'000'000U +
                    static_cast<std::uint64_t>(worked.tv_nsec);
    return out;
  }
};

struct Loop::Impl {
  struct Timer {
    uv_timer_t handle{};
    Impl* loop = nullptr;
    TimerId id = TimerId::None;
    Task task;
    bool repeats = false;
  };

  struct Signal {
    uv_signal_t handle{};
    Task task;
  };

  explicit Impl(LoopLimits loop_limits) : limits(loop_limits) {}

  void drain_posts();
  void end_turn();
  void give_way_when_due();
  bool destroy_context();  // false: it must not be freed
  void close_timer(Timer* timer);
  TimerId start_timer(std::uint64_t first_ms, std::uint64_t period_ms, Task task);
  static void on_timer(uv_timer_t* handle);

  LoopLimits limits;
  uv_loop_t uv{};
  uv_async_t wake{};
  uv_prepare_t prepare{};
  lws_context* context = nullptr;
  int event_pipe = -1;  // the context's own
  lws_vhost* vhost = nullptr;
  std::atomic<std::thread::id> running_thread{};
  std::atomic<bool> stopping{false};
  std::uint64_t next_id = 1;
  std::unordered_map<TimerId, Timer*> timers;
  std::map<HookId, Task> hooks;
  HookId hook_running = HookId::None;  // hooks before it have run in this turn's end
  ThreadTimes turn_ended;
  std::uint64_t awake_ns = 0;  // by then, without a rest
  ThreadTimes stolen_asked;    // with work; or when the loop gave way last
  std::vector<std::unique_ptr<Signal>> signals;

  std::mutex mutex;
  std::vector<Task> posts;  // guarded by mutex
  std::vector<Task> batch;  // the loop's part of the queue, posts_a_turn_max run a turn
  std::size_t batch_next = 0;
  std::atomic<std::size_t> posts_count{0};
};

Loop::Loop(LoopLimits limits) : impl_(std::make_unique<Impl>(limits)) {
  static std::once_flag log_once;
  std::call_once(log_once, [] {
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_lws_log);
    // A peer that leaves while we write is an error code, never a signal. An application that
    // handles it itself goes on doing so.
    struct sigaction now {};
    CHECK(sigaction(SIGPIPE, nullptr, &now) == 0);
    if (now.sa_handler != SIG_DFL) return;
    if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) throw std::runtime_error("cannot ignore SIGPIPE");
  });
  Impl& self = *impl_;
  const std::lock_guard lock(context_mutex());
  if (uv_loop_init(&self.uv) != 0) throw std::runtime_error("cannot create an event loop");
  CHECK(uv_loop_configure(&self.uv, UV_METRICS_IDLE_TIME) == 0);
  self.uv.data = &self;
  CHECK(uv_async_init(&self.uv, &self.wake, [](uv_async_t* handle) noexcept {
          static_cast<Impl*>(handle->data)->drain_posts();
        }) == 0);
  self.wake.data = &self;
  CHECK(uv_prepare_init(&self.uv, &self.prepare) == 0);
  self.prepare.data = &self;
  CHECK(uv_prepare_start(&self.prepare, [](uv_prepare_t* handle) noexcept {
          static_cast<Impl*>(handle->data)->end_turn();
        }) == 0);

  static const lws_protocols kProtocols[] = {
      {"raw", raw_socket_callback, 0, 0, 0, nullptr, kTxPacketBytes},
      {nullptr, nullptr, 0, 0, 0, nullptr, 0},
  };
  void* foreign_loops[1] = {&self.uv};
  lws_context_creation_info info{};
  info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
  info.protocols = kProtocols;
  info.foreign_loops = foreign_loops;
  info.user = this;
  info.gid = -1;
  info.uid = -1;
  info.pt_serv_buf_size = kReadBytesMax;
  info.options = LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                 LWS_SERVER_OPTION_LIBUV;
  // Without it libwebsockets does not fail but crash.
  if (::access("/dev/urandom", R_OK) != 0) {
    throw std::runtime_error("/dev/urandom can't be read: is there no /dev in this container?");
  }
  self.context = lws_create_context(&info);
  if (self.context == nullptr) {
    throw std::runtime_error(
        "libwebsockets cannot start (is its libuv plug-in, libwebsockets-evlib-uv, installed?)");
  }
  self.event_pipe = event_pipe_of_new_context(&self.uv);
  self.vhost = lws_create_vhost(self.context, &info);
  if (self.vhost == nullptr) throw std::runtime_error("libwebsockets cannot create a vhost");
}

Loop::~Loop() {
  Impl& self = *impl_;
  CHECK(on_loop_thread());
  self.hooks.clear();
  if (!self.destroy_context()) {
    log(LogLevel::Warning, "an event loop's memory is kept: its descriptor was taken");
    static_cast<void>(impl_.release());
    return;
  }
  while (!self.timers.empty()) self.close_timer(self.timers.begin()->second);
  for (auto& signal : self.signals) uv_close(as_handle(&signal->handle), nullptr);
  uv_close(as_handle(&self.wake), nullptr);
  uv_close(as_handle(&self.prepare), nullptr);
  // A name look-up under way can't be stopped: wait for it.
  for (int turn = 0; turn < kDestroyTurnsMax && uv_run(&self.uv, UV_RUN_NOWAIT) != 0; ++turn) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(uv_loop_close(&self.uv) == 0);  // whoever borrowed the loop must be gone
}

bool Loop::Impl::destroy_context() {
  const std::lock_guard lock(context_mutex());
  const auto turns = [this] {
    for (int turn = 0; turn < 8; ++turn) uv_run(&uv, UV_RUN_NOWAIT);
  };
  lws_vhost_destroy(vhost);  // with all sockets
  turns();
  // Twice, as libwebsockets wants it on a foreign libuv loop: the first call closes its timers and
  // its event pipe, the loop finishes that, the second call frees.
  lws_context_destroy(context);
  if (!occupy(event_pipe, uv_backend_fd(&uv))) return false;
  turns();
  lws_context_destroy(context);
  return true;
}

void Loop::run() {
  Impl& self = *impl_;
  std::thread::id nobody{};
  CHECK(self.running_thread.compare_exchange_strong(nobody, std::this_thread::get_id()));
  (void)set_thread_slice(kSlice);
  self.turn_ended = self.stolen_asked = ThreadTimes::now_with_work(self.uv);
  // What was posted while the last run stopped is still there, and its wake-up was used up then.
  wake();
  if (!self.stopping.load()) uv_run(&self.uv, UV_RUN_DEFAULT);
  self.end_turn();
  self.stopping.store(false);
  self.running_thread.store(std::thread::id{});
}

void Loop::stop() {
  impl_->stopping.store(true);
  wake();
}

bool Loop::post(Task task) {
  Impl& self = *impl_;
  bool first = false;
  {
    const std::lock_guard lock(self.mutex);
    if (self.posts_count.load(std::memory_order_relaxed) >= self.limits.posts_count_max)
      return false;
    self.posts_count.fetch_add(1, std::memory_order_relaxed);
    first = self.posts.empty();
    self.posts.push_back(std::move(task));
  }
  if (first) wake();
  return true;
}

bool Loop::on_loop_thread() const {
  const std::thread::id running = impl_->running_thread.load();
  return running == std::thread::id{} || running == std::this_thread::get_id();
}

void Loop::Impl::drain_posts() {
  if (stopping.load()) {
    uv_stop(&uv);
    return;
  }
  for (std::size_t done = 0; done < limits.posts_a_turn_max; ++done) {
    if (batch_next == batch.size()) {
      batch.clear();
      batch_next = 0;
      const std::lock_guard lock(mutex);
      batch.swap(posts);
    }
    if (batch.empty()) return;
    const Task task = std::move(batch[batch_next++]);
    posts_count.fetch_sub(1, std::memory_order_relaxed);
    task();
  }
  uv_async_send(&wake);
}

void Loop::Impl::end_turn() {
  // A hook may add or remove hooks: look each one up by its id.
  for (auto it = hooks.begin(); it != hooks.end();) {
    const HookId id = it->first;
    const Task hook = it->second;
    hook_running = id;
    hook();
    it = hooks.upper_bound(id);
  }
  hook_running = HookId::None;
  give_way_when_due();
}

// A loop that has something to do without end would run until the scheduler's next tick: so long
// would wait who has something for it.
void Loop::Impl::give_way_when_due() {
  const ThreadTimes now = ThreadTimes::now(uv);
  const std::uint64_t rested_ns = now.idle_ns - turn_ended.idle_ns;
  const std::uint64_t passed_ns = now.clock_ns - turn_ended.clock_ns;
  awake_ns = passed_ns - std::min(passed_ns, rested_ns) + (rested_ns < kRestNs ? awake_ns : 0);
  turn_ended = now;
  if (awake_ns < kAwakeNsMax) return;
  give_way();
  awake_ns = 0;
  turn_ended = stolen_asked = ThreadTimes::now_with_work(uv);
}

std::int64_t Loop::idle_us() const {
  return static_cast<std::int64_t>(uv_metrics_idle_time(&impl_->uv) / 1'000);
}

std::int64_t Loop::take_stolen_us() {
  CHECK(on_loop_thread());
  const ThreadTimes now = ThreadTimes::now_with_work(impl_->uv);
  const ThreadTimes before = std::exchange(impl_->stolen_asked, now);
  const std::uint64_t own_ns = now.idle_ns - before.idle_ns + now.worked_ns - before.worked_ns;
  const std::uint64_t passed_ns = now.clock_ns - before.clock_ns;
  return static_cast<std::int64_t>((passed_ns - std::min(passed_ns, own_ns)) / 1'000);
}

void Loop::Impl::on_timer(uv_timer_t* handle) {
  auto* timer = static_cast<Timer*>(handle->data);
  if (timer->repeats) {
    const Task task = timer->task;  // the task may cancel its own timer
    task();
    return;
  }
  const Task task = std::move(timer->task);
  timer->loop->close_timer(timer);
  task();
}

void Loop::Impl::close_timer(Timer* timer) {
  timers.erase(timer->id);
  uv_close(as_handle(&timer->handle), [](uv_handle_t* handle) noexcept {
    const std::unique_ptr<Timer> owned(static_cast<Timer*>(handle->data));
  });
}

TimerId Loop::Impl::start_timer(std::uint64_t first_ms, std::uint64_t period_ms, Task task) {
  auto timer = std::make_unique<Timer>();
  timer->loop = this;
  timer->id = TimerId{next_id++};
  timer->task = std::move(task);
  timer->repeats = period_ms != 0;
  CHECK(uv_timer_init(&uv, &timer->handle) == 0);
  timer->handle.data = timer.get();
  CHECK(uv_timer_start(
            &timer->handle, [](uv_timer_t* handle) noexcept { on_timer(handle); }, first_ms,
            period_ms) == 0);
  const TimerId id = timer->id;
  timers.emplace(id, timer.get());
  static_cast<void>(timer.release());  // owned by its uv handle until the close callback
  return id;
}

TimerId Loop::after(std::uint64_t delay_ms, Task task) {
  CHECK(on_loop_thread());
  // The loop's idea of now is as old as this turn: without this a timer could run out early.
  uv_update_time(&impl_->uv);
  return impl_->start_timer(delay_ms, 0, std::move(task));
}

TimerId Loop::every(std::uint64_t period_ms, Task task) {
  CHECK(on_loop_thread() && period_ms >= 1);
  return impl_->start_timer(period_ms, period_ms, std::move(task));
}

void Loop::cancel(TimerId id) {
  CHECK(on_loop_thread());
  const auto found = impl_->timers.find(id);
  if (found != impl_->timers.end()) impl_->close_timer(found->second);
}

HookId Loop::on_turn_end(Task hook) {
  CHECK(on_loop_thread());
  const HookId id{impl_->next_id++};
  impl_->hooks.emplace(id, std::move(hook));
  return id;
}

void Loop::remove_turn_end(HookId id) {
  CHECK(on_loop_thread());
  impl_->hooks.erase(id);
}

bool Loop::hook_has_begun(HookId id) const {
  return impl_->hook_running >= id;
}

void Loop::wake() {
  uv_async_send(&impl_->wake);
}

void Loop::on_signal(int signal_number, Task task) {
  CHECK(on_loop_thread());
  auto signal = std::make_unique<Impl::Signal>();
  signal->task = std::move(task);
  CHECK(uv_signal_init(&impl_->uv, &signal->handle) == 0);
  signal->handle.data = signal.get();
  CHECK(uv_signal_start(
            &signal->handle,
            [](uv_signal_t* handle, int) noexcept {
              static_cast<Impl::Signal*>(handle->data)->task();
            },
            signal_number) == 0);
  impl_->signals.push_back(std::move(signal));
}

std::uint64_t Loop::now_ms() const {
  return uv_now(&impl_->uv);
}

uv_loop_s* Loop::uv() {
  return &impl_->uv;
}

lws_vhost* Loop::vhost() {
  return impl_->vhost;
}

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

}  // namespace nostril::net
