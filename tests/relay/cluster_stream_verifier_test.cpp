#include "relay/cluster/stream_verifier.h"
#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

namespace nostril::relay {
namespace {

using test::Author;

std::string forged(Event event) {
  event.sig.bytes[63] ^= 1U;
  return to_json(event);
}

TEST(StreamVerifier, GivesEachInItsTurnWhateverTheThreadsDo) {
  Author author;
  for (const unsigned threads : {1U, 4U}) {
    StreamVerifier verifier(threads);
    std::vector<std::string> bodies;
    for (std::uint64_t i = 0; i < 300; ++i) {
      const Event event = author.sign(1, std::to_string(i));
      bodies.push_back(i % 7 == 3 ? forged(event) : i % 11 == 5 ? "no event" : to_json(event));
      verifier.begin(i + 1, bodies.back());
    }
    for (std::uint64_t i = 0; i < bodies.size(); ++i) {
      const auto taken = verifier.take(i + 1, bodies[i]);
      ASSERT_TRUE(taken.has_value()) << i;
      EXPECT_EQ(taken->has_value(), i % 7 != 3 && i % 11 != 5) << i;
      if (*taken) {
        EXPECT_EQ(to_json((*taken)->event()), bodies[i]);
      }
    }
  }
}

TEST(StreamVerifier, KnowsNothingOfWhatWasNotBegun) {
  Author author;
  StreamVerifier verifier(2);
  const std::string first = to_json(author.sign(1, "first"));
  const std::string other = to_json(author.sign(1, "other"));
  EXPECT_FALSE(verifier.take(1, first).has_value());
  verifier.begin(5, first);
  EXPECT_FALSE(verifier.take(4, other).has_value());
  verifier.begin(6, first);
  verifier.begin(7, other);
  verifier.begin(9, other);
  const auto taken = verifier.take(7, other);  // 5 and 6 are not asked about
  ASSERT_TRUE(taken.has_value());
  EXPECT_TRUE(taken->has_value());
  EXPECT_FALSE(verifier.take(6, first).has_value());
  EXPECT_FALSE(verifier.take(8, first).has_value());
  EXPECT_TRUE(verifier.take(9, other).has_value());
}

TEST(StreamVerifier, HasRoomForSoManyAndEndsWithWorkUnderWay) {
  Author author;
  const std::string body = to_json(author.sign(1));
  StreamVerifier verifier(1);
  std::uint64_t sequence = 0;
  for (; verifier.has_room(); ++sequence) verifier.begin(sequence + 1, body);
  EXPECT_EQ(sequence, StreamVerifier::kWaitingMax);
  EXPECT_TRUE(verifier.take(1, body).has_value());
  EXPECT_TRUE(verifier.has_room());
}

}  // namespace
}  // namespace nostril::relay
