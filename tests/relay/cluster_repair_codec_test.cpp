#include "relay/cluster/repair_codec.h"

#include <gtest/gtest.h>

namespace nostril::relay {
namespace {

constexpr std::uint64_t kWindow = AppliedIds::kWindow;

template <typename T>
T filled(std::uint8_t byte) {
  T out;
  out.bytes.fill(byte);
  return out;
}

DigestReport report() {
  return {"relay-1",
          {"main", 1'700'000'000'123'456'789},
          {{{1, kWindow}, filled<RangeDigest>(1)},
           {{kWindow + 1, kWindow + 5}, filled<RangeDigest>(2)}}};
}

template <typename Parse>
void refuses_each_cut(const Bytes& whole, Parse parse, std::size_t from = 0) {
  for (std::size_t size = from; size < whole.size(); ++size) {
    EXPECT_FALSE(parse(ByteSpan(whole).first(size))) << size;
  }
}

TEST(RepairCodec, WhatIsWrittenReadsTheSame) {
  EXPECT_EQ(parse_digest_report(encode(report())), report());
  for (const RepairRequest& request :
       {RepairRequest(IdsRequest{{5, 9}}),
        RepairRequest(AgainRequest{{filled<EventId>(1), filled<EventId>(2)}})}) {
    EXPECT_EQ(parse_repair_request(encode(request)), request);
  }
  for (const RepairAnswer& answer :
       {RepairAnswer(IdsAnswer{}), RepairAnswer(IdsAnswer{{filled<EventId>(3)}}),
        RepairAnswer(AgainAnswer{256, 1})}) {
    EXPECT_EQ(parse_repair_answer(encode(answer)), answer);
  }
}

TEST(RepairCodec, WhatEndsTooSoonIsRefused) {
  DigestReport one = report();
  one.ranges.pop_back();
  const std::size_t empty = encode(DigestReport{one.relay, one.stream, {}}).size();
  refuses_each_cut(encode(one), parse_digest_report, empty + 1);
  refuses_each_cut(encode(DigestReport{one.relay, one.stream, {}}), parse_digest_report);
  refuses_each_cut(encode(RepairRequest(IdsRequest{{5, 9}})), parse_repair_request);
  refuses_each_cut(encode(RepairRequest(AgainRequest{{filled<EventId>(1)}})), parse_repair_request,
                   2);
  refuses_each_cut(encode(RepairAnswer(IdsAnswer{{filled<EventId>(1)}})), parse_repair_answer, 2);
  refuses_each_cut(encode(RepairAnswer(AgainAnswer{1, 2})), parse_repair_answer);
}

TEST(RepairCodec, WhatIsTooLongIsRefused) {
  DigestReport many = report();
  many.ranges.assign(kDigestsMax, {{1, 2}, filled<RangeDigest>(1)});
  EXPECT_TRUE(parse_digest_report(encode(many)));
  many.ranges.push_back(many.ranges.back());
  EXPECT_FALSE(parse_digest_report(encode(many)));
  AgainRequest again{std::vector<EventId>(kAskedAgainMax, filled<EventId>(1))};
  EXPECT_TRUE(parse_repair_request(encode(RepairRequest(again))));
  again.ids.emplace_back();
  EXPECT_FALSE(parse_repair_request(encode(RepairRequest(again))));
  IdsAnswer ids{std::vector<EventId>(kWindow)};
  EXPECT_TRUE(parse_repair_answer(encode(RepairAnswer(ids))));
  ids.ids.emplace_back();
  EXPECT_FALSE(parse_repair_answer(encode(RepairAnswer(ids))));
  for (const RepairAnswer& answer : {RepairAnswer(AgainAnswer{1, 2})}) {
    Bytes longer = encode(answer);
    longer.push_back(0);
    EXPECT_FALSE(parse_repair_answer(longer));
  }
}

TEST(RepairCodec, RangesThatNoWindowHasAreRefused) {
  for (const StreamRange range :
       {StreamRange{0, 5}, StreamRange{5, 4}, StreamRange{1, kWindow + 1},
        StreamRange{kWindow, kWindow + 1}, StreamRange{UINT64_MAX, UINT64_MAX}}) {
    EXPECT_FALSE(parse_repair_request(encode(RepairRequest(IdsRequest{range})))) << range.first;
    DigestReport with = report();
    with.ranges[1].range = range;
    EXPECT_FALSE(parse_digest_report(encode(with))) << range.first;
  }
}

TEST(RepairCodec, NamesAndKindsThatAreNoneAreRefused) {
  for (const char* name : {"", "a.b", "a relay", "x\n"}) {
    DigestReport named = report();
    named.relay = name;
    EXPECT_FALSE(parse_digest_report(encode(named))) << name;
    named = report();
    named.stream.name = name;
    EXPECT_FALSE(parse_digest_report(encode(named))) << name;
  }
  for (const Bytes& other : {Bytes(), Bytes{0}, Bytes{'x'}}) {
    EXPECT_FALSE(parse_digest_report(other));
    EXPECT_FALSE(parse_repair_request(other));
    EXPECT_FALSE(parse_repair_answer(other));
  }
}

}  // namespace
}  // namespace nostril::relay
