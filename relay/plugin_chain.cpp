#include "relay/plugin_chain.h"

#include "base/check.h"
#include "base/log.h"
#include "events/kinds.h"
#include "relay/plugin_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::int64_t kTickMs = 1'000;
constexpr std::int64_t kBackoffMsMin = 100;
constexpr std::int64_t kBackoffMsMax = 30'000;
constexpr std::int64_t kStopMsMax = 10'000;
/// Lines that wait for a process to read them.
constexpr std::size_t kToWriteBytesMax = 1 << 20;
constexpr std::size_t kReadBytesATurn = 256 << 10;
/// Of what a plugin says on its standard error, and of complaints about it.
constexpr std::size_t kLogLineBytesMax = 1'000;
constexpr int kLogLinesASecond = 20;
/// How often one event is given to processes that are then replaced.
constexpr unsigned kHandedMax = 3;

constexpr std::string_view kNoAnswer =
    "error: this relay's policy gives no answer now, try again later";

bool is_ephemeral(const Event& event) {
  return kind_class(event.kind) == KindClass::Ephemeral;
}

/// What the files that a command names looked like.
struct FileStamp {
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t changed_s = 0;
  std::int64_t changed_ns = 0;

  bool operator==(const FileStamp&) const = default;
};

std::vector<FileStamp> stamps_of(const std::vector<std::string>& command) {
  std::vector<FileStamp> out;
  for (const std::string& word : command) {
    struct stat info {};

    if (stat(word.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    out.push_back({info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec});
  }
  return out;
}

/// One event under judgement, with all who have sent it meanwhile.
struct Pending {
  std::vector<JudgedEvent> senders;  // at least one
  std::int64_t received_at_s = 0;
  std::int64_t waiting_since_ms = 0;
  std::size_t stage = 0;
  unsigned handed = 0;  // times, at this stage

  [[nodiscard]] const VerifiedEvent& event() const { return senders.front().event; }
};

/// So many lines a second, and how many were left out.
class LogGate {
 public:
  bool may_log(std::int64_t now_ms) {
    if (now_ms - second_began_ms_ >= kTickMs) {
      second_began_ms_ = now_ms;
      left_ = kLogLinesASecond;
    }
    if (left_ == 0) return false;
    --left_;
    return true;
  }

 private:
  std::int64_t second_began_ms_ = 0;
  int left_ = kLogLinesASecond;
};

/// Takes complete lines off the front. What remains is the begin of the next.
template <typename OnLine>
void take_lines(std::string& text, const OnLine& on_line) {
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    on_line(std::string_view(text).substr(begin, end - begin));
  }
  text.erase(0, begin);
}

}  // namespace

/// One of the plugins: its processes, and the events that are at it.
class PluginChain::Plugin {
 public:
  using Decided = std::function<void(Pending&, const Verdict&)>;

  Plugin(PluginOptions options, PluginMetrics& metrics, const Clock& clock, Decided decided)
      : options_(std::move(options)),
        name_(options_.command.front()),
        metrics_(metrics),
        clock_(clock),
        decided_(std::move(decided)),
        seats_(static_cast<std::size_t>(options_.processes)) {}

  [[nodiscard]] bool judges(const Event& event) const {
    return options_.judges_ephemeral || !is_ephemeral(event);
  }

  void add(Pending& pending) {
    pending.waiting_since_ms = clock_.monotonic_ms();
    pending.handed = 0;
    waiting_.push_back(&pending);
  }

  // What it waits for.
  void add_descriptors(std::vector<pollfd>& out) const;
  // Reads and writes all that can be.
  void move_bytes();
  void turn();
  [[nodiscard]] std::int64_t next_turn_ms() const;
  // No answer for anything that is here.
  void fail_all();

  void close_inputs() {
    for (Seat& seat : seats_) {
      if (seat.process) seat.process->close_input();
    }
  }

 private:
  struct Handed {
    Pending* pending;
    std::int64_t at_ms;
  };

  /// The place of one process, and of the next one there.
  struct Seat {
    std::unique_ptr<PluginProcess> process;  // nothing: to be started at start_at_ms
    std::vector<FileStamp> stamps;           // when it was started
    std::string to_write;
    std::string output;  // the begin of a line
    std::string errors;  // likewise
    bool skips_error_line = false;
    std::map<std::uint64_t, Handed> handed;  // by number, oldest first
    std::unordered_map<EventId, std::uint64_t, FixedBytesHash> numbers;
    std::uint64_t newest_answered = 0;
    std::int64_t oldest_since_ms = 0;
    bool others_answered = false;  // since then
    std::int64_t start_at_ms = 0;
    std::int64_t backoff_ms = kBackoffMsMin;
  };

  void start(Seat& seat);
  void end(Seat& seat, std::string_view why);
  void clear(Seat& seat);
  void replace(Seat& seat);
  void look_at_files();
  void read_output(Seat& seat);
  void read_errors(Seat& seat);
  void on_reply(Seat& seat, std::string_view line);
  void on_bad_line();
  std::optional<Handed> take(Seat& seat, const EventId& id);
  void check_time(Seat& seat);
  void deal_out();
  void hand(Seat& seat, Pending& pending);
  [[nodiscard]] Seat* free_seat();
  [[nodiscard]] bool is_down() const;
  void fail(Pending& pending);
  void log_errors(std::string_view line);

  const PluginOptions options_;
  const std::string name_;
  PluginMetrics& metrics_;
  const Clock& clock_;
  const Decided decided_;
  std::deque<Pending*> waiting_;
  std::vector<Seat> seats_;
  std::uint64_t next_number_ = 1;
  std::int64_t next_tick_ms_ = 0;
  std::vector<FileStamp> stamps_seen_;  // at the last tick
  LogGate log_gate_;
};

void PluginChain::Plugin::start(Seat& seat) {
  metrics_.starts.add();
  seat.stamps = stamps_of(options_.command);
  // Otherwise it is looked for in PATH, by the process itself.
  if (name_.find('/') != std::string::npos && access(name_.c_str(), X_OK) != 0) {
    log(LogLevel::Error, "plugin {}: there is no such program that may be run", public_text(name_));
  }
  auto process = PluginProcess::start(options_.command);
  if (process) {
    seat.process = std::move(*process);
    log(LogLevel::Info, "plugin {}: process {}", public_text(name_), seat.process->pid());
    return;
  }
  log(LogLevel::Error, "plugin {}: {}", public_text(name_), public_text(process.error()));
  seat.start_at_ms = clock_.monotonic_ms() + seat.backoff_ms;
  seat.backoff_ms = std::min(2 * seat.backoff_ms, kBackoffMsMax);
}

void PluginChain::Plugin::clear(Seat& seat) {
  seat.process->kill_now();
  seat.process.reset();
  seat.to_write.clear();
  seat.output.clear();
  seat.errors.clear();
  seat.skips_error_line = false;
  seat.handed.clear();
  seat.numbers.clear();
}

void PluginChain::Plugin::end(Seat& seat, std::string_view why) {
  const auto handed = std::exchange(seat.handed, {});
  log(LogLevel::Warning, "plugin {}: {}; {} events without an answer, next start in {} ms",
      public_text(name_), public_text(why), handed.size(), seat.backoff_ms);
  clear(seat);
  seat.start_at_ms = clock_.monotonic_ms() + seat.backoff_ms;
  seat.backoff_ms = std::min(2 * seat.backoff_ms, kBackoffMsMax);
  for (const auto& [number, one] : handed) fail(*one.pending);
}

// Nothing is wrong with it, but there is a newer one: it is asked what this one has not answered.
void PluginChain::Plugin::replace(Seat& seat) {
  log(LogLevel::Info, "plugin {}: its files have changed", public_text(name_));
  const auto handed = std::exchange(seat.handed, {});
  clear(seat);
  std::vector<Pending*> again;
  std::vector<Pending*> given_up;
  for (const auto& [number, one] : handed) {
    (one.pending->handed < kHandedMax ? again : given_up).push_back(one.pending);
  }
  waiting_.insert(waiting_.begin(), again.begin(), again.end());
  start(seat);
  for (Pending* pending : given_up) fail(*pending);
}

// Twice the same: nobody is writing them.
void PluginChain::Plugin::look_at_files() {
  const auto stamps = stamps_of(options_.command);
  if (stamps == std::exchange(stamps_seen_, stamps)) {
    for (Seat& seat : seats_) {
      if (seat.process && seat.stamps != stamps) replace(seat);
    }
  }
}

void PluginChain::Plugin::fail(Pending& pending) {
  metrics_.failed.add();
  if (options_.accepts_on_failure) {
    decided_(pending, {PluginAction::Accept, {}});
  } else {
    decided_(pending, {PluginAction::Reject, std::string(kNoAnswer)});
  }
}

void PluginChain::Plugin::fail_all() {
  std::vector<Pending*> all(waiting_.begin(), waiting_.end());
  waiting_.clear();
  for (Seat& seat : seats_) {
    for (const auto& [number, one] : seat.handed) all.push_back(one.pending);
    seat.handed.clear();
    seat.numbers.clear();
  }
  for (Pending* pending : all) fail(*pending);
}

// --- Bytes.

void PluginChain::Plugin::add_descriptors(std::vector<pollfd>& out) const {
  for (const Seat& seat : seats_) {
    if (!seat.process) continue;
    out.push_back({seat.process->output(), POLLIN, 0});
    if (seat.process->errors() >= 0) out.push_back({seat.process->errors(), POLLIN, 0});
    if (!seat.to_write.empty()) out.push_back({seat.process->input(), POLLOUT, 0});
  }
}

void PluginChain::Plugin::move_bytes() {
  for (Seat& seat : seats_) {
    if (seat.process) read_errors(seat);
    if (seat.process) read_output(seat);
    if (!seat.process || seat.to_write.empty()) continue;
    std::string_view left = seat.to_write;
    const auto pipe = seat.process->write(left);
    seat.to_write.erase(0, seat.to_write.size() - left.size());
    if (pipe == PluginProcess::Pipe::Ended) end(seat, "it reads no more");
  }
}

void PluginChain::Plugin::read_output(Seat& seat) {
  const auto pipe = PluginProcess::read(seat.process->output(), seat.output, kReadBytesATurn);
  take_lines(seat.output, [&](std::string_view line) { on_reply(seat, line); });
  if (seat.output.size() > kPluginLineBytesMax) {
    end(seat, "a line of its output is too long");
  } else if (pipe == PluginProcess::Pipe::Ended) {
    end(seat, "it has ended");
  }
}

void PluginChain::Plugin::read_errors(Seat& seat) {
  if (seat.process->errors() < 0) return;
  const auto pipe = PluginProcess::read(seat.process->errors(), seat.errors, kReadBytesATurn);
  take_lines(seat.errors, [&](std::string_view line) {
    if (!std::exchange(seat.skips_error_line, false)) log_errors(line);
  });
  if (seat.errors.size() > kLogLineBytesMax) {
    if (!std::exchange(seat.skips_error_line, true)) log_errors(seat.errors);
    seat.errors.clear();
  }
  if (pipe == PluginProcess::Pipe::Ended) seat.process->close_errors();
}

void PluginChain::Plugin::log_errors(std::string_view line) {
  if (line.empty() || !log_gate_.may_log(clock_.monotonic_ms())) return;
  log(LogLevel::Info, "plugin {} says: {}", public_text(name_),
      public_text(line.substr(0, kLogLineBytesMax)));
}

void PluginChain::Plugin::on_bad_line() {
  metrics_.bad_lines.add();
  if (!log_gate_.may_log(clock_.monotonic_ms())) return;
  log(LogLevel::Warning,
      "plugin {}: a line of its output is no answer to an event that it was given",
      public_text(name_));
}

// --- Answers.

std::optional<PluginChain::Plugin::Handed> PluginChain::Plugin::take(Seat& seat,
                                                                     const EventId& id) {
  const auto number = seat.numbers.find(id);
  if (number == seat.numbers.end()) return std::nullopt;
  const auto found = seat.handed.find(number->second);
  const Handed out = found->second;
  if (found == seat.handed.begin()) {
    seat.oldest_since_ms = clock_.monotonic_ms();
    seat.others_answered = false;
  } else {
    seat.others_answered = true;
  }
  seat.handed.erase(found);
  seat.numbers.erase(number);
  return out;
}

void PluginChain::Plugin::on_reply(Seat& seat, std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return;
  const auto reply = parse_plugin_reply(line);
  const auto id = reply ? std::optional(reply->id) : reply.error().id;
  const auto number = id ? seat.numbers.find(*id) : seat.numbers.end();
  if (number != seat.numbers.end()) {
    seat.newest_answered = std::max(seat.newest_answered, number->second);
  }
  const auto handed = id ? take(seat, *id) : std::nullopt;
  if (!handed || !reply) on_bad_line();
  if (!handed) return;
  if (!reply) {
    fail(*handed->pending);
    return;
  }
  seat.backoff_ms = kBackoffMsMin;
  switch (reply->action) {
    case PluginAction::Accept:
      metrics_.accepted.add();
      break;
    case PluginAction::Reject:
      metrics_.rejected.add();
      break;
    case PluginAction::ShadowReject:
      metrics_.shadow_rejected.add();
      break;
  }
  decided_(*handed->pending, {reply->action, reply->message});
}

// --- Time.

// One that answers others has lost the oldest; and so those before an answered one that are as old.
// One that answers nothing hangs.
void PluginChain::Plugin::check_time(Seat& seat) {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (!seat.process || seat.handed.empty() || now_ms - seat.oldest_since_ms < options_.timeout_ms) {
    return;
  }
  if (!seat.others_answered) {
    end(seat, "it does not answer");
    return;
  }
  std::vector<EventId> lost;
  for (const auto& [number, one] : seat.handed) {
    const bool is_overtaken =
        number < seat.newest_answered && now_ms - one.at_ms >= options_.timeout_ms;
    if (lost.empty() || is_overtaken) lost.push_back(one.pending->event()->id);
  }
  for (const EventId& id : lost) {
    if (const auto handed = take(seat, id)) fail(*handed->pending);
  }
  seat.oldest_since_ms = now_ms;
  seat.others_answered = false;
}

bool PluginChain::Plugin::is_down() const {
  return std::ranges::none_of(seats_, [](const Seat& seat) { return seat.process != nullptr; });
}

void PluginChain::Plugin::turn() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (now_ms >= next_tick_ms_) {
    next_tick_ms_ = now_ms + kTickMs;
    look_at_files();
    for (Seat& seat : seats_) {
      if (seat.process && seat.process->has_ended()) end(seat, "it has ended");
    }
  }
  for (Seat& seat : seats_) {
    if (!seat.process && now_ms >= seat.start_at_ms) start(seat);
    check_time(seat);
  }
  deal_out();
  while (is_down() && !waiting_.empty() &&
         now_ms - waiting_.front()->waiting_since_ms >= options_.timeout_ms) {
    Pending& pending = *waiting_.front();
    waiting_.pop_front();
    fail(pending);
  }
  std::size_t in_flight = 0;
  for (const Seat& seat : seats_) in_flight += seat.handed.size();
  metrics_.in_flight.store(in_flight, std::memory_order_relaxed);
  metrics_.waiting.store(waiting_.size(), std::memory_order_relaxed);
}

std::int64_t PluginChain::Plugin::next_turn_ms() const {
  std::int64_t next = next_tick_ms_;
  for (const Seat& seat : seats_) {
    if (!seat.process) next = std::min(next, seat.start_at_ms);
    if (!seat.handed.empty()) next = std::min(next, seat.oldest_since_ms + options_.timeout_ms);
  }
  if (is_down() && !waiting_.empty()) {
    next = std::min(next, waiting_.front()->waiting_since_ms + options_.timeout_ms);
  }
  return next;
}

// --- Handing out.

// The one with the least to do.
PluginChain::Plugin::Seat* PluginChain::Plugin::free_seat() {
  Seat* best = nullptr;
  for (Seat& seat : seats_) {
    if (!seat.process || seat.to_write.size() >= kToWriteBytesMax ||
        seat.handed.size() >= static_cast<std::size_t>(options_.in_flight_max)) {
      continue;
    }
    if (best == nullptr || seat.handed.size() < best->handed.size()) best = &seat;
  }
  return best;
}

void PluginChain::Plugin::deal_out() {
  while (!waiting_.empty()) {
    Seat* seat = free_seat();
    if (seat == nullptr) return;
    Pending& pending = *waiting_.front();
    waiting_.pop_front();
    hand(*seat, pending);
  }
}

void PluginChain::Plugin::hand(Seat& seat, Pending& pending) {
  static const EventSource kUnknown;
  const JudgedEvent& sender = pending.senders.front();
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (seat.handed.empty()) {
    seat.oldest_since_ms = now_ms;
    seat.others_answered = false;
  }
  ++pending.handed;
  const std::uint64_t number = next_number_++;
  seat.handed.emplace(number, Handed{&pending, now_ms});
  seat.numbers.emplace(sender.event->id, number);
  seat.to_write += plugin_request(sender.event.event(), pending.received_at_s,
                                  sender.source ? *sender.source : kUnknown);
}

/// The chain's thread.
class PluginChain::Runner {
 public:
  Runner(PluginChain& chain, std::vector<PluginOptions> plugins, const Clock& clock,
         Handler on_verdict)
      : chain_(chain), clock_(clock), on_verdict_(std::move(on_verdict)) {
    for (std::size_t i = 0; i < plugins.size(); ++i) {
      plugins_.push_back(std::make_unique<Plugin>(
          std::move(plugins[i]), *chain.metrics_[i], clock,
          [this](Pending& pending, const Verdict& verdict) { decided(pending, verdict); }));
    }
  }

  void run() {
    block_pipe_signal();
    std::int64_t give_up_ms = INT64_MAX;
    while (true) {
      wait();
      for (JudgedEvent& event : chain_.inbox_.take_all()) add(std::move(event));
      for (auto& plugin : plugins_) plugin->move_bytes();
      for (auto& plugin : plugins_) plugin->turn();
      for (auto& plugin : plugins_) plugin->move_bytes();
      if (!chain_.is_stopping_.load()) continue;
      if (give_up_ms == INT64_MAX) give_up_ms = clock_.monotonic_ms() + kStopMsMax;
      if (pending_.empty() || clock_.monotonic_ms() >= give_up_ms) break;
    }
    for (JudgedEvent& event : chain_.inbox_.take_all()) add(std::move(event));
    for (auto& plugin : plugins_) plugin->fail_all();
    for (auto& plugin : plugins_) plugin->close_inputs();
    plugins_.clear();
  }

 private:
  // A process that reads no more makes a write fail, not a signal: of this thread only.
  static void block_pipe_signal() {
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
  }

  void wait() {
    descriptors_.clear();
    descriptors_.push_back({chain_.wake_read_.get(), POLLIN, 0});
    for (const auto& plugin : plugins_) plugin->add_descriptors(descriptors_);
    std::int64_t until_ms = clock_.monotonic_ms() + kTickMs;
    for (const auto& plugin : plugins_) until_ms = std::min(until_ms, plugin->next_turn_ms());
    const std::int64_t wait_ms = std::max<std::int64_t>(0, until_ms - clock_.monotonic_ms());
    (void)poll(descriptors_.data(), descriptors_.size(), static_cast<int>(wait_ms));
    char drained[64];
    while (::read(chain_.wake_read_.get(), drained, sizeof drained) > 0) {
    }
  }

  void add(JudgedEvent&& event) {
    const EventId id = event.event->id;
    Pending& pending = pending_[id];
    const bool is_new = pending.senders.empty();
    pending.senders.push_back(std::move(event));
    if (!is_new) return;
    pending.received_at_s = clock_.unix_s();
    go_on(pending);
  }

  // At the first plugin from `stage` on that wants to see it.
  void go_on(Pending& pending) {
    while (pending.stage < plugins_.size() &&
           !plugins_[pending.stage]->judges(pending.event().event())) {
      ++pending.stage;
    }
    if (pending.stage < plugins_.size()) {
      plugins_[pending.stage]->add(pending);
    } else {
      finish(pending, {PluginAction::Accept, {}});
    }
  }

  void decided(Pending& pending, const Verdict& verdict) {
    if (verdict.action != PluginAction::Accept) {
      finish(pending, verdict);
      return;
    }
    ++pending.stage;
    go_on(pending);
  }

  void finish(Pending& pending, const Verdict& verdict) {
    auto node = pending_.extract(pending.event()->id);
    for (JudgedEvent& sender : node.mapped().senders) {
      on_verdict_(std::move(sender), Verdict(verdict));
    }
  }

  PluginChain& chain_;
  const Clock& clock_;
  const Handler on_verdict_;
  std::unordered_map<EventId, Pending, FixedBytesHash> pending_;
  std::vector<std::unique_ptr<Plugin>> plugins_;
  std::vector<pollfd> descriptors_;
};

PluginChain::PluginChain(std::vector<PluginOptions> plugins, std::size_t queue_max,
                         const Clock& clock, Handler on_verdict)
    : judges_ephemeral_(std::ranges::any_of(
          plugins, [](const PluginOptions& plugin) { return plugin.judges_ephemeral; })),
      inbox_(queue_max, [this] { wake(); }) {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  wake_read_ = UniqueFd(ends[0]);
  wake_write_ = UniqueFd(ends[1]);
  for (const PluginOptions& plugin : plugins) {
    CHECK(!plugin.command.empty() && plugin.processes > 0);
    metrics_.push_back(std::make_unique<PluginMetrics>());
  }
  runner_ = std::make_unique<Runner>(*this, std::move(plugins), clock, std::move(on_verdict));
  thread_ = std::thread([this] { runner_->run(); });
}

PluginChain::~PluginChain() {
  stop();
}

bool PluginChain::judges(const Event& event) const {
  return judges_ephemeral_ || !is_ephemeral(event);
}

void PluginChain::judge(JudgedEvent&& event) {
  CHECK(inbox_.push(std::move(event)));
}

void PluginChain::stop() {
  is_stopping_.store(true);
  wake();
  if (thread_.joinable()) thread_.join();
}

// A full pipe wakes as well.
void PluginChain::wake() const {
  const char one = 1;
  (void)!::write(wake_write_.get(), &one, 1);
}

}  // namespace nostril::relay
