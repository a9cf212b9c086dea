#include "node/agent.h"

#include "base/hex.h"
#include "base/log.h"
#include "client/api_budget.h"
#include "client/channel_store.h"
#include "events/kinds.h"
#include "events/nip19.h"
#include "node/lightning_desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::uint64_t kKeyCheckMs = 1'000;
constexpr std::uint64_t kSweepMs = 1'000;
constexpr std::size_t kExpiredAnswersAtOnce = 1'000;
/// About 2 ms of the loop, each second while a pass lasts.
constexpr std::size_t kSweptRowsAtOnce = 200;
constexpr std::int64_t kDemoRestartMsMax = 60'000;
/// Longest that a clean stop waits for records and the withdrawal.
constexpr std::uint64_t kStopMsMax = 3'000;

settlement::PriceTable free_of(Offer offer) {
  offer.prices.clear();
  return settlement::PriceTable::of(offer);
}

}  // namespace

Agent::Agent(const NodeConfig& config, Keypair identity, std::unique_ptr<EvidenceSource> source,
             std::unique_ptr<client::Journal> journal, net::Loop& loop, Clock& clock, Rng& rng,
             std::shared_ptr<const Rail> rail)
    : config_(config),
      identity_(std::move(identity)),
      loop_(loop),
      clock_(clock),
      rng_(rng),
      source_(std::move(source)),
      journal_(std::move(journal)),
      turn_end_(loop),
      pool_(loop, clock, {}, config.ca_file),
      inbox_(pool_, loop, rng),
      answers_(*journal_,
               {.kept_s = config.limits.answers_kept_s,
                .bytes_max = static_cast<std::uint64_t>(config.limits.answers_mib_max) << 20U},
               clock, rng),
      pickup_(*journal_, pool_, loop, clock),
      keys_(config.limits.key_life_s, rng),
      background_(loop),
      beacons_(pool_, config.witnesses().value_or(std::vector<PublicKey>()),
               config.freshness.beacon_age_s_max, clock),
      times_(std::filesystem::path(config.data) / "published-at", clock),
      rail_(rail ? std::move(rail) : std::make_shared<const UnsettledRail>()),
      books_(*journal_, *rail_),
      journal_sweep_(
          *journal_, [this](const ChannelId& id) { return books_.in_use(id); }, clock) {}

Agent::~Agent() {
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
    log(LogLevel::Info, "{} {}", public_text(relay), public_text(connected ? "connected" : "lost"));
    inbox_.on_connection_change(relay, connected);
    if (!connected) return;
    for (const auto& site : sites_) site->publish_again();
    pickup_.send_due();
  });
  keys_.rotate(clock_.unix_s());
  subscribe();
  beacons_.start();
  timers_.push_back(loop_.every(kKeyCheckMs, [this] { rotate_keys(); }));
  timers_.push_back(loop_.every(kSweepMs, [this] { sweep(); }));
  find_engines();
}

void Agent::told_offer(const Offer& offer) {
  log(LogLevel::Info, "offering {} until {}", public_text(offer.model), offer.expires_at);
  if (!on_serving_) return;
  std::exchange(on_serving_, nullptr)(
      fmt::format("serving {} as {} on {} relay{}, evidence {}", offer.model,
                  nip19::encode(nip19::Npub{offer.node}), pool_.connected_count(),
                  pool_.connected_count() == 1 ? "" : "s",
                  source_->simulated() ? "SIMULATED (no TEE stands behind it)" : source_->tee()));
}

// ---- Engines ------------------------------------------------------------------------------------

EngineSite& Agent::add_site(NodeConfig::EngineSettings engine) {
  const NodeParts node{config_, identity_, loop_,    clock_,  rng_,     verifier_,
                       pool_,   *journal_, answers_, pickup_, metrics_, turn_end_};
  const SiteParts parts{node, keys_, *source_, background_, beacons_, times_, direct_};
  SiteCallbacks callbacks;
  callbacks.on_offered = [this](const Offer& offer) { told_offer(offer); };
  callbacks.on_problem = [this](const std::string& problem) { site_problem(problem); };
  callbacks.may_offer = [this, index = sites_.size()](const std::string& model) {
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      if (i != index && sites_[i]->offers_model(model)) return false;
    }
    return true;
  };
  return *sites_.emplace_back(
      std::make_unique<EngineSite>(parts, std::move(engine), std::move(callbacks)));
}

/// The only engine's ends the node; one of several leaves the others serving.
void Agent::site_problem(const std::string& problem) {
  if (sites_.size() == 1) {
    on_fatal_(problem);
  } else {
    log(LogLevel::Error, "{}", public_text(problem));
  }
}

void Agent::find_engines() {
  for (const NodeConfig::EngineSettings& engine : config_.engines) add_site(engine);
  if (sites_.empty() && !config_.engine.url.empty()) add_site(config_.single_engine());
  if (!sites_.empty()) {
    for (const auto& site : sites_) site->check();
    return;
  }
  detect_engines(loop_, [this, alive = std::weak_ptr(alive_)](std::vector<FoundEngine> found) {
    if (alive.expired() || stopping_) return;
    if (!found.empty()) {
      NodeConfig::EngineSettings engine = config_.single_engine();
      engine.url = found.front().address.base_url;
      add_site(std::move(engine)).check();
    } else if (!config_.engine.demo_folder.empty()) {
      start_demo_engine();
    } else {
      on_fatal_("no engine was found on loopback; start one, or set engine.url");
    }
  });
}

// ---- Another configuration ----------------------------------------------------------------------

void Agent::reconfigured(const NodeConfig& before) {
  if (stopping_ || on_drained_) return;
  for (const std::string& url : config_.relays) {
    if (!pool_.add_relay(url))
      log(LogLevel::Error, "{}: more relays than can be used", public_text(url));
  }
  for (const std::string& url : before.relays) {
    if (std::ranges::find(config_.relays, url) == config_.relays.end()) leave_relay(url);
  }
  reconfigure_engines();
}

void Agent::leave_relay(const std::string& url) {
  timers_.push_back(loop_.after(kRelayLeaveMs, [this, url] {
    if (std::ranges::find(config_.relays, url) == config_.relays.end()) pool_.remove_relay(url);
  }));
}

void Agent::reconfigure_engines() {
  const auto& engines = config_.engines;
  if (engines.empty()) {
    for (const auto& site : sites_) {
      NodeConfig::EngineSettings engine = config_.single_engine();
      engine.url = site->configured_url();  // found, or started, where none is configured
      site->reconfigure(std::move(engine));
    }
    return;
  }
  for (const auto& site : sites_) {
    const auto found =
        std::ranges::find(engines, site->configured_url(), &NodeConfig::EngineSettings::url);
    if (found == engines.end()) {
      site->close();
    } else {
      site->reconfigure(*found);
    }
  }
  for (const NodeConfig::EngineSettings& engine : engines) {
    const auto is_there = [&engine](const auto& site) {
      return !site->closed() && site->configured_url() == engine.url;
    };
    if (std::ranges::none_of(sites_, is_there)) add_site(engine).check();
  }
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
        EngineSite& site = sites_.empty() ? add_site(config_.single_engine()) : *sites_.front();
        site.set_own_weights(demo_->model_file());
        site.move_to({std::move(url), {}});
      },
      [this](const std::string& why) { demo_engine_ended(why); });
  if (const auto started = demo_->start(); !started) on_fatal_(started.error());
}

void Agent::demo_engine_ended(const std::string& why) {
  for (const auto& site : sites_) site->lost();
  if (on_serving_) {
    on_fatal_(why);
    return;
  }
  log(LogLevel::Error, "{}; starting it again in {} ms", public_text(why), demo_restart_ms_);
  timers_.push_back(loop_.after(static_cast<std::uint64_t>(demo_restart_ms_), [this] {
    if (!stopping_) start_demo_engine();
  }));
  demo_restart_ms_ = std::min(demo_restart_ms_ * 2, kDemoRestartMsMax);
}

HttpsParts Agent::https_parts() {
  return {config_, identity_, loop_, clock_, rng_, *source_, *journal_, books_, background_, *this};
}

std::optional<ModelPlace> Agent::find_model(std::string_view model) {
  for (const auto& site : sites_) {
    if (const LiveOffer* offer = site->find_model(model)) {
      return ModelPlace{site->services(), site->queue(), *offer};
    }
  }
  return std::nullopt;
}

std::vector<Offer> Agent::offered() {
  std::vector<Offer> out;
  for (const auto& site : sites_) {
    for (const LiveOffer* live : site->offered()) out.push_back(live->offer);
  }
  return out;
}

std::pair<EngineSite*, const LiveOffer*> Agent::find_offer(const EventId& id) const {
  for (const auto& site : sites_) {
    if (const LiveOffer* offer = site->find(id)) return {site.get(), offer};
  }
  return {nullptr, nullptr};
}

// ---- Keys and offers ----------------------------------------------------------------------------

void Agent::rotate_keys() {
  if (stopping_) return;
  beacons_.watch();
  const bool rotated = keys_.rotate(clock_.unix_s());
  if (rotated) subscribe();
  for (const auto& site : sites_) site->renew(rotated);
}

// ---- Frames -------------------------------------------------------------------------------------

/// To first frames; the inbox sees to those of running sessions.
void Agent::subscribe() {
  Filter filter;
  filter.kinds = {kinds::kFrame};
  Filter::TagValues recipients{'p', {}};
  for (const PublicKey& key : keys_.public_keys()) recipients.values.push_back(encode_hex(key));
  std::ranges::sort(recipients.values);
  filter.tags.push_back(std::move(recipients));
  if (first_frames_ != client::SubscriptionId::None) {
    pool_.change_filters(first_frames_, {std::move(filter)});
    return;
  }
  client::SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_first_frame(event); };
  callbacks.on_closed = [](const std::string& relay, const std::string& reason) {
    log(LogLevel::Error, "{} refuses our subscription: {}", public_text(relay),
        public_text(reason));
  };
  first_frames_ = pool_.subscribe({std::move(filter)}, std::move(callbacks));
}

void Agent::on_session_frame(const Event& event) {
  const auto recipient = frame_recipient(event);
  if (!recipient) return;
  const auto session = sessions_.find(*recipient);
  if (session == sessions_.end()) return;
  const auto held = session->second;
  held->on_event(event);
}

void Agent::on_first_frame(const VerifiedEvent& event) {
  const auto recipient = frame_recipient(event.event());
  if (!recipient) return;
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
  if (on_drained_) return refuse(*handshake, ErrorCode::Busy, "this node ends; ask another");
  if (stopping_ || std::ranges::none_of(sites_, [](const auto& one) { return one->served(); })) {
    return refuse(*handshake, ErrorCode::Busy, "no engine at present");
  }
  const auto [site, offer] = find_offer(handshake->open().offer);
  if (offer == nullptr && encryption.public_key() != keys_.newest().key.public_key()) {
    return refuse(*handshake, ErrorCode::KeyExpired, "this offer has ended; there is a newer one");
  }
  if (offer == nullptr || offer->offer.attestation != handshake->open().attestation) {
    return refuse(*handshake, ErrorCode::UnknownOffer, "this offer was withdrawn; read it again");
  }
  const auto sessions_max = static_cast<std::size_t>(config_.limits.sessions_max);
  if (sessions_.size() >= sessions_max) {
    drop_sessions([](const Serving& session) { return session.settled(); });
  }
  if (sessions_.size() >= sessions_max) {
    return refuse(*handshake, ErrorCode::Busy, "all sessions are taken");
  }
  const bool at_desk =
      lightning_ != nullptr && handshake->open().path == settlement::lightning::kDeskPath;
  if (!at_desk && !offer->prices.free() && !handshake->open().payment) {
    return refuse(*handshake, ErrorCode::PaymentRequired, "this offer is not free");
  }
  // What the desk answers costs nothing, and the session's own key stands for a payer.
  const LiveOffer terms = at_desk ? LiveOffer{offer->offer, free_of(offer->offer)} : *offer;
  auto found = book_for(*handshake, terms);
  if (!found) return refuse(*handshake, ErrorCode::PaymentRequired, std::move(found.error()));
  auto book = std::move(*found);
  AcceptFrame accept;
  accept.queue = site->queue().admission().waiting();
  accept.resync = book->paid();
  NodeSessionLimits limits;
  limits.client_lost_ms = config_.limits.client_lost_s * 1000;
  // Relays hear of the key before the accept leaves: its answer comes to it.
  Keypair key = inbox_.take({.on_frame = [this](const Event& frame) { on_session_frame(frame); },
                             .on_ready = {},
                             .on_closed =
                                 [](const std::string& relay, const std::string& reason) {
                                   log(LogLevel::Error, "{} refuses our subscription: {}",
                                       public_text(relay), public_text(reason));
                                 }});
  const PublicKey address = key.public_key();
  auto session = NodeSession::accept(std::move(*handshake), std::move(accept), limits,
                                     site->services().now(), verifier_, rng_, std::move(key));
  if (!session) {
    inbox_.release(address);
    ++counters_.refused;
    return;
  }
  const auto serving = std::make_shared<Serving>(site->services(), site->queue(),
                                                 std::move(*session), terms, std::move(book));
  if (at_desk) serving->ask_desk(*lightning_);
  sessions_.emplace(serving->session_key(), serving);
  serving->begin();
}

void Agent::refuse(const NodeHandshake& handshake, ErrorCode code, std::string message) {
  ++counters_.refused;
  metrics_.count(code);
  const ErrorCodeInfo info = error_code_info(code);
  ErrorFrame error{.code = code, .retryable = info.retryable, .message = std::move(message)};
  if (code == ErrorCode::Busy) error.retry_after_ms = 1000;
  pool_.publish(handshake.refuse_event(error, clock_.unix_s(), rng_));
}

Result<std::shared_ptr<ChannelBook>, std::string> Agent::book_for(const NodeHandshake& handshake,
                                                                  const LiveOffer& offer) {
  const auto& payment = handshake.open().payment;
  if (offer.prices.free() || !payment) {
    // A free offer needs no payer: the session's own key stands for one.
    const PaymentTerms payer = payment.value_or(PaymentTerms{handshake.client(), {}});
    return books_.open({payer.signer, identity_.public_key(), offer.offer.asset, payer.salt},
                       offer.offer.credit);
  }
  const auto terms = rail_->channel(*payment, offer.offer);
  if (!terms) return failure(terms.error());
  return books_.open(*terms, offer.offer.credit);
}

void Agent::drop_sessions(const std::function<bool(const Serving&)>& which) {
  std::erase_if(sessions_, [&](const auto& entry) {
    if (!which(*entry.second)) return false;
    inbox_.release(entry.first);
    return true;
  });
}

void Agent::sweep() {
  drop_sessions([](const Serving& session) { return session.removable(); });
  sweep_journal();
  const bool idle = sessions_.empty() && (!direct_.running || direct_.running() == 0);
  if (on_drained_ && !stopping_ && idle) std::exchange(on_drained_, nullptr)();
}

void Agent::sweep_journal() {
  std::vector<client::JournalChange> erased = answers_.expired(kExpiredAnswersAtOnce);
  std::ranges::move(
      journal_sweep_.next(config_.limits.records_days * client::kSecondsPerDay, kSweptRowsAtOnce),
      std::back_inserter(erased));
  // What is not committed now comes up again: an answer when the node starts, the rest before.
  if (!erased.empty()) (void)journal_->commit(std::move(erased), {});
}

void Agent::drain(std::function<void()> done) {
  if (stopping_ || on_drained_) return;
  log(LogLevel::Info, "draining: {} sessions are left, nothing new is begun", sessions_.size());
  on_drained_ = std::move(done);
  for (const auto& site : sites_) site->close();
  timers_.push_back(loop_.after(static_cast<std::uint64_t>(config_.limits.drain_s) * 1000, [this] {
    if (on_drained_ && !stopping_) std::exchange(on_drained_, nullptr)();
  }));
}

void Agent::stop(std::function<void()> done) {
  if (std::exchange(stopping_, true)) return;
  for (const auto& [key, session] : sessions_) session->stop();
  const auto finish = std::make_shared<std::function<void()>>(std::move(done));
  const auto once = [finish] {
    if (*finish) std::exchange(*finish, nullptr)();
  };
  // Records made just now reach the disk and the relays before the withdrawal is answered.
  timers_.push_back(loop_.after(kStopMsMax, once));
  const auto left = std::make_shared<std::size_t>(sites_.size() + 1);
  const auto one_less = [this, left, once] {
    if (--*left == 0) timers_.push_back(loop_.after(100, once));
  };
  for (const auto& site : sites_) site->close(one_less);
  one_less();
}

}  // namespace nostril::node
