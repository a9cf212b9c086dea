// A changed configuration while the node runs.
#include "node/reload.h"

#include "tests/support/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

NodeConfig::EngineSettings engine_at(const std::string& url) {
  NodeConfig::EngineSettings out;
  out.url = url;
  return out;
}

TEST(ReloadPlan, SplitsWhatChangesFromWhatNeedsARestart) {
  NodeConfig running;
  NodeConfig wanted;
  wanted.relays = {"wss://a.example", "wss://b.example"};
  wanted.log_level = "debug";
  wanted.data = "/elsewhere";
  wanted.offer.output_price = 7;
  wanted.offer.asset = "sat";
  wanted.limits.sessions_max = 5;
  wanted.engine.model = "another";
  wanted.engine.input_price = 3;
  const auto plan = plan_reload(running, wanted);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_THAT(plan->changed, ElementsAre("relays", "log_level", "engine.input_price",
                                         "offer.output_price", "limits.sessions_max"));
  EXPECT_THAT(plan->needs_restart, ElementsAre("data", "engine.model", "offer.asset"));
  EXPECT_EQ(plan->next.relays, wanted.relays);
  EXPECT_EQ(plan->next.limits.sessions_max, 5);
  EXPECT_EQ(plan->next.data, running.data);
  EXPECT_EQ(plan->next.engine.model, "");
  EXPECT_EQ(plan->next.offer.asset, "msat");
}

TEST(ReloadPlan, TheSameFileChangesNothing) {
  NodeConfig running;
  running.engines = {engine_at("http://127.0.0.1:1")};
  const auto plan = plan_reload(running, running);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->changed, IsEmpty());
  EXPECT_THAT(plan->needs_restart, IsEmpty());
}

TEST(ReloadPlan, WhatCantBeOfferedChangesNothing) {
  NodeConfig wanted;
  wanted.relays = {"http://no.relay"};
  EXPECT_THAT(plan_reload({}, wanted).error(), HasSubstr("relays"));
  wanted = {};
  wanted.offer.credit = 0;
  EXPECT_THAT(plan_reload({}, wanted).error(), HasSubstr("offer.credit"));
}

TEST(ReloadPlan, EnginesComeGoAndChange) {
  NodeConfig running;
  running.engines = {engine_at("http://127.0.0.1:1"), engine_at("http://127.0.0.1:2")};
  NodeConfig wanted = running;
  wanted.engines = {engine_at("http://127.0.0.1:2"), engine_at("http://127.0.0.1:3")};
  wanted.engines[0].output_price = 9;
  wanted.engines[0].weights_folder = "/weights";
  wanted.engines[0].models = {"m"};
  const auto plan = plan_reload(running, wanted);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_THAT(plan->changed, ElementsAre("[[engine]] http://127.0.0.1:1 is gone",
                                         "[[engine]] http://127.0.0.1:2 output_price",
                                         "[[engine]] http://127.0.0.1:3 is new"));
  EXPECT_THAT(plan->needs_restart, ElementsAre("[[engine]] http://127.0.0.1:2 models",
                                               "[[engine]] http://127.0.0.1:2 weights_folder"));
  EXPECT_EQ(plan->next.engines.size(), 2U);
  EXPECT_EQ(plan->next.engines[0].weights_folder, "");
  wanted.engines.clear();
  wanted.engine.url = "http://127.0.0.1:1";
  const auto other_form = plan_reload(running, wanted);
  ASSERT_TRUE(other_form);
  EXPECT_EQ(other_form->next.engines.size(), 2U) << "one form can't become the other";
}

/// Lends the agent what `change` makes of the configuration, as SIGHUP does.
void reload(World& world, const std::function<void(NodeConfig&)>& change) {
  NodeConfig wanted = world.config;
  change(wanted);
  auto plan = plan_reload(world.config, wanted);
  ASSERT_TRUE(plan) << plan.error();
  ASSERT_THAT(plan->needs_restart, IsEmpty());
  const NodeConfig before = std::exchange(world.config, std::move(plan->next));
  world.agent->reconfigured(before);
}

TEST(Reload, NewPricesAreOfferedAndAnOldOfferKeepsItsOwn) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  const auto old_offer = world.offer();
  reload(world, [](NodeConfig& config) { config.offer.output_price = 123'000; });
  const auto price_of = [](const client::VerifiedOffer& offer) {
    const auto found = std::ranges::find(offer.offer().prices, PriceUnit::Output, &PriceTag::unit);
    return found->amount;
  };
  ASSERT_TRUE(world.until([&] { return price_of(*world.offer()) == Amount::of(123'000); }));
  EXPECT_NE(price_of(*old_offer), Amount::of(123'000));
  const auto answer = world.query(test::chat("hello", true), std::nullopt, old_offer);
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->record);
  EXPECT_EQ(answer->result->record->offer, old_offer->offer().id);
}

TEST(Reload, ANewRelayIsJoinedAndNamed) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  test::TestRelay second(world.loop);
  reload(world, [&](NodeConfig& config) { config.relays.push_back(second.url()); });
  ASSERT_TRUE(world.until([&] { return second.seen_count(31470) > 0; }));
  ASSERT_TRUE(world.until([&] { return world.offer()->offer().relays.size() == 2; }));
}

TEST(Reload, ARelayThatIsTakenOutIsLeftAndOwesNoAnswerAnyMore) {
  World world;
  test::TestRelay second(world.loop);
  client::RelayPool pool(world.loop, world.clock);
  ASSERT_TRUE(pool.add_relay(world.relay.url()));
  ASSERT_TRUE(pool.add_relay(second.url()));
  ASSERT_TRUE(world.until([&] { return pool.connected_count() == 2; }));
  second.set_faults({.no_ok = true});
  world.relay.set_faults({.refuse_events = "blocked: no"});
  bool reported = false;
  EventDraft draft;
  draft.kind = 1;
  draft.created_at = world.clock.unix_s();
  pool.publish(sign_event(std::move(draft), Keypair::generate(world.rng), world.rng),
               [&](const client::PublishResult& result) {
                 reported = true;
                 EXPECT_EQ(result.refusals.size(), 2U);
               });
  ASSERT_TRUE(world.until([&] { return second.seen_count(1) == 1; }));
  EXPECT_FALSE(reported);
  pool.remove_relay(second.url());
  EXPECT_TRUE(reported) << "who is gone has not taken it";
  EXPECT_EQ(pool.relay_count(), 1U);
  ASSERT_TRUE(world.until([&] { return second.connection_count() == 0; }));
  pool.remove_relay(second.url());  // nothing to do
}

TEST(Reload, AnEngineThatIsTakenOutIsWithdrawnAndAnotherServed) {
  World world([](NodeConfig& config) {
    config.engines = {engine_at(config.engine.url)};
    config.engine.url.clear();
  });
  ASSERT_TRUE(world.wait_for_offer());
  test::ScriptedEngine second(world.loop);
  second.set_models(R"({"object":"list","data":[{"id":"other-model","object":"model"}]})");
  reload(world, [&](NodeConfig& config) { config.engines = {engine_at(second.url())}; });
  ASSERT_TRUE(
      world.until([&] { return world.offer() && world.offer()->offer().model == "other-model"; }));
  reload(world, [&](NodeConfig& config) { config.engines = {engine_at(world.engine.url())}; });
  ASSERT_TRUE(
      world.until([&] { return world.offer() && world.offer()->offer().model == "test-model"; }));
}

}  // namespace
}  // namespace nostril::node
