#pragma once

#include "client/gateway/chat_answer.h"
#include "client/gateway/protocol.h"
#include "net/sse.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

/// What the gateway says of an answer that was recorded and paid.
struct Proof {
  std::string full;   ///< JSON object: node, level, record and receipt, whole events
  std::string brief;  ///< JSON object without them: ids and cost
};

/// An application's request as a node gets it.
struct EngineCall {
  std::string path;
  std::string body;  ///< a JSON object
};

/// Makes an application's answer from an engine's, piece by piece. What ends a stream, and what
/// says that it is whole, is held until the record is right: one of finish() and fail() comes last.
/// Pure: no clock, no socket; one thread. One object an answer.
class AnswerForm {
 public:
  AnswerForm() = default;
  virtual ~AnswerForm() = default;
  AnswerForm(const AnswerForm&) = delete;
  AnswerForm& operator=(const AnswerForm&) = delete;

  /// Content type of a stream.
  [[nodiscard]] virtual std::string_view stream_type() const = 0;
  /// Next bytes of the engine's stream; what may be said now.
  [[nodiscard]] virtual std::string feed(std::string_view bytes) = 0;
  /// The rest of a stream that was whole, with its proof.
  [[nodiscard]] virtual std::string finish(const Proof& proof) = 0;
  /// The rest of a stream that was not.
  [[nodiscard]] virtual std::string fail(const ApiError& error) = 0;
  /// An engine's whole answer of status 200; nothing when it can't be read.
  [[nodiscard]] virtual std::optional<std::string> whole(std::string_view body) = 0;
};

/// For engines that speak the application's protocol: every byte as it came. What is added to a
/// stream stands in a comment before its last event, and as the member "nostril" at the end of the
/// last object with a usage; both can be cut out again.
///   OpenAI:    before [DONE]; in the usage chunk (choices: [])
///   Responses: before response.completed, and in it
///   Anthropic: before message_stop
///   Ollama:    in the last object; NDJSON has no comments
enum class StreamSort : std::uint8_t { OpenAi, Responses, Anthropic, Ollama };
[[nodiscard]] std::unique_ptr<AnswerForm> pass_through(StreamSort sort);

/// `object` with one more member at its end; as it came when it is no object, or an empty one.
[[nodiscard]] std::string with_member(std::string object, std::string_view key,
                                      std::string_view json);

/// Ground of the forms that are made from chat completions: reads the stream, and hands on parts.
class ChatTranslation : public AnswerForm {
 public:
  [[nodiscard]] std::string feed(std::string_view bytes) final;
  [[nodiscard]] std::string finish(const Proof& proof) final;
  [[nodiscard]] std::optional<std::string> whole(std::string_view body) final;

 protected:
  /// One chunk; appends what may be said now.
  virtual void on_part(const ChatPart& part, std::string& out) = 0;
  /// The stream is whole.
  virtual void on_end(const Proof& proof, std::string& out) = 0;
  [[nodiscard]] virtual std::string whole_of(const ChatPart& answer) = 0;

 private:
  net::SseParser parser_;
  std::optional<std::string> error_;
};

}  // namespace nostril::client
