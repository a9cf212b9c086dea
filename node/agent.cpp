#include "node/agent.h"

#include "base/hex.h"
#include "base/log.h"
#include "client/channel_store.h"
#include "events/kinds.h"
#include "events/nip19.h"
#include "node/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::uint64_t kEngineCheckMs = 3'000;
/// An engine that misses this many checks in a row is gone.
constexpr int kFailedChecksMax = 2;
constexpr std::uint64_t kKeyCheckMs = 1'000;
constexpr std::uint64_t kSweepMs = 1'000;
constexpr std::size_t kExpiredAnswersAtOnce = 65'536;
constexpr std::int64_t kDemoRestartMsMax = 60'000;
/// Longest that a clean stop waits for records and the withdrawal.
constexpr std::uint64_t kStopMsMax = 3'000;

/// On the background thread.
void log_progress(const ManifestProgress& progress) {
  constexpr double kGb = 1e9;
  log(LogLevel::Info, "weights: {:.1f} of {:.1f} GB hashed, {:.1f} GB known from before",
      static_cast<double>(progress.bytes) / kGb, static_cast<double>(progress.bytes_total) / kGb,
      static_cast<double>(progress.bytes_reused) / kGb);
}

}  // namespace

Agent::Agent(const NodeConfig& config, Keypair identity, std::unique_ptr<EvidenceSource> source,
             std::unique_ptr<client::Journal> journal, net::Loop& loop, Clock& clock, Rng& rng)
    : config_(config),
      identity_(std::move(identity)),
      loop_(loop),
      clock_(clock),
      rng_(rng),
      source_(std::move(source)),
      journal_(std::move(journal)),
      pool_(loop, clock, {}, config.ca_file),
      keys_(config.limits.key_life_s, rng),
      background_(loop),
      beacons_(pool_, config.witnesses().value_or(std::vector<PublicKey>()),
               config.freshness.beacon_age_s_max, clock),
      publisher_(config, identity_, keys_, *source_, background_, pool_, beacons_, clock, rng),
      gate_(static_cast<std::size_t>(config.limits.running_max)) {}

Agent::~Agent() {
  cancelled_ = true;
  for (const net::TimerId timer : timers_) loop_.cancel(timer);
  sessions_.clear();
}

void Agent::start(std::function<void(std::string)> on_serving,
                  std::function<void(std::string)> on_fatal) {
  on_serving_ = std::move(on_serving);
  on_fatal_ = std::move(on_fatal);
  if (const auto problem = config_.problem()) {
    on_fatal_(*problem);
    return;
  }
  for (const std::string& url : config_.relays) {
    if (!pool_.add_relay(url)) {
      on_fatal_("relays: " + url + " is no ws:// or wss:// URL, or there are too many");
      return;
    }
  }
  pool_.on_connection_change([this](const std::string& relay, bool connected) {
    log(LogLevel::Info, "{} {}", relay, connected ? "connected" : "lost");
    if (connected) publisher_.publish_again();
  });
  publisher_.on_offered([this](const Offer& offer) {
    log(LogLevel::Info, "offering {} until {}", offer.model, offer.expires_at);
    if (!on_serving_) return;
    std::exchange(on_serving_, nullptr)(
        fmt::format("serving {} as {} on {} relay{}, evidence {}", offer.model,
                    nip19::encode(nip19::Npub{offer.node}), pool_.connected_count(),
                    pool_.connected_count() == 1 ? "" : "s",
                    source_->simulated() ? "SIMULATED (no TEE stands behind it)" : source_->tee()));
  });
  keys_.rotate(clock_.unix_s());
  subscribe();
  beacons_.start();
  timers_.push_back(loop_.every(kKeyCheckMs, [this] { rotate_keys(); }));
  timers_.push_back(loop_.every(kEngineCheckMs, [this] { check_engine(); }));
  timers_.push_back(loop_.every(kSweepMs, [this] { sweep(); }));
  find_engine();
}

// ---- Engine -------------------------------------------------------------------------------------

void Agent::find_engine() {
  if (!config_.engine.url.empty()) {
    engine_ =
        std::make_unique<Engine>(loop_, EngineAddress{config_.engine.url, config_.engine.api_key});
    check_engine();
    return;
  }
  detect_engines(loop_, [this, alive = std::weak_ptr(alive_)](std::vector<FoundEngine> found) {
    if (alive.expired() || stopping_) return;
    if (!found.empty()) {
      engine_ = std::make_unique<Engine>(loop_, found.front().address);
      use_engine(found.front());
    } else if (!config_.engine.demo_folder.empty()) {
      start_demo_engine();
    } else {
      on_fatal_("no engine was found on loopback; start one, or set engine.url");
    }
  });
}

void Agent::start_demo_engine() {
  log(LogLevel::Warning,
      "no engine found: starting the demo engine. Its model has less than a million weights and is "
      "there to show the path, not to be clever");
  demo_ = std::make_unique<DemoEngineProcess>(
      loop_,
      DemoEngineSettings{config_.engine.demo_folder, config_.engine.demo_model,
                         config_.engine.demo_slow_ms},
      [this](std::string url) {
        // Sessions hold on to the engine's object, so it stays and is pointed at the new process.
        EngineAddress address{std::move(url), {}};
        if (engine_) {
          engine_->set_address(std::move(address));
        } else {
          engine_ = std::make_unique<Engine>(loop_, std::move(address));
        }
        check_engine();
      },
      [this](const std::string& why) {
        engine_lost();
        if (on_serving_) {
          on_fatal_(why);
          return;
        }
        log(LogLevel::Error, "{}; starting it again in {} ms", why, demo_restart_ms_);
        timers_.push_back(loop_.after(static_cast<std::uint64_t>(demo_restart_ms_), [this] {
          if (!stopping_) start_demo_engine();
        }));
        demo_restart_ms_ = std::min(demo_restart_ms_ * 2, kDemoRestartMsMax);
      });
  if (const auto started = demo_->start(); !started) on_fatal_(started.error());
}

void Agent::check_engine() {
  if (!engine_ || stopping_) return;
  engine_->list_models([this](std::optional<FoundEngine> found) {
    if (stopping_) return;
    if (found) {
      failed_checks_ = 0;
      if (!publisher_.making() && (!publisher_.offering() || publisher_.refused())) {
        read_version(std::move(*found));
      }
    } else if (++failed_checks_ >= kFailedChecksMax &&
               (publisher_.offering() || publisher_.making())) {
      engine_lost();
    } else if (failed_checks_ == kFailedChecksMax) {
      log(LogLevel::Warning, "{} does not answer /v1/models; waiting for it",
          engine_->address().base_url);
    }
  });
}

void Agent::read_version(FoundEngine found) {
  if (std::exchange(reading_version_, true)) return;
  const std::string name = found.name;
  engine_->read_version(name, [this, found = std::move(found)](std::string version) mutable {
    reading_version_ = false;
    if (stopping_) return;
    found.version = std::move(version);
    use_engine(found);
  });
}

void Agent::use_engine(const FoundEngine& found) {
  const auto model = config_.engine.model.empty()
                         ? found.models.begin()
                         : std::ranges::find(found.models, config_.engine.model, &EngineModel::id);
  if (model == found.models.end()) {
    on_fatal_("the engine does not serve the model " + config_.engine.model);
    return;
  }
  if (!manifest_) {
    start_manifest();  // the next check of the engine comes here again
    return;
  }
  log(LogLevel::Info, "engine {} at {} serves {}", found.name, found.address.base_url, model->id);
  if (config_.offer.auditable && manifest_->empty()) {
    on_fatal_("offer.auditable: nobody can repeat an answer of unknown weights; name their files");
    return;
  }
  if (config_.offer.auditable && found.version == kUnknownVersion) {
    log(LogLevel::Warning, "the engine does not say its version, so this offer is not auditable");
  }
  if (!services_) {
    services_.emplace(
        Services{config_, identity_, loop_, clock_, rng_, verifier_, pool_, *journal_, *engine_});
  }
  publisher_.set_engine(found, *model, *manifest_);
  publisher_.publish();
}

void Agent::start_manifest() {
  if (std::exchange(hashing_, true)) return;
  const auto settings = std::make_shared<ManifestSettings>(config_.manifest_settings());
  if (settings->folder.empty() && settings->files.empty() && demo_) {
    settings->files.emplace_back(demo_->model_file());
  }
  if (settings->folder.empty() && settings->files.empty()) {
    manifest_.emplace();
    check_engine();
    return;
  }
  using Made = Result<attestation::ModelManifest, std::string>;
  const auto made = std::make_shared<Made>(failure(std::string("not made")));
  const bool taken = background_.run(
      [this, settings, made] {
        const ManifestCalls calls{log_progress, &cancelled_};
        *made = make_manifest(*settings, calls);
      },
      [this, made] {
        if (stopping_) return;
        if (!*made) {
          on_fatal_("weights: " + made->error());
          return;
        }
        manifest_ = attestation::print_manifest(**made);
        log(LogLevel::Info, "weights: {} files, manifest {}", (*made)->files.size(),
            encode_hex(attestation::manifest_digest(*manifest_)));
        check_engine();
      });
  if (!taken) hashing_ = false;
}

void Agent::engine_lost() {
  if (!publisher_.offering() && !publisher_.making()) return;
  log(LogLevel::Error, "the engine is gone; withdrawing the offers");
  publisher_.withdraw();
}

// ---- Keys and offers ----------------------------------------------------------------------------

void Agent::rotate_keys() {
  if (stopping_) return;
  beacons_.watch();
  const bool rotated = keys_.rotate(clock_.unix_s());
  if (rotated) subscribe();
  if (publisher_.offering() && (rotated || publisher_.due())) publisher_.publish();
  if (!rotated) return;
  if (auto expired = expired_answers(*journal_, clock_.unix_s(), kExpiredAnswersAtOnce);
      !expired.empty()) {
    if (!journal_->commit(std::move(expired), {})) {
      log(LogLevel::Warning, "the journal is busy; expired answers stay a little longer");
    }
  }
}

// ---- Frames -------------------------------------------------------------------------------------

/// One subscription for all keys: those of first frames and those of running sessions.
void Agent::subscribe() {
  Filter filter;
  filter.kinds = {kinds::kFrame};
  Filter::TagValues recipients{'p', {}};
  for (const PublicKey& key : keys_.public_keys()) recipients.values.push_back(encode_hex(key));
  for (const auto& [key, session] : sessions_) recipients.values.push_back(encode_hex(key));
  std::ranges::sort(recipients.values);
  filter.tags.push_back(std::move(recipients));
  if (frames_ != client::SubscriptionId::None) {
    pool_.change_filters(frames_, {std::move(filter)});
    return;
  }
  client::SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_frame(event); };
  callbacks.on_closed = [](const std::string& relay, const std::string& reason) {
    log(LogLevel::Error, "{} refuses our subscription: {}", relay, reason);
  };
  frames_ = pool_.subscribe({std::move(filter)}, std::move(callbacks));
}

void Agent::on_frame(const VerifiedEvent& event) {
  const auto recipient = frame_recipient(event.event());
  if (!recipient) return;
  if (const auto session = sessions_.find(*recipient); session != sessions_.end()) {
    const auto held = session->second;
    held->on_event(event.event());
    return;
  }
  if (const Keypair* encryption = keys_.find(*recipient, clock_.unix_s())) {
    on_first_frame(event.event(), *encryption);
  }
}

void Agent::on_first_frame(const Event& event, const Keypair& encryption) {
  ++counters_.first_frames;
  auto handshake = NodeHandshake::open_first(event, encryption);
  if (!handshake) {
    ++counters_.unreadable;
    return;
  }
  const RequestId request = handshake->open().request;
  for (const auto& [key, session] : sessions_) {
    if (session->client_key() == handshake->client()) {
      ++counters_.repeated;
      const auto held = session;
      held->on_open_again();
      return;
    }
    if (session->request_id() == request && !session->answered()) {
      ++counters_.repeated;
      refuse(*handshake, ErrorCode::Busy, "this request is being answered");
      return;
    }
  }
  if (stopping_ || !services_) return refuse(*handshake, ErrorCode::Busy, "no engine at present");
  const LiveOffer* offer = publisher_.find(handshake->open().offer);
  if (offer == nullptr && encryption.public_key() != keys_.newest().key.public_key()) {
    return refuse(*handshake, ErrorCode::KeyExpired, "this offer has ended; there is a newer one");
  }
  if (offer == nullptr || offer->offer.attestation != handshake->open().attestation) {
    return refuse(*handshake, ErrorCode::UnknownOffer, "this offer was withdrawn; read it again");
  }
  const auto sessions_max = static_cast<std::size_t>(config_.limits.sessions_max);
  if (sessions_.size() >= sessions_max) {
    std::erase_if(sessions_, [](const auto& entry) { return entry.second->settled(); });
  }
  if (sessions_.size() >= sessions_max) {
    return refuse(*handshake, ErrorCode::Busy, "all sessions are taken");
  }
  if (!offer->prices.free() && !handshake->open().payment) {
    return refuse(*handshake, ErrorCode::PaymentRequired, "this offer is not free");
  }
  auto book = book_for(*handshake, *offer);
  AcceptFrame accept;
  accept.queue = gate_.waiting();
  accept.resync = book->paid();
  NodeSessionLimits limits;
  limits.client_lost_ms = config_.limits.client_lost_s * 1000;
  auto session = NodeSession::accept(std::move(*handshake), std::move(accept), limits,
                                     services_->now(), verifier_, rng_);
  if (!session) {
    ++counters_.refused;
    return;
  }
  const auto serving =
      std::make_shared<Serving>(*services_, gate_, std::move(*session), *offer, std::move(book));
  sessions_.emplace(serving->session_key(), serving);
  subscribe();  // before the accept leaves: its answer comes to the session's key
  serving->begin();
}

void Agent::refuse(const NodeHandshake& handshake, ErrorCode code, std::string message) {
  ++counters_.refused;
  const ErrorCodeInfo info = error_code_info(code);
  ErrorFrame error{.code = code, .retryable = info.retryable, .message = std::move(message)};
  if (code == ErrorCode::Busy) error.retry_after_ms = 1000;
  pool_.publish(handshake.refuse_event(error, clock_.unix_s(), rng_));
}

std::shared_ptr<ChannelBook> Agent::book_for(const NodeHandshake& handshake,
                                             const LiveOffer& offer) {
  // A free offer needs no payer: the session's own key stands for one.
  const PaymentTerms payer =
      handshake.open().payment.value_or(PaymentTerms{handshake.client(), {}});
  const settlement::ChannelTerms terms{payer.signer, identity_.public_key(), offer.offer.asset,
                                       payer.salt};
  const ChannelId id = settlement::channel_id(terms);
  if (const auto found = books_.find(id); found != books_.end()) {
    if (auto book = found->second.lock()) return book;
  }
  const Amount credit = offer.offer.credit;
  const auto stored = client::get_channel(*journal_, id);
  auto book = stored ? std::make_shared<ChannelBook>(*stored, credit)
                     : std::make_shared<ChannelBook>(terms, credit);
  std::erase_if(books_, [](const auto& entry) { return entry.second.expired(); });
  books_[id] = book;
  return book;
}

void Agent::sweep() {
  const std::size_t before = sessions_.size();
  std::erase_if(sessions_, [](const auto& entry) { return entry.second->removable(); });
  if (sessions_.size() != before) subscribe();
}

void Agent::stop(std::function<void()> done) {
  if (std::exchange(stopping_, true)) return;
  cancelled_ = true;
  for (const auto& [key, session] : sessions_) session->stop();
  const auto finish = std::make_shared<std::function<void()>>(std::move(done));
  const auto once = [finish] {
    if (*finish) std::exchange(*finish, nullptr)();
  };
  // Records made just now reach the disk and the relays before the withdrawal is answered.
  timers_.push_back(loop_.after(kStopMsMax, once));
  publisher_.withdraw([this, once] { timers_.push_back(loop_.after(100, once)); });
}

}  // namespace nostril::node
