#include "events/frames.h"

#include "base/json.h"
#include "events/features.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace nostril {
namespace {

using test::digest_of;
using test::example_offer;
using test::example_record;
using test::key_of;

Event example_record_event() {
  SystemRng rng;
  return sign_event(
      build_record(example_record(example_offer(key_of("node"), key_of("N").public_key()))),
      key_of("node"), rng);
}

Event example_receipt_event() {
  SystemRng rng;
  return sign_event(build_receipt({.id = {},
                                   .signer = {},
                                   .created_at = 1'800'000'000,
                                   .channel = {digest_of("channel").bytes},
                                   .amount = Amount::of(5),
                                   .running_hash = digest_of("H")}),
                    key_of("payer"), rng);
}

OpenFrame example_open() {
  OpenFrame open;
  open.request.bytes.fill(3);
  open.offer.bytes.fill(4);
  open.attestation.bytes.fill(5);
  open.method = "POST";
  open.path = "/v1/chat/completions";
  open.headers = {{"content-type", "application/json"}, {"accept", "text/event-stream"}};
  open.body_bytes = 9;
  open.body = {'{', '}', '\n'};
  open.durable = true;
  open.features = {"zstd"};
  open.payment = PaymentTerms{.signer = key_of("payer").public_key(), .salt = {9}};
  open.credit = 262'144;
  return open;
}

OpenFrame open_of_a_chain() {
  OpenFrame open = example_open();
  open.payment->payer = EthereumAddress{{8}};
  return open;
}

std::vector<Frame> examples() {
  AcceptFrame accept;
  accept.request.bytes.fill(3);
  accept.session_key = key_of("s").public_key();
  accept.queue = 2;
  accept.credit = 65'536;
  accept.resync = ChannelResync{.record = example_record_event(),
                                .receipt = example_receipt_event(),
                                .previous_hash = digest_of("H")};
  return {example_open(),
          open_of_a_chain(),
          accept,
          DataFrame{.head = ResponseHead{200, "text/event-stream"}, .bytes = {'h', 'i'}},
          DataFrame{.head = {}, .bytes = {0xFF, 0x00}},
          DataFrame{.head = {}, .bytes = {0x28, 0xB5, 0x2F}, .zstd = true},
          ProgressFrame{.stage = ProgressStage::Generating, .position = 7},
          AckFrame{.upto = 5, .missing = {{7, 9}, {11, 11}}, .credit = 99, .ask = true},
          CreditFrame{.credit = kFrameIntegerMax},
          CheckpointFrame{.bytes = 3, .response_hash = digest_of("x"), .usage = {5, 2, 9}},
          CancelFrame{.reason = "enough"},
          ResumeFrame{.upto = 1, .missing = {}, .credit = 0},
          NeedReceiptFrame{.record = example_record_event()},
          ReceiptFrame{.receipt = example_receipt_event()},
          make_error(ErrorCode::Busy, "later", 1500),
          EndFrame{.record = example_record_event()}};
}

TEST(Frames, EachReadsWhatItWrites) {
  std::uint64_t n = 0;
  std::set<std::size_t> kinds;
  for (const Frame& frame : examples()) {
    kinds.insert(frame.index());
    const auto parsed = parse_frame(print_frame(++n, frame));
    ASSERT_TRUE(parsed) << frame_type(frame) << ": " << to_string(parsed.error());
    EXPECT_EQ(parsed->n, n);
    EXPECT_TRUE(parsed->frame == frame) << frame_type(frame);
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<Frame>);
}

/// The frame's text with one member left out.
std::string without(const std::string& text, std::string_view key) {
  const Json json = *Json::parse(text);
  JsonWriter w;
  w.begin_object();
  for (const auto& [name, value] : json.members()) {
    if (name != key) w.key(name).value(value);
  }
  w.end_object();
  return std::move(w).take();
}

std::string with(const std::string& text, std::string_view key, std::string_view raw) {
  const Json json = *Json::parse(text);
  JsonWriter w;
  w.begin_object();
  for (const auto& [name, value] : json.members()) {
    w.key(name);
    if (name == key) {
      w.raw(raw);
    } else {
      w.value(value);
    }
  }
  w.end_object();
  return std::move(w).take();
}

TEST(Frames, RefuseEachMemberMissingOrOfAnotherType) {
  for (const Frame& frame : examples()) {
    const std::string text = print_frame(1, frame);
    const Json json = *Json::parse(text);
    for (const auto& [name, value] : json.members()) {
      const std::string what = std::string(frame_type(frame)) + "." + name;
      if (name != "ask" && name != "payer") {  // what may be missing
        EXPECT_FALSE(parse_frame(without(text, name))) << what;
      }
      EXPECT_FALSE(parse_frame(with(text, name, "null"))) << what;
      EXPECT_FALSE(parse_frame(with(text, name, "{}"))) << what;
      if (value.integer()) {
        EXPECT_FALSE(parse_frame(with(text, name, "-1"))) << what;
        EXPECT_FALSE(parse_frame(with(text, name, "1.0"))) << what;
        EXPECT_FALSE(parse_frame(with(text, name, "\"1\""))) << what;
        EXPECT_FALSE(parse_frame(with(text, name, "9007199254740992"))) << what;
      }
    }
  }
}

TEST(Frames, RefuseDoubledMembersAndUnknownTypesAndIgnoreUnknownMembers) {
  EXPECT_FALSE(parse_frame(R"({"t":"cancel","n":1,"n":1,"reason":""})"));
  EXPECT_FALSE(parse_frame(R"({"t":"later","n":1})"));
  EXPECT_FALSE(parse_frame(R"({"t":"cancel","n":1,"reason":""} )"
                           "x"));
  EXPECT_FALSE(parse_frame("[]"));
  EXPECT_FALSE(parse_frame(""));
  EXPECT_TRUE(parse_frame(R"({"t":"cancel","n":1,"reason":"","later":[1]})"));
}

TEST(Frames, RefuseAnEventOfAnotherKindOrWithAWrongId) {
  const std::string end = print_frame(1, EndFrame{.record = example_record_event()});
  EXPECT_FALSE(parse_frame(with(end, "record", to_json(example_receipt_event()))));
  Event record = example_record_event();
  record.created_at += 1;
  EXPECT_FALSE(parse_frame(with(end, "record", to_json(record))));
}

TEST(Frames, RefuseDataInTwoFormsAndPartsThatAreEmptyOrTooLong) {
  const std::string part =
      print_frame(1, DataFrame{{}, Bytes(kFrameZstdBytesMax, std::uint8_t{7}), true});
  EXPECT_TRUE(parse_frame(part));
  EXPECT_FALSE(parse_frame(print_frame(1, DataFrame{{}, Bytes(kFrameZstdBytesMax + 1), true})));
  EXPECT_FALSE(parse_frame(R"({"t":"data","n":1,"zstd":""})"));
  EXPECT_FALSE(parse_frame(R"({"t":"data","n":1,"zstd":"AA==","text":"a"})"));
  EXPECT_FALSE(parse_frame(R"({"t":"data","n":1,"zstd":"AA==","base64":"AA=="})"));
}

TEST(Frames, PaddedToAUnitReadAsTheyWere) {
  for (const Frame& frame : examples()) {
    const std::string text = print_padded_frame(9, frame, kQuietTextBytes);
    EXPECT_EQ(text.size() % kQuietTextBytes, 0U) << frame_type(frame);
    const auto parsed = parse_frame(text);
    ASSERT_TRUE(parsed) << frame_type(frame);
    EXPECT_TRUE(parsed->frame == frame) << frame_type(frame);
  }
}

TEST(Frames, PaddingPassesEachLengthAndGivesUpBeyondTheBound) {
  for (std::size_t length = 4040; length < 4110; ++length) {
    const Frame data = DataFrame{{}, Bytes(length, 'x')};
    const std::size_t plain = print_frame(1, data).size();
    EXPECT_EQ(print_padded_frame(1, data, 4096).size(), plain + 9 <= 4096 ? 4096U : 8192U);
  }
  const Frame largest = DataFrame{{}, Bytes(kFrameDataBytesMax, 0xFF)};
  EXPECT_EQ(print_padded_frame(1, largest, 4096), print_frame(1, largest));
}

TEST(Frames, AQuietDataFrameFitsWhateverItHolds) {
  const ResponseHead head = make_head(599, std::string(128, 'x'));
  for (const bool zstd : {true, false}) {
    const DataFrame data{head, Bytes(kQuietDataBytesMax + (zstd ? 64U : 0U), 0xFF), zstd};
    EXPECT_EQ(print_padded_frame(kFrameIntegerMax, data, kQuietTextBytes).size(), kQuietTextBytes);
  }
}

TEST(Frames, RefuseRangesThatOverlapOrRunBackwards) {
  const std::string ack =
      print_frame(1, AckFrame{.upto = 1, .missing = {}, .credit = 0, .ask = false});
  EXPECT_TRUE(parse_frame(with(ack, "missing", "[[3,4],[6,6]]")));
  EXPECT_FALSE(parse_frame(with(ack, "missing", "[[4,3]]")));
  EXPECT_FALSE(parse_frame(with(ack, "missing", "[[3,5],[5,6]]")));
  EXPECT_FALSE(parse_frame(with(ack, "missing", "[[3]]")));
  std::string many = "[";
  for (std::size_t at = 0; at <= kAckRangesMax; ++at) {
    many += (at == 0 ? "[" : ",[") + std::to_string(3 * at + 2) + "," + std::to_string(3 * at + 2) +
            "]";
  }
  EXPECT_FALSE(parse_frame(with(ack, "missing", many + "]")));
}

TEST(Frames, CarryAnyBytesExactly) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  test::SeededRng rng(seed);
  for (int round = 0; round < 2000; ++round) {
    DataFrame data;
    data.bytes.resize(rng.below(kFrameDataBytesMax + 1));
    const std::uint64_t range = round % 3 == 0 ? 256 : round % 3 == 1 ? 128 : 40;
    for (std::uint8_t& byte : data.bytes) byte = static_cast<std::uint8_t>(rng.below(range));
    const auto parsed = parse_frame(print_frame(1, data));
    ASSERT_TRUE(parsed);
    ASSERT_TRUE(std::get<DataFrame>(parsed->frame).bytes == data.bytes);
  }
}

TEST(Frames, TheLargestOfEachStayWithinTheBound) {
  // print_frame() checks the bound itself.
  const ResponseHead head = make_head(599, std::string(128, '"'));
  for (const std::uint8_t byte :
       {std::uint8_t{'a'}, std::uint8_t{'"'}, std::uint8_t{1}, std::uint8_t{0xFF}}) {
    EXPECT_TRUE(parse_frame(
        print_frame(kFrameIntegerMax, DataFrame{head, Bytes(kFrameDataBytesMax, byte)})));
    OpenFrame open = example_open();
    open.headers.clear();
    for (int index = 0; index < 4; ++index) open.headers.push_back({"x", std::string(255, '"')});
    open.path = "/" + std::string(255, '"');
    open.body = Bytes(kOpenBodyBytesMax, byte);
    open.body_bytes = kFrameIntegerMax;
    ASSERT_TRUE(is_sendable(open));
    EXPECT_TRUE(parse_frame(print_frame(0, open)));
  }
  EXPECT_FALSE(parse_frame(R"({"t":"cancel","n":1,"reason":")" + std::string(600, 'a') + "\"}"));
  EXPECT_FALSE(parse_frame(R"({"t":"cancel","n":1,"reason":"","x":")" +
                           std::string(kFrameTextBytesMax, 'a') + "\"}"));
}

TEST(IsSendable, RefusesWhatNoFrameCarries) {
  auto refused = [](auto change) {
    OpenFrame open = example_open();
    change(open);
    return !is_sendable(open);
  };
  EXPECT_FALSE(refused([](OpenFrame&) {}));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.method = "post"; }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.path = "v1"; }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.path = "/\n"; }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.headers[0].name = "Content-Type"; }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.headers[0].value = "a\r\nb: c"; }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.headers[0].value.assign(257, 'a'); }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.headers.resize(17, {"a", "b"}); }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.headers.resize(7, {"a", std::string(250, 'b')}); }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.body.resize(kOpenBodyBytesMax + 1); }));
  EXPECT_TRUE(refused([](OpenFrame& o) { o.body_bytes = 2; }));
}

TEST(MakeHead, MakesUnfitHeadsFit) {
  EXPECT_EQ(make_head(99, "a/b"), (ResponseHead{502, "a/b"}));
  EXPECT_EQ(make_head(600, "a/b"), (ResponseHead{502, "a/b"}));
  EXPECT_EQ(make_head(404, "a\nb"), (ResponseHead{404, ""}));
  EXPECT_EQ(make_head(200, std::string(129, 'a')), (ResponseHead{200, ""}));
}

TEST(ErrorCodes, HaveOneNameEach) {
  for (std::size_t index = 0; index < kErrorCodeCount; ++index) {
    const auto code = static_cast<ErrorCode>(index);
    EXPECT_EQ(parse_error_code(to_string(code)), code);
    EXPECT_GE(error_code_info(code).http_status, 400);
  }
  EXPECT_FALSE(parse_error_code("teapot"));
}

}  // namespace
}  // namespace nostril
