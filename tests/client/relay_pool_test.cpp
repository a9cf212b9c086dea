#include "client/relay_pool.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "events/messages.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::client {
namespace {

using test::run_for;
using test::run_until;
using test::TestRelay;

class Pool : public ::testing::Test {
 protected:
  Pool() {
    RelayPoolLimits limits;
    limits.publish_ms_max = 1'000;
    limits.reconnect_first_ms = 20;
    pool_ = std::make_unique<RelayPool>(loop_, clock_, limits);
  }

  void connect(TestRelay& relay) {
    const std::size_t before = pool_->connected_count();
    ASSERT_TRUE(pool_->add_relay(relay.url()));
    ASSERT_TRUE(run_until(loop_, [&] { return pool_->connected_count() == before + 1; }));
  }

  Event note(std::uint32_t kind, const std::string& content) {
    return sign_event({clock_.unix_s(), kind, {}, content}, author_, rng_);
  }

  SubscriptionId subscribe(std::uint32_t kind) {
    Filter filter;
    filter.kinds = {kind};
    SubscriptionCallbacks callbacks;
    callbacks.on_event = [this](const VerifiedEvent& event) {
      received_.push_back(event->content);
    };
    callbacks.on_stored_end = [this](const std::string&) { ++stored_ends_; };
    callbacks.on_closed = [this](const std::string&, const std::string& reason) {
      closed_.push_back(reason);
    };
    return pool_->subscribe({filter}, std::move(callbacks));
  }

  std::optional<PublishResult> publish(const Event& event, std::uint64_t wait_ms = 10'000) {
    const auto result = std::make_shared<std::optional<PublishResult>>();
    EXPECT_TRUE(pool_->publish(event, [result](const PublishResult& r) {
      EXPECT_FALSE(*result) << "reported twice";
      *result = r;
    }));
    run_until(
        loop_, [&] { return result->has_value(); }, wait_ms);
    return *result;
  }

  SystemClock clock_;
  SystemRng rng_;
  net::Loop loop_;
  Keypair author_ = Keypair::generate(rng_);
  TestRelay relay_{loop_};
  TestRelay other_{loop_};
  std::unique_ptr<RelayPool> pool_;
  std::vector<std::string> received_;
  std::vector<std::string> closed_;
  int stored_ends_ = 0;
};

TEST_F(Pool, TakesWebSocketUrlsOnceAndNotTooMany) {
  EXPECT_FALSE(pool_->add_relay("http://127.0.0.1:1"));
  EXPECT_FALSE(pool_->add_relay("nonsense"));
  EXPECT_TRUE(pool_->add_relay("ws://127.0.0.1:1"));
  EXPECT_TRUE(pool_->add_relay("ws://127.0.0.1:1"));
  EXPECT_EQ(pool_->relay_count(), 1U);
  for (int port = 2; port <= 16; ++port) {
    EXPECT_TRUE(pool_->add_relay("ws://127.0.0.1:" + std::to_string(port)));
  }
  EXPECT_FALSE(pool_->add_relay("ws://127.0.0.1:17"));
}

TEST_F(Pool, BringsStoredAndLiveEventsOnceFromTwoRelays) {
  relay_.inject(note(1, "old"));
  connect(relay_);
  connect(other_);
  subscribe(1);
  ASSERT_TRUE(run_until(loop_, [&] { return stored_ends_ == 2; }));
  const auto result = publish(note(1, "new"));
  ASSERT_TRUE(result && result->accepted);
  run_for(loop_, 100);
  EXPECT_EQ(received_, (std::vector<std::string>{"old", "new"}));
}

TEST_F(Pool, DropsWhatIsForgedOrWasNotAskedForAndStillTakesTheTrueEvent) {
  connect(relay_);
  subscribe(1);
  ASSERT_TRUE(run_until(loop_, [&] { return stored_ends_ == 1; }));
  const Event good = note(1, "good");
  Event forged = good;
  forged.sig.bytes[0] ^= 1;
  relay_.inject(forged);
  relay_.inject_text(event_prefix("s1") + to_json(note(7, "another kind")) + "]");
  relay_.inject_text(event_prefix("s2") + to_json(note(1, "another name")) + "]");
  relay_.inject_text("[\"EVENT\",\"s1\",{}]");
  relay_.inject_text("garbage");
  relay_.inject(good);
  ASSERT_TRUE(run_until(loop_, [&] { return !received_.empty(); }));
  run_for(loop_, 50);
  EXPECT_EQ(received_, std::vector<std::string>{"good"});
}

TEST_F(Pool, ConnectsAgainAndSubscribesAgain) {
  int changes = 0;
  pool_->on_connection_change([&](const std::string&, bool) { ++changes; });
  connect(relay_);
  subscribe(1);
  ASSERT_TRUE(run_until(loop_, [&] { return stored_ends_ == 1; }));
  relay_.go_away();
  ASSERT_TRUE(run_until(loop_, [&] { return pool_->connected_count() == 0; }));
  ASSERT_EQ(pool_->problems().size(), 1U);
  run_for(loop_, 100);
  relay_.come_back();
  ASSERT_TRUE(run_until(loop_, [&] { return stored_ends_ == 2; }));
  relay_.inject(note(1, "after"));
  ASSERT_TRUE(run_until(loop_, [&] { return !received_.empty(); }));
  EXPECT_EQ(changes, 3);
}

TEST_F(Pool, SendsAgainWhatWasNotAnswered) {
  connect(relay_);
  TestRelay::Faults silent;
  silent.no_ok = true;
  relay_.set_faults(silent);
  const auto result = std::make_shared<std::optional<PublishResult>>();
  for (const std::string text : {"a", "b", "c"}) {
    ASSERT_TRUE(pool_->publish(note(1, text), [result](const PublishResult& r) { *result = r; }));
  }
  ASSERT_TRUE(run_until(loop_, [&] { return relay_.seen().size() == 3; }));
  relay_.set_faults({});
  relay_.drop_connections();
  ASSERT_TRUE(run_until(loop_, [&] { return relay_.seen().size() == 6; }));
  EXPECT_EQ(relay_.seen()[3].content, "a") << "in their order";
  EXPECT_EQ(relay_.seen()[5].content, "c");
  EXPECT_TRUE(run_until(loop_, [&] { return result->has_value(); }));
  EXPECT_TRUE((*result)->accepted) << "a duplicate is an accepted event";
}

TEST_F(Pool, ReportsWhatNoRelayTook) {
  connect(relay_);
  TestRelay::Faults faults;
  faults.refuse_events = "blocked: not here";
  relay_.set_faults(faults);
  const auto refused = publish(note(1, "a"));
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->accepted);
  EXPECT_FALSE(refused->nobody_listens);
  ASSERT_EQ(refused->refusals.size(), 1U);
  EXPECT_NE(refused->refusals[0].find("not here"), std::string::npos);
  faults = {};
  faults.no_ok = true;
  relay_.set_faults(faults);
  const auto silent = publish(note(1, "b"));
  ASSERT_TRUE(silent);
  EXPECT_FALSE(silent->accepted);
  EXPECT_FALSE(silent->nobody_listens);
}

TEST_F(Pool, KnowsThatNobodyListensAlsoWhenAnotherRelayIsSilent) {
  connect(relay_);
  const auto muted = publish(note(kinds::kFrame, "x"));
  ASSERT_TRUE(muted);
  EXPECT_TRUE(muted->nobody_listens);
  connect(other_);
  TestRelay::Faults silent;
  silent.no_ok = true;
  other_.set_faults(silent);
  const auto both = publish(note(kinds::kFrame, "y"));
  ASSERT_TRUE(both);
  EXPECT_EQ(both->refusals.size(), 2U);
  EXPECT_TRUE(both->nobody_listens);
}

TEST_F(Pool, QueuesNothingWithoutARelay) {
  EXPECT_FALSE(pool_->publish(note(1, "a"), [](const PublishResult&) { FAIL(); }));
}

TEST_F(Pool, CallbacksMayUnsubscribeAndChangeFilters) {
  connect(relay_);
  SubscriptionId id = SubscriptionId::None;
  Filter filter;
  filter.kinds = {1};
  SubscriptionCallbacks callbacks;
  int events = 0;
  callbacks.on_event = [&](const VerifiedEvent&) {
    ++events;
    pool_->unsubscribe(id);
  };
  callbacks.on_stored_end = [&](const std::string&) {
    Filter wider;
    wider.kinds = {1, 2};
    if (stored_ends_++ == 0) pool_->change_filters(id, {wider});
  };
  id = pool_->subscribe({filter}, std::move(callbacks));
  ASSERT_TRUE(run_until(loop_, [&] { return stored_ends_ == 2; }));
  relay_.inject(note(2, "a"));
  relay_.inject(note(2, "b"));
  ASSERT_TRUE(run_until(loop_, [&] { return relay_.subscription_count() == 0; }));
  EXPECT_EQ(events, 1);
}

}  // namespace
}  // namespace nostril::client
