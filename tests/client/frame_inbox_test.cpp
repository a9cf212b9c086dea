#include "client/frame_inbox.h"

#include "events/session.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

using test::run_for;
using test::run_until;
using test::TestRelay;

class Inbox : public ::testing::Test {
 protected:
  Inbox() {
    RelayPoolLimits limits;
    limits.reconnect_first_ms = 20;
    pool_ = std::make_unique<RelayPool>(loop_, clock_, limits);
    pool_->on_connection_change([this](const std::string& relay, bool connected) {
      inbox_->on_connection_change(relay, connected);
    });
    inbox_ = std::make_unique<FrameInbox>(*pool_, loop_, rng_, limits_);
    EXPECT_TRUE(pool_->add_relay(relay_.url()));
    EXPECT_TRUE(run_until(loop_, [&] { return pool_->connected_count() == 1; }));
  }

  /// What each address has heard, by a name of the test's.
  PublicKey take(const std::string& name) {
    AddressCallbacks callbacks;
    callbacks.on_frame = [this, name](const Event& event) {
      frames_[name].push_back(event.content);
    };
    callbacks.on_ready = [this, name](const std::string&) { ++ready_[name]; };
    return inbox_->take(std::move(callbacks)).public_key();
  }

  [[nodiscard]] bool is_ready(const PublicKey& address) const {
    return !inbox_->ready_relays(address).empty();
  }

  void send(const PublicKey& to, const std::string& content) {
    relay_.inject(make_frame_event(author_, to, content, clock_.unix_s(), rng_));
  }

  SystemClock clock_;
  SystemRng rng_;
  net::Loop loop_;
  const FrameInboxLimits limits_ = {.keys_max = 4, .subscriptions_max = 2};
  Keypair author_ = Keypair::generate(rng_);
  TestRelay relay_{loop_};
  std::unique_ptr<RelayPool> pool_;
  std::unique_ptr<FrameInbox> inbox_;
  std::map<std::string, std::vector<std::string>> frames_;
  std::map<std::string, int> ready_;
};

TEST_F(Inbox, TheFirstWaitsForTheRelayAndMakesNoKeysAhead) {
  const PublicKey address = take("first");
  EXPECT_FALSE(is_ready(address));
  ASSERT_TRUE(run_until(loop_, [&] { return ready_["first"] == 1; }));
  EXPECT_TRUE(is_ready(address));
  run_for(loop_, 50);
  EXPECT_EQ(relay_.subscription_count(), 1U);
  inbox_->release(address);
  run_for(loop_, 50);
  EXPECT_EQ(relay_.subscription_count(), 0U);
}

TEST_F(Inbox, LaterOnesFindTheRelayListening) {
  (void)take("one");
  (void)take("two");
  run_for(loop_, 100);
  const PublicKey third = take("three");
  EXPECT_TRUE(is_ready(third));
  EXPECT_EQ(ready_["three"], 0);  // known at once, so not told
}

TEST_F(Inbox, ManyAddressesShareFewSubscriptionsAndEachGetsItsFrames) {
  std::map<std::string, PublicKey> addresses;
  std::set<PublicKey> all;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "a" + std::to_string(i);
    addresses.emplace(name, take(name));
    if (i % 7 == 0) run_for(loop_, 20);
    EXPECT_TRUE(all.insert(addresses.at(name)).second) << "given out once";
  }
  ASSERT_TRUE(run_until(loop_, [&] {
    return std::ranges::all_of(addresses, [&](const auto& one) { return is_ready(one.second); });
  }));
  run_for(loop_, 50);
  EXPECT_LE(relay_.subscription_count(), limits_.subscriptions_max);
  for (const auto& [name, address] : addresses) send(address, "to " + name);
  run_for(loop_, 100);
  for (const auto& [name, address] : addresses) {
    EXPECT_EQ(frames_[name], std::vector<std::string>{"to " + name});
    inbox_->release(address);
  }
  EXPECT_LE(inbox_->subscription_count(), limits_.subscriptions_max);
}

TEST_F(Inbox, TakesFramesWhoseSignatureIsWrongButNotWhoseIdIs) {
  const PublicKey address = take("one");
  ASSERT_TRUE(run_until(loop_, [&] { return ready_["one"] == 1; }));
  Event badly_signed = make_frame_event(author_, address, "signed", clock_.unix_s(), rng_);
  badly_signed.sig.bytes[0] ^= 1;
  Event other_id = make_frame_event(author_, address, "id", clock_.unix_s(), rng_);
  other_id.id.bytes[0] ^= 1;
  relay_.inject(badly_signed);
  relay_.inject(other_id);
  run_for(loop_, 50);
  EXPECT_EQ(frames_["one"], std::vector<std::string>{"signed"});
}

TEST_F(Inbox, AfterAReconnectAllAreToldAgain) {
  const PublicKey one = take("one");
  const PublicKey two = take("two");
  ASSERT_TRUE(run_until(loop_, [&] { return is_ready(one) && is_ready(two); }));
  const auto before = ready_;
  relay_.drop_connections();
  ASSERT_TRUE(run_until(loop_, [&] { return pool_->connected_count() == 0; }));
  EXPECT_FALSE(is_ready(one));
  ASSERT_TRUE(run_until(loop_, [&] { return is_ready(one) && is_ready(two); }));
  EXPECT_EQ(ready_["one"], before.at("one") + 1);
  EXPECT_EQ(ready_["two"], before.at("two") + 1);
  send(two, "again");
  ASSERT_TRUE(run_until(loop_, [&] { return frames_["two"].size() == 1; }));
}

TEST_F(Inbox, WhatWasReleasedHearsNothingMore) {
  const PublicKey one = take("one");
  const PublicKey two = take("two");
  ASSERT_TRUE(run_until(loop_, [&] { return is_ready(one) && is_ready(two); }));
  inbox_->release(one);
  inbox_->release(one);
  send(one, "late");
  send(two, "fine");
  ASSERT_TRUE(run_until(loop_, [&] { return !frames_["two"].empty(); }));
  EXPECT_TRUE(frames_["one"].empty());
}

}  // namespace
}  // namespace nostril::client
