#include "tests/events/session_vectors.h"

#include "events/stored_answer.h"
#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

namespace nostril {
namespace {

TEST(SessionVectors, TheFileHoldsWhatThisCodeComputes) {
  // When a difference is meant: build make_session_vectors, write its output to the file, and let
  // tests/interop/session.test.mjs judge it.
  EXPECT_EQ(test::read_source("spec/vectors/session.json"), test::make_session_vectors());
}

TEST(SessionVectors, BothSidesOpenTheHandshakeOfTheFile) {
  const auto file = Json::parse(test::read_source("spec/vectors/session.json"));
  ASSERT_TRUE(file);
  const Keypair c = test::key_of("c");
  const Keypair encryption = test::key_of("N");
  const Keypair s = test::key_of("s");
  SystemRng rng;
  const Event first = make_frame_event(c, encryption.public_key(),
                                       std::string(*file->find("open")->find_string("payload")),
                                       1'800'000'001, rng);
  const auto node = NodeHandshake::open_first(first, encryption);
  ASSERT_TRUE(node);
  auto client =
      ClientHandshake::start_with_key(encryption.public_key(), node->open(), c.duplicate());
  ASSERT_TRUE(client);
  const Event accept = make_frame_event(s, c.public_key(),
                                        std::string(*file->find("accept")->find_string("payload")),
                                        1'800'000'002, rng);
  const auto reply = client->on_event(accept);
  ASSERT_TRUE(reply);
  const auto& accepted = std::get<ClientHandshake::Accepted>(*reply);
  EXPECT_EQ(encode_hex(accepted.keys.client_to_node.expose()),
            *file->find_string("client_to_node"));
  EXPECT_EQ(encode_hex(node->derive(s)->node_to_client.expose()),
            *file->find_string("node_to_client"));
}

TEST(SessionVectors, EveryFrameOfTheFileOpensAndPrintsAgain) {
  const auto file = Json::parse(test::read_source("spec/vectors/session.json"));
  ASSERT_TRUE(file);
  auto key = [&](std::string_view name) {
    std::array<std::uint8_t, 32> bytes{};
    EXPECT_TRUE(decode_hex(*file->find_string(name), bytes));
    return ConversationKey(SecretBytes<32>(bytes));
  };
  FrameOpener from_client(key("client_to_node"));
  FrameOpener from_node(key("node_to_client"));
  ASSERT_GE(file->find("frames")->items().size(), 10U);
  for (const Json& item : file->find("zstd_frames")->items()) {
    const auto frame = from_node.open(*item.find_string("payload"));
    ASSERT_TRUE(frame);
    EXPECT_EQ(print_frame(frame->n, frame->frame), *item.find_string("text"));
  }
  for (const Json& item : file->find("frames")->items()) {
    FrameOpener& opener = *item.find_string("from") == "client" ? from_client : from_node;
    const auto frame = opener.open(*item.find_string("payload"));
    ASSERT_TRUE(frame) << *item.find_string("text");
    EXPECT_EQ(print_frame(frame->n, frame->frame), *item.find_string("text"));
  }
}

TEST(SessionVectors, TheStoredAnswerOfTheFileIsPickedUp) {
  const auto file = Json::parse(test::read_source("spec/vectors/session.json"));
  ASSERT_TRUE(file);
  const auto open = parse_frame(*file->find("open")->find_string("text"));
  ASSERT_TRUE(open);
  const Keypair c = test::key_of("c");
  StoredAnswerReader reader(*ClientHandshake::start_with_key(
      test::key_of("N").public_key(), std::get<OpenFrame>(open->frame), c.duplicate()));
  SystemRng rng;
  for (const Json& item : file->find("stored_frames")->items()) {
    reader.on_event(make_frame_event(test::key_of("s"), c.public_key(),
                                     std::string(*item.find_string("payload")), 1, rng, 2));
  }
  ASSERT_TRUE(reader.answer());
  EXPECT_EQ(as_text(reader.answer()->body), *file->find_string("zstd_text"));
}

}  // namespace
}  // namespace nostril
