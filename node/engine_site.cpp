#include "node/engine_site.h"

#include "attestation/verity.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "node/manifest.h"

#include <algorithm>

namespace nostril::node {

namespace {

constexpr std::uint64_t kCheckMs = 3'000;
constexpr std::uint64_t kCheckMsMax = 30'000;
constexpr std::uint64_t kLoadMs = 1'000;
/// An engine that does not say how it bears its load is not asked again before it was lost.
constexpr int kLoadMissesMax = 3;
/// An engine that misses this many checks in a row is gone.
constexpr int kFailedChecksMax = 2;
/// Models of one engine that are offered.
constexpr std::size_t kModelsMax = 64;

/// On the background thread.
void log_progress(const ManifestProgress& progress) {
  constexpr double kGb = 1e9;
  log(LogLevel::Info, "weights: {:.1f} of {:.1f} GB hashed, {:.1f} GB known from before",
      static_cast<double>(progress.bytes) / kGb, static_cast<double>(progress.bytes_total) / kGb,
      static_cast<double>(progress.bytes_reused) / kGb);
}

EngineRequest one_token_of(const std::string& model) {
  JsonWriter w;
  w.begin_object().key("model").string(model);
  w.key("messages").begin_array().begin_object();
  w.key("role").string("user").key("content").string("Hi").end_object().end_array();
  w.key("max_tokens").integer(1).end_object();
  EngineRequest out;
  out.path = "/v1/chat/completions";
  out.body = std::move(w).take();
  return out;
}

AdmissionSettings admission_of(const NodeConfig::Limits& limits) {
  AdmissionSettings out;
  out.running_max = static_cast<std::size_t>(limits.running_max);
  out.running_start = static_cast<std::size_t>(limits.running_start);
  out.waiting_max = static_cast<std::size_t>(limits.waiting_max);
  out.wait_ms_max = limits.wait_s_max * 1'000;
  out.answer_tokens_s_min = static_cast<std::uint64_t>(limits.answer_tokens_s_min);
  return out;
}

/// A refusal is an answer, too: of a model that makes embeddings and can't chat.
bool answered(const EngineOutcome& outcome) {
  constexpr int kServerError = 500;
  return outcome.failure == EngineFailure::None ||
         (outcome.failure == EngineFailure::Refused && outcome.status < kServerError);
}

}  // namespace

EngineSite::EngineSite(SiteParts parts, NodeConfig::EngineSettings engine, SiteCallbacks callbacks)
    : parts_(parts),
      settings_(std::move(engine)),
      callbacks_(std::move(callbacks)),
      engine_(parts.loop, EngineAddress{settings_.url, settings_.api_key}),
      queue_(admission_of(parts.config.limits), parts.clock),
      services_{static_cast<const NodeParts&>(parts), engine_, settings_},
      pause_ms_(kCheckMs) {
  load_timer_ = parts_.loop.every(kLoadMs, [this] {
    tell_load();
    poll_load();
  });
}

EngineSite::~EngineSite() {
  *cancelled_ = true;
  parts_.loop.cancel(timer_);
  parts_.loop.cancel(load_timer_);
}

void EngineSite::move_to(EngineAddress address) {
  engine_.set_address(std::move(address));
  stop_warming();
  checking_ = false;
  check();
}

void EngineSite::reconfigure(NodeConfig::EngineSettings engine) {
  if (closed_) return;
  settings_ = std::move(engine);
  queue_.set_settings(admission_of(parts_.config.limits));
  engine_.set_address({engine_.address().base_url, settings_.api_key});
  for (auto& [name, model] : models_) {
    model.publisher->change_terms(parts_.config.terms_of(settings_));
  }
}

// ---- Watching -----------------------------------------------------------------------------------

void EngineSite::arm() {
  checking_ = false;
  parts_.loop.cancel(timer_);
  if (!closed_) timer_ = parts_.loop.after(pause_ms_, [this] { check(); });
}

void EngineSite::check() {
  if (closed_ || std::exchange(checking_, true)) return;
  engine_.list_models([this, asked = engine_.address().base_url](auto found) {
    if (closed_ || asked != engine_.address().base_url) return;
    on_checked(std::move(found));
  });
}

void EngineSite::on_checked(std::optional<FoundEngine> found) {
  if (found) {
    failed_checks_ = 0;
    pause_ms_ = kCheckMs;
    arm();
    if (!manifest_) {
      start_manifest(std::make_shared<const FoundEngine>(std::move(*found)));
    } else {
      read_version(std::move(*found));
    }
    return;
  }
  if (++failed_checks_ == kFailedChecksMax) {
    log(LogLevel::Warning, "{} does not answer /v1/models; waiting for it",
        public_text(engine_.address().base_url));
    lost();
  }
  if (failed_checks_ > kFailedChecksMax) pause_ms_ = std::min(2 * pause_ms_, kCheckMsMax);
  arm();
}

void EngineSite::poll_load() {
  if (queue_.admission().running() == 0 || load_misses_ >= kLoadMissesMax) return;
  if (std::exchange(asking_load_, true)) return;
  engine_.read_load([this](const std::optional<EngineLoad>& load) {
    asking_load_ = false;
    load_ = load;
    load_misses_ = load ? 0 : load_misses_ + 1;
    if (!load) return;
    const std::size_t limit_before = queue_.admission().limit();
    queue_.observe(*load);
    if (queue_.admission().limit() == limit_before) return;
    log(LogLevel::Debug, "{}: {} run, {} wait inside; {} are let in",
        public_text(engine_.address().base_url), load->running, load->waiting,
        queue_.admission().limit());
  });
}

void EngineSite::tell_load() {
  const LoadTag load = queue_.load();
  for (auto& [name, model] : models_) model.publisher->note_load(load);
}

void EngineSite::lost() {
  load_misses_ = 0;
  for (auto& [name, model] : models_) {
    model.warm = false;
    if (!model.publisher->offering() && !model.publisher->making()) continue;
    log(LogLevel::Error, "the engine of {} is gone; withdrawing the offers", public_text(name));
    model.publisher->withdraw();
  }
}

void EngineSite::close(const std::function<void()>& withdrawn) {
  closed_ = true;
  *cancelled_ = true;
  queue_.close();
  parts_.loop.cancel(timer_);
  stop_warming();
  const auto left = std::make_shared<std::size_t>(models_.size() + 1);
  const auto one_less = [left, withdrawn] {
    if (--*left == 0 && withdrawn) withdrawn();
  };
  for (auto& [name, model] : models_) model.publisher->withdraw(one_less);
  one_less();
}

void EngineSite::start_manifest(const std::shared_ptr<const FoundEngine>& found) {
  if (std::exchange(hashing_, true)) return;
  const auto settings =
      std::make_shared<ManifestSettings>(parts_.config.manifest_settings(settings_));
  if (settings->folder.empty() && settings->files.empty() && !own_weights_.empty()) {
    settings->files.push_back(own_weights_);
  }
  if (settings->folder.empty() && settings->files.empty()) {
    manifest_.emplace();
    read_version(*found);
    return;
  }
  using Made = Result<std::string, std::string>;
  const auto made = std::make_shared<Made>(failure(std::string("not made")));
  const bool taken = parts_.background.run(
      [settings, made, cancelled = cancelled_] {
        const ManifestCalls calls{log_progress, cancelled.get()};
        *made = weights_text(*settings, calls);
      },
      [this, made, alive = std::weak_ptr(alive_)] {
        if (alive.expired() || closed_) return;
        if (!*made) {
          report("weights: " + made->error());
          return;
        }
        manifest_ = **made;
        log(LogLevel::Info, "weights: {} {}",
            public_text(attestation::is_verity_text(*manifest_) ? "dm-verity device" : "manifest"),
            public_text(encode_hex(attestation::weights_digest(*manifest_))));
        check();
      });
  if (!taken) hashing_ = false;
}

// ---- Offers -------------------------------------------------------------------------------------

EngineSite::Model& EngineSite::model_of(const std::string& name) {
  Model& model = models_[name];
  if (!model.publisher) {
    model.publisher = std::make_unique<Publisher>(
        parts_.config, parts_.identity, parts_.keys, parts_.source, parts_.background, parts_.pool,
        parts_.beacons, parts_.times, parts_.direct, parts_.clock, parts_.rng);
    model.publisher->on_offered(callbacks_.on_offered);
    model.publisher->note_load(queue_.load());
  }
  return model;
}

bool EngineSite::is_wanted(const FoundEngine& found, const EngineModel& model) const {
  if (!settings_.models.empty()) {
    return std::ranges::find(settings_.models, model.id) != settings_.models.end();
  }
  return !settings_.first_model_only || &model == &found.models.front();
}

void EngineSite::read_version(FoundEngine found) {
  if (std::exchange(reading_version_, true)) return;
  const std::string name = found.name;
  engine_.read_version(name, [this, found = std::move(found)](std::string version) mutable {
    reading_version_ = false;
    if (closed_) return;
    found.version = std::move(version);
    serve(found);
  });
}

void EngineSite::serve(const FoundEngine& found) {
  if (parts_.config.offer.auditable && manifest_->empty()) {
    report("offer.auditable: nobody can repeat an answer of unknown weights; name their files");
    return;
  }
  for (const std::string& name : settings_.models) {
    if (std::ranges::find(found.models, name, &EngineModel::id) == found.models.end()) {
      report("the engine at " + found.address.base_url + " does not serve the model " + name);
    }
  }
  for (auto& [name, model] : models_) {
    const bool is_listed =
        std::ranges::find(found.models, name, &EngineModel::id) != found.models.end();
    if (is_listed || !model.publisher->offering()) continue;
    log(LogLevel::Warning, "the engine no longer lists {}; withdrawing its offer",
        public_text(name));
    model.warm = false;
    model.publisher->withdraw();
  }
  for (const EngineModel& model : found.models) {
    if (closed_) return;  // that was a problem which ended the node
    if (!is_wanted(found, model) || !callbacks_.may_offer(model.id)) continue;
    if (models_.size() >= kModelsMax && !models_.contains(model.id)) break;
    offer(found, model);
  }
}

void EngineSite::offer(const FoundEngine& found, const EngineModel& model) {
  Model& own = model_of(model.id);
  Publisher& publisher = *own.publisher;
  if (publisher.making() || (publisher.offering() && !publisher.refused())) return;
  // Of an engine that loads models as they are asked for, only those that were named are loaded.
  const bool is_chosen = !settings_.models.empty() || &model == &found.models.front();
  if (settings_.warm_up && is_chosen && !own.warm) {
    warm_up(model.id);
    return;
  }
  if (parts_.config.offer.auditable && found.version == kUnknownVersion) {
    log(LogLevel::Warning, "the engine does not say its version, so this offer is not auditable");
  }
  log(LogLevel::Info, "engine {} at {} serves {}", public_text(found.name),
      public_text(found.address.base_url), public_text(model.id));
  publisher.set_engine(found, model, *manifest_, parts_.config.terms_of(settings_));
  publisher.publish();
}

/// The check after it offers.
void EngineSite::warm_up(const std::string& name) {
  Model& model = model_of(name);
  if (model.warming != Engine::Call::None) return;
  EngineCallbacks callbacks;
  callbacks.on_head = [](int, const std::string&) {};
  callbacks.on_bytes = [](std::string_view) { return true; };
  callbacks.on_done = [this, name, &model](const EngineOutcome& outcome) {
    model.warming = Engine::Call::None;
    if (!answered(outcome)) {
      log(LogLevel::Warning, "{} does not answer yet: {} (status {})", public_text(name),
          outcome.failure, outcome.status);
      return;  // the next check tries again
    }
    model.warm = true;
    check();
  };
  model.warming = engine_.ask(one_token_of(name), std::move(callbacks));
}

void EngineSite::stop_warming() {
  for (auto& [name, model] : models_) {
    if (model.warming == Engine::Call::None) continue;
    engine_.cancel(std::exchange(model.warming, Engine::Call::None));
  }
}

void EngineSite::report(std::string problem) {
  if (problem == problem_) return;
  problem_ = std::move(problem);
  callbacks_.on_problem(problem_);
}

void EngineSite::renew(bool key_is_new) {
  if (closed_) return;
  for (auto& [name, model] : models_) {
    Publisher& publisher = *model.publisher;
    if (publisher.offering() && (key_is_new || publisher.due())) publisher.publish();
  }
}

void EngineSite::publish_again() {
  for (auto& [name, model] : models_) model.publisher->publish_again();
}

SiteFigures EngineSite::figures() const {
  SiteFigures out;
  out.engine = engine_.address().base_url;
  out.running = queue_.admission().running();
  out.waiting = queue_.admission().waiting();
  out.limit = queue_.admission().limit();
  out.load = load_;
  for (const auto& [name, model] : models_) {
    if (model.publisher->offering())
      out.offers.emplace_back(name, model.publisher->evidence_at_s());
  }
  return out;
}

bool EngineSite::offers_model(const std::string& model) const {
  const auto found = models_.find(model);
  return found != models_.end() &&
         (found->second.publisher->offering() || found->second.publisher->making());
}

const LiveOffer* EngineSite::find_model(std::string_view model) const {
  const auto found = models_.find(std::string(model));
  return found == models_.end() ? nullptr : found->second.publisher->newest();
}

std::vector<const LiveOffer*> EngineSite::offered() const {
  std::vector<const LiveOffer*> out;
  for (const auto& [name, model] : models_) {
    if (const LiveOffer* live = model.publisher->newest()) out.push_back(live);
  }
  return out;
}

const LiveOffer* EngineSite::find(const EventId& offer) const {
  for (const auto& [name, model] : models_) {
    if (const LiveOffer* live = model.publisher->find(offer)) return live;
  }
  return nullptr;
}

}  // namespace nostril::node
