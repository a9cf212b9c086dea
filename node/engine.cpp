#include "node/engine.h"

#include "base/json.h"
#include "base/log.h"
#include "events/inference.h"
#include "events/tag_reader.h"
#include "node/engine_load.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::array<std::string_view, 4> kCustomaryUrls = {
    "http://127.0.0.1:8000", "http://127.0.0.1:30000", "http://127.0.0.1:8080",
    "http://127.0.0.1:11434"};
constexpr std::size_t kModelsBytesMax = 1U << 20;
constexpr std::size_t kModelsMax = 1000;
/// Of one answer: what a client takes at most (ClientSessionLimits).
constexpr std::size_t kAnswerBytesMax = 64U << 20;
/// Of an answer that is no stream, handed on at a time.
constexpr std::size_t kPieceBytesMax = 64U << 10;

std::string name_of_owner(std::string_view owner) {
  if (owner == "vllm" || owner == "sglang" || owner == "nostril-demo") return std::string(owner);
  if (owner == "llamacpp" || owner == "node-llama-cpp") return "llama.cpp";
  if (owner == "library") return "ollama";
  return "openai-compatible";
}

bool is_count(std::int64_t value) {
  return value > 0 && static_cast<std::uint64_t>(value) <= InferenceLimits::kTokensMax;
}

/// The context length under any of the names that engines give it.
std::int64_t context_of(const Json& model) {
  for (const std::string_view key : {"max_model_len", "context_length", "context_window"}) {
    if (const auto value = model.find_integer(key); value && is_count(*value)) return *value;
  }
  if (const Json* meta = model.find("meta")) {
    if (const auto value = meta->find_integer("n_ctx"); value && is_count(*value)) return *value;
  }
  return 0;
}

/// A model id that an offer can name.
bool is_fit(std::string_view id) {
  return !id.empty() && id.size() <= InferenceLimits::kModelBytesMax &&
         std::ranges::none_of(id, [](char c) { return static_cast<unsigned char>(c) < ' '; });
}

std::optional<FoundEngine> read_models(const EngineAddress& address, std::string_view body) {
  const auto answer = Json::parse(body, {.bytes_max = kModelsBytesMax, .depth_max = 16});
  if (!answer) return std::nullopt;
  const Json* data = answer->find("data");
  if (data == nullptr || !data->is_array()) return std::nullopt;
  FoundEngine found;
  found.address = address;
  found.name = "openai-compatible";
  for (const Json& model : data->items().first(std::min(data->items().size(), kModelsMax))) {
    const auto id = model.find_string("id");
    if (!id || !is_fit(*id)) continue;
    if (const auto owner = model.find_string("owned_by")) found.name = name_of_owner(*owner);
    found.models.push_back({std::string(*id), context_of(model)});
  }
  if (found.models.empty()) return std::nullopt;
  return found;
}

/// Where each engine says its version.
struct VersionPlace {
  std::string_view engine;
  std::string_view path;
  std::string_view member;
};

constexpr std::array<VersionPlace, 5> kVersionPlaces = {{{"vllm", "/version", "version"},
                                                         {"sglang", "/get_server_info", "version"},
                                                         {"llama.cpp", "/props", "build_info"},
                                                         {"nostril-demo", "/props", "build_info"},
                                                         {"ollama", "/api/version", "version"}}};

std::string version_in(std::string_view body, std::string_view member) {
  const auto answer = Json::parse(body, {.bytes_max = kModelsBytesMax, .depth_max = 64});
  const auto version = answer ? answer->find_string(member) : std::nullopt;
  const bool fit = version && is_name(*version, InferenceLimits::kNameBytesMax);
  return fit ? std::string(*version) : kUnknownVersion;
}

net::HttpHeaders headers_for(const EngineAddress& address) {
  net::HttpHeaders headers;
  if (!address.api_key.empty()) headers.add("Authorization", "Bearer " + address.api_key);
  return headers;
}

EngineFailure failure_of(net::HttpCallError error, int status) {
  if (error == net::HttpCallError::TooLarge) return EngineFailure::TooLarge;
  return status == 0 ? EngineFailure::Unreachable : EngineFailure::Broken;
}

}  // namespace

std::string_view to_string(EngineFailure failure) {
  switch (failure) {
    case EngineFailure::None:
      return "none";
    case EngineFailure::Unreachable:
      return "the engine can't be reached";
    case EngineFailure::Refused:
      return "the engine refused the request";
    case EngineFailure::Broken:
      return "the engine's answer broke off";
    case EngineFailure::TooLarge:
      return "the engine's answer is too large";
  }
  return "unknown";
}

struct Engine::Pending {
  explicit Pending(const EngineRequest& request)
      : is_stream(request.stream),
        abort_id(request.abort_id),
        tap(request.form, request.stream),
        events(request.stream ? request.form : AnswerForm::Whole) {}

  EngineCallbacks callbacks;
  Call call = Call::None;
  bool is_stream;
  std::string abort_id;
  CompletionTap tap;
  AnswerSplitter events;  ///< not handed on yet
  std::size_t whole_sent = 0;
  int status = 0;
  bool overflow = false;
  bool paused = false;
  bool delivering = false;
  bool cancelled = false;
  bool rest_taken = false;
  std::optional<net::HttpCallResult> ended;  ///< how the connection ended

  [[nodiscard]] bool is_answer() const { return status == 200; }

  void feed_tap(std::string_view bytes) {
    if (is_answer() && !tap.feed(bytes)) overflow = true;
  }

  void take(std::string_view bytes) {
    if (is_answer() && !is_stream) {
      feed_tap(bytes);
    } else {
      events.add(bytes);
    }
  }

  /// The next bytes to hand on, counted by the tap.
  std::optional<std::string> next_piece() {
    auto piece = events.next();
    if (piece) {
      feed_tap(*piece);
    } else if (ended && !std::exchange(rest_taken, true)) {
      piece = events.take_rest();
      feed_tap(*piece);
      if (is_answer() && ended->ok()) tap.finish();
    }
    if (overflow) return std::nullopt;
    if (piece && !piece->empty()) return piece;
    if (!ended || is_stream || !is_answer()) return std::nullopt;
    const std::string_view left = tap.whole_body().substr(whole_sent);
    if (left.empty()) return std::nullopt;
    piece = left.substr(0, kPieceBytesMax);
    whole_sent += piece->size();
    return piece;
  }

  [[nodiscard]] EngineFailure failure() const {
    if (!ended->ok()) return failure_of(ended->error, status);
    if (!is_answer()) return EngineFailure::Refused;
    if (overflow) return EngineFailure::TooLarge;
    return tap.complete() ? EngineFailure::None : EngineFailure::Broken;
  }

  [[nodiscard]] EngineCount count() const { return {tap.usage(), tap.output_chunks()}; }

  [[nodiscard]] EngineOutcome outcome(EngineFailure failure, std::string detail) const {
    return {count(), failure, status, tap.finish_reason(), tap.answer_id(), std::move(detail)};
  }
};

Engine::Engine(net::Loop& loop, EngineAddress address)
    : address_(std::move(address)), http_(loop) {}

/// `done`: the body of a whole answer with status 200.
void Engine::get(std::string_view path, std::function<void(std::optional<std::string>)> done) {
  struct Reading {
    int status = 0;
    std::string body;
  };

  const auto reading = std::make_shared<Reading>();
  net::HttpCall call;
  call.url = address_.base_url + std::string(path);
  call.headers = headers_for(address_);
  call.connect_ms_max = 2'000;
  call.first_byte_ms_max = 5'000;
  call.idle_ms_max = 5'000;
  call.response_bytes_max = kModelsBytesMax;
  net::HttpCallbacks callbacks;
  callbacks.on_status = [reading](int status, const net::HttpHeaders&) {
    reading->status = status;
  };
  callbacks.on_data = [reading](std::string_view bytes) {
    reading->body += bytes;
    return true;
  };
  callbacks.on_done = [reading, done = std::move(done)](const net::HttpCallResult& result) {
    const bool good = result.ok() && reading->status == 200;
    done(good ? std::optional(std::move(reading->body)) : std::nullopt);
  };
  http_.start(std::move(call), std::move(callbacks));
}

void Engine::list_models(std::function<void(std::optional<FoundEngine>)> done) {
  get("/v1/models",
      [address = address_, done = std::move(done)](const std::optional<std::string>& body) {
        done(body ? read_models(address, *body) : std::nullopt);
      });
}

void Engine::read_version(const std::string& name, std::function<void(std::string)> done) {
  const auto place = std::ranges::find(kVersionPlaces, name, &VersionPlace::engine);
  if (place == kVersionPlaces.end()) return done(kUnknownVersion);
  get(place->path, [place, done = std::move(done)](const std::optional<std::string>& body) {
    done(body ? version_in(*body, place->member) : kUnknownVersion);
  });
}

void Engine::read_load(std::function<void(std::optional<EngineLoad>)> done) {
  get("/metrics", [this, done = std::move(done)](const std::optional<std::string>& text) {
    const auto load = text ? read_metrics(*text) : std::nullopt;
    if (load) return done(load);
    get("/slots", [done](const std::optional<std::string>& json) {
      done(json ? read_slots(*json) : std::nullopt);
    });
  });
}

Engine::Call Engine::ask(const EngineRequest& request, EngineCallbacks callbacks) {
  const auto pending = std::make_shared<Pending>(request);
  pending->callbacks = std::move(callbacks);
  net::HttpCall call;
  call.method = "POST";
  call.url = address_.base_url + request.path;
  call.headers = headers_for(address_);
  call.headers.add("Content-Type", request.content_type);
  call.body = request.body;
  call.first_byte_ms_max = 600'000;  // a long prompt in a full queue
  call.idle_ms_max = 120'000;
  call.response_bytes_max = kAnswerBytesMax;

  net::HttpCallbacks http;
  http.on_status = [pending](int status, const net::HttpHeaders& headers) {
    pending->status = status;
    pending->callbacks.on_head(status, std::string(headers.find("Content-Type").value_or("")));
  };
  http.on_data = [this, pending](std::string_view bytes) {
    pending->take(bytes);
    deliver(pending);
    return !pending->paused;
  };
  http.on_done = [this, pending](const net::HttpCallResult& result) {
    pending->ended = result;
    deliver(pending);
  };
  pending->call = http_.start(std::move(call), std::move(http));
  pending_.emplace(pending->call, pending);
  return pending->call;
}

/// Hands on what there is until the receiver pauses; after the last byte the outcome.
void Engine::deliver(const std::shared_ptr<Pending>& pending) {
  if (std::exchange(pending->delivering, true)) return;  // resumed from inside on_bytes
  while (!pending->paused && !pending->cancelled) {
    const auto piece = pending->next_piece();
    if (!piece) break;
    pending->paused = !pending->callbacks.on_bytes(*piece);
  }
  pending->delivering = false;
  if (pending->paused || pending->cancelled || !pending->ended) return;
  pending_.erase(pending->call);
  pending->callbacks.on_done(pending->outcome(pending->failure(), pending->ended->detail));
}

std::shared_ptr<Engine::Pending> Engine::find(Call call) const {
  const auto found = pending_.find(call);
  return found == pending_.end() ? nullptr : found->second;
}

EngineOutcome Engine::cancel(Call call) {
  http_.cancel(call);
  const auto pending = find(call);
  if (!pending) return {};
  pending->cancelled = true;
  if (!pending->abort_id.empty()) abort_by_name(pending->abort_id);
  pending_.erase(call);
  return pending->outcome(EngineFailure::None, {});
}

void Engine::abort_by_name(const std::string& id) {
  JsonWriter body;
  body.begin_object().key("rid").string(id).end_object();
  net::HttpCall call;
  call.method = "POST";
  call.url = address_.base_url + "/abort_request";
  call.headers = headers_for(address_);
  call.headers.add("Content-Type", "application/json");
  call.body = std::move(body).take();
  call.first_byte_ms_max = 5'000;
  call.response_bytes_max = 64U << 10;
  net::HttpCallbacks callbacks;
  callbacks.on_status = [](int, const net::HttpHeaders&) {};
  callbacks.on_data = [](std::string_view) { return true; };
  callbacks.on_done = [](const net::HttpCallResult& result) {
    if (!result.ok()) log(LogLevel::Warning, "abort was not heard: {}", public_text(result.detail));
  };
  http_.start(std::move(call), std::move(callbacks));
}

EngineCount Engine::peek(Call call) const {
  const auto found = pending_.find(call);
  return found == pending_.end() ? EngineCount{} : found->second->count();
}

void Engine::resume(Call call) {
  const auto pending = find(call);
  if (!pending) return;
  pending->paused = false;
  deliver(pending);
  if (!pending->paused && !pending->ended) http_.resume(call);
}

void detect_engines(net::Loop& loop, std::function<void(std::vector<FoundEngine>)> done) {
  struct Search {
    std::vector<std::unique_ptr<Engine>> engines;
    std::array<std::optional<FoundEngine>, kCustomaryUrls.size()> found;
    std::size_t waiting = kCustomaryUrls.size();
    std::function<void(std::vector<FoundEngine>)> done;
  };

  const auto search = std::make_shared<Search>();
  search->done = std::move(done);
  for (std::size_t i = 0; i < kCustomaryUrls.size(); ++i) {
    search->engines.push_back(
        std::make_unique<Engine>(loop, EngineAddress{std::string(kCustomaryUrls[i]), {}}));
    search->engines.back()->list_models([search, i, &loop](std::optional<FoundEngine> engine) {
      search->found[i] = std::move(engine);
      if (--search->waiting > 0) return;
      std::vector<FoundEngine> all;
      for (auto& one : search->found) {
        if (one) all.push_back(std::move(*one));
      }
      // The search owns the HTTP clients that are calling us: let go of them in a later turn.
      loop.after(0, [search] { search->engines.clear(); });
      search->done(std::move(all));
    });
  }
}

}  // namespace nostril::node
