#pragma once

#include "base/json.h"
#include "net/sse.h"
#include "node/endpoint.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace nostril::node {

/// What the engine counted. Tokens.
struct TokenUsage {
  std::int64_t input = 0;   ///< of the prompt, cached ones included
  std::int64_t cached = 0;  ///< of these, found in the engine's prefix cache
  std::int64_t output = 0;
};

/// Cuts a stream of lines behind each LF, without changing a byte: what net::SseSplitter is for
/// events. Pure.
class LineSplitter {
 public:
  void add(std::string_view bytes) { unread_.append(bytes); }

  /// The next line with its LF; nothing while it is not complete. A line beyond 4 MiB comes in
  /// parts.
  std::optional<std::string> next();
  /// What is left when the stream has ended.
  std::string take_rest();

 private:
  std::string unread_;
  std::size_t scanned_ = 0;  ///< bytes of unread_ without LF
};

/// Cuts a streamed answer where the tap can count what came before.
class AnswerSplitter {
 public:
  explicit AnswerSplitter(AnswerForm form);

  void add(std::string_view bytes);
  std::optional<std::string> next();
  std::string take_rest();

 private:
  std::variant<net::SseSplitter, LineSplitter> splitter_;
};

/// Reads beside a response, never rewriting it: usage, finish reason, and whether the engine said
/// that it was done. A killed engine just cuts its stream, so only complete() makes an answer
/// billable as `ok`. Pure.
class CompletionTap {
 public:
  CompletionTap(AnswerForm form, bool stream) : form_(form), stream_(stream) {}

  /// False when the response is beyond what any engine sends (limits of net/sse.h; a line of 1 MiB;
  /// 8 MiB for a response that is not a stream, 32 MiB in AnswerForm::Whole and Transcript): stop
  /// it.
  [[nodiscard]] bool feed(std::string_view bytes);
  /// No more bytes will come; the connection ended in good order.
  void finish();

  /// The engine said that this is all: by its form's last word, and why it ended.
  [[nodiscard]] bool complete() const;

  /// Of a response that is no stream: all that was fed.
  [[nodiscard]] std::string_view whole_body() const { return body_; }

  [[nodiscard]] const std::optional<TokenUsage>& usage() const { return usage_; }

  [[nodiscard]] const std::string& finish_reason() const { return finish_reason_; }

  /// The answer's own `id`, by which clients ask for its signature; empty: it has none.
  [[nodiscard]] const std::string& answer_id() const { return answer_id_; }

  /// The engine reported a failure inside a stream that had begun with status 200.
  [[nodiscard]] bool failed() const { return failed_; }

  /// Chunks that carried output of any sort: a lower bound of tokens when the engine dies before
  /// its usage.
  [[nodiscard]] std::int64_t output_chunks() const { return output_chunks_; }

 private:
  /// The event that was read last. Nearly all that follow are the same but for the text of their
  /// piece; what such a one says was said already, so it only counts.
  class Repeated {
   public:
    /// `json` was read, and counted as one chunk of output.
    void learn(std::string_view json);

    void forget() { prefix_.clear(); }

    /// The same but for its text, which isn't empty.
    [[nodiscard]] bool matches(std::string_view json) const;

   private:
    std::string prefix_;  ///< up to its text; empty: nothing learned
    std::string suffix_;  ///< from its closing quote on
  };

  [[nodiscard]] bool feed_lines(std::string_view bytes);
  void read_text(std::string_view json);
  void read(const Json& object);
  void read_completion(const Json& object);
  void read_responses(const Json& object);
  void read_messages(const Json& object);
  void read_ollama(const Json& object);
  void read_transcript(const Json& object);
  void read_whole();
  /// Numbers, sounds and pictures by the megabyte around one small member.
  [[nodiscard]] bool is_skimmed() const;
  void read_usage(const Json* usage);
  void read_id(const Json& object);
  void set_finish(std::string_view reason);

  AnswerForm form_;
  bool stream_;
  net::SseParser parser_;
  Repeated repeated_;
  std::string body_;  ///< of a stream of lines: the line that is not complete
  std::optional<TokenUsage> usage_;
  std::string finish_reason_;
  std::string answer_id_;
  std::int64_t output_chunks_ = 0;
  bool done_ = false;
  bool failed_ = false;
};

}  // namespace nostril::node
