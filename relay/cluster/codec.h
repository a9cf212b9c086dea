#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/rng.h"
#include "events/event.h"
#include "relay/cluster/bus.h"
#include "relay/moderation.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril::relay {

// What relays of a cluster tell each other beside events, and what `nostril-relay cluster` asks
// them: JSON objects, each with a bound. Requests and changes are read strictly: a member that is
// not known may mean something, so the whole is refused. Reports may have members that a later
// version has added; those are passed over. Pure.

enum class CodecError : std::uint8_t {
  NotJson,
  BadForm,    ///< a member is missing, of another type, or not known
  OutOfRange  ///< a number, a text or a list is beyond its bound
};
[[nodiscard]] std::string_view to_string(CodecError error);

inline constexpr std::size_t kNoteBytesMax = 400;       ///< texts for people; longer ones are cut
inline constexpr std::size_t kControlBytesMax = 4'096;  ///< of a request or report
/// Below Bus::kBodyBytesMax. What a moderator's call changes has a hundredth of it.
inline constexpr std::size_t kModerationBytesMax = 512 << 10;

/// Of a message, of a snapshot: 16 random bytes as hex.
[[nodiscard]] bool is_message_id(std::string_view text);
[[nodiscard]] std::string new_message_id(Rng& rng);

// --- Control: NAME.ctl.RELAY and NAME.ctl.all.

enum class ControlAction : std::uint8_t { Status, Drain, Resnapshot };
[[nodiscard]] std::string_view name_of(ControlAction action);

struct ControlRequest {
  ControlAction action = ControlAction::Status;

  bool operator==(const ControlRequest&) const = default;
};

enum class RelayState : std::uint8_t {
  Joining,     ///< it fetches a snapshot; it serves nobody
  CatchingUp,  ///< it applies what it has missed; it serves nobody
  Serving,
  Away,      ///< it serves reads; the cluster can't be reached
  Draining,  ///< it finishes what is under way and takes no new connection
  Stuck      ///< it can't go on by itself: the note says why
};
inline constexpr std::size_t kRelayStateCount = 6;
[[nodiscard]] std::string_view name_of(RelayState state);

struct RelayStatus {
  std::string relay;
  std::string version;
  RelayState state = RelayState::Joining;
  std::string note;  ///< for people, one line; may be empty
  StreamIdentity stream;
  std::uint64_t position = 0;     ///< of the last message that is in its tables or log
  std::uint64_t stream_last = 0;  ///< as far as it knows
  std::uint64_t events = 0;       ///< stored
  std::uint64_t outbox_events = 0;
  std::uint64_t connections = 0;
  std::string rules;               ///< digest of the rules that make relays differ: hex
  std::int64_t started_at_ms = 0;  ///< Unix time: another one is another run

  [[nodiscard]] std::uint64_t lag() const {
    return stream_last > position ? stream_last - position : 0;
  }

  bool operator==(const RelayStatus&) const = default;
};

/// The answer to a request: how the relay is (after it has begun what it was asked), or why not.
struct ControlReply {
  std::string relay;
  Result<RelayStatus, std::string> outcome;

  bool operator==(const ControlReply&) const = default;
};

[[nodiscard]] std::string to_json(const ControlRequest& request);
[[nodiscard]] Result<ControlRequest, CodecError> parse_control_request(std::string_view text);
[[nodiscard]] std::string to_json(const RelayStatus& status);
[[nodiscard]] std::string to_json(const ControlReply& reply);
[[nodiscard]] Result<ControlReply, CodecError> parse_control_reply(std::string_view text);

// --- Moderation: a message of the stream, applied by every relay in the stream's order.

inline constexpr std::size_t kModerationChangesMax = 256;  ///< of one message
inline constexpr std::size_t kErasedMax = 256;             ///< authors and ids of one message

/// Changes of the lists (relay/moderation.h) and what is to be removed with them.
struct ModerationMessage {
  std::string id;     ///< the stream's message id: the desk that waits knows its own by it
  std::string relay;  ///< whose moderator
  std::int64_t decided_at_s = 0;
  std::vector<ModerationChange> changes;
  std::vector<PublicKey> erased_authors;  ///< all that they have written up to here in the stream
  std::vector<EventId> erased_ids;
  /// Told again, or applied late (decision_log.h): at a later place than most relays had it. What
  /// is not banned is erased only up to decided_at_s.
  bool is_again = false;

  bool operator==(const ModerationMessage&) const = default;
};

[[nodiscard]] std::string to_json(const ModerationMessage& message);
/// Each item is what belongs in its list.
[[nodiscard]] Result<ModerationMessage, CodecError> parse_moderation(std::string_view text);

// --- Snapshots: NAME.snap for "who has one", NAME.snap.RELAY for the rest.

inline constexpr std::size_t kChunkBytes = 512 << 10;  ///< below Bus::kBodyBytesMax
inline constexpr std::uint64_t kSnapshotBytesMax = std::uint64_t{1} << 42;  ///< 4 TiB
inline constexpr std::size_t kHashBytes = 32;

/// Who has one? Those in `but` are not asked: they have failed.
struct SnapshotWho {
  std::string relay;  ///< who asks
  std::vector<std::string> but;

  bool operator==(const SnapshotWho&) const = default;
};

inline constexpr std::size_t kSnapshotButMax = 64;

/// Make one where there is none, and say how far it is. Asked again until there is a header.
struct SnapshotOpen {
  std::string relay;

  bool operator==(const SnapshotOpen&) const = default;
};

/// A piece: of the list of hashes (kChunkBytes each, the last shorter), or a chunk of the files.
struct SnapshotPiece {
  enum class Of : std::uint8_t { Hashes, Chunks };

  std::string id;
  Of of = Of::Chunks;
  std::uint64_t number = 0;

  bool operator==(const SnapshotPiece&) const = default;
};

using SnapshotRequest = std::variant<SnapshotWho, SnapshotOpen, SnapshotPiece>;

[[nodiscard]] std::string to_json(const SnapshotRequest& request);
[[nodiscard]] Result<SnapshotRequest, CodecError> parse_snapshot_request(std::string_view text);

/// "I have": the answer to SnapshotWho.
struct SnapshotOffer {
  std::string relay;
  StreamIdentity stream;
  std::uint64_t position = 0;
  std::uint64_t events = 0;

  bool operator==(const SnapshotOffer&) const = default;
};

[[nodiscard]] std::string to_json(const SnapshotOffer& offer);
[[nodiscard]] Result<SnapshotOffer, CodecError> parse_snapshot_offer(std::string_view text);

/// The two files of a snapshot, in the order of their chunks. Each begins with a chunk of its own.
enum class SnapshotFile : std::uint8_t { Events, Moderation };
inline constexpr std::size_t kSnapshotFileCount = 2;

struct SnapshotHeader {
  std::string id;
  std::string relay;  ///< who has made it
  StreamIdentity stream;
  std::uint64_t position = 0;  ///< of the last message that is in it
  std::uint64_t events = 0;
  std::int64_t made_at_s = 0;
  std::array<std::uint64_t, kSnapshotFileCount> bytes{};  ///< by SnapshotFile
  Digest hashes_sha256;  ///< of the chunks' SHA-256, one after the other

  [[nodiscard]] std::uint64_t bytes_in_all() const { return bytes[0] + bytes[1]; }

  [[nodiscard]] std::uint64_t chunks() const {
    return chunks_of(SnapshotFile::Events) + chunks_of(SnapshotFile::Moderation);
  }

  [[nodiscard]] std::uint64_t chunks_of(SnapshotFile file) const {
    return (bytes[static_cast<std::size_t>(file)] + kChunkBytes - 1) / kChunkBytes;
  }

  bool operator==(const SnapshotHeader&) const = default;
};

struct SnapshotMaking {
  std::uint64_t rows = 0;  ///< copied so far

  bool operator==(const SnapshotMaking&) const = default;
};

struct SnapshotRefused {
  std::string why;

  bool operator==(const SnapshotRefused&) const = default;
};

using SnapshotOpened = std::variant<SnapshotMaking, SnapshotHeader, SnapshotRefused>;

[[nodiscard]] std::string to_json(const SnapshotOpened& opened);
[[nodiscard]] Result<SnapshotOpened, CodecError> parse_snapshot_opened(std::string_view text);

/// The answer to SnapshotPiece is not JSON: a byte 0, then the piece; or a byte 1, then why not.
[[nodiscard]] Bytes piece_reply(ByteSpan piece);
[[nodiscard]] Bytes piece_refusal(std::string_view why);
/// The piece, borrowed; or why not, one line.
[[nodiscard]] Result<ByteSpan, std::string> parse_piece_reply(ByteSpan reply);

}  // namespace nostril::relay
