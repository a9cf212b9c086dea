// One connection's protocol, without a socket: messages in, messages out.
#include "tests/relay/session_support.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace nostril::relay::test {
namespace {

using Texts = std::vector<std::string>;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

std::string event_text(const std::string& subscription, const Event& event) {
  return event_prefix(subscription) + to_json(event) + "]";
}

std::string ok(const Event& event, bool accepted, std::string_view text = "") {
  return ok_text(hex(event), accepted, text);
}

class SessionTest : public testing::Test {
 protected:
  void start(const SessionLimits& limits, AdmissionRules rules = {}) {
    bed = std::make_unique<SessionBed>(limits, std::move(rules));
  }

  void publish(const Event& event) { bed->session->on_text(publish_text(event)); }

  Texts take() { return bed->host.take(); }

  FakeHost& host() { return bed->host; }

  Session& session() { return *bed->session; }

  Author alice;
  std::unique_ptr<SessionBed> bed = std::make_unique<SessionBed>();
};

// --- Publishing.

TEST_F(SessionTest, AnEventIsOfferedAndAnsweredWhenItsAnswerComes) {
  const Event event = alice.sign(1);
  publish(event);
  ASSERT_EQ(host().offered.size(), 1U);
  EXPECT_EQ(to_json(host().offered[0].event()), to_json(event));
  EXPECT_THAT(take(), IsEmpty());
  session().on_answer(event.id, true, "");
  EXPECT_THAT(take(), ElementsAre(ok(event, true)));
  EXPECT_EQ(bed->metrics.events_received.read(), 1U);
  EXPECT_EQ(bed->metrics.events_accepted.read(), 1U);
}

TEST_F(SessionTest, WhatIsSettledIsAnsweredAtOnce) {
  const Event event = alice.sign(1);
  for (const PutResult result : {PutResult::Duplicate, PutResult::Deleted}) {
    host().next_offer = Settled{result};
    publish(event);
    EXPECT_THAT(take(), ElementsAre(ok(event, is_accepted(result), ok_message(result))));
  }
  EXPECT_FALSE(host().is_paused);
  EXPECT_EQ(bed->metrics.duplicates_early.read(), 2U);
}

TEST_F(SessionTest, IsNotReadWhileTooManyAnswersAreOwed) {
  SessionLimits limits;
  limits.publishes_under_way_max = 2;
  start(limits);
  const Event first = alice.sign(1, "1");
  publish(first);
  EXPECT_FALSE(host().is_paused);
  const Event second = alice.sign(1, "2");
  publish(second);
  EXPECT_TRUE(host().is_paused);
  session().on_answer(first.id, true, "");
  EXPECT_FALSE(host().is_paused);
  publish(alice.sign(1, "3"));
  EXPECT_TRUE(host().is_paused);
  EXPECT_EQ(bed->metrics.reading_paused.read(), 2U);
}

TEST_F(SessionTest, AFullQueueKeepsTheEventAndStopsReadingUntilARetryTakesIt) {
  const Event event = alice.sign(1);
  host().next_offer = QueueFull{};
  publish(event);
  EXPECT_TRUE(host().is_paused);
  EXPECT_EQ(host().retries_asked, 1);
  session().retry();
  EXPECT_TRUE(host().is_paused);
  EXPECT_EQ(host().retries_asked, 2);
  EXPECT_THAT(take(), IsEmpty());
  host().next_offer = Queued{true};
  session().retry();
  EXPECT_FALSE(host().is_paused);
  ASSERT_EQ(host().offered.size(), 1U);
  EXPECT_EQ(to_json(host().offered[0].event()), to_json(event));
  session().on_answer(event.id, true, "");
  EXPECT_THAT(take(), ElementsAre(ok(event, true)));
  session().retry();  // nothing left to try
  EXPECT_EQ(host().offered.size(), 1U);
  EXPECT_EQ(host().retries_asked, 2);
}

TEST_F(SessionTest, ARetryMayFindTheEventSettled) {
  const Event event = alice.sign(1);
  host().next_offer = QueueFull{};
  publish(event);
  host().next_offer = Settled{PutResult::Duplicate};
  session().retry();
  EXPECT_FALSE(host().is_paused);
  EXPECT_THAT(take(), ElementsAre(ok(event, true, ok_message(PutResult::Duplicate))));
}

TEST_F(SessionTest, RefusesByItsRulesBeforeAnythingIsQueued) {
  AdmissionRules rules;
  rules.blocked_kinds = {7};
  start({}, rules);
  const Event blocked = alice.sign(7);
  publish(blocked);
  const Event early = alice.sign(1, "early", {}, -2000);
  publish(early);
  EXPECT_THAT(take(), ElementsAre(ok(blocked, false, message_of(Refusal::BlockedKind)),
                                  ok(early, false, message_of(Refusal::InTheFuture))));
  EXPECT_THAT(host().offered, IsEmpty());
  EXPECT_EQ(bed->metrics.refusals[static_cast<std::size_t>(Refusal::BlockedKind)].read(), 1U);
  EXPECT_EQ(bed->metrics.events_not_accepted.read(), 2U);
}

TEST_F(SessionTest, LimitsTheRateOfPublishing) {
  SessionLimits limits;
  limits.events_a_second_max = 2;
  limits.events_burst_max = 3;
  start(limits);
  const auto taken = [&](int count) {
    const std::size_t before = host().offered.size();
    for (int i = 0; i < count; ++i) publish(alice.sign(1));
    for (const auto& text : take()) EXPECT_NE(text.find("rate-limited:"), std::string::npos);
    return host().offered.size() - before;
  };
  EXPECT_EQ(taken(5), 3U);
  bed->clock.advance_ms(499);
  EXPECT_EQ(taken(1), 0U);
  bed->clock.advance_ms(1);
  EXPECT_EQ(taken(2), 1U);
  bed->clock.advance_ms(60'000);
  EXPECT_EQ(taken(9), 3U);  // never more than a burst
}

TEST_F(SessionTest, ARefusedEventCostsNoRate) {
  SessionLimits limits;
  limits.events_a_second_max = 1;
  limits.events_burst_max = 1;
  start(limits);
  publish(alice.sign(22242));
  publish(alice.sign(1));
  EXPECT_EQ(host().offered.size(), 1U);
}

// --- Messages that mean nothing here.

TEST_F(SessionTest, AnswersBadMessagesInTheProtocolsForm) {
  const auto answer = [&](const std::string& text) {
    session().on_text(text);
    const Texts all = take();
    return all.size() == 1 ? all[0] : fmt::format("{} answers", all.size());
  };
  for (const char* text : {"", "{", "[]", "{}", "null", "[1]", R"(["NOPE"])", R"(["EVENT"])",
                           R"(["REQ"])", R"(["CLOSE"])", R"(["CLOSE",""])", R"(["EVENT",{}])",
                           R"(["EVENT",{"id":7}])", R"(["NEG-OPEN"])", R"(["NEG-CLOSE",1])"}) {
    EXPECT_THAT(answer(text), StartsWith(R"(["NOTICE","invalid: )")) << text;
  }
  EXPECT_THAT(answer(R"(["EVENT",{"id":"x"}])"), StartsWith(R"(["OK","x",false,"invalid: )"));
  for (const char* text : {R"(["REQ","s"])", R"(["REQ","s",{"nope":1}])",
                           R"(["REQ","s",{"ids":[1]}])", R"(["COUNT","s",{"search":1}])"}) {
    EXPECT_THAT(answer(text), StartsWith(R"(["CLOSED","s","invalid: )")) << text;
  }
  for (const char* text : {R"(["NEG-OPEN","s"])", R"(["NEG-OPEN","s",{},"zz"])",
                           R"(["NEG-OPEN","s",{"nope":1},"61"])", R"(["NEG-MSG","s",61])"}) {
    EXPECT_THAT(answer(text), StartsWith(R"(["NEG-ERR","s","invalid: )")) << text;
  }
  Event forged = alice.sign(1);
  forged.content = "other";
  EXPECT_EQ(answer(publish_text(forged)),
            ok(forged, false, fmt::format("invalid: {}", to_string(ParseError::WrongId))));
  EXPECT_EQ(bed->metrics.parse_errors[static_cast<std::size_t>(ParseError::WrongId)].read(), 1U);
  EXPECT_THAT(host().offered, IsEmpty());
  EXPECT_THAT(answer(R"(["REQ","s",{"search":"x"}])"), StartsWith(R"(["CLOSED","s","error: )"))
      << "not offered here";
  EXPECT_THAT(host().steps, IsEmpty());
  EXPECT_EQ(bed->index.size(), 0U);
}

TEST_F(SessionTest, SaysWhatItDoesNotDo) {
  session().on_binary();
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["NOTICE","invalid: )")));
  EXPECT_EQ(bed->metrics.unsupported.read(), 1U);
  session().on_text(R"(["CLOSE","unknown"])");
  EXPECT_THAT(take(), IsEmpty());
}

// --- Subscriptions and their stored part.

TEST_F(SessionTest, ARequestGetsItsStoredEventsAndTheirEnd) {
  const Event first = alice.sign(1, "first");
  const Event second = alice.sign(1, "second");
  const Event third = alice.sign(1, "third");
  bed->request("s", R"({"kinds":[1]})");
  EXPECT_EQ(bed->index.size(), 1U);
  auto query = host().take_step();
  session().on_step(SessionBed::step(query, {first, second}, false));
  EXPECT_THAT(take(), ElementsAre(event_text("s", first), event_text("s", second)));
  session().on_step(SessionBed::step(host().take_step(), {third}));
  EXPECT_THAT(take(), ElementsAre(event_text("s", third), eose_text("s")));
  EXPECT_THAT(host().steps, IsEmpty());
  EXPECT_EQ(session().subscription_count(), 1U);
  EXPECT_EQ(bed->metrics.stored_sent.read(), 3U);
  EXPECT_EQ(bed->metrics.queries_done.read(), 1U);
}

TEST_F(SessionTest, ABriefRequestIsAnsweredAtOnce) {
  const Event event = alice.sign(1);
  const Event newer = alice.sign(1, "newer");
  bed->host.next_now = [&](const std::shared_ptr<Query>& query) {
    EXPECT_EQ(bed->index.size(), 1U);  // live before it looks
    return SessionBed::step(query, {event});
  };
  bed->request("s", R"({"ids":[")" + hex(event) + R"("]})");
  EXPECT_THAT(take(), ElementsAre(event_text("s", event), eose_text("s")));
  EXPECT_THAT(host().steps, IsEmpty());
  EXPECT_EQ(bed->metrics.queries_done.read(), 1U);
}

TEST_F(SessionTest, WhatTheLoopLeavesIsDoneByTheWorkers) {
  const std::vector<Event> events = {alice.sign(1, "a"), alice.sign(1, "b"), alice.sign(1, "c")};
  bed->host.next_now = [&](const std::shared_ptr<Query>& query) -> std::optional<QueryStep> {
    const std::size_t step = host().asked_now.size();
    if (step == 3) return std::nullopt;
    EXPECT_EQ(query->values, 2U);
    return SessionBed::step(query, {events[step - 1]}, false);
  };
  bed->request("s", R"({"kinds":[1]})");
  EXPECT_THAT(take(), ElementsAre(event_text("s", events[0]), event_text("s", events[1])));
  session().on_step(SessionBed::step(host().take_step(), {events[2]}));
  EXPECT_THAT(take(), ElementsAre(event_text("s", events[2]), eose_text("s")));
  EXPECT_EQ(host().asked_now.size(), 3U);
}

TEST_F(SessionTest, TheLoopStopsWhenThePeerDoesNotKeepUp) {
  const Event event = alice.sign(1);
  bed->host.next_now = [&](const std::shared_ptr<Query>& query) {
    host().pending = bed->limits.stored_pending_bytes_max + 1;
    return SessionBed::step(query, {event}, false);
  };
  bed->request("s");
  bed->request("t");
  EXPECT_EQ(host().asked_now.size(), 1U);
  EXPECT_THAT(take(), ElementsAre(event_text("s", event)));
  EXPECT_THAT(host().steps, IsEmpty());
  host().pending = 0;
  session().on_drained();
  EXPECT_EQ(host().take_step()->subscription_number, 1U);
}

TEST_F(SessionTest, ACountIsTriedAtOnceToo) {
  bed->host.next_now = [](const std::shared_ptr<Query>& query) {
    query->count = 3;
    return SessionBed::step(query, {});
  };
  session().on_text(R"(["COUNT","n",{"kinds":[1]}])");
  EXPECT_THAT(take(), ElementsAre(R"(["COUNT","n",{"count":3}])"));
  EXPECT_THAT(host().steps, IsEmpty());
}

TEST_F(SessionTest, ACountIsAnsweredWithItsNumber) {
  session().on_text(R"(["COUNT","n",{"kinds":[1]},{"kinds":[2],"limit":7}])");
  auto query = host().take_step();
  EXPECT_TRUE(query->is_count);
  EXPECT_EQ(query->options.limit_max, UINT64_MAX);
  EXPECT_FALSE(query->filters[0].limit.has_value());
  EXPECT_EQ(bed->index.size(), 0U);
  query->count = 3;
  session().on_step(SessionBed::step(query, {}, false));
  EXPECT_THAT(take(), IsEmpty());
  query = host().take_step();
  query->count = 5;
  session().on_step(SessionBed::step(query, {}));
  EXPECT_THAT(take(), ElementsAre(R"(["COUNT","n",{"count":5}])"));
  EXPECT_EQ(bed->metrics.counts.read(), 1U);
}

TEST_F(SessionTest, ACountEndsUnansweredWithCloseOrItsSession) {
  session().on_text(R"(["COUNT","n",{}])");
  const auto closed = host().take_step();
  session().on_text(R"(["CLOSE","n"])");
  EXPECT_TRUE(closed->cancelled);
  session().on_step(SessionBed::step(closed, {}));
  session().on_text(R"(["COUNT","n",{}])");
  const auto replaced = host().take_step();
  session().on_text(R"(["COUNT","n",{}])");
  EXPECT_TRUE(replaced->cancelled);
  session().on_step(SessionBed::step(replaced, {}));
  EXPECT_THAT(take(), IsEmpty());
  const auto left = host().take_step();
  bed->session.reset();
  EXPECT_TRUE(left->cancelled);
}

TEST_F(SessionTest, ACountThatLooksAtTooMuchIsRefused) {
  SessionLimits limits;
  limits.count_visits_max = 100;
  start(limits);
  session().on_text(R"(["COUNT","n",{}])");
  auto query = host().take_step();
  query->visits = 99;
  session().on_step(SessionBed::step(query, {}, false));
  query = host().take_step();
  query->visits = 100;
  session().on_step(SessionBed::step(query, {}, false));
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","n","error: )")));
  EXPECT_THAT(host().steps, IsEmpty());
}

TEST_F(SessionTest, GivesEveryFilterALimit) {
  SessionLimits limits;
  limits.limit_default = 3;
  limits.limit_max = 5;
  start(limits);
  bed->request("s", R"({},{"limit":4},{"limit":1000},{"limit":0})");
  const auto query = host().take_step();
  ASSERT_EQ(query->filters.size(), 4U);
  EXPECT_EQ(query->filters[0].limit, 3U);
  EXPECT_EQ(query->filters[1].limit, 4U);
  EXPECT_EQ(query->filters[2].limit, 1000U);  // and limit_max bounds it:
  EXPECT_EQ(query->options.limit_max, 5U);
  EXPECT_EQ(query->filters[3].limit, 0U);
  EXPECT_EQ(query->options.now_s, bed->clock.unix_s());
}

TEST_F(SessionTest, SubscriptionIdsAreQuotedAsJson) {
  bed->request(R"(a\"\\b\u0001)");
  const Event event = alice.sign(1);
  session().on_step(SessionBed::step(host().take_step(), {event}));
  EXPECT_THAT(take(), ElementsAre(R"(["EVENT","a\"\\b\u0001",)" + to_json(event) + "]",
                                  R"(["EOSE","a\"\\b\u0001"])"));
}

TEST_F(SessionTest, RefusesOneSubscriptionTooMany) {
  SessionLimits limits;
  limits.subscriptions_max = 2;
  start(limits);
  bed->subscribe("a");
  bed->subscribe("b");
  bed->request("c");
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","c","rate-limited: )")));
  bed->subscribe("b");  // replacing needs no room
  session().on_text(R"(["CLOSE","a"])");
  bed->subscribe("c");
  EXPECT_EQ(bed->index.size(), 2U);
  EXPECT_EQ(bed->metrics.requests_refused.read(), 1U);
}

TEST_F(SessionTest, CountsTheValuesOfAllFilters) {
  SessionLimits limits;
  limits.filter_values_max = 10;  // each filter counts as one itself
  start(limits);
  const std::string author = alice.hex();
  bed->subscribe("a", fmt::format(R"({{"kinds":[1,2],"authors":["{}"]}})", author));  // 4
  bed->subscribe("b", R"({"#t":["a","b"],"#e":["c"]},{"limit":0})");                  // 5
  bed->request("c", R"({"kinds":[1]})");                                              // 2
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","c","rate-limited: )")));
  bed->subscribe("c", "{}");                    // 1: full
  bed->subscribe("a", R"({"kinds":[3,4,5]})");  // replaces as many
  session().on_text(R"(["CLOSE","b"])");
  bed->subscribe("d", R"({"kinds":[1,2,3,4]})");
  bed->request("e", "{}");
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","e","rate-limited: )")));
}

// The client believes it replaced: what it had under that id must not go on.
TEST_F(SessionTest, ARefusedRequestEndsTheEarlierOneOfItsId) {
  SessionLimits limits;
  limits.filter_values_max = 3;
  start(limits);
  bed->subscribe("s", R"({"kinds":[1]})");
  bed->request("s", R"({"kinds":[1,2,3]})");
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","s","rate-limited: )")));
  EXPECT_EQ(bed->index.size(), 0U);
  bed->deliver(alice.sign(1), 1);
  EXPECT_THAT(take(), IsEmpty());
}

// The client has been told that it is closed.
TEST_F(SessionTest, WhateverIsSaidToBeClosedIs) {
  for (const char* refused : {R"(["REQ","s",7])", R"(["REQ","s"])", R"(["COUNT","s",{"x":1}])"}) {
    session().on_text(R"(["REQ","s",{}])");
    EXPECT_EQ(session().subscription_count(), 1U);
    take();
    session().on_text(refused);
    EXPECT_THAT(take(), ElementsAre(StartsWith("[\"CLOSED\",\"s\",\"invalid: ")));
    EXPECT_EQ(session().subscription_count(), 0U) << refused;
  }
}

TEST_F(SessionTest, AReplacedSubscriptionsStepIsDroppedAndTheNewOneRuns) {
  bed->request("s", R"({"kinds":[1]})");
  const auto old = host().take_step();
  bed->request("s", R"({"kinds":[2]})");
  EXPECT_TRUE(old->cancelled);
  EXPECT_EQ(bed->index.size(), 1U);
  EXPECT_THAT(host().steps, IsEmpty());  // one step at a time is out
  session().on_step(SessionBed::step(old, {alice.sign(1)}));
  EXPECT_THAT(take(), IsEmpty());
  const Event two = alice.sign(2);
  session().on_step(SessionBed::step(host().take_step(), {two}));
  EXPECT_THAT(take(), ElementsAre(event_text("s", two), eose_text("s")));
  bed->deliver(alice.sign(1), 1);
  EXPECT_THAT(take(), IsEmpty());
}

TEST_F(SessionTest, AfterCloseNothingMoreIsSent) {
  bed->request("s");
  bed->request("other");
  const auto query = host().take_step();
  session().on_text(R"(["CLOSE","s"])");
  EXPECT_TRUE(query->cancelled);
  bed->deliver_ephemeral(alice.sign(20001));
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["EVENT","other",)")));
  session().on_step(SessionBed::step(query, {alice.sign(1)}, false));
  EXPECT_THAT(take(), IsEmpty());
  session().on_step(SessionBed::step(host().take_step(), {}));  // the other's turn
  EXPECT_THAT(take(), ElementsAre(eose_text("other")));
  EXPECT_THAT(host().steps, IsEmpty());
}

TEST_F(SessionTest, ACloseBeforeItsFirstStepTakesItOutOfTheTurn) {
  bed->request("a");
  bed->request("b");
  session().on_text(R"(["CLOSE","b"])");
  session().on_step(SessionBed::step(host().take_step(), {}));
  EXPECT_THAT(take(), ElementsAre(eose_text("a")));
  EXPECT_THAT(host().steps, IsEmpty());
}

TEST_F(SessionTest, StoredPartsTakeTurns) {
  for (const char* id : {"a", "b", "c"}) bed->request(id);
  std::string turns;
  for (int i = 0; i < 7; ++i) {
    auto query = host().take_step();
    turns += query->prefix[10];  // ["EVENT","X",
    session().on_step(SessionBed::step(std::move(query), {}, false));
  }
  EXPECT_EQ(turns, "abcabca");
}

TEST_F(SessionTest, StoredEventsWaitForASlowReader) {
  bed->request("s");
  host().pending = bed->limits.stored_pending_bytes_max + 1;
  session().on_step(SessionBed::step(host().take_step(), {alice.sign(1)}, false));
  EXPECT_THAT(host().steps, IsEmpty());
  EXPECT_FALSE(host().is_paused);  // it may still ask and close
  bed->request("next");
  EXPECT_THAT(host().steps, IsEmpty());
  host().pending = bed->limits.stored_pending_bytes_max;
  session().on_drained();
  EXPECT_EQ(host().steps.size(), 1U);
  session().on_drained();
  EXPECT_EQ(host().steps.size(), 1U);
}

TEST_F(SessionTest, AFullQueryQueueStopsReadingUntilARetry) {
  host().is_queue_full = true;
  bed->request("s");
  EXPECT_TRUE(host().is_paused);
  EXPECT_EQ(host().retries_asked, 1);
  session().retry();
  EXPECT_TRUE(host().is_paused);
  EXPECT_EQ(host().retries_asked, 2);
  host().is_queue_full = false;
  session().retry();
  EXPECT_FALSE(host().is_paused);
  session().on_step(SessionBed::step(host().take_step(), {}));
  EXPECT_THAT(take(), ElementsAre(eose_text("s")));
}

TEST_F(SessionTest, AStoreThatCannotBeReadEndsTheSubscription) {
  bed->request("s");
  QueryStep step = SessionBed::step(host().take_step(), {});
  step.failed = true;
  session().on_step(std::move(step));
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","s","error: )")));
  EXPECT_EQ(bed->index.size(), 0U);
}

// --- Where stored and live events meet.

TEST_F(SessionTest, LiveEventsComeToEachSubscriptionThatWantsThem) {
  bed->subscribe("a", R"({"kinds":[1]},{"limit":0})");
  bed->subscribe("b", R"({"kinds":[1]})");
  bed->subscribe("c", R"({"kinds":[2]})");
  const Event event = alice.sign(1);
  bed->deliver(event, 5);
  EXPECT_THAT(take(),
              testing::UnorderedElementsAre(event_text("a", event), event_text("b", event)));
  EXPECT_EQ(bed->metrics.live_sent.read(), 2U);
}

TEST_F(SessionTest, ACommitBeforeTheEndOfStoredWaitsForItAndComesOnce) {
  const Event seen_by_scan = alice.sign(1, "in the scan and in the commit");
  const Event missed_by_scan = alice.sign(1, "in the commit only");
  bed->request("s");
  bed->deliver(seen_by_scan, 1);
  bed->deliver(missed_by_scan, 1);
  EXPECT_THAT(take(), IsEmpty());
  session().on_step(SessionBed::step(host().take_step(), {seen_by_scan}, true, 1));
  EXPECT_THAT(take(), ElementsAre(event_text("s", seen_by_scan), eose_text("s"),
                                  event_text("s", missed_by_scan)));
}

TEST_F(SessionTest, ACommitThatTheScanHasSeenIsNotSentAgainAfterTheEnd) {
  const Event seen = alice.sign(1, "seen");
  const Event unseen = alice.sign(1, "unseen");
  bed->request("s");
  session().on_step(SessionBed::step(host().take_step(), {seen}, true, 4));
  EXPECT_THAT(take(), ElementsAre(event_text("s", seen), eose_text("s")));
  bed->deliver(unseen, 4);  // announced, and still on its way to this loop
  bed->deliver(seen, 5);    // on disk when the scan read, not announced yet
  EXPECT_THAT(take(), ElementsAre(event_text("s", unseen)));
  const Event later = alice.sign(1, "later");
  bed->deliver(later, 6);
  EXPECT_THAT(take(), ElementsAre(event_text("s", later)));
}

TEST_F(SessionTest, WhatWasSentIsForgottenOnceNoCommitCanRepeatIt) {
  const Event event = alice.sign(1);
  bed->request("done");
  session().on_step(SessionBed::step(host().take_step(), {event}, true, 1));
  bed->request("running");
  session().on_step(SessionBed::step(host().take_step(), {event}, false, 1));
  (void)take();
  session().forget_sent();
  bed->deliver(event, 1);  // by the promise above it never comes; if it does, it is not known
  EXPECT_THAT(take(), ElementsAre(event_text("done", event)));
  session().on_step(SessionBed::step(host().take_step(), {}, true, 1));
  EXPECT_THAT(take(), ElementsAre(eose_text("running")));  // a running one still knows
}

TEST_F(SessionTest, TooManyEventsDuringTheStoredPartEndTheSubscription) {
  SessionLimits limits;
  limits.held_events_max = 2;
  start(limits);
  bed->request("s");
  for (int i = 0; i < 3; ++i) bed->deliver(alice.sign(1, std::to_string(i)), 1);
  EXPECT_EQ(bed->index.size(), 1U);
  const Event stored = alice.sign(1, "stored");
  session().on_step(SessionBed::step(host().take_step(), {stored}, false));
  EXPECT_THAT(take(),
              ElementsAre(event_text("s", stored), StartsWith(R"(["CLOSED","s","error: )")));
  EXPECT_EQ(bed->index.size(), 0U);
  EXPECT_THAT(host().steps, IsEmpty());
}

TEST_F(SessionTest, AsManyAsMayBeHeldAreHeld) {
  SessionLimits limits;
  limits.held_events_max = 2;
  start(limits);
  const Event first = alice.sign(1, "1");
  const Event second = alice.sign(1, "2");
  bed->request("s");
  bed->deliver(first, 1);
  bed->deliver(second, 2);
  session().on_step(SessionBed::step(host().take_step(), {}, true, 2));
  EXPECT_THAT(take(), ElementsAre(eose_text("s"), event_text("s", first), event_text("s", second)));
}

TEST_F(SessionTest, EphemeralEventsDoNotWaitForTheEndOfStored) {
  const Event event = alice.sign(20001);
  bed->request("s");
  bed->deliver_ephemeral(event);
  EXPECT_THAT(take(), ElementsAre(event_text("s", event)));
  EXPECT_EQ(bed->metrics.ephemeral_sent.read(), 1U);
}

/// The disk, the writer, a query worker and the loop's mailbox, each moving when the dice say so:
/// every order that the real threads can take.
class Race {
 public:
  explicit Race(std::uint64_t seed) : random_(seed) {}

  void run(std::size_t commits) {
    const std::size_t ask_at = random_() % commits;
    bool asked = false;
    while (disk_.size() < commits || !is_quiet()) {
      if (!asked && disk_.size() >= ask_at) {
        bed_.request("s");
        asked = true;
      }
      turn(commits);
    }
    std::map<std::string, int> got;
    for (const auto& text : bed_.host.take()) ++got[text];
    EXPECT_EQ(got[eose_text("s")], 1);
    for (const auto& event : disk_) {
      EXPECT_EQ(got[event_text("s", event->event.event())], 1) << event->event->content;
    }
    EXPECT_EQ(got.size(), disk_.size() + 1);
  }

 private:
  struct Mail {
    std::uint64_t commit = 0;  // 0: a step
    QueryStep step;
  };

  [[nodiscard]] bool is_quiet() const {
    return announced_ == disk_.size() && mailed_ == announced_ && mail_.empty() &&
           bed_.host.steps.empty() && !ended_;
  }

  void turn(std::size_t commits) {
    switch (random_() % 6) {
      case 0:
        if (announced_ == disk_.size() && disk_.size() < commits) {
          disk_.push_back(committed(author_.sign(1, std::to_string(disk_.size()))));
        }
        return;
      case 1:
        if (announced_ < disk_.size()) ++announced_;
        return;
      case 2:
        if (mailed_ < announced_) mail_.push_back({++mailed_, {}});
        return;
      case 3:
        read();
        return;
      case 4:
        if (!mail_.empty()) handle();
        return;
      default:
        // The loop's second has passed and nothing is under way.
        if (mail_.empty() && mailed_ == disk_.size()) bed_.session->forget_sent();
    }
  }

  // A worker's step in two halves: the transaction, then the look at what is announced.
  void read() {
    if (ended_) {
      ended_->commits_announced = announced_;
      mail_.push_back({0, std::move(*ended_)});
      ended_.reset();
      return;
    }
    if (bed_.host.steps.empty()) return;
    // The first step sees all that is there; what is stored later may sort behind what was read.
    const bool is_first = seen_ == 0;
    for (; seen_ < disk_.size(); ++seen_) {
      if (is_first || random_() % 2 == 0) unsent_.push_back(seen_);
    }
    std::vector<Event> rows;
    for (std::uint64_t i = random_() % 3; i > 0 && !unsent_.empty(); --i) {
      rows.push_back(disk_[unsent_.back()]->event.event());
      unsent_.pop_back();
    }
    ended_ = SessionBed::step(bed_.host.take_step(), rows, unsent_.empty());
  }

  void handle() {
    Mail mail = std::move(mail_.front());
    mail_.pop_front();
    if (mail.commit == 0) {
      bed_.session->on_step(std::move(mail.step));
    } else {
      bed_.deliver(disk_[mail.commit - 1], mail.commit);
    }
  }

  std::mt19937_64 random_;
  SessionBed bed_;
  Author author_;
  std::vector<std::shared_ptr<const CommittedEvent>> disk_;  // commit n is disk_[n - 1]
  std::uint64_t announced_ = 0;
  std::uint64_t mailed_ = 0;
  std::deque<Mail> mail_;
  std::optional<QueryStep> ended_;  // read, and not mailed yet
  std::size_t seen_ = 0;            // of the disk, by the scan
  std::vector<std::size_t> unsent_;
};

TEST(SessionRace, EveryEventComesOnceInWhateverOrderTheThreadsMove) {
  const std::uint64_t seed = random_seed();
  std::cout << "NOSTRIL_SEED=" << seed << "\n";
  for (std::uint64_t round = 0; round < 150; ++round) {
    SCOPED_TRACE(seed + round);
    Race(seed + round).run(8);
    if (testing::Test::HasFailure()) return;
  }
}

// --- The end.

TEST_F(SessionTest, AStoppingSessionReadsNothingAndStillAnswers) {
  const Event event = alice.sign(1);
  publish(event);
  session().stop_reading();
  EXPECT_TRUE(host().is_paused);
  bed->request("s");
  publish(alice.sign(1, "late"));
  EXPECT_EQ(host().offered.size(), 1U);
  EXPECT_THAT(host().steps, IsEmpty());
  session().on_answer(event.id, true, "");
  EXPECT_THAT(take(), ElementsAre(ok(event, true)));
  EXPECT_TRUE(host().is_paused);
}

TEST_F(SessionTest, LeavesNothingBehind) {
  bed->subscribe("done");
  bed->request("running");
  bed->request("waiting");
  const auto query = host().take_step();
  bed->session.reset();
  EXPECT_TRUE(query->cancelled);
  EXPECT_EQ(bed->index.size(), 0U);
  EXPECT_EQ(bed->metrics.subscriptions_opened.read(), bed->metrics.subscriptions_closed.read());
}

}  // namespace
}  // namespace nostril::relay::test
