#pragma once

#include "base/json.h"
#include "base/result.h"
#include "net/sse.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::node {

/// What the engine counted. Tokens.
struct TokenUsage {
  std::int64_t input = 0;   ///< of the prompt, cached ones included
  std::int64_t cached = 0;  ///< of these, found in the engine's prefix cache
  std::int64_t output = 0;
};

enum class RequestError : std::uint8_t {
  PathNotAllowed,
  NotJson,
  NotAnObject,
  UnknownModel,
  BadField,
};
std::string_view to_string(RequestError error);

/// A request as the engine gets it.
struct EngineRequest {
  std::string path;
  std::string body;
  bool stream = false;
  std::string sampling = {};  ///< for the record (events/sampling.h); empty: not recorded
};

/// Paths that a client may reach. Everything else of an engine (metrics, slots, model loading,
/// token dumps) stays inside.
[[nodiscard]] bool path_allowed(std::string_view path);

/// Makes a client's body fit for the engine: the model must be the offered one, a stream must end
/// with its usage (`stream_options.include_usage`), `cache_salt` becomes the session's own so that
/// two sessions can't learn from each other's prefix cache, an answer is limited to
/// `output_tokens_max` tokens a choice (settlement/usage_limit.h), and members that reach into the
/// engine (llama.cpp's id_slot, SGLang's custom_logit_processor …) are dropped. With `seed` the
/// answer's sampling is recorded, and a body that asks for no seed gets this one. All else passes
/// as it came.
[[nodiscard]] Result<EngineRequest, RequestError> prepare_request(
    std::string_view path, std::string_view body, std::string_view model,
    std::string_view cache_salt, std::uint64_t output_tokens_max,
    std::optional<std::int64_t> seed = {});

/// Reads beside a response, never rewriting it: usage, finish reason, and whether the engine said
/// that it was done. A killed engine just cuts its stream, so only complete() makes an answer
/// billable as `ok`.
class CompletionTap {
 public:
  explicit CompletionTap(bool stream) : stream_(stream) {}

  /// False when the response is beyond what any engine sends (limits of net/sse.h; 8 MiB for a
  /// response that is not a stream): stop it.
  [[nodiscard]] bool feed(std::string_view bytes);
  /// No more bytes will come; the connection ended in good order.
  void finish();

  /// A finish reason, and for a stream also [DONE].
  [[nodiscard]] bool complete() const;

  /// Of a response that is no stream: all that was fed.
  [[nodiscard]] std::string_view whole_body() const { return body_; }

  [[nodiscard]] const std::optional<TokenUsage>& usage() const { return usage_; }

  [[nodiscard]] const std::string& finish_reason() const { return finish_reason_; }

  /// The engine reported a failure inside a stream that had begun with status 200.
  [[nodiscard]] bool failed() const { return failed_; }

  /// Chunks that carried output of any sort: a lower bound of tokens when the engine dies before
  /// its usage.
  [[nodiscard]] std::int64_t output_chunks() const { return output_chunks_; }

 private:
  void read(const Json& object);

  bool stream_;
  net::SseParser parser_;
  std::string body_;
  std::optional<TokenUsage> usage_;
  std::string finish_reason_;
  std::int64_t output_chunks_ = 0;
  bool done_ = false;
  bool failed_ = false;
};

}  // namespace nostril::node
