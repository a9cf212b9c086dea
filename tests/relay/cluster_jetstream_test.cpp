// What nats-server 2.9 answers, and what no server should.
#include "base/json.h"
#include "relay/cluster/jetstream.h"

#include <gtest/gtest.h>

namespace nostril::relay::jetstream {
namespace {

using Ack = PublishAck::Result;

const std::string kInfo =
    R"({"type":"io.nats.jetstream.api.v1.stream_info_response","total":0,"offset":0,"limit":0,)"
    R"("config":{"name":"relays","subjects":["relays.s.>"],"retention":"limits",)"
    R"("max_consumers":-1,"max_msgs":-1,"max_bytes":1048576,"max_age":2000000000000,)"
    R"("max_msg_size":8388608,"discard":"old","storage":"file","num_replicas":3,)"
    R"("duplicate_window":120000000000,"deny_delete":true,"deny_purge":true},)"
    R"("created":"2026-11-22T15:02:57.485768024Z","state":{"messages":7,"bytes":44,)"
    R"("first_seq":5,"first_ts":"2026-11-22T15:02:57Z","last_seq":11,)"
    R"("last_ts":"2026-11-22T15:02:57Z","consumer_count":0},"cluster":{"leader":"relay-1"}})";

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return at == std::string::npos ? text : text.replace(at, what.size(), with);
}

TEST(JetstreamStream, IsReadAsTheServerTellsIt) {
  const auto report = parse_stream_reply(kInfo, "relays");
  ASSERT_TRUE(report.has_value()) << report.error().text;
  EXPECT_EQ(report->info.identity, (StreamIdentity{"relays", 1'795'359'777'485'768'024}));
  EXPECT_EQ(report->info.first_sequence, 5U);
  EXPECT_EQ(report->info.last_sequence, 11U);
  EXPECT_TRUE(report->info.is_whole);
  EXPECT_EQ(report->info.bytes, 44U);
  EXPECT_EQ(report->info.replicas, 3);
  const StreamConfig config = {"relays",          {"relays.s.>"},  3,        1'048'576,
                               2'000'000'000'000, 120'000'000'000, 8'388'608};
  EXPECT_EQ(report->config, config);
}

TEST(JetstreamStream, OneThatHasDroppedAllOrLacksSomethingIsSeenToDoSo) {
  const auto gap =
      parse_stream_reply(replaced(kInfo, R"("messages":7)", R"("messages":6)"), "relays");
  ASSERT_TRUE(gap.has_value());
  EXPECT_FALSE(gap->info.is_whole);
  const auto none =
      parse_stream_reply(replaced(kInfo, R"("messages":7)", R"("messages":0)"), "relays");
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->info.first_sequence, 12U);
  EXPECT_TRUE(none->info.is_whole);
  const auto fresh =
      parse_stream_reply(replaced(replaced(replaced(kInfo, R"("messages":7)", R"("messages":0)"),
                                           R"("first_seq":5)", R"("first_seq":0)"),
                                  R"("last_seq":11)", R"("last_seq":0)"),
                         "relays");
  ASSERT_TRUE(fresh.has_value());
  EXPECT_EQ(fresh->info.first_sequence, 0U);
  EXPECT_EQ(fresh->info.last_sequence, 0U);
}

TEST(JetstreamStream, WhatMakesNoSenseIsAnError) {
  const auto is_refused = [](const std::string& text) {
    const auto report = parse_stream_reply(text, "relays");
    return !report && report.error().number == error::kNone && !report.error().text.empty();
  };
  for (const std::string text :
       {"", "nonsense", "[]", "7", "null", "{}", "{\"config\":{}}", "\xff"}) {
    EXPECT_TRUE(is_refused(text)) << text;
  }
  EXPECT_TRUE(is_refused(kInfo + " "
                                 "x"));
  EXPECT_TRUE(is_refused(kInfo.substr(0, kInfo.size() - 1)));
  const std::pair<std::string_view, std::string_view> changes[] = {
      {R"("name":"relays")", R"("name":"others")"},
      {R"("name":"relays",)", ""},
      {R"("subjects":["relays.s.>"])", R"("subjects":"relays.s.>")"},
      {R"("subjects":["relays.s.>"])", R"("subjects":[7])"},
      {R"("num_replicas":3)", R"("num_replicas":0)"},
      {R"("num_replicas":3)", R"("num_replicas":1000)"},
      {R"("num_replicas":3,)", ""},
      {R"("max_bytes":1048576)", R"("max_bytes":-2)"},
      {R"("max_bytes":1048576)", R"("max_bytes":"1048576")"},
      {R"("max_age":2000000000000)", R"("max_age":-1)"},
      {R"("duplicate_window":120000000000)", R"("duplicate_window":1.5)"},
      {R"("created":"2026-11-22T15:02:57.485768024Z",)", ""},
      {R"("created":"2026-11-22T15:02:57.485768024Z")", R"("created":"0001-01-01T00:00:00Z")"},
      {R"("created":"2026-11-22T15:02:57.485768024Z")", R"("created":17)"},
      {R"("state":{)", R"("estate":{)"},
      {R"("messages":7)", R"("messages":-7)"},
      {R"("first_seq":5)", R"("first_seq":12)"},
      {R"("first_seq":5)", R"("first_seq":0)"},
      {R"("last_seq":11)", R"("last_seq":18446744073709551615)"},
      {R"("last_seq":11)", R"("last_seq":1e3)"},
      {R"("last_seq":11)", R"("last_seq":11,"last_seq":12)"},
  };
  for (const auto& [what, with] : changes)
    EXPECT_TRUE(is_refused(replaced(kInfo, what, with))) << with;
  std::string many = "[\"a\"";
  for (int i = 0; i < 64; ++i) many += ",\"a\"";
  EXPECT_TRUE(is_refused(replaced(kInfo, R"(["relays.s.>"])", many + "]")));
  EXPECT_TRUE(is_refused(std::string(kReplyBytesMax, ' ') + kInfo));
  EXPECT_TRUE(is_refused(std::string(1'000, '[') + std::string(1'000, ']')));
}

TEST(JetstreamStream, AnErrorIsOfJetStreamAndInItsWords) {
  const auto report = parse_stream_reply(
      R"({"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,)"
      R"("err_code":10059,"description":"stream not found"},"total":0,"offset":0,"limit":0})",
      "relays");
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error(), (ApiError{error::kStreamNotFound, "stream not found"}));
  EXPECT_FALSE(is_lasting(report.error()));
  // Words that would move an operator's cursor, fill his screen, or are none.
  for (const std::string said : {"\\u001b[2J\\n", "\\u009b"}) {
    const auto odd = parse_stream_reply(R"({"error":{"description":")" + said + "\"}}", "relays");
    ASSERT_FALSE(odd.has_value());
    EXPECT_EQ(odd.error().text.find_first_of("\x1b\n\xc2"), std::string::npos);
  }
  const auto lengthy = parse_stream_reply(
      R"({"error":{"err_code":1,"description":")" + std::string(5'000, 'x') + "\"}}", "relays");
  EXPECT_EQ(lengthy.error().text.size(), kErrorBytesMax);
  for (const std::string odd : {"{}", "7", "null", R"({"err_code":"1","description":7})"}) {
    const auto mute = parse_stream_reply(R"({"error":)" + odd + "}", "relays");
    ASSERT_FALSE(mute.has_value()) << odd;
    EXPECT_EQ(mute.error().number, error::kNone);
    EXPECT_FALSE(mute.error().text.empty());
  }
}

TEST(JetstreamErrors, SayWhatToDoWhereThatIsKnown) {
  const ApiError full = {10'047, "insufficient storage resources available"};
  EXPECT_EQ(
      in_words(full).find("insufficient storage resources available (JetStream's error 10047)"),
      0U);
  EXPECT_NE(in_words(full).find("stream_bytes_max"), std::string::npos);
  EXPECT_TRUE(is_lasting(full));
  const ApiError away = {10'008, "JetStream system temporarily unavailable"};
  EXPECT_EQ(in_words(away), "JetStream system temporarily unavailable (JetStream's error 10008)");
  EXPECT_FALSE(is_lasting(away));
  EXPECT_EQ(in_words({error::kNone, "odd"}), "odd");
}

TEST(JetstreamRequests, AreWhatTheServerUnderstands) {
  EXPECT_EQ(info_subject("relays"), "$JS.API.STREAM.INFO.relays");
  EXPECT_EQ(create_subject("relays"), "$JS.API.STREAM.CREATE.relays");
  EXPECT_EQ(update_subject("relays"), "$JS.API.STREAM.UPDATE.relays");
  EXPECT_EQ(consumer_subject("relays"), "$JS.API.CONSUMER.CREATE.relays");
  const StreamConfig config = {"relays", {"relays.s.>"}, 3, 1'000, 2'000, 3'000, 4'000};
  // What is asked for is what an answer with it would say.
  const auto report = parse_stream_reply(
      R"({"config":)" + to_json(config) +
          R"(,"created":"2026-01-01T00:00:00Z","state":{"messages":0,"bytes":0,"first_seq":0,"last_seq":0}})",
      "relays");
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->config, config);
  EXPECT_TRUE(has_bounds_of(report->config, config));
  StreamConfig other = config;
  other.bytes_max = 1;
  EXPECT_FALSE(has_bounds_of(other, config));
  const auto consumer = Json::parse(to_json(ConsumerConfig{"relays", "relays.inbox.x", 7, 8, 9}));
  ASSERT_TRUE(consumer.has_value());
  EXPECT_EQ(consumer->find_string("stream_name"), "relays");
  EXPECT_EQ(consumer->find("config")->find_integer("opt_start_seq"), 7);
  EXPECT_EQ(consumer->find("config")->find_string("ack_policy"), "none");
}

TEST(JetstreamConsumer, IsOfTheStreamThatWasAsked) {
  EXPECT_TRUE(parse_consumer_reply(R"({"stream_name":"relays","name":"a"})", "relays").has_value());
  EXPECT_FALSE(
      parse_consumer_reply(R"({"stream_name":"others","name":"a"})", "relays").has_value());
  EXPECT_FALSE(parse_consumer_reply("{}", "relays").has_value());
  EXPECT_FALSE(parse_consumer_reply("", "relays").has_value());
  const auto refused = parse_consumer_reply(
      R"({"error":{"code":400,"err_code":10026,"description":"maximum consumers limit reached"}})",
      "relays");
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(is_lasting(refused.error()));
}

TEST(JetstreamAck, IsAnAckOnlyOfItsStreamWithASequence) {
  EXPECT_EQ(parse_publish_ack(R"({"stream":"relays", "seq":1})", "relays"),
            (PublishAck{Ack::Stored, 1, ""}));
  EXPECT_EQ(parse_publish_ack(R"({"stream":"relays","seq":9,"duplicate":true})", "relays"),
            (PublishAck{Ack::Duplicate, 9, ""}));
  EXPECT_EQ(
      parse_publish_ack(R"({"stream":"relays","seq":9,"duplicate":false,"domain":"d"})", "relays"),
      (PublishAck{Ack::Stored, 9, ""}));
  for (const std::string text :
       {"", "+OK", "{}", R"({"stream":"relays"})", R"({"stream":"relays","seq":0})",
        R"({"stream":"relays","seq":-1})", R"({"stream":"relays","seq":"1"})",
        R"({"stream":"relays","seq":1.0})", R"({"stream":"relays","seq":18446744073709551615})",
        R"({"stream":"others","seq":1})", R"({"seq":1})", R"({"stream":7,"seq":1})",
        R"({"stream":"relays","seq":1,"duplicate":"yes"})",
        R"({"stream":"relays","seq":1,"seq":2})", R"({"stream":"relays","seq":1}{})"}) {
    const PublishAck ack = parse_publish_ack(text, "relays");
    EXPECT_EQ(ack.result, Ack::NotNow) << text;
    EXPECT_EQ(ack.sequence, 0U) << text;
    EXPECT_FALSE(ack.error.empty()) << text;
  }
}

TEST(JetstreamAck, WhatIsRefusedForGoodIsToldFromWhatIsNot) {
  const auto large = parse_publish_ack(
      R"({"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"relays","seq":0})",
      "relays");
  EXPECT_EQ(large.result, Ack::Refused);
  EXPECT_NE(large.error.find("exceeds"), std::string::npos);
  const auto full = parse_publish_ack(
      R"({"error":{"code":503,"err_code":10077,"description":"no space"},"stream":"relays","seq":4})",
      "relays");
  EXPECT_EQ(full.result, Ack::NotNow);
  EXPECT_EQ(full.sequence, 0U);
}

TEST(JetstreamPlace, IsReadOfBothFormsAndNoOther) {
  EXPECT_EQ(place_of("$JS.ACK.relays.abc.1.42.7.1700000000000000000.0"), (Place{42, 7}));
  EXPECT_EQ(place_of("$JS.ACK.hub.ACCOUNT.relays.abc.1.42.7.1700000000000000000.0"),
            (Place{42, 7}));
  EXPECT_EQ(place_of("$JS.ACK.hub.ACCOUNT.relays.abc.1.42.7.1700000000000000000.0.more.still"),
            (Place{42, 7}));
  for (const std::string_view text :
       {"", "$JS.ACK.", "$JS.ACK", "$JS.FC.relays.abc.x", "$JS.ACK.relays.abc.1.42.7.0",
        "$JS.ACK.relays.abc.1.42.7.0.0.0", "$JS.ACK.relays.abc.1.-42.7.0.0",
        "$JS.ACK.relays.abc.1.0.7.0.0", "$JS.ACK.relays.abc.1.42.0.0.0",
        "$JS.ACK.relays.abc.1..7.0.0", "$JS.ACK.relays.abc.1.42x.7.0.0",
        "$JS.ACK.relays.abc.1.99999999999999999999.7.0.0", "x$JS.ACK.relays.abc.1.42.7.0.0"}) {
    EXPECT_EQ(place_of(text), std::nullopt) << text;
  }
  EXPECT_EQ(place_of("$JS.ACK." + std::string(100'000, '.')), std::nullopt);
}

TEST(JetstreamFlowControl, NothingElseThatAServerNamesIsPublishedTo) {
  EXPECT_TRUE(is_flow_control("$JS.FC.relays.abc.xyz"));
  for (const std::string& text :
       {std::string(), std::string("relays.s.event"), std::string("$JS.API.STREAM.DELETE.relays"),
        std::string("$JS.FC.*"), std::string("$JS.FC.relays.>"), std::string("$JS.FC.a b"),
        std::string("$JS.FC.a\r\nPUB x 0"), "$JS.FC." + std::string(300, 'a')}) {
    EXPECT_FALSE(is_flow_control(text)) << text;
  }
}

TEST(JetstreamTime, IsReadToTheNanosecond) {
  EXPECT_EQ(parse_time_ns("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_time_ns("2026-11-22T15:02:57.485768024Z"), 1'795'359'777'485'768'024);
  EXPECT_EQ(parse_time_ns("2026-11-22T15:02:57.48760335Z"), 1'795'359'777'487'603'350);
  EXPECT_EQ(parse_time_ns("2026-11-22T16:32:57.5+01:30"), 1'795'359'777'500'000'000);
  EXPECT_EQ(parse_time_ns("2024-02-29T23:59:59-00:01"), 1'709'251'259'000'000'000);
  EXPECT_TRUE(parse_time_ns("2261-12-31T23:59:59.999999999Z").has_value());
  for (const std::string_view text : {"",
                                      "2026-11-22",
                                      "2026-11-22T15:02:57",
                                      "2026-11-22 15:02:57Z",
                                      "2026-11-22T15:02:57.Z",
                                      "2026-11-22T15:02:57.1234567890Z",
                                      "2026-11-22T15:02:57.x5Z",
                                      "2026-11-22T15:02:57z",
                                      "2026-13-22T15:02:57Z",
                                      "2025-02-29T15:02:57Z",
                                      "2026-11-22T24:02:57Z",
                                      "2026-11-22T15:60:57Z",
                                      "2026-11-22T15:02:60Z",
                                      "-026-11-22T15:02:57Z",
                                      "+026-11-22T15:02:57Z",
                                      "1969-12-31T23:59:59Z",
                                      "1970-01-01T00:00:00+00:01",
                                      "2262-01-01T00:00:00Z",
                                      "2026-11-22T15:02:57+1:00",
                                      "2026-11-22T15:02:57+24:00",
                                      "2026-11-22T15:02:57Z ",
                                      "2026-11-22T15:02:57ZZ"}) {
    EXPECT_EQ(parse_time_ns(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace nostril::relay::jetstream
