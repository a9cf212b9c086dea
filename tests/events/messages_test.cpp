#include "events/messages.h"

#include "base/hex.h"
#include "tests/events/make_event.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace nostril {
namespace {

using test::replaced;
using test::signed_event;

const MessageLimits kLimits;

MessageError client_error(std::string_view text, const MessageLimits& limits = kLimits) {
  const auto parsed = parse_client_message(text, limits);
  EXPECT_FALSE(parsed) << text;
  return parsed ? MessageError{} : parsed.error();
}

ParseError relay_error(std::string_view text, const MessageLimits& limits = kLimits) {
  const auto parsed = parse_relay_message(text, limits);
  EXPECT_FALSE(parsed) << text;
  return parsed ? ParseError{} : parsed.error();
}

/// The message of that type, or a failed test.
template <typename Message>
Message client_says(std::string_view text, const MessageLimits& limits = kLimits) {
  auto parsed = parse_client_message(text, limits);
  if (!parsed || !std::holds_alternative<Message>(*parsed)) {
    ADD_FAILURE() << text;
    std::abort();
  }
  return std::get<Message>(std::move(*parsed));
}

template <typename Message>
Message relay_says(std::string_view text, const MessageLimits& limits = kLimits) {
  auto parsed = parse_relay_message(text, limits);
  if (!parsed || !std::holds_alternative<Message>(*parsed)) {
    ADD_FAILURE() << text;
    std::abort();
  }
  return std::get<Message>(std::move(*parsed));
}

Event sample() {
  return signed_event({.created_at = 7, .kind = 1, .tags = {{"t", "x"}}, .content = "a\"\nb"});
}

TEST(ClientMessage, RoundTrips) {
  const Event event = sample();
  EXPECT_EQ(to_json(client_says<client_message::Publish>(publish_text(event)).event.event()),
            to_json(event));
  EXPECT_EQ(to_json(client_says<client_message::Auth>(auth_text(event)).event.event()),
            to_json(event));

  const std::vector<Filter> filters = {*parse_filter(R"({"kinds":[1,2],"#t":["x"]})"),
                                       *parse_filter("{}")};
  const auto request = client_says<client_message::Request>(request_text("s\"1", filters));
  EXPECT_EQ(request.subscription, "s\"1");
  EXPECT_EQ(request_text("s\"1", request.filters), request_text("s\"1", filters));
  const auto count = client_says<client_message::Count>(count_request_text("c", filters));
  EXPECT_EQ(count.subscription, "c");
  EXPECT_EQ(count.filters.size(), 2U);
  EXPECT_EQ(client_says<client_message::Close>(close_text("é")).subscription, "é");
}

TEST(RelayMessage, RoundTrips) {
  const Event event = sample();
  const auto found =
      relay_says<relay_message::EventFound>(event_prefix("s") + to_json(event) + "]");
  EXPECT_EQ(found.subscription, "s");
  EXPECT_EQ(to_json(found.event.event()), to_json(event));

  const auto ok =
      relay_says<relay_message::Ok>(ok_text(encode_hex(event.id), false, "blocked: \"x\""));
  EXPECT_EQ(ok.id, event.id);
  EXPECT_FALSE(ok.accepted);
  EXPECT_EQ(ok.message, "blocked: \"x\"");
  EXPECT_TRUE(relay_says<relay_message::Ok>(ok_text(encode_hex(event.id), true, "")).accepted);
  EXPECT_EQ(relay_says<relay_message::EndOfStored>(eose_text("s")).subscription, "s");
  for (const StoredRest rest : {StoredRest::None, StoredRest::More}) {
    EXPECT_EQ(relay_says<relay_message::EndOfStored>(eose_text("s", rest)).subscription, "s");
  }
  const auto closed = relay_says<relay_message::Closed>(closed_text("s", "error: x"));
  EXPECT_EQ(closed.subscription, "s");
  EXPECT_EQ(closed.message, "error: x");
  EXPECT_EQ(relay_says<relay_message::Notice>(notice_text("hi\n")).message, "hi\n");
  EXPECT_EQ(relay_says<relay_message::AuthChallenge>(auth_challenge_text("c")).challenge, "c");
  const auto counted = relay_says<relay_message::Counted>(counted_text("s", UINT64_MAX));
  EXPECT_EQ(counted.subscription, "s");
  EXPECT_EQ(counted.count, UINT64_MAX);
  const std::vector<std::uint8_t> registers(256, 7);
  EXPECT_EQ(relay_says<relay_message::Counted>(counted_text("s", 3, registers)).count, 3U);
}

TEST(ClientMessage, TakesWhitespaceAnywhere) {
  EXPECT_EQ(client_says<client_message::Close>(" [ \"CLOSE\" ,\n\"s\" ]\t").subscription, "s");
  EXPECT_EQ(client_says<client_message::Close>("[\"\\u0043LOSE\",\"s\"]").subscription, "s");
}

TEST(ClientMessage, RefusesWhatIsNotACommand) {
  EXPECT_EQ(client_error("").error, ParseError::NotJson);
  EXPECT_EQ(client_error("nonsense").error, ParseError::NotAnArray);
  EXPECT_EQ(client_error("{}").error, ParseError::NotAnArray);
  EXPECT_EQ(client_error("[]").error, ParseError::MissingField);
  EXPECT_EQ(client_error("[7]").error, ParseError::BadType);
  EXPECT_EQ(client_error("[null]").error, ParseError::BadType);
  EXPECT_EQ(client_error("[[\"REQ\"]]").error, ParseError::BadType);
  for (const std::string_view command : {"NEG-ERR", "NOTICE", "event", "", "OK", "REQ "}) {
    EXPECT_EQ(client_error("[\"" + std::string(command) + "\",\"s\"]").error,
              ParseError::UnknownCommand)
        << command;
  }
}

TEST(ClientMessage, RefusesAnythingBehindItself) {
  for (const std::string_view tail : {"x", "]", "[]", "{}", "1", "\"\"", ","}) {
    EXPECT_FALSE(parse_client_message("[\"CLOSE\",\"s\"]" + std::string(tail), kLimits)) << tail;
    EXPECT_FALSE(parse_client_message("[\"REQ\",\"s\",{}]" + std::string(tail), kLimits));
    EXPECT_FALSE(parse_client_message(publish_text(sample()) + std::string(tail), kLimits));
  }
}

TEST(ClientMessage, RefusesElementsThatTheCommandDoesNotHave) {
  EXPECT_EQ(client_error("[\"CLOSE\",\"s\",\"t\"]").error, ParseError::TooMany);
  std::string text = publish_text(sample());
  text.back() = ',';
  EXPECT_EQ(client_error(text + "{}]").error, ParseError::TooMany);
  EXPECT_EQ(client_error("[\"REQ\",\"s\",{},\"x\"]").error, ParseError::NotAnObject);
  EXPECT_FALSE(parse_client_message("[\"REQ\",\"s\",{},]", kLimits));
}

TEST(ClientMessage, NeedsASubscriptionIdOf1To64Characters) {
  for (const std::string_view command : {"REQ", "COUNT", "CLOSE"}) {
    const std::string start = "[\"" + std::string(command) + "\"";
    const std::string rest = command == "CLOSE" ? "]" : ",{}]";
    const auto message = [&](const std::string& id) {
      return fmt::format("{},{}{}", start, id, rest);
    };
    EXPECT_EQ(client_error(start + "]").error, ParseError::MissingField);
    for (const std::string& id :
         {std::string("7"), std::string("null"), std::string("{}"), std::string("\"\\u0000\""),
          "\"" + std::string(kRefusedIdBytesMax + 1, 'x') + "\""}) {
      const MessageError error = client_error(message(id));
      EXPECT_EQ(error.error, ParseError::BadSubscriptionId) << id;
      EXPECT_FALSE(error.subscription);
    }
    // A CLOSED can name these.
    for (const std::string& id : {std::string(), std::string(65, 'x')}) {
      const MessageError error = client_error(message("\"" + id + "\""));
      EXPECT_EQ(error.error, ParseError::BadSubscriptionId) << id;
      EXPECT_EQ(error.subscription,
                command == "CLOSE" ? std::nullopt : std::optional<std::string>(id));
    }
    EXPECT_TRUE(parse_client_message(message("\"" + std::string(64, 'x') + "\""), kLimits));
    std::string long_one;
    for (int i = 0; i < 64; ++i) long_one += "é";
    EXPECT_TRUE(parse_client_message(message("\"" + long_one + "\""), kLimits));
    EXPECT_FALSE(parse_client_message(message("\"" + long_one + "x\""), kLimits));
  }
}

TEST(ClientMessage, ReadsAReconciliation) {
  const auto open =
      client_says<client_message::NegentropyOpen>(R"(["NEG-OPEN","n",{"kinds":[1]},"6100000200"])");
  EXPECT_EQ(open.subscription, "n");
  EXPECT_EQ(open.filter.kinds, std::vector<std::uint32_t>{1});
  EXPECT_EQ(encode_hex(ByteSpan(open.message)), "6100000200");
  EXPECT_EQ(negentropy_open_text("n", open.filter, open.message),
            R"(["NEG-OPEN","n",{"kinds":[1]},"6100000200"])");
  const auto next = client_says<client_message::NegentropyMessage>(R"(["NEG-MSG","n","61"])");
  EXPECT_EQ(negentropy_message_text(next.subscription, next.message), R"(["NEG-MSG","n","61"])");
  EXPECT_EQ(client_says<client_message::NegentropyClose>(R"(["NEG-CLOSE","n"])").subscription, "n");
  EXPECT_EQ(negentropy_close_text("n"), R"(["NEG-CLOSE","n"])");
}

TEST(ClientMessage, ReadsAReconciliationWhoseFilterStandsInAnArray) {
  const auto open =
      client_says<client_message::NegentropyOpen>(R"(["NEG-OPEN","n",[{"since":7}],"61"])");
  EXPECT_EQ(open.filter.since, 7);
}

TEST(ClientMessage, NamesTheReconciliationThatItRefuses) {
  const auto error_of = [](std::string_view rest) {
    const MessageError error = client_error("[\"NEG-OPEN\",\"n\"" + std::string(rest) + "]");
    EXPECT_EQ(error.negentropy, "n");
    EXPECT_FALSE(error.subscription);
    return error.error;
  };
  EXPECT_EQ(error_of(""), ParseError::MissingField);
  EXPECT_EQ(error_of(",{}"), ParseError::MissingField);
  EXPECT_EQ(error_of(",7,\"61\""), ParseError::NotAnObject);
  EXPECT_EQ(error_of(",[],\"61\""), ParseError::MissingField);
  EXPECT_EQ(error_of(",[7],\"61\""), ParseError::NotAnObject);
  EXPECT_EQ(error_of(",[{},{}],\"61\""), ParseError::TooMany);
  EXPECT_EQ(error_of(",{\"nope\":1},\"61\""), ParseError::UnknownField);
  EXPECT_EQ(error_of(",{},61"), ParseError::BadType);
  EXPECT_EQ(error_of(",{},\"6\""), ParseError::BadHex);
  EXPECT_EQ(error_of(",{},\"6G\""), ParseError::BadHex);
  EXPECT_EQ(error_of(",{},\"61\",\"61\""), ParseError::TooMany);
  const MessageError error = client_error(R"(["NEG-MSG","n","x"])");
  EXPECT_EQ(error.negentropy, "n");
  EXPECT_EQ(error.error, ParseError::BadHex);
  EXPECT_EQ(client_error(R"(["NEG-OPEN","",{},"61"])").negentropy, "");
  EXPECT_EQ(client_error("[\"NEG-MSG\",\"" + std::string(65, 'n') + "\",\"61\"]").negentropy,
            std::string(65, 'n'));
  EXPECT_FALSE(client_error(R"(["NEG-OPEN",5,{},"61"])").negentropy);
}

TEST(ClientMessage, NamesTheSubscriptionOfABadFilter) {
  const auto error_of = [](std::string_view filters) {
    const MessageError error = client_error("[\"REQ\",\"s1\"" + std::string(filters) + "]");
    EXPECT_EQ(error.subscription, "s1");
    EXPECT_FALSE(error.event_id);
    return error.error;
  };
  EXPECT_EQ(error_of(""), ParseError::MissingField);
  EXPECT_EQ(error_of(",7"), ParseError::NotAnObject);
  EXPECT_EQ(error_of(",[]"), ParseError::NotAnObject);
  EXPECT_EQ(error_of(",{\"x\":1}"), ParseError::UnknownField);
  EXPECT_EQ(error_of(",{},{\"since\":-1}"), ParseError::BadNumber);
}

TEST(ClientMessage, BoundsTheFilters) {
  MessageLimits limits;
  limits.filters_max = 2;
  EXPECT_TRUE(parse_client_message("[\"REQ\",\"s\",{},{}]", limits));
  EXPECT_EQ(client_error("[\"REQ\",\"s\",{},{},{}]", limits).error, ParseError::TooMany);
  limits.filter.values_max = 1;
  EXPECT_EQ(client_error("[\"REQ\",\"s\",{\"kinds\":[1,2]}]", limits).error, ParseError::TooMany);
}

TEST(ClientMessage, BoundsTheEventByItsOwnText) {
  const Event event = sample();
  MessageLimits limits;
  limits.event.json_bytes_max = to_json(event).size();
  EXPECT_TRUE(parse_client_message(publish_text(event), limits));
  EXPECT_TRUE(relay_says<relay_message::EventFound>(
                  event_prefix("some subscription") + to_json(event) + "]", limits)
                  .event.event()
                  .id == event.id);
  limits.event.json_bytes_max -= 1;
  const MessageError error = client_error(publish_text(event), limits);
  EXPECT_EQ(error.error, ParseError::TooLarge);
  EXPECT_EQ(error.event_id, encode_hex(event.id));
}

TEST(ClientMessage, NamesTheIdOfARefusedEvent) {
  const Event event = sample();
  const std::string text = publish_text(event);
  const std::string id = encode_hex(event.id);
  const auto named = [&](const std::string& from, const std::string& to, ParseError expected) {
    const MessageError error = client_error(replaced(text, from, to));
    EXPECT_EQ(error.error, expected) << to;
    EXPECT_FALSE(error.subscription);
    return error.event_id;
  };
  EXPECT_EQ(named("\"created_at\":7", "\"created_at\":8", ParseError::WrongId), id);
  EXPECT_EQ(named("\"kind\":1", "\"kind\":65536", ParseError::BadNumber), id);
  EXPECT_EQ(named("\"kind\":1,", "", ParseError::MissingField), id);
  EXPECT_EQ(named("{", "{\"x\":[[1,{}]],", ParseError::UnknownField), id);  // before the id
  const std::string upper = "AB" + id.substr(2);
  EXPECT_EQ(named(id, upper, ParseError::BadHex), upper);
  EXPECT_EQ(named("\"id\":\"" + id + "\",", "", ParseError::MissingField), std::nullopt);
  EXPECT_EQ(named("\"" + id + "\"", "7", ParseError::BadType), std::nullopt);

  EXPECT_EQ(client_error("[\"EVENT\"]").error, ParseError::MissingField);
  EXPECT_EQ(client_error("[\"EVENT\",7]").error, ParseError::NotAnObject);
  EXPECT_EQ(client_error("[\"EVENT\",\"s\"," + to_json(event) + "]").error,
            ParseError::NotAnObject);
  EXPECT_EQ(client_error("[\"AUTH\",\"challenge\"]").error, ParseError::NotAnObject);
}

TEST(ClientMessage, NamesWhatStandsForTheIdOfARefusedEventAsItIsWritten) {
  const Event event = sample();
  const std::string hex = encode_hex(event.id);
  const auto named = [&](const std::string& json) {
    const MessageError error = client_error(replaced(publish_text(event), hex, json));
    EXPECT_EQ(error.error,
              json.find("u0000") == std::string::npos ? ParseError::BadHex : ParseError::BadText);
    return error.event_id;
  };
  for (const std::string& id :
       {std::string(), std::string("x"), hex.substr(1), hex + "0", "zz" + hex.substr(2),
        std::string("note1 \xC3\xA9"), std::string(kRefusedIdBytesMax, 'x')}) {
    EXPECT_EQ(named(id), id);
  }
  EXPECT_EQ(named(R"(\"],\n\u001b[31m\u2028\\)"), "\"],\n\x1B[31m\xE2\x80\xA8\\");
  EXPECT_EQ(ok_text("\"],\n\x1B[31m\\", false, "no"), R"(["OK","\"],\n\u001b[31m\\",false,"no"])");
  EXPECT_EQ(named(std::string(kRefusedIdBytesMax + 1, 'x')), std::nullopt);
  EXPECT_EQ(named(R"(\u0000)"), std::nullopt);
}

TEST(ClientMessage, NamesTheIdOfARefusedEventWhereverItStands) {
  const Event event = sample();
  const std::string id = "\"id\":\"" + encode_hex(event.id) + "\"";
  // The id is the last of all members.
  const std::string text =
      replaced(replaced(publish_text(event), id + ",", ""), "}]", "," + id + "}]");
  ASSERT_TRUE(parse_client_message(text, kLimits));
  const auto named = [&](const std::string& from, const std::string& to) {
    const auto parsed = parse_client_message(replaced(text, from, to), kLimits);
    EXPECT_FALSE(parsed) << to;
    return parsed ? std::nullopt : parsed.error().event_id;
  };
  const std::string found = encode_hex(event.id);
  for (const char* kind : {"\"1\"", "-1", "1.5", "01", "65536", "null", "[]", "{}", "1e999", "tru"})
    EXPECT_EQ(named("\"kind\":1", "\"kind\":" + std::string(kind)), found) << kind;
  for (const char* more :
       {"\"pubkey\":7", "\"sig\":\"z\"", "\"tags\":[[7]]", "\"tags\":[[]]", "\"content\":7",
        "\"content\":\"\\u0000\"", "\"content\":\"\\ud800\"", "\"content\":\"\\x\"", "\"x\":1",
        "\"\":[{\"id\":\"other\"}]", "\"created_at\":1,\"created_at\":1", "\"x\":\"a\nb\x01\""}) {
    EXPECT_EQ(named("{", "{" + std::string(more) + ","), found) << more;
  }
  const auto deep = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_EQ(named("{", "{\"tags\":" + deep(2'000) + ","), found);
  EXPECT_EQ(named("\"id\"", "\"\\u0069d\":\"" + found + "\",\"\\u0069\\u0064\""), found);
  EXPECT_EQ(named("}]", "},1]"), found);
  EXPECT_EQ(named("}]", "]"), found);
  EXPECT_EQ(named("}]", "}"), std::nullopt);  // no message at all
  EXPECT_EQ(named("[\"EVENT\"", "[\n\"EVENT\",\"s\""), std::nullopt);
  // What follows cannot be read.
  EXPECT_EQ(named("{", "{x,"), std::nullopt);
  EXPECT_EQ(named("\"content\":\"", "\"content\":\"\"\""), std::nullopt);
  const MessageError auth =
      client_error(replaced(replaced(text, "EVENT", "AUTH"), "\"kind\":1", "\"kind\":x"));
  EXPECT_EQ(auth.event_id, found);
}

TEST(RelayMessage, RefusesOtherForms) {
  EXPECT_EQ(relay_error("[\"REQ\",\"s\"]"), ParseError::UnknownCommand);
  EXPECT_EQ(relay_error("[\"OK\",\"abc\",true,\"\"]"), ParseError::BadHex);
  const std::string id(64, 'a');
  EXPECT_EQ(relay_error("[\"OK\",\"" + id + "\"]"), ParseError::MissingField);
  EXPECT_EQ(relay_error("[\"OK\",\"" + id + "\",1,\"\"]"), ParseError::BadType);
  EXPECT_EQ(relay_error("[\"OK\",\"" + id + "\",true,7]"), ParseError::BadType);
  EXPECT_EQ(relay_error("[\"OK\",\"" + id + "\",true,\"\",7]"), ParseError::TooMany);
  EXPECT_EQ(relay_error("[\"EOSE\"]"), ParseError::MissingField);
  EXPECT_EQ(relay_error("[\"EOSE\",\"\"]"), ParseError::BadSubscriptionId);
  EXPECT_EQ(relay_error("[\"NOTICE\"]"), ParseError::MissingField);
  EXPECT_EQ(relay_error("[\"NOTICE\",7]"), ParseError::BadType);
  EXPECT_EQ(relay_error("[\"AUTH\",{}]"), ParseError::BadType);
  EXPECT_EQ(relay_error("[\"COUNT\",\"s\",{}]"), ParseError::MissingField);
  EXPECT_EQ(relay_error("[\"COUNT\",\"s\",{\"count\":-1}]"), ParseError::BadNumber);
  EXPECT_EQ(relay_error("[\"COUNT\",\"s\",{\"count\":1,\"count\":2}]"), ParseError::DoubleField);
  EXPECT_EQ(relay_error("[\"COUNT\",\"s\",7]"), ParseError::NotAnObject);
  EXPECT_EQ(relay_error("[\"EVENT\",\"s\"]"), ParseError::MissingField);
  EXPECT_EQ(relay_error("[\"EVENT\"," + to_json(sample()) + "]"), ParseError::BadSubscriptionId);
  EXPECT_FALSE(parse_relay_message("[\"EOSE\",\"s\"]]", kLimits));
}

TEST(RelayMessage, ToleratesWhatRelaysDo) {
  const std::string id(64, 'a');
  EXPECT_EQ(relay_says<relay_message::Ok>("[\"OK\",\"" + id + "\",true]").message, "");
  EXPECT_EQ(relay_says<relay_message::Closed>("[\"CLOSED\",\"s\"]").message, "");
  EXPECT_EQ(relay_says<relay_message::EndOfStored>("[\"EOSE\",\"s\",[\"more\"]]").subscription,
            "s");
  const auto counted = relay_says<relay_message::Counted>(
      "[\"COUNT\",\"s\",{\"approximate\":false,\"count\":3,\"hll\":\"00\",\"x\":[1.5,null,{}]}]");
  EXPECT_EQ(counted.count, 3U);
}

TEST(RelayMessage, ChecksWhatItReadsPast) {
  EXPECT_EQ(relay_error("[\"EOSE\",\"s\",[nope]]"), ParseError::NotJson);
  EXPECT_EQ(relay_error("[\"EOSE\",\"s\",[1 2]]"), ParseError::NotJson);
  EXPECT_EQ(relay_error("[\"EOSE\",\"s\",\"\\ud800\"]"), ParseError::NotJson);
  EXPECT_EQ(relay_error("[\"EOSE\",\"s\",nulll]"), ParseError::NotJson);
  EXPECT_EQ(relay_error("[\"COUNT\",\"s\",{\"a\":tru,\"count\":1}]"), ParseError::NotJson);
  EXPECT_EQ(relay_error("[\"COUNT\",\"s\",{\"a\":01,\"count\":1}]"), ParseError::NotJson);
  const std::string deep8 = "[[[[[[[[1]]]]]]]]";
  EXPECT_TRUE(parse_relay_message("[\"EOSE\",\"s\"," + deep8 + "]", kLimits));
  EXPECT_EQ(relay_error("[\"EOSE\",\"s\",[" + deep8 + "]]"), ParseError::TooDeep);
  EXPECT_EQ(
      relay_error("[\"EOSE\",\"s\"," + std::string(50000, '[') + std::string(50000, ']') + "]"),
      ParseError::TooDeep);
  std::string objects;
  for (int i = 0; i < 9; ++i) objects += "{\"a\":";
  EXPECT_EQ(relay_error("[\"EOSE\",\"s\"," + objects + "1" + std::string(9, '}') + "]"),
            ParseError::TooDeep);
}

TEST(RelayMessage, BoundsTexts) {
  MessageLimits limits;
  limits.text_bytes_max = 3;
  EXPECT_TRUE(parse_relay_message("[\"NOTICE\",\"abc\"]", limits));
  EXPECT_EQ(relay_error("[\"NOTICE\",\"abcd\"]", limits), ParseError::TooLarge);
  EXPECT_EQ(relay_error("[\"CLOSED\",\"s\",\"abcd\"]", limits), ParseError::TooLarge);
  EXPECT_EQ(relay_error("[\"AUTH\",\"abcd\"]", limits), ParseError::TooLarge);
}

TEST(Messages, RefuseEveryPrefixAndDeepNesting) {
  const std::string client = publish_text(sample());
  const std::string relay = event_prefix("s") + to_json(sample()) + "]";
  for (std::size_t size = 0; size < client.size(); ++size) {
    ASSERT_FALSE(parse_client_message(std::string_view(client).substr(0, size), kLimits)) << size;
  }
  for (std::size_t size = 0; size < relay.size(); ++size) {
    ASSERT_FALSE(parse_relay_message(std::string_view(relay).substr(0, size), kLimits)) << size;
  }
  for (const std::string_view start :
       {"", "[\"EVENT\",", "[\"REQ\",\"s\",",
        "[\"EVENT\",{\"tags\":", "[\"REQ\",\"s\",{\"ids\":", "[\"EVENT\",{\"x\":"}) {
    const std::string text = std::string(start) + std::string(100000, '[');
    EXPECT_FALSE(parse_client_message(text, kLimits));
    EXPECT_FALSE(parse_client_message(text + std::string(100000, ']') + "]", kLimits));
  }
}

TEST(ParseErrors, HaveEachTheirOwnText) {
  std::vector<std::string_view> texts;
  for (std::size_t i = 0; i < kParseErrorCount; ++i) {
    const std::string_view text = to_string(static_cast<ParseError>(i));
    EXPECT_NE(text, "unknown");
    EXPECT_EQ(std::count(texts.begin(), texts.end(), text), 0) << text;
    texts.push_back(text);
  }
  EXPECT_EQ(to_string(static_cast<ParseError>(kParseErrorCount)), "unknown");
}

TEST(RelayMessage, ReadsAReconciliation) {
  const auto message = parse_relay_message(R"(["NEG-MSG","n","6100"])", kLimits);
  ASSERT_TRUE(message);
  const auto& answer = std::get<relay_message::NegentropyMessage>(*message);
  EXPECT_EQ(answer.subscription, "n");
  EXPECT_EQ(encode_hex(ByteSpan(answer.message)), "6100");
  // The fourth element: how much would have been allowed.
  const auto refused = parse_relay_message(R"(["NEG-ERR","n","blocked: too big",100])", kLimits);
  ASSERT_TRUE(refused);
  EXPECT_EQ(std::get<relay_message::NegentropyError>(*refused).reason, "blocked: too big");
  EXPECT_EQ(negentropy_error_text("n", "a\"b"), R"(["NEG-ERR","n","a\"b"])");
  EXPECT_EQ(relay_error(R"(["NEG-MSG","n","abc"])"), ParseError::BadHex);
  EXPECT_EQ(relay_error(R"(["NEG-MSG","n"])"), ParseError::MissingField);
  EXPECT_EQ(relay_error(R"(["NEG-ERR","n"])"), ParseError::MissingField);
}

}  // namespace
}  // namespace nostril
