#include "events/session.h"

#include "base/check.h"
#include "base/hex.h"
#include "events/kinds.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <utility>

namespace nostril {

namespace {

constexpr std::string_view kSessionLabel = "nostril/session/1";
constexpr std::string_view kRatchetLabel = "nostril/ratchet/1";
constexpr std::string_view kStoredLabel = "nostril/stored/1";

/// Longest NIP-44 payload of a frame: 10,240 bytes are padded to 10,240.
constexpr std::size_t kPayloadBytesMax = 14336;

template <typename Fixed>
void append(Bytes& out, const Fixed& value) {
  out.insert(out.end(), value.bytes.begin(), value.bytes.end());
}

ConversationKey key_from(std::span<const std::uint8_t, 32> bytes) {
  return ConversationKey(SecretBytes<32>(bytes));
}

/// The frame in an event of the handshake: sealed under k0, number 0.
Result<Frame, SessionError> open_handshake(const Event& event, const ConversationKey& k0) {
  if (event.content.size() > kPayloadBytesMax) return failure(SessionError::Unsealable);
  const auto text = nip44_decrypt(k0, event.content);
  if (!text) return failure(SessionError::Unsealable);
  auto frame = parse_frame(*text);
  if (!frame) return failure(SessionError::BadFrame);
  if (frame->n != 0) return failure(SessionError::WrongNumber);
  return std::move(frame->frame);
}

}  // namespace

std::string_view to_string(SessionError error) {
  switch (error) {
    case SessionError::WrongKind:
      return "another kind";
    case SessionError::WrongAuthor:
      return "another author";
    case SessionError::WrongRecipient:
      return "another recipient";
    case SessionError::BadKey:
      return "bad public key";
    case SessionError::Unsealable:
      return "does not open";
    case SessionError::BadFrame:
      return "bad frame";
    case SessionError::WrongNumber:
      return "wrong frame number";
    case SessionError::WrongBinding:
      return "bound to something else";
  }
  return "unknown";
}

Bytes session_info(const SessionContext& context) {
  const ByteSpan label = as_bytes(kSessionLabel);
  Bytes info(label.begin(), label.end());
  append(info, context.offer);
  append(info, context.attestation);
  append(info, context.client);
  append(info, context.encryption);
  append(info, context.node);
  append(info, context.request);
  return info;
}

SessionKeys derive_session_keys(const ConversationKey& k0, const ConversationKey& ephemeral,
                                const SessionContext& context) {
  Digest prk = hkdf_extract(k0.expose(), ephemeral.expose());
  SecretBytes<96> keys;
  hkdf_expand(prk.bytes, session_info(context), keys.expose_mutable());
  wipe(prk.bytes);
  const auto all = keys.expose();
  return {key_from(all.first<32>()), key_from(all.subspan<32, 32>()), key_from(all.last<32>())};
}

ConversationKey stored_answer_key(const ConversationKey& stored, const RequestId& request) {
  const ByteSpan label = as_bytes(kStoredLabel);
  Bytes info(label.begin(), label.end());
  append(info, request);
  SecretBytes<32> key;
  hkdf_expand(stored.expose(), info, key.expose_mutable());
  return ConversationKey(std::move(key));
}

ConversationKey ratchet(const ConversationKey& key) {
  SecretBytes<32> next;
  hkdf_expand(key.expose(), as_bytes(kRatchetLabel), next.expose_mutable());
  return ConversationKey(std::move(next));
}

const ConversationKey* KeyChain::key_for(std::uint64_t n) {
  const std::uint64_t wanted = n / kRatchetFrames;
  if (wanted == generation_) return &current_;
  if (wanted + 1 == generation_) return previous_ ? &*previous_ : nullptr;
  if (wanted == generation_ + 1) {
    if (!next_) next_ = ratchet(current_);
    return &*next_;
  }
  return nullptr;
}

void KeyChain::advance_to(std::uint64_t n) {
  const std::uint64_t wanted = n / kRatchetFrames;
  if (wanted <= generation_) return;
  CHECK(wanted == generation_ + 1);
  if (!next_) next_ = ratchet(current_);
  previous_ = std::move(current_);
  current_ = *std::move(next_);
  next_.reset();
  generation_ = wanted;
}

std::string FrameSealer::seal(std::uint64_t n, const Frame& frame, Rng& rng, std::size_t unit) {
  chain_.advance_to(n);
  const ConversationKey* key = chain_.key_for(n);
  CHECK(key != nullptr);
  return nip44_encrypt(*key, unit == 0 ? print_frame(n, frame) : print_padded_frame(n, frame, unit),
                       rng);
}

Result<NumberedFrame, SessionError> FrameOpener::open(std::string_view payload) {
  if (payload.size() > kPayloadBytesMax) return failure(SessionError::Unsealable);
  const std::uint64_t generation = chain_.generation();
  // The current key first: it opens all but a handful of frames.
  std::array<std::uint64_t, 3> candidates = {generation, generation + 1, generation};
  std::size_t count = 2;
  if (generation > 0) candidates[count++] = generation - 1;
  for (std::size_t index = 0; index < count; ++index) {
    const std::uint64_t candidate = candidates[index];
    const ConversationKey* key = chain_.key_for(candidate * kRatchetFrames);
    if (key == nullptr) continue;
    const auto text = nip44_decrypt(*key, payload);
    if (!text) continue;
    auto frame = parse_frame(*text);
    if (!frame) return failure(SessionError::BadFrame);
    if (frame->n / kRatchetFrames != candidate) return failure(SessionError::WrongNumber);
    chain_.advance_to(frame->n);
    return *std::move(frame);
  }
  return failure(SessionError::Unsealable);
}

Event make_frame_event(const Keypair& author, const PublicKey& recipient, std::string payload,
                       std::int64_t created_at, Rng& rng, std::optional<std::int64_t> expires_at) {
  EventDraft draft;
  draft.created_at = created_at;
  draft.kind = expires_at ? kinds::kStoredFrame : kinds::kFrame;
  draft.tags.add({"p", encode_hex(recipient)});
  if (expires_at) draft.tags.add({"expiration", std::to_string(*expires_at)});
  draft.content = std::move(payload);
  return sign_event(std::move(draft), author, rng);
}

Result<PublicKey, SessionError> frame_recipient(const Event& event) {
  if (event.kind != kinds::kFrame && event.kind != kinds::kStoredFrame) {
    return failure(SessionError::WrongKind);
  }
  std::optional<PublicKey> recipient;
  for (const Tags::View tag : event.tags) {
    if (tag.name() != "p") continue;
    if (recipient || tag.size() < 2) return failure(SessionError::WrongRecipient);
    recipient = from_hex<PublicKey>(tag[1]);
    if (!recipient) return failure(SessionError::WrongRecipient);
  }
  if (!recipient) return failure(SessionError::WrongRecipient);
  return *recipient;
}

// ---- Client -------------------------------------------------------------------------------------

ClientHandshake::ClientHandshake(const PublicKey& encryption_key, OpenFrame open, Keypair client,
                                 ConversationKey k0)
    : encryption_key_(encryption_key),
      open_(std::move(open)),
      client_(std::move(client)),
      k0_(std::move(k0)) {}

Result<ClientHandshake, SessionError> ClientHandshake::start(const PublicKey& encryption_key,
                                                             OpenFrame open, Rng& rng) {
  return start_with_key(encryption_key, std::move(open), Keypair::generate(rng));
}

Result<ClientHandshake, SessionError> ClientHandshake::start_with_key(
    const PublicKey& encryption_key, OpenFrame open, Keypair client) {
  if (!is_sendable(open)) return failure(SessionError::BadFrame);
  auto k0 = ConversationKey::derive(client, encryption_key);
  if (!k0) return failure(SessionError::BadKey);
  return ClientHandshake(encryption_key, std::move(open), std::move(client), *std::move(k0));
}

Event ClientHandshake::first_event(std::int64_t created_at, Rng& rng) const {
  return make_frame_event(client_, encryption_key_, nip44_encrypt(k0_, print_frame(0, open_), rng),
                          created_at, rng);
}

Result<std::variant<ClientHandshake::Accepted, ErrorFrame>, SessionError> ClientHandshake::on_event(
    const Event& event) const {
  const auto recipient = frame_recipient(event);
  if (!recipient) return failure(recipient.error());
  if (*recipient != client_.public_key()) return failure(SessionError::WrongRecipient);
  auto frame = open_handshake(event, k0_);
  if (!frame) return failure(frame.error());
  if (auto* error = std::get_if<ErrorFrame>(&*frame)) {
    return std::variant<Accepted, ErrorFrame>(std::move(*error));
  }
  auto* accept = std::get_if<AcceptFrame>(&*frame);
  if (accept == nullptr) return failure(SessionError::BadFrame);
  // s stands inside, sealed by the holder of N; a relay can't put its own key around the payload.
  if (accept->session_key != event.pubkey) return failure(SessionError::WrongAuthor);
  if (accept->request != open_.request) return failure(SessionError::WrongBinding);
  auto keys = derive(event.pubkey);
  if (!keys) return failure(keys.error());
  return std::variant<Accepted, ErrorFrame>(
      Accepted{std::move(*accept), event.pubkey, *std::move(keys)});
}

Result<SessionKeys, SessionError> ClientHandshake::derive(const PublicKey& session) const {
  const auto ephemeral = ConversationKey::derive(client_, session);
  if (!ephemeral) return failure(SessionError::BadKey);
  return derive_session_keys(k0_, *ephemeral,
                             {.offer = open_.offer,
                              .attestation = open_.attestation,
                              .client = client_.public_key(),
                              .encryption = encryption_key_,
                              .node = session,
                              .request = open_.request});
}

// ---- Node ---------------------------------------------------------------------------------------

NodeHandshake::NodeHandshake(const PublicKey& client, const PublicKey& encryption, OpenFrame open,
                             ConversationKey k0)
    : client_(client), encryption_(encryption), open_(std::move(open)), k0_(std::move(k0)) {}

Result<NodeHandshake, SessionError> NodeHandshake::open_first(const Event& event,
                                                              const Keypair& encryption) {
  const auto recipient = frame_recipient(event);
  if (!recipient) return failure(recipient.error());
  if (*recipient != encryption.public_key()) return failure(SessionError::WrongRecipient);
  auto k0 = ConversationKey::derive(encryption, event.pubkey);
  if (!k0) return failure(SessionError::BadKey);
  auto frame = open_handshake(event, *k0);
  if (!frame) return failure(frame.error());
  auto* open = std::get_if<OpenFrame>(&*frame);
  if (open == nullptr) return failure(SessionError::BadFrame);
  return NodeHandshake(event.pubkey, encryption.public_key(), std::move(*open), *std::move(k0));
}

Result<SessionKeys, SessionError> NodeHandshake::derive(const Keypair& session) const {
  const auto ephemeral = ConversationKey::derive(session, client_);
  if (!ephemeral) return failure(SessionError::BadKey);
  return derive_session_keys(k0_, *ephemeral,
                             {.offer = open_.offer,
                              .attestation = open_.attestation,
                              .client = client_,
                              .encryption = encryption_,
                              .node = session.public_key(),
                              .request = open_.request});
}

Event NodeHandshake::accept_event(const AcceptFrame& accept, const Keypair& session,
                                  std::int64_t created_at, Rng& rng) const {
  CHECK(accept.session_key == session.public_key() && accept.request == open_.request);
  return make_frame_event(session, client_, nip44_encrypt(k0_, print_frame(0, accept), rng),
                          created_at, rng);
}

Event NodeHandshake::refuse_event(const ErrorFrame& error, std::int64_t created_at,
                                  Rng& rng) const {
  return make_frame_event(Keypair::generate(rng), client_,
                          nip44_encrypt(k0_, print_frame(0, error), rng), created_at, rng);
}

}  // namespace nostril
