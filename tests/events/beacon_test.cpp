// Beacons: what is written is read, and nothing that could be foreseen is one.
#include "events/beacon.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "schnorr/hash.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <vector>

namespace nostril {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;
const Digest kRandom = sha256(as_bytes("drawn"));

Event event_of(const Digest& random) {
  test::SeededRng rng(1);
  return sign_event(build_beacon(kNow, random), test::key_of("witness"), rng);
}

/// The event without the tag of that name, or with another one in its place.
Event with_tag(std::string_view name, const std::vector<std::string_view>& elements) {
  Event event = event_of(kRandom);
  Tags tags;
  for (const Tags::View tag : event.tags) {
    if (tag.name() == name) {
      if (elements.empty()) continue;
      for (const std::string_view element : elements) tags.add_element(element);
    } else {
      for (std::size_t k = 0; k < tag.size(); ++k) tags.add_element(tag[k]);
    }
    tags.finish_tag();
  }
  event.tags = tags;
  return event;
}

TEST(Beacon, ReadsWhatItWrites) {
  const Event event = event_of(kRandom);
  const auto read = parse_beacon(event);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id, event.id);
  EXPECT_EQ(read->witness, test::key_of("witness").public_key());
  EXPECT_EQ(read->created_at, kNow);
  EXPECT_EQ(read->random, kRandom);
}

TEST(Beacon, AnotherRandomMakesAnotherId) {
  EXPECT_NE(event_of(kRandom).id, event_of(sha256(as_bytes("drawn again"))).id);
}

TEST(Beacon, RefusesEachTagMissingOrWrong) {
  for (const std::string_view name : {"v", "random", "expiration"}) {
    EXPECT_FALSE(parse_beacon(with_tag(name, {}))) << name;
    EXPECT_FALSE(parse_beacon(with_tag(name, {name}))) << name;
    EXPECT_FALSE(parse_beacon(with_tag(name, {name, "x"}))) << name;
  }
  const std::string random = encode_hex(kRandom);
  EXPECT_TRUE(parse_beacon(with_tag("random", {"random", random})));
  EXPECT_FALSE(parse_beacon(with_tag("random", {"random", random, ""})));
  EXPECT_FALSE(parse_beacon(with_tag("random", {"random", random + "00"})));
  EXPECT_FALSE(parse_beacon(with_tag("expiration", {"expiration", "1799999999"})));
  EXPECT_TRUE(parse_beacon(with_tag("expiration", {"expiration", "1800000000"})));
}

TEST(Beacon, RefusesContentAndAnotherKind) {
  Event content = event_of(kRandom);
  content.content = "hello";
  EXPECT_FALSE(parse_beacon(content));
  Event note = event_of(kRandom);
  note.kind = 1;
  EXPECT_FALSE(parse_beacon(note));
  Event doubled = event_of(kRandom);
  doubled.tags.add({"random", encode_hex(kRandom)});
  EXPECT_FALSE(parse_beacon(doubled));
}

}  // namespace
}  // namespace nostril
