#include "relay/relay.h"

#include "base/log.h"
#include "net/local_address.h"
#include "net/service_notify.h"
#include "net/tls_identity.h"
#include "relay/store_search.h"

#include <fmt/format.h>

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace nostril::relay {

namespace {

// Longest waits of a clean stop: for the disk, then for peers to take their last answers.
constexpr auto kDrainWaitMax = std::chrono::seconds(10);
constexpr std::uint64_t kCloseWaitMsMax = 4'000;
constexpr auto kAnnouncementWaitMax = std::chrono::seconds(1);
// Before a restart: for requests of connections that were accepted just now.
constexpr std::uint64_t kGraceMsMax = 500;
// Of a cluster's stream, in one transaction. Those of 512 events write ten pages an event into a
// store of 100,000, those of 4,096 one; larger ones would take hundreds of megabytes in a large
// one.
constexpr std::size_t kStreamBatchMax = 4'096;
// Between the stream and the last loop's delivery: as many gather while a batch is written.
constexpr std::int64_t kStreamUnderWayMax = 2 * kStreamBatchMax;

std::unique_ptr<Store> open_store(const RelayConfig& config) {
  if (put_snapshot_in_place(config.data)) {
    log(LogLevel::Warning, "cluster: a snapshot takes the place of what {} had",
        public_text(config.data));
  }
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

constexpr const char* kModerationFolder = "/moderation";

std::unique_ptr<Moderation> open_moderation(const RelayConfig& config) {
  auto opened = Moderation::open(config.data + kModerationFolder);
  if (!opened) throw std::runtime_error(opened.error());
  return std::move(*opened);
}

std::unique_ptr<Membership> open_membership(const RelayConfig& config, Rng& rng) {
  MembershipRules rules = config.membership_rules();
  if (!rules.enabled) return nullptr;
  auto opened = Membership::open(config.data, std::move(rules), rng);
  if (!opened) throw std::runtime_error(opened.error());
  return std::move(*opened);
}

UniqueFd duplicate(const UniqueFd& socket) {
  return UniqueFd(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
}

/// Every socket has a loop that accepts from it, and every loop a socket; one may serve several.
std::vector<int> sockets_of(std::uint32_t loop, std::uint32_t loops,
                            const std::vector<UniqueFd>& sockets) {
  std::vector<int> out;
  for (std::size_t i = loop; i < sockets.size(); i += loops) out.push_back(sockets[i].get());
  if (out.empty() && !sockets.empty()) out.push_back(sockets[loop % sockets.size()].get());
  return out;
}

/// Counts down; the last ends the wait.
class Barrier {
 public:
  explicit Barrier(std::size_t count) : left_(count) {}

  void arrive() {
    const std::lock_guard lock(mutex_);
    if (--left_ == 0) done_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::size_t left_;
};

}  // namespace

Relay::Relay(const RelayConfig& config, const Clock& clock, Rng& rng,
             const std::vector<UniqueFd>& sockets)
    : listen_(config.listen_config()),
      loop_count_(config.loop_threads()),
      clock_(clock),
      started_at_s_(clock.unix_s()),
      hash_(rng),
      guard_(config.guard_rules(), clock),
      lock_((config.check(), lock_data(config.data))),
      store_(open_store(config)),
      used_requests_(config.data, !std::filesystem::exists(config.data + kModerationFolder),
                     started_at_s_),
      moderation_(open_moderation(config)),
      membership_(open_membership(config, rng)),
      config_(config),
      heartbeat_(loop_count_, service_watchdog()) {
  IngestOptions ingest = config.ingest_options();
  ingest.writer.refuses = [this](const Event& event) { return moderation_->lists()->bans(event); };
  const QueryPoolOptions queries = config.query_options();
  const ClusterOptions cluster = config.cluster_options();
  if (cluster.enabled()) {
    ingest.stream_under_way_max = kStreamUnderWayMax;
    ingest.writer.batch_events_max = kStreamBatchMax;
  }
  ingest_ = std::make_unique<Ingest>(*store_, clock, ingest, *this, &guard_);
  if (cluster.enabled()) {
    ClusterHost& host = *this;
    auto decisions = DecisionLog::open(std::filesystem::path(config.data) / kDecisionsFolder);
    if (!decisions) throw std::runtime_error(decisions.error());
    decisions_ = std::move(*decisions);
    cluster_ =
        std::make_unique<Cluster>(cluster, *store_, *ingest_, clock, gate_, host, config.data);
    ingest_->use(*cluster_);
    member_ = std::make_unique<ClusterMember>(member_parts());
  }
  queries_ = std::make_unique<QueryPool>(
      *store_, ingest_->in_tables(), queries, [this] { return ingest_->commits_announced(); },
      [this](QueryStep&& step) {
        LoopWorker& owner = *loops_[step.query->owner.loop];
        owner.mail(std::move(step));
      });
  const auto under_way = static_cast<std::size_t>(
      ingest.stored_under_way_max + ingest.ephemeral_under_way_max + ingest.stream_under_way_max);
  ManagedRelay& managed = *this;
  admin_ =
      std::make_unique<AdminDesk>(*moderation_, membership_.get(), managed, used_requests_, clock);
  // An answer may wait here after its event's credit went to the last loop's answer: twice.
  shared_ = std::make_unique<LoopShared>(
      LoopShared{*ingest_, *queries_, *admin_, clock, hash_, guard_, membership_.get(),
                 2 * under_way + queries.queue_max + queries.threads,
                 static_cast<std::size_t>(config.store.cache_bytes) / loop_count_, heartbeat_,
                 gate_, cluster_ ? &cluster_->interest() : nullptr});
  const LiveSettings settings = settings_of(config);
  admission_ = settings.admission;
  net::ListenConfig listen = listen_;
  for (std::uint32_t index = 0; index < loop_count_; ++index) {
    listen.inherited = sockets_of(index, loop_count_, sockets);
    loops_.push_back(std::make_unique<LoopWorker>(index, *shared_, settings, listen));
    listen.port = loops_.front()->port();
    listen.joins = true;
  }
  if (!sockets.empty()) {
    for (const UniqueFd& socket : sockets) listening_.push_back(duplicate(socket));
  } else {
    for (const auto& loop : loops_) {
      for (UniqueFd& socket : loop->duplicate_listeners()) listening_.push_back(std::move(socket));
    }
  }
  // What the relay is called may be known only now, and so what depends on it.
  config_.listening = net::local_addresses(listening_);
  config_.check();
  keep_address(config_);
  const LiveSettings named = settings_of(config_);
  for (auto& loop : loops_) loop->use(named);
  if (const auto mirrors = config.mirror_options(); !mirrors.empty()) {
    mirror_ = std::make_unique<Mirror>(
        mirrors,
        MirrorContext{*store_, *ingest_, [this] { return admission(); }, config_.auth_rules(),
                      config.session_limits().message, guard_, clock});
  }
}

Relay::~Relay() {
  stop();
}

void Relay::start() {
  is_running_ = true;
  for (auto& loop : loops_) loop->start();
  if (mirror_) mirror_->start();
  if (cluster_) {
    member_->start();  // first: the cluster asks it for a snapshot
    cluster_->start();
  } else {
    announce_members();
  }
}

void Relay::stop() {
  listening_.clear();
  end(false);
}

std::vector<UniqueFd> Relay::stop_for_restart() {
  std::vector<UniqueFd> sockets = std::move(listening_);
  end(true);
  return sockets;
}

void Relay::end(bool for_restart) {
  if (mirror_) mirror_->stop();
  if (is_running_.exchange(false)) {
    admin_->stop();  // first: a change waits for all loops
    for (auto& loop : loops_) loop->stop_reading(for_restart);
    const auto give_up = std::chrono::steady_clock::now() + kDrainWaitMax;
    while (!ingest_->idle() && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    for (auto& loop : loops_) {
      if (for_restart) {
        loop->finish(kCloseWaitMsMax, kGraceMsMax, "the relay starts anew: come again",
                     net::kWsCloseServiceRestart);
      } else {
        loop->finish(kCloseWaitMsMax, 0, "the relay is stopping", net::kWsCloseGoingAway);
      }
    }
    for (auto& loop : loops_) loop->join();
  }
  admin_->stop();
  // Nobody offers any more. Their last results go to mailboxes that nobody reads.
  if (member_) member_->stop();
  if (cluster_) cluster_->stop();
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

void Relay::reconfigure(const RelayConfig& wanted) {
  const std::lock_guard changing(change_mutex_);
  RelayConfig next = wanted;
  next.listening = present_config().listening;
  next.check();
  auto settings = std::make_shared<LiveSettings>(settings_of(next));
  if (listen_.tls.enabled()) {
    settings->tls = net::TlsIdentity::load(next.tls_certificate, next.tls_key).server_context();
  }
  {
    const std::lock_guard lock(config_mutex_);
    config_ = next;
  }
  keep_address(next);
  give_to_loops(settings);
}

// A failure is the disk's: requests to vanish then count by what the store has.
void Relay::keep_address(const RelayConfig& config) {
  if (const auto kept = store_->set_address(config.address()); !kept) {
    log(LogLevel::Error, "the relay's address: {}", public_text(kept.error().text));
  }
}

LiveSettings Relay::settings_of(const RelayConfig& config) {
  LiveSettings out = make_live_settings(
      config, moderation_->lists(), [this] { return metrics_text(); },
      membership_ ? std::optional(membership_->self()) : std::nullopt, &gate_);
  out.server.memory = guard_.memory;
  return out;
}

// Every loop, and the writer, go by what moderation_ has now when this returns.
void Relay::use_lists() {
  const std::lock_guard lock(change_mutex_);
  give_to_loops(std::make_shared<const LiveSettings>(settings_of(present_config())));
}

// What does not get through now is said with the next change, or at the next start.
std::vector<EventId> Relay::announce_members() {
  std::vector<EventId> out;
  if (!membership_) return out;
  for (Event& event : membership_->announcements(*moderation_->lists(), clock_.unix_s())) {
    auto own = check_id(std::move(event));
    CHECK(own.has_value());
    const EventId id = own->event().id;
    const Offer offer = ingest_->offer(*own, SessionId{kOwnLoop, net::ConnectionId::None});
    if (std::holds_alternative<QueueFull>(offer)) {
      log(LogLevel::Warning, "members: the relay is too busy to publish its list");
    } else {
      out.push_back(id);
    }
  }
  return out;
}

// Who is told that he is a member finds himself in the list when he looks at once. A plugin may
// refuse an announcement, and a busy relay take long: then nobody waits for it.
void Relay::await_stored(std::vector<EventId> ids) {
  if (ids.empty()) return;
  Filter filter;
  filter.ids = std::move(ids);
  filter.normalize();
  const auto give_up = std::chrono::steady_clock::now() + kAnnouncementWaitMax;
  while (std::chrono::steady_clock::now() < give_up) {
    const auto found = find_events(filter, filter.ids->size());
    if (!found || found->size() == filter.ids->size()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Returns when every loop goes by them.
void Relay::give_to_loops(const std::shared_ptr<const LiveSettings>& settings) {
  {
    const std::lock_guard lock(config_mutex_);
    admission_ = settings->admission;
  }
  if (!is_running_) return;
  auto barrier = std::make_shared<Barrier>(loops_.size());
  for (auto& loop : loops_) {
    while (!loop->take(settings, [barrier] { barrier->arrive(); })) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // its queue of posts is full
    }
  }
  barrier->wait();
}

Result<std::vector<Event>, std::string> Relay::find_events(const Filter& filter,
                                                           std::size_t count_max) {
  return relay::find_events(*store_, ingest_->writer(), filter, count_max, clock_.unix_s());
}

Admission Relay::admission() {
  const std::lock_guard lock(config_mutex_);
  return admission_;
}

RelayConfig Relay::present_config() {
  const std::lock_guard lock(config_mutex_);
  return config_;
}

void Relay::committed(std::shared_ptr<const Committed> committed) {
  const std::int64_t now_ms = clock_.monotonic_ms();
  for (const auto& event : committed->batch.events) {
    authors_.add(event->event->pubkey, 1, now_ms);
  }
  std::vector<bool> concerned(loop_count_);
  std::size_t left = loop_count_;
  const auto concerns = [&](std::size_t loop) {
    if (!concerned[loop]) --left;
    concerned[loop] = true;
  };
  if (mirror_) mirror_->committed(committed->batch);
  for (const WriteOutcome& outcome : committed->batch.outcomes) {
    if (outcome.token.loop < loop_count_) concerns(outcome.token.loop);
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
  if (loop < loop_count_) loops_[loop]->mail(std::move(answer));
}

}  // namespace nostril::relay
