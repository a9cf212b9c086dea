#include "node/engine.h"

#include "base/json.h"
#include "events/inference.h"

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

std::string name_of_owner(std::string_view owner) {
  if (owner == "vllm" || owner == "sglang") return std::string(owner);
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
  explicit Pending(bool stream) : tap(stream) {}

  EngineCallbacks callbacks;
  CompletionTap tap;
  int status = 0;
  bool overflow = false;

  [[nodiscard]] EngineOutcome outcome(EngineFailure failure, std::string detail) const {
    return {failure,          status, tap.finish_reason(), tap.usage(), tap.output_chunks(),
            std::move(detail)};
  }
};

Engine::Engine(net::Loop& loop, EngineAddress address)
    : address_(std::move(address)), http_(loop) {}

void Engine::list_models(std::function<void(std::optional<FoundEngine>)> done) {
  struct Reading {
    int status = 0;
    std::string body;
  };

  const auto reading = std::make_shared<Reading>();
  net::HttpCall call;
  call.url = address_.base_url + "/v1/models";
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
  callbacks.on_done = [reading, address = address_,
                       done = std::move(done)](const net::HttpCallResult& result) {
    const bool good = result.ok() && reading->status == 200;
    done(good ? read_models(address, reading->body) : std::nullopt);
  };
  http_.start(std::move(call), std::move(callbacks));
}

Engine::Call Engine::ask(const EngineRequest& request, EngineCallbacks callbacks) {
  const auto pending = std::make_shared<Pending>(request.stream);
  pending->callbacks = std::move(callbacks);
  net::HttpCall call;
  call.method = "POST";
  call.url = address_.base_url + request.path;
  call.headers = headers_for(address_);
  call.headers.add("Content-Type", "application/json");
  call.body = request.body;
  call.first_byte_ms_max = 600'000;  // a long prompt in a full queue
  call.idle_ms_max = 120'000;
  call.response_bytes_max = kAnswerBytesMax;

  net::HttpCallbacks http;
  http.on_status = [pending](int status, const net::HttpHeaders& headers) {
    pending->status = status;
    pending->callbacks.on_head(status, std::string(headers.find("Content-Type").value_or("")));
  };
  http.on_data = [pending](std::string_view bytes) {
    if (pending->status == 200 && !pending->tap.feed(bytes)) pending->overflow = true;
    return pending->callbacks.on_bytes(bytes);
  };
  const auto id = std::make_shared<Call>(Call::None);
  http.on_done = [this, pending, id](const net::HttpCallResult& result) {
    std::erase_if(pending_, [&id](const auto& entry) { return entry.first == *id; });
    EngineFailure failure = EngineFailure::None;
    if (!result.ok()) {
      failure = failure_of(result.error, pending->status);
    } else if (pending->status != 200) {
      failure = EngineFailure::Refused;
    } else {
      pending->tap.finish();
      if (pending->overflow) failure = EngineFailure::TooLarge;
      if (!pending->overflow && !pending->tap.complete()) failure = EngineFailure::Broken;
    }
    pending->callbacks.on_done(pending->outcome(failure, result.detail));
  };
  *id = http_.start(std::move(call), std::move(http));
  pending_.emplace_back(*id, pending);
  return *id;
}

EngineOutcome Engine::cancel(Call call) {
  http_.cancel(call);
  EngineOutcome outcome = peek(call);
  std::erase_if(pending_, [call](const auto& entry) { return entry.first == call; });
  return outcome;
}

EngineOutcome Engine::peek(Call call) const {
  const auto found = std::ranges::find(pending_, call, &decltype(pending_)::value_type::first);
  return found == pending_.end() ? EngineOutcome{}
                                 : found->second->outcome(EngineFailure::None, {});
}

void Engine::resume(Call call) {
  http_.resume(call);
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
