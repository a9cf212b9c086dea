#include "relay/plugin_protocol.h"

#include "base/json.h"
#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

namespace nostril::relay::test {
namespace {

const std::string kId(64, 'a');

TEST(PluginRequest, IsTheLineThatStrfryWrites) {
  Author alice;
  const Event event = alice.sign(1, "line\nbreak");
  const std::string line =
      plugin_request(event, 1'700'000'000, {EventSourceType::Ip4, "192.0.2.1", event.pubkey});
  ASSERT_TRUE(line.ends_with("}\n"));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = Json::parse(std::string_view(line).substr(0, line.size() - 1));
  ASSERT_TRUE(json);
  EXPECT_EQ(json->find_string("type"), "new");
  EXPECT_EQ(json->find("event")->dump(), to_json(event));
  EXPECT_EQ(json->find_integer("receivedAt"), 1'700'000'000);
  EXPECT_EQ(json->find_string("sourceType"), "IP4");
  EXPECT_EQ(json->find_string("sourceInfo"), "192.0.2.1");
  EXPECT_EQ(json->find_string("authed"), alice.hex());
  const std::string other = plugin_request(event, 1, {EventSourceType::Ip6, "::1", std::nullopt});
  EXPECT_NE(other.find(R"("sourceType":"IP6","sourceInfo":"::1"})"), std::string::npos);
}

// "accept", "reject MESSAGE", "shadowReject", "bad" or "bad ID".
std::string read(const std::string& line) {
  const auto reply = parse_plugin_reply(line);
  if (!reply) return reply.error().id ? "bad " + encode_hex(*reply.error().id) : "bad";
  EXPECT_EQ(encode_hex(reply->id), kId);
  switch (reply->action) {
    case PluginAction::Accept:
      return "accept" + reply->message;
    case PluginAction::Reject:
      return "reject " + reply->message;
    case PluginAction::ShadowReject:
      return "shadowReject" + reply->message;
  }
  return "?";
}

std::string with(const std::string& rest) {
  return R"({"id":")" + kId + "\"," + rest + "}";
}

TEST(PluginReply, ReadsTheThreeActions) {
  EXPECT_EQ(read(with(R"("action":"accept")")), "accept");
  EXPECT_EQ(read(with(R"("action":"accept","msg":"")")), "accept");
  EXPECT_EQ(read(with(R"("action":"reject","msg":"blocked: spam")")), "reject blocked: spam");
  EXPECT_EQ(read(with(R"("action":"shadowReject","msg":"hidden")")), "shadowReject");
  EXPECT_EQ(read(with(R"("action":"accept","msg":null,"more":[1,{}])")), "accept");
}

TEST(PluginReply, GivesAMessageAPrefix) {
  EXPECT_EQ(read(with(R"("action":"reject","msg":"spam")")), "reject blocked: spam");
  EXPECT_EQ(read(with(R"("action":"reject","msg":"pow: 20")")), "reject pow: 20");
  EXPECT_EQ(read(with(R"("action":"reject","msg":"auth-required: who?")")),
            "reject auth-required: who?");
  EXPECT_EQ(read(with(R"("action":"reject")")), "reject blocked: this relay's policy refuses it");
}

TEST(PluginReply, CutsAndCleansAMessage) {
  EXPECT_EQ(read(with(R"("action":"reject","msg":"a\n\u001b[31mb")")), "reject blocked: a??[31mb");
  std::string umlauts;
  for (int i = 0; i < 1'000; ++i) umlauts += "\xc3\xa4";
  const auto reply = parse_plugin_reply(with(R"("action":"reject","msg":")" + umlauts + "\""));
  ASSERT_TRUE(reply);
  EXPECT_LE(reply->message.size(), kPluginMessageBytesMax);
  EXPECT_TRUE(reply->message.ends_with("\xc3\xa4"));
}

TEST(PluginReply, RefusesWhatIsNone) {
  for (const std::string bad :
       {"", "accept", "[]", "{}", "null", R"({"id":"aa","action":"accept"})",
        R"({"action":"accept"})", R"({"id":5,"action":"accept"})", "{\"id\":\"\xff\"}"}) {
    EXPECT_EQ(read(bad), "bad") << bad;
  }
  for (const std::string bad : {R"("action":"ACCEPT")", R"("action":5)", R"("msg":"x")",
                                R"("action":"reject","msg":5)", R"("action":"")"}) {
    EXPECT_EQ(read(with(bad)), "bad " + kId) << bad;
  }
  EXPECT_EQ(read(with(R"("action":"accept","id":")" + kId + "\"")), "bad");  // twice
  EXPECT_EQ(read(with(R"("action":"accept","x":)" + std::string(100, '[') + std::string(100, ']'))),
            "bad");
}

}  // namespace
}  // namespace nostril::relay::test
