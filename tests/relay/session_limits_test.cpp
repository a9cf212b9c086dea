// A session under the limits of its client's address, of keys, and of what a query may cost.
#include "tests/relay/session_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace nostril::relay::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

using Texts = std::vector<std::string>;

class SessionLimitsTest : public testing::Test {
 protected:
  // A session of 192.0.2.1 under these rules.
  void start(const GuardRules& rules, const SessionLimits& limits = {}) {
    bed.emplace(limits);
    guard.emplace(rules, bed->clock);
    context.emplace(SessionContext{bed->host, bed->index, bed->metrics, bed->limits, bed->admission,
                                   bed->authentication, bed->clock, &*guard});
    session = open();
  }

  std::unique_ptr<Session> open() {
    std::int64_t retry_after_s = 0;
    auto account = guard->clients.open(*net::PeerAddress::parse("192.0.2.1"), retry_after_s);
    EXPECT_TRUE(account);
    return std::make_unique<Session>(net::ConnectionId{1}, *context, std::move(*account));
  }

  std::string publish(const Event& event) {
    session->on_text(publish_text(event));
    const Texts sent = bed->host.take();
    if (!sent.empty()) return sent.back();
    session->on_answer(event.id, true, "");
    (void)bed->host.take();
    return "taken";
  }

  static GuardRules rules_of(const std::function<void(GuardRules&)>& set) {
    GuardRules rules;
    set(rules);
    return rules;
  }

  Author alice;
  Author bob;
  std::optional<SessionBed> bed;
  std::optional<Guard> guard;
  std::optional<SessionContext> context;
  std::unique_ptr<Session> session;  // last: it is filed in bed's index
};

TEST_F(SessionLimitsTest, RefusesEventsThatAreTooMany) {
  start(rules_of([](GuardRules& rules) { rules.clients.events = {1, 2}; }));
  EXPECT_EQ(publish(alice.sign(1, "1")), "taken");
  EXPECT_EQ(publish(alice.sign(1, "2")), "taken");
  EXPECT_THAT(publish(alice.sign(1, "3")), HasSubstr("false,\"rate-limited: too many events"));
  bed->clock.advance_ms(1'000);
  EXPECT_EQ(publish(alice.sign(1, "4")), "taken");
  EXPECT_FALSE(bed->host.is_paused);
}

TEST_F(SessionLimitsTest, APingCostsWhatAMessageDoes) {
  start(rules_of([](GuardRules& rules) { rules.clients.messages = {10, 10}; }));
  for (int i = 0; i < 10; ++i) session->on_control(125);
  EXPECT_FALSE(bed->host.is_paused);
  session->on_control(125);
  EXPECT_TRUE(bed->host.is_paused);
  EXPECT_THAT(bed->host.rests_ms, ElementsAre(100));
  EXPECT_EQ(guard->overruns.read(Overrun::Messages), 1U);
}

TEST_F(SessionLimitsTest, RestsWhoGoesOnInSpiteOfRefusals) {
  start(rules_of([](GuardRules& rules) { rules.clients.events = {1, 1}; }));
  (void)publish(alice.sign(1, "first"));
  for (int i = 0; i < 15; ++i) (void)publish(alice.sign(1, std::to_string(i)));
  EXPECT_FALSE(bed->host.is_paused);
  (void)publish(alice.sign(1, "last"));
  EXPECT_TRUE(bed->host.is_paused);
  EXPECT_THAT(bed->host.rests_ms, ElementsAre(1'000));
  session->on_rested();
  EXPECT_FALSE(bed->host.is_paused);
}

TEST_F(SessionLimitsTest, ATakenEventEndsTheRow) {
  start(rules_of([](GuardRules& rules) { rules.clients.events = {1, 1}; }));
  for (int i = 0; i < 100; ++i) {
    if (i % 10 == 0) bed->clock.advance_ms(1'000);
    (void)publish(alice.sign(1, std::to_string(i)));
  }
  EXPECT_THAT(bed->host.rests_ms, IsEmpty());
}

TEST_F(SessionLimitsTest, IsNotReadUntilItsMessagesArePaidFor) {
  start(rules_of([](GuardRules& rules) { rules.clients.messages = {10, 2}; }));
  session->on_text(R"(["CLOSE","x"])");
  session->on_text(R"(["CLOSE","x"])");
  EXPECT_FALSE(bed->host.is_paused);
  session->on_text(R"(["REQ","s",{}])");  // it is answered all the same
  EXPECT_TRUE(bed->host.is_paused);
  EXPECT_EQ(bed->host.steps.size(), 1U);
  EXPECT_THAT(bed->host.rests_ms, ElementsAre(100));
}

TEST_F(SessionLimitsTest, ReadsWhoseMessagesAreFaultyMoreSlowly) {
  SessionLimits limits;
  limits.faults = {10, 4};
  start({}, limits);
  for (int i = 0; i < 4; ++i) session->on_text("rubbish");
  EXPECT_FALSE(bed->host.is_paused);
  session->on_binary();
  EXPECT_TRUE(bed->host.is_paused);
  EXPECT_EQ(bed->host.take().size(), 5U);  // each is answered
  EXPECT_THAT(bed->host.rests_ms, ElementsAre(100));
  bed->clock.advance_ms(100);
  session->on_rested();
  EXPECT_FALSE(bed->host.is_paused);
  bed->clock.advance_ms(60'000);
  session->on_small_fragments(64);  // 4 faults, and never more than a burst is saved
  EXPECT_FALSE(bed->host.is_paused);
  session->on_small_fragments(16);
  EXPECT_TRUE(bed->host.is_paused);
}

TEST_F(SessionLimitsTest, AForgeryIsEightFaultsAndARefusalIsNone) {
  SessionLimits limits;
  limits.faults = {40, 16};
  start({}, limits);
  const auto answered = [&](std::string_view text) {
    const Event event = alice.sign(1, std::to_string(bed->host.offered.size()));
    session->on_text(publish_text(event));
    session->on_answer(event.id, false, text);
    return !bed->host.is_paused;
  };
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(answered("blocked: by somebody"));
  EXPECT_TRUE(answered(kWrongSignature));
  EXPECT_TRUE(answered(kWrongSignature));
  EXPECT_FALSE(answered(kWrongSignature));
  EXPECT_THAT(bed->host.rests_ms, ElementsAre(200));
}

TEST_F(SessionLimitsTest, NoRestIsLongerThanASecond) {
  SessionLimits limits;
  limits.faults = {1, 1};
  start({}, limits);
  session->on_small_fragments(1'000);
  EXPECT_THAT(bed->host.rests_ms, ElementsAre(1'000));
}

TEST_F(SessionLimitsTest, RefusesRequestsThatAreTooMany) {
  start(rules_of([](GuardRules& rules) { rules.clients.requests = {1, 2}; }));
  session->on_text(R"(["REQ","a",{}])");
  session->on_text(R"(["COUNT","b",{}])");
  EXPECT_THAT(bed->host.take(), IsEmpty());
  session->on_text(R"(["COUNT","c",{}])");
  session->on_text(R"(["REQ","d",{}])");
  EXPECT_THAT(bed->host.take(), ElementsAre(StartsWith(R"(["CLOSED","c","rate-limited: )"),
                                            StartsWith(R"(["CLOSED","d","rate-limited: )")));
  EXPECT_EQ(session->subscription_count(), 1U);
  // The client believes it replaced.
  session->on_text(R"(["REQ","a",{}])");
  EXPECT_THAT(bed->host.take(), ElementsAre(StartsWith(R"(["CLOSED","a","rate-limited: )")));
  EXPECT_EQ(session->subscription_count(), 0U);
}

TEST_F(SessionLimitsTest, WaitsForItsAddressesShareOfTheWorkers) {
  start(rules_of([](GuardRules& rules) { rules.clients.query_steps_max = 1; }));
  auto second = open();
  session->on_text(R"(["REQ","a",{}])");
  second->on_text(R"(["REQ","b",{}])");
  EXPECT_EQ(bed->host.steps.size(), 1U);
  EXPECT_EQ(bed->host.retries_asked, 1);
  session->on_step(SessionBed::step(bed->host.take_step(), {}));
  second->retry();
  EXPECT_EQ(bed->host.steps.size(), 1U);
  // One that goes away gives its share back.
  second.reset();
  session->on_text(R"(["REQ","c",{}])");
  EXPECT_EQ(bed->host.steps.size(), 2U);
}

TEST_F(SessionLimitsTest, ClosesAQueryThatHasLookedAtTooMuchWithWhatItHasFound) {
  SessionLimits limits;
  limits.query_visits_max = 1'000;
  start({}, limits);
  session->on_text(R"(["REQ","s",{}])");
  auto query = bed->host.take_step();
  query->visits = 999;
  session->on_step(SessionBed::step(std::move(query), {alice.sign(1)}, false));
  EXPECT_THAT(bed->host.take(), ElementsAre(StartsWith("[\"EVENT\",\"s\",")));
  query = bed->host.take_step();
  query->visits = 1'000;
  session->on_step(SessionBed::step(std::move(query), {alice.sign(1, "2")}, false));
  EXPECT_THAT(bed->host.take(),
              ElementsAre(StartsWith("[\"EVENT\",\"s\","),
                          StartsWith(R"(["CLOSED","s","error: this looked at 1000 entries)")));
  EXPECT_EQ(session->subscription_count(), 0U);
  EXPECT_EQ(bed->metrics.queries_cut.read(), 1U);
}

TEST_F(SessionLimitsTest, ClosesAQueryThatHasTakenTooLong) {
  SessionLimits limits;
  limits.query_ms_max = 2;
  start({}, limits);
  session->on_text(R"(["REQ","s",{}])");
  auto query = bed->host.take_step();
  query->worked_us = 1'999;
  session->on_step(SessionBed::step(std::move(query), {}, false));
  EXPECT_THAT(bed->host.take(), IsEmpty());
  query = bed->host.take_step();
  query->worked_us = 2'000;
  session->on_step(SessionBed::step(std::move(query), {}, false));
  EXPECT_THAT(bed->host.take(), ElementsAre(StartsWith(R"(["CLOSED","s","error: )")));
}

// One that is done with its last look is done.
TEST_F(SessionLimitsTest, FinishesAQueryThatEndsAtItsBound) {
  SessionLimits limits;
  limits.query_visits_max = 1'000;
  start({}, limits);
  session->on_text(R"(["REQ","s",{}])");
  auto query = bed->host.take_step();
  query->visits = 5'000;
  session->on_step(SessionBed::step(std::move(query), {}, true));
  EXPECT_EQ(bed->host.take(), Texts{eose_text("s")});
}

TEST_F(SessionLimitsTest, RefusesByContentAndReports) {
  start(rules_of([&](GuardRules& rules) {
    rules.content.tag_limits = {{1, "p", 1}};
    rules.reports.moderators = {bob.sign(1).pubkey};
  }));
  EXPECT_THAT(publish(alice.sign(1, "x", {{"p", "a"}, {"p", "b"}})),
              HasSubstr("false,\"blocked: "));
  const Event spam = alice.sign(1, "spam");
  (void)guard->reports.add(bob.sign(1984, "", {{"e", hex(spam)}}));
  EXPECT_THAT(publish(spam), HasSubstr("false,\"blocked: moderators"));
  EXPECT_EQ(publish(alice.sign(1, "else")), "taken");
}

TEST_F(SessionLimitsTest, SaysWhereItsEventsComeFrom) {
  start({});
  EXPECT_EQ(session->source()->type, EventSourceType::Ip4);
  EXPECT_EQ(session->source()->info, "192.0.2.1");
  EXPECT_FALSE(session->source()->authed);
}

}  // namespace
}  // namespace nostril::relay::test
