#include "events/event.h"

#include "base/hex.h"
#include "base/json.h"
#include "events/messages.h"
#include "schnorr/hash.h"
#include "tests/events/make_event.h"

#include <gtest/gtest.h>

namespace nostril {
namespace {

using test::signed_event;

TEST(CanonicalForm, IsTheArrayOfNip01WithoutSpaces) {
  Event event;
  event.created_at = 1700000000;
  event.kind = 1;
  event.tags = Tags{{"e", "x"}, {"t"}};
  event.content = "a\"b\\c\n\x01\x7f/é";
  std::string out;
  append_canonical(out, event);
  EXPECT_EQ(out, "[0,\"" + std::string(64, '0') +
                     "\",1700000000,1,[[\"e\",\"x\"],[\"t\"]],"
                     "\"a\\\"b\\\\c\\n\\u0001\x7f/é\"]");
  EXPECT_EQ(compute_id(event).bytes, sha256(out).bytes);
}

TEST(CanonicalForm, HasTheIdThatItsBytesHash) {
  Event event;
  event.pubkey = *from_hex<PublicKey>(std::string(64, 'a'));
  const std::string text = "[0,\"" + std::string(64, 'a') + "\",0,0,[],\"\"]";
  EXPECT_EQ(encode_hex(compute_id(event)), encode_hex(sha256(text)));
}

TEST(SignEvent, MakesWhatParsesAndVerifies) {
  const Event event =
      signed_event({.created_at = 5, .kind = 1, .tags = {{"t", "x"}}, .content = "hi"});
  auto parsed = parse_event(to_json(event));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->event().id, event.id);
  EXPECT_EQ(parsed->event().pubkey, event.pubkey);
  EXPECT_EQ(parsed->event().created_at, 5);
  EXPECT_EQ(parsed->event().kind, 1U);
  EXPECT_EQ(parsed->event().tags, event.tags);
  EXPECT_EQ(parsed->event().content, "hi");
  EXPECT_EQ(parsed->event().sig, event.sig);
  Verifier verifier;
  const auto verified = VerifiedEvent::verify(std::move(*parsed), verifier);
  ASSERT_TRUE(verified);
  EXPECT_EQ((*verified)->content, "hi");
}

TEST(SignEvent, DiesOnAKindThatNoReaderTakes) {
  EXPECT_DEATH(signed_event({.kind = 65536}), "CHECK failed");
  EXPECT_DEATH(signed_event({.created_at = -1}), "CHECK failed");
}

TEST(CheckId, RefusesEveryMemberChanged) {
  const Event good =
      signed_event({.created_at = 5, .kind = 1, .tags = {{"t", "x"}}, .content = "hi"});
  EXPECT_TRUE(check_id(good));
  const auto refused = [&](auto&& change) {
    Event event = good;
    change(event);
    const auto checked = check_id(std::move(event));
    return !checked && checked.error() == ParseError::WrongId;
  };
  EXPECT_TRUE(refused([](Event& e) { e.id.bytes[31] ^= 1; }));
  EXPECT_TRUE(refused([](Event& e) { e.pubkey.bytes[0] ^= 1; }));
  EXPECT_TRUE(refused([](Event& e) { e.created_at++; }));
  EXPECT_TRUE(refused([](Event& e) { e.kind++; }));
  EXPECT_TRUE(refused([](Event& e) { e.tags.add({"t"}); }));
  EXPECT_TRUE(refused([](Event& e) { e.content += ' '; }));
}

TEST(CheckId, TellsTagBoundariesApart) {
  Event one = signed_event({.tags = {{"a", "b"}, {"c"}}});
  one.tags = Tags{{"a", "b", "c"}};
  EXPECT_FALSE(check_id(one));
}

TEST(VerifiedEvent, RefusesAnotherSignature) {
  Event event = signed_event({.content = "a"});
  event.sig = signed_event({.content = "b"}).sig;
  auto unverified = check_id(event);
  ASSERT_TRUE(unverified);
  Verifier verifier;
  EXPECT_FALSE(VerifiedEvent::verify(std::move(*unverified), verifier));
}

TEST(VerifiedEvent, VerifyAllKeepsTheOrder) {
  std::vector<UnverifiedEvent> events;
  for (int i = 0; i < 9; ++i) {
    Event event = signed_event({.created_at = i, .content = std::to_string(i)});
    if (i % 3 == 1) event.sig.bytes[63] ^= 1;
    events.push_back(*check_id(std::move(event)));
  }
  Verifier verifier;
  const auto results = VerifiedEvent::verify_all(events, verifier);
  ASSERT_EQ(results.size(), 9U);
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].has_value(), i % 3 != 1) << i;
    if (results[i]) {
      EXPECT_EQ((*results[i])->content, std::to_string(i));
    }
  }
  EXPECT_TRUE(VerifiedEvent::verify_all({}, verifier).empty());
}

TEST(VerifiedEvent, IsSharedByCopies) {
  Verifier verifier;
  const auto event = VerifiedEvent::verify(*check_id(signed_event({})), verifier);
  ASSERT_TRUE(event);
  const std::vector<VerifiedEvent> copies(2, *event);
  EXPECT_EQ(&copies[0].event(), &event->event());
  EXPECT_EQ(&copies[1].event(), &event->event());
}

TEST(Tags, FindsTheFirstOfAName) {
  const Tags tags{{"a"}, {"b", "1", "x"}, {"b", "2"}, {"", "empty"}};
  EXPECT_EQ(tags.size(), 4U);
  EXPECT_EQ(tags.find("b"), "1");
  EXPECT_EQ(tags.find("a"), std::nullopt);
  EXPECT_EQ(tags.find("c"), std::nullopt);
  EXPECT_EQ(tags.find(""), "empty");
  EXPECT_EQ(tags[1].size(), 3U);
  EXPECT_EQ(tags[1][2], "x");
}

TEST(Tags, DiesOnAnEmptyTag) {
  Tags tags;
  EXPECT_DEATH(tags.finish_tag(), "CHECK failed");
}

}  // namespace
}  // namespace nostril
