#pragma once

#include "base/result.h"
#include "relay/cluster/jetstream.h"
#include "relay/store/stream_position.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

struct BusOptions {
  /// nats://HOST:PORT or tls://HOST:PORT, the nearest first: it is tried first each time. A
  /// certificate must be of that HOST.
  std::vector<std::string> servers;
  std::string name;          ///< of the connection, as the servers list it
  std::string inbox_prefix;  ///< of the subjects that answers come to
  // Who we are to the servers: any or none of these.
  std::string credentials;  ///< a .creds file
  std::string user;
  std::string password;
  std::string tls_ca;  ///< PEM files
  std::string tls_certificate;
  std::string tls_key;

  /// The stream, made with the rest when it is missing. Empty: none is used (the command line's
  /// requests).
  std::string stream;
  std::string stream_subjects;  ///< e.g. NAME.s.>
  std::int64_t replicas = 3;
  std::int64_t stream_bytes_max = std::int64_t{64} << 30;
  std::int64_t stream_age_s_max = 604'800;  ///< a week
  std::int64_t duplicate_window_s = 120;    ///< in which the stream takes an id once
  std::int64_t message_bytes_max = 8 << 20;

  /// Bytes of stream messages that were delivered to the handler and not yet confirmed; beyond
  /// it the servers send no more than what is on its way, 32 MiB of theirs at most.
  std::int64_t unread_bytes_max = std::int64_t{16} << 20;
};

enum class BusState : std::uint8_t {
  Away,     ///< no server, or the stream has no leader: nothing can be published
  Ready,    ///< the stream has answered a moment ago
  Lost,     ///< reading can't go on: the stream is another one, or what is next in it is gone
  Refused,  ///< the servers do not let us in, or the stream can't be made: see problem()
};

[[nodiscard]] std::string_view to_string(BusState state);

/// A message of the stream.
struct StreamMessage {
  std::uint64_t sequence = 0;
  std::string subject;
  std::string message_id;  ///< empty: it was published without one
  std::string body;
  /// To be passed to Bus::confirm() when this and all before have been worked on.
  std::size_t cost_bytes = 0;
};

/// A message that is not stored.
struct BusMessage {
  std::string subject;
  std::string reply;  ///< where an answer goes; empty: none is wanted
  std::string body;
};

/// What a Bus tells. All of it on threads of the bus, which must be let go at once: put it in a
/// queue. None is called after stop() has returned.
class BusHandler {
 public:
  virtual ~BusHandler() = default;
  BusHandler(const BusHandler&) = delete;
  BusHandler& operator=(const BusHandler&) = delete;
  BusHandler(BusHandler&&) = delete;
  BusHandler& operator=(BusHandler&&) = delete;

  /// In the order of the stream, from where read_stream() said; see Bus about what comes again.
  /// `reading` is what that returned: what still comes from an earlier one is to be left aside.
  virtual void on_stream(std::uint64_t reading, StreamMessage&& message) = 0;
  /// Once for each publish() that was taken, unless the connection was lost: then maybe never.
  virtual void on_ack(std::uint64_t token, PublishAck&& ack) = 0;
  /// state() or info() has changed.
  virtual void on_state() = 0;

 protected:
  BusHandler() = default;
};

/// One connection to NATS, the cluster's stream on it, and messages that are not stored. The only
/// place that knows libnats. It connects by itself and again whenever that was lost, for ever; asks
/// the stream how it is each second; makes it when it is missing.
///
/// Reading: a push consumer of our own, without acks, with flow control and heartbeats. It is made
/// anew when a message is missing (the consumer's own numbers say so), when no heartbeat came for
/// some seconds, and after a connection was lost. So messages come in order, and none is missing,
/// whatever the servers do; a consumer is nothing that has to be kept.
///
/// Each consumer begins up to kAgainMax messages, and about kAgainBytes, before the first that has
/// not come yet: those come again. Servers that disagreed (repair.h) may number the same messages
/// otherwise, each for ever: among what comes with numbers of before there may be what has not come
/// yet, also later on. Who is told goes by what is in them.
///
/// Our own messages that are not stored do not come back to us (the connection is NoEcho).
///
/// Threads: all members from any; publish() and send() may wait for a slow server for
/// kWriteWaitMsMax. Handlers: see BusHandler. Without libnats (is_built_in()) the constructor
/// throws.
class Bus {
 public:
  static constexpr std::int64_t kWriteWaitMsMax = 2'000;
  static constexpr std::uint64_t kAgainMax = 1'024;
  static constexpr std::uint64_t kAgainBytes = 1U << 20;
  /// Of a request() or send(), by the servers' default.
  static constexpr std::size_t kBodyBytesMax = std::size_t{1} << 20;

  /// Whether this program was built with libnats.
  [[nodiscard]] static bool is_built_in();

  /// Throws std::runtime_error for options that can't work, e.g. a file that can't be read. Does
  /// not wait for a connection. `handler` outlives the bus; none: for requests only.
  Bus(const BusOptions& options, BusHandler* handler);
  ~Bus();
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;
  Bus(Bus&&) = delete;
  Bus& operator=(Bus&&) = delete;

  /// Sends what was published, then ends the connection and all threads. Handlers must not be
  /// waiting for the caller.
  void stop();

  [[nodiscard]] BusState state() const;

  /// Connected to a server, whatever the stream's state.
  [[nodiscard]] bool is_connected() const;
  /// True within `wait_ms`, if ever. For the command line.
  [[nodiscard]] bool wait_connected(std::int64_t wait_ms) const;

  /// As the stream said last.
  [[nodiscard]] std::optional<StreamInfo> info() const;
  /// The last reason for another state than Ready, in words.
  [[nodiscard]] std::string problem() const;
  /// Times that the connection was made anew, and that the consumer was.
  [[nodiscard]] std::uint64_t reconnects() const;
  [[nodiscard]] std::uint64_t consumers_made() const;

  // --- The stream.

  enum class Sent : std::uint8_t {
    Yes,
    NotConnected,
    TooLarge,  ///< for the servers
  };

  /// Into the stream. Yes: BusHandler::on_ack() will say what became of it, if the connection
  /// holds. `message_id` empty: it is not recognised when it comes twice.
  [[nodiscard]] Sent publish(const std::string& subject, const std::string& message_id,
                             std::string_view body, std::uint64_t token);

  /// Reads from this sequence on, instead of whatever was being read. Messages come once the
  /// stream is there, if it is `of`; else the state is Lost. Returns the number of this reading.
  std::uint64_t read_stream(const StreamIdentity& of, std::uint64_t from_sequence);
  void stop_reading();

  /// The handler is done with messages of so many bytes (StreamMessage::cost_bytes): the servers
  /// send further ones. Without it reading stops after some megabytes.
  void confirm(std::uint64_t reading, std::size_t cost_bytes);

  // --- Messages that are not stored.

  struct SubscriptionId {
    std::uint64_t number = 0;
    auto operator<=>(const SubscriptionId&) const = default;  // NOLINT(modernize-use-nullptr)
  };

  using MessageHandler = std::function<void(BusMessage&&)>;

  /// From now on, and again after each reconnection. `subject` may have wildcards. The handler is
  /// called on a thread of the bus, one message at a time.
  [[nodiscard]] SubscriptionId subscribe(const std::string& subject, MessageHandler handler);
  /// The handler is not called any more when this returns (unless it is the handler that calls).
  void unsubscribe(SubscriptionId id);

  /// False: not connected, or too large. `reply`: where answers are expected.
  bool send(const std::string& subject, std::string_view body, const std::string& reply = {});

  /// Sends and waits for the first answer; the error is one line for people. Not from a handler.
  [[nodiscard]] Result<std::string, std::string> request(const std::string& subject,
                                                         std::string_view body,
                                                         std::int64_t wait_ms);
  /// Sends and gathers all answers that come within `wait_ms`, `count_max` at most. Not from a
  /// handler.
  [[nodiscard]] std::vector<std::string> request_all(const std::string& subject,
                                                     std::string_view body, std::int64_t wait_ms,
                                                     std::size_t count_max);
  /// A subject for answers that nobody else uses: subscribe() to it, send() with it.
  [[nodiscard]] std::string new_inbox();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nostril::relay
