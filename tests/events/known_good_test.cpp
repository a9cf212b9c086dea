// Known-good lists: what is written is read, and nothing else is.
#include "events/known_good.h"

#include "base/hex.h"
#include "base/json.h"
#include "events/kinds.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril {
namespace {

const std::string kMrtd(96, 'a');
const std::string kRtmr(96, 'b');
const std::string kDigest(64, 'c');
const std::string kPpid(32, 'd');

KnownGoodList example() {
  KnownGoodList list;
  list.auditor = test::key_of("auditor").public_key();
  list.created_at = 1'800'000'000;
  list.expires_at = 1'807'776'000;
  list.name = "images-2027";
  list.entries = {
      {true, KnownSubject::Image, {{"mrtd", kMrtd}, {"rtmr1", kRtmr}}, "", "built from source"},
      {true, KnownSubject::Compose, {{"compose", kDigest}}, "", "read"},
      {true, KnownSubject::Weights, {{"weights", kDigest}}, "qwen3-32b", "hashed by us"},
      {false, KnownSubject::Machine, {{"ppid", kPpid}}, "", "its key was sold"}};
  return list;
}

Event event_of(const KnownGoodList& list) {
  test::SeededRng rng(1);
  return sign_event(build_known_good(list), test::key_of("auditor"), rng);
}

/// The example's event with the tag at `index` written otherwise.
Event with_tag(std::size_t index, const std::vector<std::string_view>& elements) {
  Event event = event_of(example());
  Tags tags;
  for (std::size_t i = 0; i < event.tags.size(); ++i) {
    if (i == index) {
      if (elements.empty()) continue;
      for (const std::string_view element : elements) tags.add_element(element);
    } else {
      for (std::size_t k = 0; k < event.tags[i].size(); ++k) tags.add_element(event.tags[i][k]);
    }
    tags.finish_tag();
  }
  event.tags = tags;
  return event;
}

constexpr std::size_t kImageTag = 2;
constexpr std::size_t kWeightsTag = 4;
constexpr std::size_t kMachineTag = 5;
constexpr std::size_t kExpirationTag = 6;

TEST(KnownGood, ReadsWhatItWrites) {
  const Event event = event_of(example());
  const auto list = parse_known_good(event);
  ASSERT_TRUE(list);
  KnownGoodList expected = example();
  expected.id = event.id;
  EXPECT_EQ(*list, expected);
  EXPECT_EQ(event.tags[kImageTag][2], "mrtd=" + kMrtd + ",rtmr1=" + kRtmr);
}

TEST(KnownGood, RefusesEachTagThatIsNotAsThePageSays) {
  const std::string image = "mrtd=" + kMrtd;
  const std::string upper = "mrtd=" + std::string(96, 'A');
  const std::string reason(201, 'r');
  const std::string model(129, 'm');
  for (const auto& [index, elements] :
       std::vector<std::pair<std::size_t, std::vector<std::string_view>>>{
           {0, {}},
           {0, {"d", "two words"}},
           {0, {"d", ""}},
           {1, {"v", "2"}},
           {kExpirationTag, {}},
           {kExpirationTag, {"expiration", "-1"}},
           {kExpirationTag, {"expiration", "1799999999"}},
           {kImageTag, {"allow", "image", image}},
           {kImageTag, {"allow", "image", image, ""}},
           {kImageTag, {"allow", "image", image, reason}},
           {kImageTag, {"allow", "image", image, "r", "model"}},
           {kImageTag, {"allow", "image", upper, "r"}},
           {kImageTag, {"allow", "image", "mrtd=00", "r"}},
           {kImageTag, {"allow", "image", "", "r"}},
           {kImageTag, {"allow", "image", ",", "r"}},
           {kImageTag, {"allow", "pictures", image, "r"}},
           {kImageTag, {"allow", "machine", image, "r"}},
           {kWeightsTag, {"allow", "weights", "weights=00", "r", "m"}},
           {kMachineTag, {"deny", "machine", "gpu_serial=", "r"}},
           {kMachineTag, {"deny", "machine", "serial=00", "r"}}}) {
    EXPECT_FALSE(parse_known_good(with_tag(index, elements)))
        << index << " " << (elements.empty() ? "missing" : elements.back());
  }
  const std::string weights = "weights=" + kDigest;
  EXPECT_FALSE(parse_known_good(with_tag(kWeightsTag, {"allow", "weights", weights, "r"})))
      << "of which model?";
  EXPECT_FALSE(parse_known_good(with_tag(kWeightsTag, {"allow", "weights", weights, "r", ""})));
  EXPECT_FALSE(parse_known_good(with_tag(kWeightsTag, {"allow", "weights", weights, "r", model})));
  EXPECT_TRUE(parse_known_good(with_tag(kWeightsTag, {"deny", "weights", weights, "r"})));
  EXPECT_TRUE(parse_known_good(with_tag(kWeightsTag, {"unknown"})));
  Event event = event_of(example());
  event.content = "x";
  EXPECT_FALSE(parse_known_good(event));
  event = event_of(example());
  event.kind = kinds::kOffer;
  EXPECT_FALSE(parse_known_good(event));
}

TEST(KnownGood, OneThingStandsOnceAndInOneSpelling) {
  const std::string image = "mrtd=" + kMrtd + ",rtmr1=" + kRtmr;
  const std::string swapped = "rtmr1=" + kRtmr + ",mrtd=" + kMrtd;
  const std::string twice = "mrtd=" + kMrtd + ",mrtd=" + kMrtd;
  EXPECT_FALSE(parse_known_good(with_tag(kImageTag, {"allow", "image", swapped, "r"})));
  EXPECT_FALSE(parse_known_good(with_tag(kImageTag, {"allow", "image", twice, "r"})));
  EXPECT_FALSE(parse_known_good(with_tag(kImageTag, {"allow", "image", image + ",", "r"})));
  EXPECT_EQ(parse_known_good(with_tag(kMachineTag, {"deny", "image", image, "r"})).error(),
            InferenceError::DoubleTag)
      << "allowed and denied";
  std::vector<KnownPart> parts = {{"rtmr1", kRtmr}, {"mrtd", kMrtd}};
  ASSERT_TRUE(make_canonical(parts, KnownSubject::Image));
  EXPECT_EQ(to_text(parts), image);
  parts.push_back({"ppid", kPpid});
  EXPECT_FALSE(make_canonical(parts, KnownSubject::Image));
}

TEST(KnownGood, IsBounded) {
  KnownGoodList list = example();
  list.entries.clear();
  for (std::size_t i = 0; i < KnownGoodLimits::kEntriesMax; ++i) {
    list.entries.push_back({true,
                            KnownSubject::Machine,
                            {{"gpu_serial", encode_hex(as_bytes(std::to_string(i)))}},
                            "",
                            "seen"});
  }
  Event event = event_of(list);
  EXPECT_TRUE(parse_known_good(event));
  event.tags.add({"deny", "machine", "ppid=" + kPpid, "one more"});
  EXPECT_EQ(parse_known_good(event).error(), InferenceError::TooMany);
}

TEST(KnownGood, EveryVectorIsJudgedAsItSays) {
  const auto json = Json::parse(test::read_source("spec/vectors/known_good.json"));
  ASSERT_TRUE(json);
  Verifier verifier;
  int good = 0;
  for (const Json& item : json->find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const bool wanted = *item.find_boolean("ok");
    auto parsed = parse_event(item.find("event")->dump());
    ASSERT_TRUE(parsed) << id;
    const auto verified = VerifiedEvent::verify(std::move(*parsed), verifier);
    ASSERT_TRUE(verified) << id;
    const auto list = parse_known_good(verified->event());
    EXPECT_EQ(list.has_value(), wanted) << id;
    if (!list) continue;
    ++good;
    EXPECT_EQ(static_cast<std::int64_t>(list->entries.size()), item.find_integer("entries")) << id;
    Event again = verified->event();
    again.tags = build_known_good(*list).tags;
    EXPECT_EQ(parse_known_good(again).value(), *list) << id;
  }
  EXPECT_GE(good, 3);
}

}  // namespace
}  // namespace nostril
