#include "relay/admission.h"

#include "tests/relay/store_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace nostril::relay::test {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;

std::optional<Refusal> refuse(const Event& event, AdmissionRules rules = {}) {
  return Admission(std::move(rules)).refuse(event, kNow, false);
}

std::optional<Refusal> refuse_at(std::int64_t created_at, AdmissionRules rules = {}) {
  return refuse(make_event(1, created_at, 1), std::move(rules));
}

std::optional<Refusal> refuse_tags(Tags tags) {
  return refuse(make_event(1, kNow, 1, std::move(tags)));
}

TEST(Admission, TakesAnOrdinaryEvent) {
  for (const std::uint32_t kind : {0U, 1U, 5U, 1470U, 10002U, 21472U, 31470U, 65535U}) {
    EXPECT_EQ(refuse(make_event(1, kNow, kind)), std::nullopt) << kind;
  }
}

TEST(Admission, RefusesAuthEvents) {
  EXPECT_EQ(refuse(make_event(1, kNow, kinds::kAuth)), Refusal::AuthKind);
}

TEST(Admission, RefusesTheFutureByTheSecond) {
  AdmissionRules rules;
  rules.future_s_max = 10;
  EXPECT_EQ(refuse_at(kNow + 10, rules), std::nullopt);
  EXPECT_EQ(refuse_at(kNow + 11, rules), Refusal::InTheFuture);
  EXPECT_EQ(refuse_at(INT64_MAX, rules), Refusal::InTheFuture);
}

TEST(Admission, RefusesThePastByTheSecondAndOnlyWhenAsked) {
  EXPECT_EQ(refuse_at(0), std::nullopt);
  AdmissionRules rules;
  rules.past_s_max = 10;
  EXPECT_EQ(refuse_at(kNow - 10, rules), std::nullopt);
  EXPECT_EQ(refuse_at(kNow - 11, rules), Refusal::TooOld);
  EXPECT_EQ(refuse_at(0, rules), Refusal::TooOld);
}

TEST(Admission, RefusesWhatHasExpired) {
  EXPECT_EQ(refuse_tags({{"expiration", std::to_string(kNow)}}), Refusal::Expired);
  EXPECT_EQ(refuse_tags({{"expiration", "1"}}), Refusal::Expired);
  EXPECT_EQ(refuse_tags({{"expiration", std::to_string(kNow + 1)}}), std::nullopt);
}

TEST(Admission, WantsTheWorkThatAnEventAimedAt) {
  AdmissionRules rules;
  rules.work_bits_min = 8;
  const auto mined = [&](const char* aimed, bool is_done) {
    for (int nonce = 0;; ++nonce) {
      Event event = make_event(1, kNow, 1, {{"nonce", std::to_string(nonce), aimed}});
      if ((event.id.bytes[0] == 0) == is_done) return event;
    }
  };
  EXPECT_EQ(refuse(mined("8", true), rules), std::nullopt);
  EXPECT_EQ(refuse(mined("20", true), rules), std::nullopt);
  EXPECT_EQ(refuse(mined("8", false), rules), Refusal::LacksWork);
  EXPECT_EQ(refuse(mined("7", true), rules), Refusal::LacksWork);  // luck
  EXPECT_EQ(refuse(mined("x", true), rules), Refusal::LacksWork);
  EXPECT_EQ(refuse(mined("8", false)), std::nullopt);
}

TEST(Admission, RefusesProtectedEvents) {
  EXPECT_EQ(refuse_tags({{"t", "x"}, {"-"}}), Refusal::Protected);
  EXPECT_EQ(refuse_tags({{"-", "x"}}), std::nullopt);
  EXPECT_EQ(refuse_tags({{"--"}}), std::nullopt);
  EXPECT_EQ(refuse_tags({{"t", "-"}}), std::nullopt);
}

TEST(Admission, ObeysTheOperatorsLists) {
  AdmissionRules rules;
  rules.blocked_kinds = {7, 1984};
  rules.blocked_authors = {author(3)};
  EXPECT_EQ(refuse(make_event(1, kNow, 7), rules), Refusal::BlockedKind);
  EXPECT_EQ(refuse(make_event(1, kNow, 8), rules), std::nullopt);
  EXPECT_EQ(refuse(make_event(3, kNow, 1), rules), Refusal::BlockedAuthor);
  rules.allowed_authors = {author(1), author(3)};
  EXPECT_EQ(refuse(make_event(1, kNow, 1), rules), std::nullopt);
  EXPECT_EQ(refuse(make_event(2, kNow, 1), rules), Refusal::UnknownAuthor);
  EXPECT_EQ(refuse(make_event(3, kNow, 1), rules), Refusal::BlockedAuthor);  // blocked wins
  rules.open_kinds = {10002};
  EXPECT_EQ(refuse(make_event(2, kNow, 10002), rules), std::nullopt);
  EXPECT_EQ(refuse(make_event(2, kNow, 1), rules), Refusal::UnknownAuthor);
  EXPECT_EQ(refuse(make_event(3, kNow, 10002), rules), Refusal::BlockedAuthor);
}

TEST(Admission, RefusesRepostsThatHoldAProtectedEvent) {
  const auto repost = [](std::uint32_t kind, std::string content) {
    return refuse(make_event(1, kNow, kind, {}, std::move(content)));
  };
  const std::string held = R"({"kind":1,"tags":[["t","x"],["-"]],"unknown":{"deep":[[]]}})";
  EXPECT_EQ(repost(6, held), Refusal::EmbedsProtected);
  EXPECT_EQ(repost(16, held), Refusal::EmbedsProtected);
  EXPECT_EQ(repost(6, R"({"tags":[["\u002d"]]})"), Refusal::EmbedsProtected);
  EXPECT_EQ(repost(1, held), std::nullopt);
  for (const char* text : {"", "x", "[]", "{}", R"({"tags":1})", R"({"tags":[1,[],[1],["-","x"]]})",
                           R"({"tags":[["t","-"]]})"}) {
    EXPECT_EQ(repost(6, text), std::nullopt) << text;
  }
  EXPECT_EQ(repost(6, std::string(100'000, '[')), std::nullopt);
}

// Clients decide by the prefix; metrics need names that differ.
TEST(Admission, EachRefusalHasItsWords) {
  std::set<std::string_view> names;
  std::set<std::string_view> texts;
  for (std::size_t i = 0; i < kRefusalCount; ++i) {
    const auto refusal = static_cast<Refusal>(i);
    names.insert(name_of(refusal));
    texts.insert(message_of(refusal));
    EXPECT_THAT(std::string(message_of(refusal)),
                testing::ContainsRegex(
                    "^(invalid|blocked|restricted|rate-limited|pow|auth-required): [a-z0-9 ,_]+$"));
  }
  EXPECT_EQ(names.size(), kRefusalCount);
  EXPECT_EQ(texts.size(), kRefusalCount);
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace nostril::relay::test
