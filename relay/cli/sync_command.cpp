#include "relay/cli/sync_command.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"
#include "net/url.h"
#include "net/ws_client.h"
#include "relay/admission.h"
#include "relay/cli/commands.h"
#include "relay/cli/progress.h"
#include "relay/key_file.h"
#include "relay/sync/local_events.h"
#include "relay/sync/relay_login.h"
#include "relay/sync/sync_run.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

namespace nostril::relay {

namespace {

constexpr std::size_t kPutEvents = 500;        // a transaction
constexpr std::size_t kQueuedBytes = 1 << 20;  // output, before more is sent
constexpr std::uint64_t kTickMs = 50;

class SyncCommand final : private SyncHost {
 public:
  SyncCommand(const RelayConfig& config, const SyncArguments& arguments)
      : arguments_(arguments),
        limits_(config.session_limits().message),
        filter_(filter_of(arguments, limits_)),
        may_send_(config.auth_rules(), filter_),
        admission_(config.admission_rules()),
        login_(key_of(arguments), arguments.url),
        store_(open_store(config, false)),
        socket_(loop_) {
    refuse_cluster_store(*store_);
  }

  SyncStatus run() {
    const auto url = net::parse_url(arguments_.url);
    if (!url || (url->scheme != net::UrlScheme::Ws && url->scheme != net::UrlScheme::Wss)) {
      throw std::runtime_error("the other relay's address must be ws:// or wss://");
    }
    prepare();
    connect(*url);
    const net::TimerId ticks = loop_.every(kTickMs, [this] { tick(); });
    loop_.run();
    loop_.cancel(ticks);
    put();
    if (!store_error_.empty()) throw std::runtime_error(store_error_);
    return report();
  }

 private:
  static Filter filter_of(const SyncArguments& arguments, const MessageLimits& limits) {
    auto filter = parse_filter(arguments.filter, limits.filter);
    if (!filter) {
      throw std::runtime_error(fmt::format("--filter: {}", to_string(filter.error())));
    }
    return std::move(*filter);
  }

  static std::shared_ptr<const Keypair> key_of(const SyncArguments& arguments) {
    if (arguments.key_path.empty()) return nullptr;
    auto key = read_key_file(arguments.key_path);
    if (!key) throw std::runtime_error("--key: " + key.error());
    return std::make_shared<const Keypair>(std::move(*key));
  }

  void prepare() {
    SyncOptions options;
    options.filter = filter_;
    options.direction = *sync_direction_from(arguments_.direction);
    options.answer_ms_max = arguments_.answer_s_max * 1'000;
    options.frame_bytes_max = arguments_.frame_bytes_max;
    direction_ = options.direction;
    SyncHost& host = *this;
    run_.emplace(host, clock_, collect(), std::move(options));
    is_started_ = false;
  }

  void start() {
    is_started_ = true;
    run_->start();
  }

  negentropy::Set collect() {
    SetScan scan(*store_, filter_, clock_.unix_s());
    while (true) {
      const auto done = scan.step();
      if (!done) throw std::runtime_error(done.error().text);
      if (*done) break;
      progress_.show("events here", scan.count());
    }
    here_ = scan.count();
    return scan.take();
  }

  void connect(const net::Url& url) {
    net::WsClientCallbacks callbacks;
    callbacks.on_open = [this] {
      start_by_ms_ = clock_.monotonic_ms() + RelayLogin::kChallengeWaitMs;
      if (!login_.has_key()) start();
    };
    callbacks.on_text = [this](std::string_view text) { on_text(text); };
    callbacks.on_close = [this](const net::WsCloseInfo& info) {
      if (run_ && !run_->end())
        lost_ = info.reason.empty() ? "the connection was closed" : info.reason;
      loop_.stop();
    };
    net::WsClientOptions options;
    options.ca_path = arguments_.ca_path;
    socket_.connect(url, std::move(callbacks), options);
  }

  void on_text(std::string_view text) {
    auto message = parse_relay_message(text, limits_);
    if (!message) {
      ++unreadable_;  // of an event: it is then one that was not given
      return;
    }
    if (const auto* asks = std::get_if<relay_message::AuthChallenge>(&*message)) {
      if (const auto answer = login_.answer(asks->challenge, clock_.unix_s())) send(*answer);
      return;
    }
    if (const auto* ok = std::get_if<relay_message::Ok>(&*message)) {
      if (on_login(*ok)) return;
    }
    (void)run_->on_message(*message);
    look_for_end();
  }

  // True: it was about our key.
  bool on_login(const relay_message::Ok& ok) {
    const auto outcome = login_.on_ok(ok);
    if (outcome == RelayLogin::Outcome::NotOurs) return false;
    if (outcome == RelayLogin::Outcome::Refused) {
      lost_ = "it refuses our key: " + ok.message;
      run_.reset();  // whatever it has come to
      socket_.close();
    } else if (awaits_login()) {
      prepare();
      start();
    } else if (!is_started_) {
      start();
    }
    return true;
  }

  // Some relays ask only once they have refused something.
  [[nodiscard]] bool awaits_login() const {
    return run_->end() && is_auth_required(run_->reason()) && login_.has_key() &&
           clock_.monotonic_ms() < start_by_ms_ + arguments_.answer_s_max * 1'000;
  }

  void tick() {
    if (!socket_.is_open() || !run_) return;  // WsClient has its own limit of time for that
    if (!is_started_) {
      const bool is_late = clock_.monotonic_ms() >= start_by_ms_ + arguments_.answer_s_max * 1'000;
      const bool asks = login_.is_pending() && !is_late;
      if (!asks && clock_.monotonic_ms() >= start_by_ms_) start();
      return;
    }
    run_->tick();
    show();
    look_for_end();
  }

  void look_for_end() {
    const bool is_over = run_->end() && (login_.is_accepted() || !awaits_login());
    if ((is_over || !store_error_.empty()) && socket_.is_open()) socket_.close();
  }

  void show() {
    const SyncCounts& counts = run_->counts();
    const std::uint64_t total = (direction_ != SyncDirection::Up ? counts.need : 0) +
                                (direction_ != SyncDirection::Down ? counts.have : 0);
    const std::uint64_t left = run_->left();
    if (total == 0) {
      progress_.show(fmt::format("comparing {} events, round {}", here_, counts.rounds));
    } else {
      progress_.show("events moved", total - left, total);
    }
  }

  // --- SyncHost.

  void send(std::string_view text) override {
    if (!socket_.send_text(text) && lost_.empty()) lost_ = "the other relay does not read";
  }

  [[nodiscard]] bool has_room() const override { return socket_.pending_bytes() < kQueuedBytes; }

  void take(UnverifiedEvent&& event) override {
    const bool matches = filter_.matches(event.event());
    if (!matches || admission_.refuse(event.event(), clock_.unix_s(), false)) {
      ++refused_here_;
      return;
    }
    received_.push_back(std::move(event));
    if (received_.size() >= kPutEvents) put();
  }

  [[nodiscard]] std::optional<std::string> event_json(const EventId& id) override {
    return sendable_json(*store_, id, may_send_, limits_.event);
  }

  void put() {
    std::vector<VerifiedEvent> verified;
    for (auto& event : VerifiedEvent::verify_all(received_, verifier_)) {
      if (event) {
        verified.push_back(std::move(*event));
      } else {
        ++refused_here_;
      }
    }
    received_.clear();
    const auto results = store_->put(verified, clock_.unix_s());
    if (!results) {  // not thrown: the loop's callbacks are C
      store_error_ = results.error().text;
      return;
    }
    for (const PutResult result : *results) {
      (is_accepted(result) ? stored_ : outdated_) += 1;
    }
  }

  SyncStatus report() {
    if (!run_) {
      fmt::print(stderr, "error: {}\n", one_line(lost_));
      return SyncStatus::Error;
    }
    const SyncCounts& counts = run_->counts();
    fmt::print("{} events here, {} rounds, {} bytes of questions, {} of answers\n", here_,
               counts.rounds, counts.bytes_out, counts.bytes_in);
    fmt::print(
        "lacking here {}: {} stored, {} replaced or deleted here, {} refused, {} not given\n",
        counts.need, stored_, outdated_, refused_here_, counts.missing);
    fmt::print("lacking there {}: {} taken, {} refused, {} withheld\n", counts.have,
               counts.accepted, counts.refused, counts.withheld);
    if (unreadable_ > 0) fmt::print("messages that could not be read: {}\n", unreadable_);
    const auto say = [&](std::string_view what, const std::string& why) {
      fmt::print(stderr, "{}{}{}\n", what, why.empty() ? "" : ": ", one_line(why));
    };
    if (!run_->end()) {
      say("error", lost_);
      return SyncStatus::Error;
    }
    switch (*run_->end()) {
      case SyncEnd::Refused:
        say("refused", run_->reason());
        if (is_auth_required(run_->reason()) && !login_.has_key()) {
          fmt::print(stderr, "the other relay wants to know who asks: --key FILE\n");
        }
        return SyncStatus::Error;
      case SyncEnd::NoNegentropy:
        say("the other relay lacks NIP-77", run_->reason());
        return SyncStatus::NoNegentropy;
      case SyncEnd::TimedOut:
        say("the other relay fell silent", run_->reason());
        return SyncStatus::TimedOut;
      case SyncEnd::Done:
        break;
    }
    if (counts.missing + counts.refused + refused_here_ == 0) return SyncStatus::InSync;
    say("some events did not move", run_->reason());
    return SyncStatus::Incomplete;
  }

  const SyncArguments& arguments_;
  const MessageLimits limits_;
  const Filter filter_;
  const MaySend may_send_;
  const Admission admission_;
  const SystemClock clock_;
  ProgressLine progress_;
  Verifier verifier_;
  RelayLogin login_;
  std::unique_ptr<Store> store_;
  bool is_started_ = false;
  std::int64_t start_by_ms_ = 0;
  std::optional<SyncRun> run_;
  SyncDirection direction_ = SyncDirection::Down;
  std::vector<UnverifiedEvent> received_;  // not in the store yet
  std::string lost_;
  std::string store_error_;
  std::uint64_t here_ = 0;
  std::uint64_t stored_ = 0;
  std::uint64_t outdated_ = 0;
  std::uint64_t refused_here_ = 0;
  std::uint64_t unreadable_ = 0;
  net::Loop loop_;
  net::WsClient socket_;
};

}  // namespace

int sync_with(const RelayConfig& config, const SyncArguments& arguments) {
  return static_cast<int>(SyncCommand(config, arguments).run());
}

}  // namespace nostril::relay
