#pragma once

#include "events/frame_stream.h"
#include "events/session.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <variant>
#include <vector>

/// A finished answer on relays, for a client that went away and asked for it (`durable`): events of
/// kind 1470, spec/05-session.md, Pick-up. Threads: pure; a reader belongs to one thread.
namespace nostril {

/// Body that is stored; an answer beyond it can't be picked up.
inline constexpr std::size_t kStoredBodyBytesMax = std::size_t{1} << 20;
/// Frames of one stored answer: they share one key, without a ratchet.
inline constexpr std::uint64_t kStoredFramesMax = 512;

struct FinishedAnswer {
  ResponseHead head;
  Bytes body;
  Event record;  ///< 1471
};

struct StoredTimes {
  std::int64_t created_at;  ///< Unix seconds
  std::int64_t expires_at;
};

/// The events of an answer, in order: data frames 1, 2, ... and the end frame. `key` is
/// stored_answer_key() of the session and request. `zstd`: its body as one zstd stream. CHECKs
/// kStoredBodyBytesMax.
[[nodiscard]] std::vector<Event> seal_answer(const FinishedAnswer& answer,
                                             const ConversationKey& key, const Keypair& session,
                                             const PublicKey& client, bool zstd,
                                             const StoredTimes& times, Rng& rng);

/// Puts a stored answer together from events in any order, from whichever relay, among forged ones.
/// It needs what the client had when it sent its first frame, and nothing that came after.
class StoredAnswerReader {
 public:
  explicit StoredAnswerReader(ClientHandshake handshake) : handshake_(std::move(handshake)) {}

  /// What does not open or stands where it may not changes nothing. True when the answer is whole.
  bool on_event(const Event& event);

  [[nodiscard]] const std::optional<FinishedAnswer>& answer() const { return answer_; }

 private:
  [[nodiscard]] FrameOpener* opener_of(const PublicKey& author);
  [[nodiscard]] std::optional<FinishedAnswer> assemble() const;

  ClientHandshake handshake_;
  /// Of the authors that were seen. Whoever knows c's address may write to it, so they are bounded,
  /// and all but the node's are let go once one of them has opened a frame.
  std::map<PublicKey, FrameOpener> openers_;
  bool node_known_ = false;
  std::map<std::uint64_t, Frame> frames_;
  std::optional<FinishedAnswer> answer_;
};

}  // namespace nostril
