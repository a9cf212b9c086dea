#include "events/session.h"

#include "base/hex.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace nostril {
namespace {

using test::digest_of;
using test::key_of;

SessionContext example_context() {
  return {.offer = EventId{digest_of("O").bytes},
          .attestation = digest_of("A"),
          .client = key_of("c").public_key(),
          .encryption = key_of("N").public_key(),
          .node = key_of("s").public_key(),
          .request = {}};
}

ConversationKey key_with(std::uint8_t byte) {
  std::array<std::uint8_t, 32> bytes{};
  bytes.fill(byte);
  return ConversationKey(SecretBytes<32>(bytes));
}

std::string text_of(const ConversationKey& key) {
  return encode_hex(key.expose());
}

OpenFrame example_open() {
  OpenFrame open;
  open.request.bytes.fill(1);
  open.offer = example_context().offer;
  open.attestation = example_context().attestation;
  open.method = "GET";
  open.path = "/v1/models";
  return open;
}

TEST(SessionKeys, DependOnEverythingTheyCommitTo) {
  const SessionContext base = example_context();
  const SessionKeys keys = derive_session_keys(key_with(1), key_with(2), base);
  EXPECT_NE(text_of(keys.client_to_node), text_of(keys.node_to_client));
  EXPECT_NE(text_of(keys.stored), text_of(keys.node_to_client));
  auto differs = [&](const ConversationKey& k0, const ConversationKey& ephemeral,
                     const SessionContext& context) {
    const SessionKeys other = derive_session_keys(k0, ephemeral, context);
    return text_of(other.client_to_node) != text_of(keys.client_to_node) &&
           text_of(other.node_to_client) != text_of(keys.node_to_client) &&
           text_of(other.stored) != text_of(keys.stored);
  };
  EXPECT_FALSE(differs(key_with(1), key_with(2), base));
  EXPECT_TRUE(differs(key_with(3), key_with(2), base));
  EXPECT_TRUE(differs(key_with(1), key_with(3), base));
  const std::vector<std::function<void(SessionContext&)>> changes = {
      [](SessionContext& c) { c.offer.bytes[31] ^= 1; },
      [](SessionContext& c) { c.attestation.bytes[31] ^= 1; },
      [](SessionContext& c) { c.client.bytes[31] ^= 1; },
      [](SessionContext& c) { c.encryption.bytes[31] ^= 1; },
      [](SessionContext& c) { c.node.bytes[31] ^= 1; },
      [](SessionContext& c) { c.request.bytes[15] ^= 1; },
      [](SessionContext& c) { std::swap(c.client, c.node); }};
  for (const auto& change : changes) {
    SessionContext context = base;
    change(context);
    EXPECT_TRUE(differs(key_with(1), key_with(2), context));
  }
}

TEST(KeyChain, KeepsTwoGenerationsAndLooksOneAhead) {
  KeyChain chain(key_with(1));
  const std::string first = text_of(key_with(1));
  const std::string second = text_of(ratchet(key_with(1)));
  EXPECT_EQ(text_of(*chain.key_for(kRatchetFrames - 1)), first);
  EXPECT_EQ(text_of(*chain.key_for(kRatchetFrames)), second);
  EXPECT_EQ(chain.key_for(2 * kRatchetFrames), nullptr);
  chain.advance_to(kRatchetFrames);
  EXPECT_EQ(text_of(*chain.key_for(0)), first);
  EXPECT_EQ(text_of(*chain.key_for(kRatchetFrames)), second);
  chain.advance_to(2 * kRatchetFrames);
  EXPECT_EQ(chain.key_for(0), nullptr);
  EXPECT_EQ(text_of(*chain.key_for(kRatchetFrames)), second);
}

TEST(FrameOpener, RefusesAFrameUnderTheKeyOfAnotherGeneration) {
  SystemRng rng;
  FrameOpener opener(key_with(1));
  const std::string late =
      nip44_encrypt(ratchet(key_with(1)), print_frame(5, CancelFrame{"of generation 0"}), rng);
  EXPECT_EQ(opener.open(late).error(), SessionError::WrongNumber);
  const std::string early =
      nip44_encrypt(key_with(1), print_frame(kRatchetFrames, CancelFrame{"of generation 1"}), rng);
  EXPECT_EQ(opener.open(early).error(), SessionError::WrongNumber);
  const std::string right =
      nip44_encrypt(ratchet(key_with(1)), print_frame(kRatchetFrames, CancelFrame{"right"}), rng);
  EXPECT_TRUE(opener.open(right));
  const std::string repaired =
      nip44_encrypt(key_with(1), print_frame(kRatchetFrames - 1, CancelFrame{"repaired"}), rng);
  EXPECT_TRUE(opener.open(repaired));
}

TEST(FrameOpener, RefusesEveryChangedByte) {
  SystemRng rng;
  const std::string payload = nip44_encrypt(key_with(1), print_frame(1, CancelFrame{"x"}), rng);
  for (std::size_t at = 0; at < payload.size(); ++at) {
    std::string changed = payload;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    FrameOpener opener(key_with(1));
    EXPECT_FALSE(opener.open(changed)) << at;
  }
}

class Handshake : public ::testing::Test {
 protected:
  AcceptFrame accept() {
    AcceptFrame frame;
    frame.request = example_open().request;
    frame.session_key = s_.public_key();
    return frame;
  }

  SystemRng rng_;
  Keypair n_ = key_of("N");
  Keypair s_ = key_of("s");
  ClientHandshake client_ = *ClientHandshake::start(n_.public_key(), example_open(), rng_);
  NodeHandshake node_ = *NodeHandshake::open_first(client_.first_event(1'800'000'000, rng_), n_);
};

TEST_F(Handshake, GivesBothSidesTheSameKeys) {
  EXPECT_EQ(node_.client(), client_.client().public_key());
  EXPECT_EQ(node_.open(), example_open());
  const auto reply = client_.on_event(node_.accept_event(accept(), s_, 1'800'000'000, rng_));
  ASSERT_TRUE(reply);
  const SessionKeys ours = *node_.derive(s_);
  const auto& theirs = std::get<ClientHandshake::Accepted>(*reply).keys;
  EXPECT_EQ(text_of(ours.client_to_node), text_of(theirs.client_to_node));
  EXPECT_EQ(text_of(ours.node_to_client), text_of(theirs.node_to_client));
}

TEST_F(Handshake, ARelayCanNotPutItsKeyAroundAnAccept) {
  Event event = node_.accept_event(accept(), s_, 1'800'000'000, rng_);
  event = make_frame_event(key_of("relay"), client_.client().public_key(), event.content,
                           1'800'000'000, rng_);
  EXPECT_EQ(client_.on_event(event).error(), SessionError::WrongAuthor);
}

TEST_F(Handshake, RefusesAnAcceptForAnotherRequest) {
  OpenFrame other = example_open();
  other.request.bytes.fill(2);
  const auto again =
      ClientHandshake::start_with_key(n_.public_key(), other, client_.client().duplicate());
  const Event event = node_.accept_event(accept(), s_, 1'800'000'000, rng_);
  EXPECT_EQ(again->on_event(event).error(), SessionError::WrongBinding);
}

TEST_F(Handshake, RefusesEventsOfOthersAndToOthers) {
  const Keypair other = key_of("other");
  Event event = client_.first_event(1'800'000'000, rng_);
  EXPECT_EQ(NodeHandshake::open_first(event, other).error(), SessionError::WrongRecipient);
  event.pubkey = other.public_key();
  EXPECT_EQ(NodeHandshake::open_first(event, n_).error(), SessionError::Unsealable);
  event = client_.first_event(1'800'000'000, rng_);
  event.kind = 1;
  EXPECT_EQ(NodeHandshake::open_first(event, n_).error(), SessionError::WrongKind);
  event = client_.first_event(1'800'000'000, rng_);
  event.tags.add({"p", encode_hex(n_.public_key())});
  EXPECT_EQ(NodeHandshake::open_first(event, n_).error(), SessionError::WrongRecipient);
  event.tags = Tags{};
  EXPECT_EQ(NodeHandshake::open_first(event, n_).error(), SessionError::WrongRecipient);
}

TEST_F(Handshake, OnlyAnOpenOpensAndOnlyAnAcceptOrErrorAnswers) {
  const auto k0 = ConversationKey::derive(n_, client_.client().public_key());
  auto from = [&](const Keypair& author, const PublicKey& to, std::uint64_t n, const Frame& frame) {
    return make_frame_event(author, to, nip44_encrypt(*k0, print_frame(n, frame), rng_),
                            1'800'000'000, rng_);
  };
  const Keypair c = client_.client().duplicate();
  EXPECT_EQ(NodeHandshake::open_first(from(c, n_.public_key(), 0, CancelFrame{}), n_).error(),
            SessionError::BadFrame);
  EXPECT_EQ(NodeHandshake::open_first(from(c, n_.public_key(), 1, example_open()), n_).error(),
            SessionError::WrongNumber);
  EXPECT_EQ(client_.on_event(from(s_, c.public_key(), 0, CancelFrame{})).error(),
            SessionError::BadFrame);
  EXPECT_TRUE(client_.on_event(from(s_, c.public_key(), 0, make_error(ErrorCode::Busy, ""))));
}

TEST(ClientHandshakeStart, RefusesAKeyOffTheCurve) {
  SystemRng rng;
  PublicKey off;
  off.bytes.fill(0xFF);
  EXPECT_EQ(ClientHandshake::start(off, example_open(), rng).error(), SessionError::BadKey);
}

}  // namespace
}  // namespace nostril
