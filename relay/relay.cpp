#include "relay/relay.h"

#include "base/log.h"
#include "net/service_notify.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace nostril::relay {

namespace {

// Longest waits of a clean stop: for the disk, then for peers to take their last answers.
constexpr auto kDrainWaitMax = std::chrono::seconds(10);
constexpr std::uint64_t kCloseWaitMsMax = 4'000;

std::unique_ptr<Store> open_store(const RelayConfig& config) {
  auto store = Store::open(config.data, config.store_options());
  if (!store) throw std::runtime_error(store.error().text);
  return std::move(*store);
}

/// Makes the directory when missing.
FileLock lock_data(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  const std::string path = directory + "/relay.lock";
  auto lock = FileLock::take(path);
  if (lock) return std::move(*lock);
  if (lock.error() == EWOULDBLOCK) {
    throw std::runtime_error(fmt::format(
        "{}: another relay uses this data directory; stop it, or name another with --data",
        directory));
  }
  throw std::runtime_error(fmt::format("{}: {}; name another directory with --data", path,
                                       std::generic_category().message(lock.error())));
}

/// What a watchdog hears while all loops turn; nothing when there is none.
std::function<void()> service_watchdog() {
  if (!net::watchdog_ms()) return [] {};
  return [] { net::notify_service("WATCHDOG=1"); };
}

}  // namespace

Relay::Relay(const RelayConfig& config, const Clock& clock, Rng& rng)
    : listen_(config.listen_config()),
      loop_count_(config.loop_threads()),
      session_limits_(config.session_limits()),
      admission_(config.admission_rules()),
      authentication_(config.auth_rules()),
      hash_(rng),
      http_(config, [this] { return metrics_text(); }),
      guard_(config.guard_rules(), clock),
      lock_(lock_data(config.data)),
      store_(open_store(config)),
      heartbeat_(loop_count_, service_watchdog()) {
  const IngestOptions ingest = config.ingest_options();
  const QueryPoolOptions queries = config.query_options();
  ingest_ = std::make_unique<Ingest>(*store_, clock, ingest, *this, &guard_);
  queries_ = std::make_unique<QueryPool>(
      *store_, ingest_->in_tables(), queries, [this] { return ingest_->commits_announced(); },
      [this](QueryStep&& step) {
        LoopWorker& owner = *loops_[step.query->owner.loop];
        owner.mail(std::move(step));
      });
  const auto under_way =
      static_cast<std::size_t>(ingest.stored_under_way_max + ingest.ephemeral_under_way_max);
  // An answer may wait here after its event's credit went to the last loop's answer: twice.
  shared_ = std::make_unique<LoopShared>(
      LoopShared{*ingest_, *queries_, http_, session_limits_, admission_, authentication_, clock,
                 hash_, guard_, 2 * under_way + queries.queue_max + queries.threads,
                 static_cast<std::size_t>(config.store.cache_bytes) / loop_count_, heartbeat_});
  net::ListenConfig listen = listen_;
  net::ServerLimits server_limits = config.server_limits();
  server_limits.memory = guard_.memory;
  for (std::uint32_t index = 0; index < loop_count_; ++index) {
    loops_.push_back(std::make_unique<LoopWorker>(index, *shared_, listen, server_limits));
    listen.port = loops_.front()->port();
    listen.joins = true;
  }
  if (const auto mirrors = config.mirror_options(); !mirrors.empty()) {
    mirror_ = std::make_unique<Mirror>(
        mirrors, MirrorContext{*store_, *ingest_, admission_, authentication_.rules(),
                               session_limits_.message, guard_, clock});
  }
}

Relay::~Relay() {
  stop();
}

void Relay::start() {
  is_running_ = true;
  for (auto& loop : loops_) loop->start();
  if (mirror_) mirror_->start();
}

void Relay::stop() {
  if (mirror_) mirror_->stop();
  if (std::exchange(is_running_, false)) {
    for (auto& loop : loops_) loop->stop_reading();
    const auto give_up = std::chrono::steady_clock::now() + kDrainWaitMax;
    while (!ingest_->idle() && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    for (auto& loop : loops_) loop->finish(kCloseWaitMsMax);
    for (auto& loop : loops_) loop->join();
  }
  // Nobody offers any more. Their last results go to mailboxes that nobody reads.
  ingest_->stop();
  queries_->stop();
}

std::uint16_t Relay::port() const {
  return loops_.front()->port();
}

std::string Relay::listen_url() const {
  const bool is_v6 = listen_.host.find(':') != std::string::npos;
  const std::string host = is_v6 ? "[" + listen_.host + "]" : listen_.host;
  return fmt::format("{}://{}:{}", listen_.tls.enabled() ? "wss" : "ws", host, port());
}

void Relay::committed(std::shared_ptr<const Committed> committed) {
  std::vector<bool> concerned(loop_count_);
  std::size_t left = loop_count_;
  const auto concerns = [&](std::size_t loop) {
    if (!concerned[loop]) --left;
    concerned[loop] = true;
  };
  if (mirror_) mirror_->committed(committed->batch);
  for (const WriteOutcome& outcome : committed->batch.outcomes) {
    if (outcome.token.loop != kMirrorLoop) concerns(outcome.token.loop);
  }
  std::vector<SubscriptionHash::Key> keys;
  for (const auto& event : committed->batch.events) {
    if (left == 0) break;
    hash_.keys_of(event->event.event(), keys);
    for (std::size_t loop = 0; loop < loop_count_; ++loop) {
      if (!concerned[loop] && loops_[loop]->wants(event->event.event(), keys)) concerns(loop);
    }
  }
  for (std::size_t loop = 0; loop < loop_count_; ++loop) {
    if (concerned[loop]) loops_[loop]->mail(std::shared_ptr(committed));
  }
}

std::vector<std::uint32_t> Relay::loops_that_want(const Event& event) {
  std::vector<SubscriptionHash::Key> keys;
  hash_.keys_of(event, keys);
  std::vector<std::uint32_t> wanting;
  for (std::uint32_t loop = 0; loop < loop_count_; ++loop) {
    if (loops_[loop]->wants(event, keys)) wanting.push_back(loop);
  }
  return wanting;
}

void Relay::ephemeral(std::shared_ptr<const Ephemeral> ephemeral,
                      std::span<const std::uint32_t> loops) {
  for (const std::uint32_t loop : loops) loops_[loop]->mail(std::shared_ptr(ephemeral));
}

void Relay::answer(Answer&& answer) {
  const std::uint32_t loop = answer.origin.loop;
  if (loop == kMirrorLoop) {
    mirror_->answer(answer);
    return;
  }
  loops_[loop]->mail(std::move(answer));
}

}  // namespace nostril::relay
