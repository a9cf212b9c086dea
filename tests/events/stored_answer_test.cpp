#include "events/stored_answer.h"

#include "events/kinds.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace nostril {
namespace {

using test::key_of;
using test::SeededRng;

/// One request, and both sides' keys for it.
class StoredAnswer : public ::testing::Test {
 protected:
  StoredAnswer() {
    open_.request.bytes.fill(1);
    open_.method = "POST";
    open_.path = "/v1/chat/completions";
    const Event first = handshake().first_event(1'800'000'000, rng_);
    const auto node = NodeHandshake::open_first(first, key_of("N"));
    key_ = stored_answer_key(node->derive(session_)->stored, open_.request);
    answer_.head = {200, "text/event-stream"};
    answer_.record = sign_event(build_record(test::example_record(
                                    test::example_offer(key_of("node"), key_of("N").public_key()))),
                                key_of("node"), rng_);
  }

  ClientHandshake handshake() {
    return *ClientHandshake::start_with_key(key_of("N").public_key(), open_, key_of("c"));
  }

  std::vector<Event> seal(bool zstd = true) {
    return seal_answer(answer_, *key_, session_, key_of("c").public_key(), zstd,
                       {1'800'000'000, 1'800'003'600}, rng_);
  }

  void fill(std::size_t bytes) {
    answer_.body.resize(bytes);
    for (std::uint8_t& byte : answer_.body) byte = static_cast<std::uint8_t>(rng_.below(256));
  }

  void expect_whole(const StoredAnswerReader& reader) {
    ASSERT_TRUE(reader.answer());
    EXPECT_EQ(reader.answer()->body, answer_.body);
    EXPECT_EQ(reader.answer()->head, answer_.head);
    EXPECT_EQ(reader.answer()->record.id, answer_.record.id);
  }

  SeededRng rng_{11};
  OpenFrame open_;
  Keypair session_ = key_of("s");
  std::optional<ConversationKey> key_;
  FinishedAnswer answer_;
};

TEST_F(StoredAnswer, IsReadFromEventsInAnyOrderAndDoubled) {
  for (const bool zstd : {true, false}) {
    for (const std::size_t size : {0U, 1U, 7168U, 7169U, 100'000U}) {
      fill(size);
      std::vector<Event> events = seal(zstd);
      EXPECT_EQ(events.size(), std::max<std::size_t>(1, (size + 7167) / 7168) + 1);
      const std::vector<Event> again = events;
      events.insert(events.end(), again.begin(), again.end());
      for (std::size_t i = events.size(); i > 1; --i) {
        std::swap(events[i - 1], events[rng_.below(i)]);
      }
      StoredAnswerReader reader(handshake());
      for (const Event& event : events) reader.on_event(event);
      expect_whole(reader);
    }
  }
}

TEST_F(StoredAnswer, IsStoredAndExpires) {
  fill(10);
  for (const Event& event : seal()) {
    EXPECT_EQ(event.kind, kinds::kStoredFrame);
    EXPECT_EQ(event.pubkey, session_.public_key());
    ASSERT_EQ(event.tags.size(), 2U);
    EXPECT_LT(to_json(event).size(), 16U << 10);
  }
}

TEST_F(StoredAnswer, IsNotWholeWithoutAnyOneOfItsFrames) {
  fill(30'000);
  const std::vector<Event> events = seal();
  for (std::size_t left_out = 0; left_out < events.size(); ++left_out) {
    StoredAnswerReader reader(handshake());
    for (std::size_t i = 0; i < events.size(); ++i) {
      if (i == left_out) continue;
      EXPECT_FALSE(reader.on_event(events[i]));
    }
    EXPECT_TRUE(reader.on_event(events[left_out]));
  }
}

TEST_F(StoredAnswer, IsFoundAmongForgedEvents) {
  fill(20'000);
  StoredAnswerReader reader(handshake());
  for (int thief = 0; thief < 40; ++thief) {
    const Keypair key = key_of("thief" + std::to_string(thief));
    // What a thief can make: it knows c's address, and no k0.
    for (const Event& event :
         seal_answer(answer_, *ConversationKey::derive(key, key_of("c").public_key()), key,
                     key_of("c").public_key(), true, {1, 2}, rng_)) {
      EXPECT_FALSE(reader.on_event(event));
    }
  }
  for (const Event& event : seal()) reader.on_event(event);
  expect_whole(reader);
}

TEST_F(StoredAnswer, OfAnotherRequestOrClientDoesNotOpen) {
  fill(10);
  const std::vector<Event> events = seal();
  open_.request.bytes.fill(2);
  StoredAnswerReader other_request(handshake());
  open_.request.bytes.fill(1);
  StoredAnswerReader other_client(
      *ClientHandshake::start_with_key(key_of("N").public_key(), open_, key_of("d")));
  for (const Event& event : events) {
    EXPECT_FALSE(other_request.on_event(event));
    EXPECT_FALSE(other_client.on_event(event));
  }
}

TEST_F(StoredAnswer, WhatStandsInTheWrongPlaceIsNoAnswer) {
  FrameSealer sealer(key_->duplicate());
  const auto event = [&](std::uint64_t n, const Frame& frame) {
    return make_frame_event(session_, key_of("c").public_key(), sealer.seal(n, frame, rng_), 1,
                            rng_, 2);
  };
  const DataFrame with_head{answer_.head, {'a'}};
  const DataFrame without_head{{}, {'b'}};
  const EndFrame end{answer_.record};
  const std::vector<std::vector<Frame>> bad = {
      {end},
      {without_head, end},
      {with_head, with_head, end},
      {with_head, CancelFrame{"x"}, end},
      {with_head, DataFrame{{}, {1, 2, 3}, true}, end},
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    StoredAnswerReader reader(handshake());
    for (std::size_t n = 0; n < bad[i].size(); ++n) {
      EXPECT_FALSE(reader.on_event(event(n + 1, bad[i][n]))) << i;
    }
  }
}

}  // namespace
}  // namespace nostril
