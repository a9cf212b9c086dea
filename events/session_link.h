#pragma once

#include "events/features.h"
#include "events/frame_stream.h"
#include "events/session.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace nostril {

struct LinkLimits {
  std::size_t reorder_frames_max = 256;  ///< frames held back behind a gap; 10 KiB each at most
  std::size_t unacked_frames_max = 512;  ///< repair ring; below kRatchetFrames
  std::size_t unacked_bytes_max = 768U << 10;  ///< texts in the ring: stop sending at the bound
  std::uint64_t window_bytes = 256U << 10;  ///< credit given to the peer beyond what was consumed
  /// Longest that a received frame waits for its ack. An ack costs both ends and the relay what a
  /// frame does, and delays nothing: the credit is ahead of it by seconds.
  std::int64_t ack_delay_ms = 200;
  std::int64_t ack_gap_ms = 50;      ///< the same when one before it is missing
  std::int64_t repair_gap_ms = 100;  ///< a frame is not repaired twice within
  std::uint64_t ack_frames = 16;     ///< or this many frames
  std::int64_t resend_ms = 1000;     ///< first repair without an ack; doubles to 8 times
  std::int64_t keepalive_ms = 5000;  ///< an ack at least this often
};

/// One end of an established session: numbers, seals, repairs and orders frames; grants and obeys
/// credit. Both machines are built on it. Knows nothing of what the frames mean, except ack, credit
/// and resume, which it makes and eats itself.
///
/// Every numbered frame that send() takes reaches the peer's deliver queue exactly once, in order,
/// as long as some events pass. Credit counts the body bytes of data frames over the whole session.
/// Threads: one.
class SessionLink {
 public:
  SessionLink(ConversationKey send_key, ConversationKey receive_key, Keypair own,
              const PublicKey& peer, const LinkLimits& limits, Moment now);

  /// Before the first frame: what both sides have agreed on.
  void use(const SessionFeatures& features, Moment now);

  /// Room for one more frame in the repair ring, and before the next beat of quiet mode.
  [[nodiscard]] bool can_send() const;
  /// Body bytes that one data frame may carry.
  [[nodiscard]] std::size_t data_bytes_max() const;
  /// Body bytes that credit allows now.
  [[nodiscard]] std::uint64_t credit_left() const;
  /// A numbered frame goes into the ring (can_send() must hold, but for the few that close a
  /// session); data must be within credit_left(). Progress is sent once and forgotten.
  void send(Frame frame, Moment now, Rng& rng);

  /// Feeds a frame event of the peer. Forged, foreign and repeated ones change nothing.
  Result<void, SessionError> on_event(const Event& event, Moment now, Rng& rng);
  /// Next frame in order, or progress as it comes.
  [[nodiscard]] std::optional<Frame> next_frame();

  /// The application took `bytes` of body: credit for as many more.
  void consumed(std::uint64_t bytes, Moment now, Rng& rng);
  /// Credit that the peer has before its first ack, and that we have: from open and accept frames.
  void set_send_credit(std::uint64_t bytes);
  void set_receive_credit(std::uint64_t bytes);

  [[nodiscard]] std::uint64_t receive_credit() const { return receive_credit_; }

  /// Acknowledges now what came: the peer waits to hear it.
  void acknowledge(Moment now, Rng& rng) { send_ack(now, rng, false); }

  /// Sends a resume: after a relay was lost.
  void resume(Moment now, Rng& rng);
  /// Acks, keep-alives and repairs that are due.
  void on_timer(Moment now, Rng& rng);
  /// Monotonic milliseconds when on_timer() has something to do.
  [[nodiscard]] std::int64_t next_timer_ms() const;

  /// Events to publish, oldest first.
  [[nodiscard]] std::vector<Event> take_events();

  /// When a genuine frame of the peer last came.
  [[nodiscard]] std::int64_t heard_at_ms() const { return heard_at_ms_; }

  /// All that was sent is acknowledged.
  [[nodiscard]] bool drained() const { return ring_.empty(); }

  struct Counters {
    std::uint64_t frames_sent = 0;
    std::uint64_t frames_repaired = 0;
    std::uint64_t frames_received = 0;
    std::uint64_t duplicates_dropped = 0;
    std::uint64_t out_of_window = 0;
    std::uint64_t refused = 0;  ///< did not open or did not parse
  };

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Sent {
    std::uint64_t n;
    Frame frame;
    std::size_t text_bytes;
    std::int64_t sent_at_ms;
  };

  void publish(std::uint64_t n, const Frame& frame, Moment now, Rng& rng);
  void seal(std::uint64_t n, const Frame& frame, Moment now, Rng& rng);
  /// Quiet mode: one frame, whatever there is to say.
  void beat(Moment now, Rng& rng);
  [[nodiscard]] AckFrame make_ack(bool ask);
  void send_ack(Moment now, Rng& rng, bool ask);
  void handle_ack(std::uint64_t upto, const std::vector<FrameRange>& missing, std::uint64_t credit,
                  bool resend_all, Moment now, Rng& rng);
  /// Sends ring frames of the range again, oldest first, but none that was sent after
  /// `not_since_ms`. Returns what is left of `budget` (frames).
  std::size_t repair(FrameRange range, std::size_t budget, std::int64_t not_since_ms, Moment now,
                     Rng& rng);
  void accept_numbered(std::uint64_t n, Frame frame, Moment now);
  [[nodiscard]] bool deliver(Frame frame);
  [[nodiscard]] bool unpack(DataFrame& data);
  void want_ack(std::int64_t due_ms);
  [[nodiscard]] std::vector<FrameRange> missing() const;

  // Constant after construction.
  Keypair own_;
  PublicKey peer_;
  LinkLimits limits_;

  FrameSealer sealer_;
  FrameOpener opener_;
  SessionFeatures features_;
  std::optional<FrameCompressor> compressor_;
  std::optional<FrameDecompressor> decompressor_;
  std::vector<Event> events_;
  Counters counters_;

  // Quiet mode.
  std::deque<std::pair<std::uint64_t, Frame>> quiet_queue_;
  std::int64_t quiet_at_ms_ = 0;
  bool quiet_ack_last_ = false;
  bool quiet_ask_ = false;

  // Sending.
  std::uint64_t last_sent_ = 0;  ///< number of the last frame; the handshake's frames are number 0
  std::uint64_t published_ =
      0;  ///< highest number that has left; below last_sent_ in quiet mode only
  std::deque<Sent> ring_;
  std::size_t ring_bytes_ = 0;
  std::uint64_t send_credit_ = 0;
  std::uint64_t body_sent_ = 0;
  std::int64_t resend_wait_ms_;
  std::int64_t resend_from_ms_;
  std::optional<std::int64_t> blocked_since_ms_;

  // Receiving.
  std::uint64_t upto_ = 0;     ///< all frames to here were delivered
  std::uint64_t highest_ = 0;  ///< highest number that the peer is known to have sent
  std::map<std::uint64_t, Frame> held_;
  std::deque<Frame> ready_;
  std::uint64_t receive_credit_ = 0;
  std::uint64_t body_received_ = 0;
  std::uint64_t body_consumed_ = 0;
  bool overrun_ = false;  ///< the peer sent more than its credit
  std::uint64_t progress_n_ = 0;
  std::uint64_t frames_unacked_ = 0;
  std::optional<std::int64_t> ack_due_ms_;
  std::int64_t acked_at_ms_;
  std::int64_t resumed_at_ms_;
  std::int64_t heard_at_ms_;
};

}  // namespace nostril
