#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "events/event.h"
#include "events/frames.h"
#include "schnorr/keys.h"
#include "schnorr/nip44.h"
#include "schnorr/secret.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Keys of a session and the sealing of its frames. Exact bytes, the security argument and vectors:
/// spec/05-session.md. The machines that use them: client_session.h, node_session.h.
/// Threads: an object belongs to one thread. Nothing here reads a clock: times are arguments.
namespace nostril {

/// When something happens. Timers use the first, `created_at` of frames the second.
struct Moment {
  std::int64_t monotonic_ms = 0;
  std::int64_t unix_s = 0;
};

enum class SessionError : std::uint8_t {
  WrongKind,
  WrongAuthor,
  WrongRecipient,
  BadKey,        ///< a public key that is no point of the curve
  Unsealable,    ///< NIP-44 refused it under every key that could apply
  BadFrame,      ///< opened, but not a frame, or not one that may stand here
  WrongNumber,   ///< its number does not belong to the key that sealed it
  WrongBinding,  ///< other offer, attestation or request than ours
};
std::string_view to_string(SessionError error);

/// Everything that the session keys commit to.
struct SessionContext {
  EventId offer;         ///< O
  Digest attestation;    ///< A
  PublicKey client;      ///< c
  PublicKey encryption;  ///< N
  PublicKey node;        ///< s
  RequestId request;
};

/// "nostril/session/1" ‖ O ‖ A ‖ c ‖ N ‖ s ‖ request id: 17 + 5 * 32 + 16 = 193 bytes.
[[nodiscard]] Bytes session_info(const SessionContext& context);

struct SessionKeys {
  ConversationKey client_to_node;
  ConversationKey node_to_client;
  ConversationKey stored;  ///< stored_answer_key() is made of it
};

/// HKDF-SHA256(salt = k0, ikm = conv(c, s), info = session_info(), 96): a third each.
[[nodiscard]] SessionKeys derive_session_keys(const ConversationKey& k0,
                                              const ConversationKey& ephemeral,
                                              const SessionContext& context);

/// Frames of one direction that share a key.
inline constexpr std::uint64_t kRatchetFrames = 1024;
/// HKDF-Expand(prk = key, info = "nostril/ratchet/1", 32).
[[nodiscard]] ConversationKey ratchet(const ConversationKey& key);

/// Seals the stored frames (kind 1470) of one request's answer: HKDF-Expand(prk = stored, info =
/// "nostril/stored/1" ‖ request id, 32).
[[nodiscard]] ConversationKey stored_answer_key(const ConversationKey& stored,
                                                const RequestId& request);

/// One direction's keys by generation (n / kRatchetFrames): the newest two are kept, so that late
/// and repaired frames still open; older ones are wiped.
class KeyChain {
 public:
  explicit KeyChain(ConversationKey first) : current_(std::move(first)) {}

  /// The key for frame number n, or nullptr when it is wiped or more than one generation ahead.
  [[nodiscard]] const ConversationKey* key_for(std::uint64_t n);
  /// Moves on to n's generation, one step at most.
  void advance_to(std::uint64_t n);

  [[nodiscard]] std::uint64_t generation() const { return generation_; }

 private:
  ConversationKey current_;
  std::optional<ConversationKey> previous_;
  std::optional<ConversationKey> next_;
  std::uint64_t generation_ = 0;
};

class FrameSealer {
 public:
  explicit FrameSealer(ConversationKey key) : chain_(std::move(key)) {}

  /// NIP-44 payload of the frame's text, which is padded to a multiple of `unit` bytes when that is
  /// not 0. n may go back by less than kRatchetFrames (repairs).
  [[nodiscard]] std::string seal(std::uint64_t n, const Frame& frame, Rng& rng,
                                 std::size_t unit = 0);

 private:
  KeyChain chain_;
};

class FrameOpener {
 public:
  explicit FrameOpener(ConversationKey key) : chain_(std::move(key)) {}

  /// Tries the current, the previous and the next generation; checks that n belongs to it.
  [[nodiscard]] Result<NumberedFrame, SessionError> open(std::string_view payload);

 private:
  KeyChain chain_;
};

/// The event 21472, or 1470 when it expires: author's key, p = recipient, the payload as content.
[[nodiscard]] Event make_frame_event(const Keypair& author, const PublicKey& recipient,
                                     std::string payload, std::int64_t created_at, Rng& rng,
                                     std::optional<std::int64_t> expires_at = std::nullopt);
/// The recipient named by a frame event: kind 21472 (or 1470) with exactly one p tag.
[[nodiscard]] Result<PublicKey, SessionError> frame_recipient(const Event& event);

/// The client's half: makes c, sends the open frame under k0 = conv(c, N), reads the accept.
class ClientHandshake {
 public:
  /// BadKey when the offer's encryption key is no point of the curve.
  [[nodiscard]] static Result<ClientHandshake, SessionError> start(const PublicKey& encryption_key,
                                                                   OpenFrame open, Rng& rng);
  /// The same with a given key, which nobody has used before.
  [[nodiscard]] static Result<ClientHandshake, SessionError> start_with_key(
      const PublicKey& encryption_key, OpenFrame open, Keypair client);

  /// The first frame; call again to send it once more (a new event, the same request).
  [[nodiscard]] Event first_event(std::int64_t created_at, Rng& rng) const;

  struct Accepted {
    AcceptFrame accept;
    PublicKey session_key;  ///< s
    SessionKeys keys;
  };

  /// An accept, or the node's refusal: an error frame under k0.
  [[nodiscard]] Result<std::variant<Accepted, ErrorFrame>, SessionError> on_event(
      const Event& event) const;

  /// The session's keys if s is the node's; what they open proves that it is. BadKey else.
  [[nodiscard]] Result<SessionKeys, SessionError> derive(const PublicKey& session) const;

  [[nodiscard]] const OpenFrame& open() const { return open_; }

  [[nodiscard]] const Keypair& client() const { return client_; }

 private:
  ClientHandshake(const PublicKey& encryption_key, OpenFrame open, Keypair client,
                  ConversationKey k0);

  PublicKey encryption_key_;
  OpenFrame open_;
  Keypair client_;
  ConversationKey k0_;
};

/// The node's half. Replays of the first frame are the caller's to know: it remembers request ids
/// while N lives (the same request id, the same session).
class NodeHandshake {
 public:
  /// Opens a first frame that is addressed to `encryption` (N).
  [[nodiscard]] static Result<NodeHandshake, SessionError> open_first(const Event& event,
                                                                      const Keypair& encryption);

  [[nodiscard]] const OpenFrame& open() const { return open_; }

  [[nodiscard]] const PublicKey& client() const { return client_; }

  /// Keys for the session key s.
  [[nodiscard]] Result<SessionKeys, SessionError> derive(const Keypair& session) const;
  /// The accept event by s, under k0; call again to send it once more.
  [[nodiscard]] Event accept_event(const AcceptFrame& accept, const Keypair& session,
                                   std::int64_t created_at, Rng& rng) const;
  /// A refusal by a throw-away key: no session, no record, nothing to pay.
  [[nodiscard]] Event refuse_event(const ErrorFrame& error, std::int64_t created_at,
                                   Rng& rng) const;

 private:
  NodeHandshake(const PublicKey& client, const PublicKey& encryption, OpenFrame open,
                ConversationKey k0);

  PublicKey client_;
  PublicKey encryption_;
  OpenFrame open_;
  ConversationKey k0_;
};

}  // namespace nostril
