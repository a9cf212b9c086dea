#pragma once

#include "base/result.h"
#include "relay/store/stream_position.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

// What we ask of JetStream, the part of NATS that keeps a stream, and what it answers: JSON, and
// the subjects by which messages are acknowledged. What answers say is not believed beyond its
// form: each is bounded, of the stream that was asked about, and consistent, or it is an error.
// Pure; bus.h sends and receives.

struct StreamInfo {
  StreamIdentity identity;
  std::uint64_t first_sequence = 0;  ///< still there; last_sequence + 1: none is
  std::uint64_t last_sequence = 0;   ///< 0: nothing was ever in it
  /// Nothing lacks between the two. Servers drop from the front only, so a reader that meets a gap
  /// in such a stream was told wrongly: by a replica that was cut off and is not whole itself.
  bool is_whole = true;
  std::uint64_t bytes = 0;
  std::int64_t replicas = 1;

  bool operator==(const StreamInfo&) const = default;
};

/// What the stream says to a publication.
struct PublishAck {
  enum class Result : std::uint8_t {
    Stored,     ///< by a quorum of its replicas
    Duplicate,  ///< this message id was stored before, at `sequence`
    NotNow,     ///< no leader at the moment, or no server: send it again
    Refused,    ///< for good, e.g. too large, or the stream is full
  };

  Result result = Result::NotNow;
  std::uint64_t sequence = 0;
  std::string error;  ///< of the last two: one line, of the servers

  bool operator==(const PublishAck&) const = default;
};

namespace jetstream {

inline constexpr std::size_t kReplyBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kErrorBytesMax = 200;  ///< of the servers' words; the rest is cut

/// JetStream's numbers of what went wrong ("err_code").
namespace error {
inline constexpr std::int64_t kNone = 0;  ///< it said none, or its answer makes no sense
inline constexpr std::int64_t kMessageTooLarge = 10'054;
inline constexpr std::int64_t kStreamNameInUse = 10'058;
inline constexpr std::int64_t kStreamNotFound = 10'059;
}  // namespace error

struct ApiError {
  std::int64_t number = error::kNone;
  std::string text;  ///< one line

  bool operator==(const ApiError&) const = default;
};

/// For operators, one line: the servers' words, their number, and what to do about it where that
/// is known.
[[nodiscard]] std::string in_words(const ApiError& error);
/// Somebody has to change a configuration: it does not pass by itself.
[[nodiscard]] bool is_lasting(const ApiError& error);

struct StreamConfig {
  std::string name;
  std::vector<std::string> subjects;
  std::int64_t replicas = 1;
  std::int64_t bytes_max = -1;  ///< -1: none
  std::int64_t age_ns_max = 0;  ///< 0: none
  std::int64_t duplicate_window_ns = 0;
  std::int64_t message_bytes_max = -1;

  bool operator==(const StreamConfig&) const = default;
};

/// It keeps as much, for as long, as often.
[[nodiscard]] bool has_bounds_of(const StreamConfig& found, const StreamConfig& wanted);

// --- Requests: their subjects, and bodies. INFO has none.

[[nodiscard]] std::string info_subject(std::string_view stream);
[[nodiscard]] std::string create_subject(std::string_view stream);
[[nodiscard]] std::string update_subject(std::string_view stream);
/// Of create and update: on disk, the oldest dropped at the bounds, nothing removed otherwise.
[[nodiscard]] std::string to_json(const StreamConfig& config);

[[nodiscard]] std::string consumer_subject(std::string_view stream);

/// A consumer of ours: it pushes, without acks, and says that it is there.
struct ConsumerConfig {
  std::string stream;
  std::string deliver_subject;
  std::uint64_t from_sequence = 1;
  std::int64_t heartbeat_ns = 0;
  std::int64_t unused_ns_max = 0;  ///< then the servers forget it
};

[[nodiscard]] std::string to_json(const ConsumerConfig& config);

// --- Answers.

struct StreamReport {
  StreamInfo info;
  StreamConfig config;

  bool operator==(const StreamReport&) const = default;
};

/// To INFO, CREATE and UPDATE.
[[nodiscard]] Result<StreamReport, ApiError> parse_stream_reply(std::string_view text,
                                                                std::string_view stream);
/// To the making of a consumer.
[[nodiscard]] Result<void, ApiError> parse_consumer_reply(std::string_view text,
                                                          std::string_view stream);
/// To a publication: {"stream":…,"seq":…}. NotNow when it makes no sense.
[[nodiscard]] PublishAck parse_publish_ack(std::string_view text, std::string_view stream);

// --- Subjects that the servers name.

/// Where a delivered message stands.
struct Place {
  std::uint64_t stream = 0;
  std::uint64_t consumer = 0;

  bool operator==(const Place&) const = default;
};

/// Of the subject that an ack would go to; nothing: the message is not of the stream.
[[nodiscard]] std::optional<Place> place_of(std::string_view reply);

/// $JS.FC.…: what we publish to when we can take more. Nothing else that a server names is.
[[nodiscard]] bool is_flow_control(std::string_view subject);

/// 2026-11-22T15:02:57.485768024Z, as nanoseconds since 1970; not before, nor beyond 2262.
[[nodiscard]] std::optional<std::int64_t> parse_time_ns(std::string_view text);

}  // namespace jetstream

}  // namespace nostril::relay
