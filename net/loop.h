#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

struct uv_loop_s;
struct lws_vhost;

namespace nostril::net {

enum class TimerId : std::uint64_t {
  None = 0,
};
enum class HookId : std::uint64_t { None = 0 };

struct LoopLimits {
  /// Tasks posted and not yet run. At the bound post() refuses. One task costs about 64 bytes and
  /// what it holds.
  std::size_t posts_count_max = 65'536;
  /// Tasks run in one turn, so that sockets get their share when other threads post without pause.
  std::size_t posts_a_turn_max = 4'096;
};

/// One thread's event loop: libuv with a libwebsockets context on top. Sockets, timers and tasks of
/// one thread live here; servers and clients borrow it and must be destroyed before it.
///
/// Threads: post(), stop() and on_loop_thread() from any. Everything else on the loop's thread only
/// (checked): that is the thread inside run(), or, while nobody is inside run(), the one thread
/// that sets the loop up or tears it down. Order of one turn: sockets and tasks -> timers ->
/// turn-end hooks -> wait.
class Loop {
 public:
  using Task = std::function<void()>;

  /// Throws std::runtime_error when the machine refuses (start-up only).
  explicit Loop(LoopLimits limits = {});
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  Loop(Loop&&) = delete;
  Loop& operator=(Loop&&) = delete;

  /// Runs until stop(). May be called again after it returned. The calling thread has a short slice
  /// from then on (base/thread_turns.h), and gives way to others while it has no rest.
  void run();
  /// Lets run() return at the end of the present turn; if called before run(), run() returns at
  /// once.
  void stop();

  /// Queues `task` for the loop thread. False when the queue is full: the caller keeps the trouble.
  [[nodiscard]] bool post(Task task);
  /// True on the thread inside run(); true for anybody while nobody is inside run().
  [[nodiscard]] bool on_loop_thread() const;

  /// Runs `task` once, not before `delay_ms` milliseconds from now.
  TimerId after(std::uint64_t delay_ms, Task task);
  /// Runs `task` each `period_ms` (at least 1) milliseconds.
  TimerId every(std::uint64_t period_ms, Task task);
  /// Forgets a timer. One that ran out, or None, is fine.
  void cancel(TimerId id);

  /// Runs `hook` once a turn, before the loop waits: the place to write what the turn gathered.
  HookId on_turn_end(Task hook);
  void remove_turn_end(HookId id);
  /// True when a turn is ending and this hook's part of it has begun or is over: what is queued for
  /// it now may need a wake(). Hooks run in the order in which they were added.
  [[nodiscard]] bool hook_has_begun(HookId id) const;
  /// Makes one more turn follow without waiting. Any thread.
  void wake();

  /// Runs `task` on the loop thread each time the process gets the signal. One loop of a process
  /// only.
  void on_signal(int signal_number, Task task);

  /// Milliseconds of a clock that never goes back, as of the start of this turn.
  [[nodiscard]] std::uint64_t now_ms() const;

  /// Of the time since this was last asked, or the loop last gave way to others: how long it had
  /// something to do and did nothing. Others had its processor, or it waited for the disk.
  [[nodiscard]] std::int64_t take_stolen_us();

  /// How long the loop has waited for something to do, in all.
  [[nodiscard]] std::int64_t idle_us() const;

  /// For net/ itself.
  [[nodiscard]] uv_loop_s* uv();
  [[nodiscard]] lws_vhost* vhost();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Raises the process's limit of open descriptors as far as it may go and returns it. Call before
/// the first Loop: libwebsockets sizes its tables (about 16 bytes a descriptor) when a loop is
/// made.
std::uint64_t raise_descriptor_limit();

}  // namespace nostril::net
