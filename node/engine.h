#pragma once

#include "net/http_client.h"
#include "net/loop.h"
#include "node/admission.h"
#include "node/completion.h"
#include "node/engine_request.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril::node {

/// A model that an engine serves, from its `/v1/models`.
struct EngineModel {
  std::string id;
  std::int64_t context_tokens = 0;  ///< 0: the engine does not say
};

struct EngineAddress {
  std::string base_url;  ///< http://HOST:PORT, without /v1
  std::string api_key;   ///< sent as a bearer token when not empty
};

inline constexpr const char* kUnknownVersion = "unknown";

/// An engine that answered, and what it said it is.
struct FoundEngine {
  EngineAddress address;
  std::string name;  ///< vllm, sglang, llama.cpp, ollama, nostril-demo, or "openai-compatible"
  std::string version = kUnknownVersion;  ///< no engine says it in /v1/models: read_version()
  std::vector<EngineModel> models;
};

enum class EngineFailure : std::uint8_t {
  None,
  Unreachable,  ///< no connection, or time-out before the head
  Refused,      ///< an HTTP status that is not 200; the body went to on_bytes
  Broken,       ///< the stream ended without finish reason and [DONE], or held an error
  TooLarge,
};
std::string_view to_string(EngineFailure failure);

/// What was counted of one request. `usage` is the engine's own count when it gave one.
struct EngineCount {
  std::optional<TokenUsage> usage;
  std::int64_t output_chunks = 0;
};

/// How one request ended.
struct EngineOutcome : EngineCount {
  EngineFailure failure = EngineFailure::None;
  int status = 0;
  std::string finish_reason;
  std::string answer_id;  ///< the answer's own `id`; empty: none
  std::string detail;     ///< for the operator's log
};

struct EngineCallbacks {
  /// Status and content type, before any byte of the body.
  std::function<void(int status, const std::string& content_type)> on_head;
  /// Exact body bytes, consumed by the call. False: deliver no more until resume(). A stream comes
  /// event by event; an answer that is no stream when it is whole. peek() has counted these bytes
  /// and none behind them.
  std::function<bool(std::string_view bytes)> on_bytes;
  /// Once, last. Not after cancel().
  std::function<void(const EngineOutcome&)> on_done;
};

/// An OpenAI-compatible engine over HTTP: vLLM, SGLang, llama.cpp's server, Ollama, our demo
/// engine. Threads: the loop's only.
class Engine {
 public:
  using Call = net::CallId;

  Engine(net::Loop& loop, EngineAddress address);

  /// Reads `/v1/models`; nothing when the engine can't be reached or says something else. Also the
  /// health check: it costs no token (SGLang's /health does).
  void list_models(std::function<void(std::optional<FoundEngine>)> done);

  /// The version of an engine of that name (FoundEngine), where it has a path that says so;
  /// "unknown" else.
  void read_version(const std::string& name, std::function<void(std::string)> done);

  /// What the engine says of its load; nothing when it does not. `/metrics`, or llama.cpp's
  /// `/slots`.
  void read_load(std::function<void(std::optional<EngineLoad>)> done);

  Call ask(const EngineRequest& request, EngineCallbacks callbacks);
  /// Closes the connection, which vLLM, llama.cpp's server and Ollama take for an abort; SGLang,
  /// which may go on for nobody, is told by name. on_done does not come; the outcome of what had
  /// been read until then is returned for billing.
  EngineOutcome cancel(Call call);
  /// May call on_bytes and on_done before it returns.
  void resume(Call call);

  /// Reads on later (net::HttpClient::rest()).
  void rest(Call call, bool resting) { http_.rest(call, resting); }

  /// What a request has come to so far.
  [[nodiscard]] EngineCount peek(Call call) const;

  [[nodiscard]] const EngineAddress& address() const { return address_; }

  /// For calls from now on: an engine that was started again elsewhere. Running ones break by
  /// themselves.
  void set_address(EngineAddress address) { address_ = std::move(address); }

 private:
  struct Pending;
  void deliver(const std::shared_ptr<Pending>& pending);
  void get(std::string_view path, std::function<void(std::optional<std::string>)> done);
  void abort_by_name(const std::string& id);
  [[nodiscard]] std::shared_ptr<Pending> find(Call call) const;

  EngineAddress address_;
  net::HttpClient http_;
  std::unordered_map<Call, std::shared_ptr<Pending>> pending_;
};

/// Asks the ports where engines listen by custom (vLLM 8000, SGLang 30000, llama-server 8080,
/// Ollama 11434), on loopback, and reports those that answer `/v1/models`, in that order. Which
/// engine it is is read from its answer, never from the port.
void detect_engines(net::Loop& loop, std::function<void(std::vector<FoundEngine>)> done);

}  // namespace nostril::node
