#include "bench/relay/load/deliveries.h"

#include "events/messages.h"

#include <gtest/gtest.h>

namespace nostril::bench {
namespace {

// Four subscriptions on two connections, two topics; one event of topic 1.
class DeliveriesOfOneEvent : public testing::Test {
 protected:
  DeliveriesOfOneEvent()
      : event_(LiveEvents().tagged(kNote, 'p', std::vector<std::string>{recipient(1)})[0]),
        publications_(std::span<const Event>(&event_, 1)) {}

  std::string take(std::size_t connection, const std::string& subscription) {
    return deliveries_.take(connection, event_prefix(subscription) + to_json(event_) + "]");
  }

  const Audience audience_{kNote, 'p', 1, 4, 2, 2};
  const Event event_;
  const Publications publications_;
  const std::vector<std::size_t> topics_{1};
  Connections connections_{*net::parse_url("ws://127.0.0.1:9")};
  Publisher publisher_{connections_, publications_, {}};
  Deliveries deliveries_{audience_, publications_, topics_, publisher_};
};

TEST_F(DeliveriesOfOneEvent, AreCompleteWhenEachListenerHasIt) {
  EXPECT_EQ(take(1, "s1"), "");
  EXPECT_FALSE(deliveries_.complete());
  EXPECT_EQ(take(2, "s3"), "");
  EXPECT_TRUE(deliveries_.complete());
  EXPECT_EQ(deliveries_.count(), 2U);
}

TEST_F(DeliveriesOfOneEvent, TwiceIsWrong) {
  EXPECT_EQ(take(1, "s1"), "");
  EXPECT_NE(take(1, "s1"), "");
  EXPECT_FALSE(deliveries_.complete());
}

TEST_F(DeliveriesOfOneEvent, ToAnotherTopicConnectionOrSubscriptionIsWrong) {
  EXPECT_NE(take(1, "s0"), "");
  EXPECT_NE(take(2, "s1"), "");
  EXPECT_NE(take(1, "s9"), "");
  EXPECT_NE(take(1, "x"), "");
  EXPECT_EQ(deliveries_.count(), 0U);
}

TEST_F(DeliveriesOfOneEvent, AStrangersEventIsWrong) {
  const Event other = LiveEvents().profiles(1)[0];
  EXPECT_NE(deliveries_.take(1, event_prefix("s1") + to_json(other) + "]"), "");
}

}  // namespace
}  // namespace nostril::bench
