#pragma once

#include "attestation/verdict.h"
#include "client/client_settings.h"
#include "client/query_failure.h"
#include "events/event.h"
#include "events/filter.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The client for applications: what `nostril chat` and the gateway are made of, behind one class
/// with a thread of its own. docs/library.md says what is stable.
namespace nostril::client {

/// A request to a model.
struct Question {
  std::string model = {};  ///< empty: any; the body then gets the offer's
  std::string path = "/v1/chat/completions";
  std::string body = {};      ///< a JSON object as OpenAI's API takes it (chat.h makes simple ones)
  std::string sticky = {};    ///< questions of one name prefer one node among equals
  std::int64_t hedge_ms = 0;  ///< ask a second node after this long without a byte; 0: never
  bool quiet = false;         ///< frames of one size at a fixed rate; slower, and dearer
  /// Of the answer that is kept; a longer one is stopped, paid for, and not verified.
  std::size_t response_bytes_max = 64U << 20;
};

/// Who answers, and what its evidence proved before anything was sent.
struct AnsweringNode {
  std::string npub;
  std::string model;
  attestation::Verdict verdict;  ///< accepted; `simulated` says that no TEE stands behind it
};

struct Answer {
  QueryFailure failure = QueryFailure::None;
  std::string detail = {};  ///< a sentence when it is not verified
  /// The engine's whole answer, its record right, stored and paid. All else is none.
  bool verified = false;
  std::optional<AnsweringNode> node = {};
  int http_status = 0;        ///< the engine's; 0: it did not answer
  std::string request = {};   ///< exact body that was sent
  std::string response = {};  ///< exact body that came, also when it is not the whole
  // Events as JSON; empty when there are none.
  std::string record = {};
  std::string receipt = {};
  std::string offer = {};
  std::string attestation = {};

  /// The answer with its proofs as one file, which `nostril verify --answer` and check_answer()
  /// (saved_answer.h) take; nothing without a record, or when a body is no text.
  [[nodiscard]] std::optional<std::string> to_json() const;
};

/// All are called on the client's thread, must not throw, and should return soon: the node waits
/// for what is not taken. False stops the answer.
struct AnswerCallbacks {
  /// Its evidence has passed and it answers; before the first byte.
  std::function<bool(const AnsweringNode& node)> on_node = {};
  /// Exact response bytes, in order.
  std::function<bool(std::string_view bytes)> on_bytes = {};
  /// The words of a streamed chat answer.
  std::function<bool(std::string_view words)> on_words = {};
};

/// A call that waits was made in a callback, where it would wait for itself.
struct InCallback : std::logic_error {
  InCallback() : std::logic_error("this waits, and must not be called in a callback") {}
};

/// A question under way. Copies are the same question. Threads: any. It may outlive its client,
/// which ends it.
class Asking {
 public:
  /// Until the answer has ended. Throws InCallback in a callback of the client.
  [[nodiscard]] Answer wait() const;
  /// Nothing when it has not ended in this time. Throws as wait().
  [[nodiscard]] std::optional<Answer> wait_for(std::chrono::milliseconds time) const;
  /// Stops the engine; the answer ends with the record of what was used. Also from a callback.
  void cancel() const;

 private:
  friend class Client;
  struct State;

  explicit Asking(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;
};

/// What became of an event.
struct Published {
  bool accepted = false;              ///< a relay has taken it
  std::vector<std::string> refusals;  ///< "relay: reason" of those that did not
};

/// Finds nodes through relays, judges their evidence, asks those that passed, checks and pays what
/// their records prove. One client a home: payments of two would contradict each other.
///
/// Threads: every method from any thread, several at a time; from a callback only ask() and
/// Asking::cancel(), the others throw InCallback there. The client has two threads of its
/// own, which take no signals; SIGPIPE is ignored by the process from the first client on, unless
/// the application handles it. Nothing is written to standard output or error. Not for use after
/// fork().
class Client {
 public:
  static constexpr std::size_t kEventsMax = 10'000;  ///< that stored() gives

  /// Opens the home and starts to connect. Throws std::runtime_error with a line for the user.
  explicit Client(const ClientSettings& settings);
  /// Ends what is under way, as QueryFailure::NoAnswer. Not in a callback.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Throws std::invalid_argument when the body is no JSON object of 8 MiB at most.
  [[nodiscard]] Asking ask(Question question, AnswerCallbacks callbacks = {});

  /// What the client thinks of every offer that it has seen (offers_json.h), once a relay has sent
  /// all that it stores, or after `wait_ms_max`.
  [[nodiscard]] std::string offers_json(std::int64_t wait_ms_max = 5'000);

  /// To all relays, until the first has taken the event or none did (10 s at most).
  [[nodiscard]] Published publish(const Event& event);

  /// Events that match, each once, signatures checked: until all relays have sent what they store
  /// or said no, or `wait_ms_max`. `kEventsMax` at most. The filter's lists sorted (normalize()).
  [[nodiscard]] std::vector<VerifiedEvent> stored(Filter filter, std::int64_t wait_ms_max = 5'000);

  /// Why relays are not connected, for a message to the user.
  [[nodiscard]] std::vector<std::string> relay_problems();

 private:
  friend class Asking;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace nostril::client
