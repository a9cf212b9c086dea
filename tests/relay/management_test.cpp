#include "relay/management.h"

#include "relay/admission.h"
#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

namespace nostril::relay::test {
namespace {

TEST(ParseManagementCall, ReadsAMethodAndItsParams) {
  const auto call = parse_management_call(R"({"method":"allowkind","params":[7]})");
  ASSERT_TRUE(call);
  EXPECT_EQ(call->method, ManagementMethod::AllowKind);
  ASSERT_EQ(call->params.size(), 1U);
  EXPECT_EQ(call->params[0].integer(), 7);
}

TEST(ParseManagementCall, RefusesWhatIsNone) {
  using E = ManagementError;
  const auto error_of = [](std::string_view body) {
    const auto call = parse_management_call(body);
    EXPECT_FALSE(call) << body;
    return call ? E::NotJson : call.error();
  };
  for (const char* body : {"", "{", "nonsense", R"({"method":"x","method":"y","params":[]})",
                           R"({"method":"supportedmethods","params":[]} )"
                           "x"}) {
    EXPECT_EQ(error_of(body), E::NotJson) << body;
  }
  for (const char* body : {"[]", "7", "{}", R"({"method":"supportedmethods"})", R"({"params":[]})",
                           R"({"method":7,"params":[]})", R"({"method":"blockip","params":{}})",
                           R"({"method":"blockip","params":[1,2,3,4,5,6,7,8,9]})"}) {
    EXPECT_EQ(error_of(body), E::BadForm) << body;
  }
  EXPECT_EQ(error_of(R"({"method":"format","params":[]})"), E::UnknownMethod);
  EXPECT_EQ(error_of(R"({"method":"BANPUBKEY","params":[]})"), E::UnknownMethod);
  EXPECT_EQ(error_of(R"({"method":"blockip","params":[)" + std::string(70'000, ' ') + "]}"),
            E::NotJson);
}

TEST(ManagementMethods, HaveNamesOfTheirOwn) {
  for (std::size_t i = 0; i < kManagementMethodCount; ++i) {
    const auto method = static_cast<ManagementMethod>(i);
    EXPECT_EQ(management_method(name_of(method)), method) << name_of(method);
  }
}

/// A relay whose store is a list.
class FakeManaged final : public ManagedRelay {
 public:
  [[nodiscard]] Result<void, std::string> change_lists(
      std::span<const ModerationChange> wanted) override {
    auto applied = moderation->apply(wanted, 1'700'000'000);
    if (applied) ++changes;
    return applied;
  }

  [[nodiscard]] Result<std::size_t, std::string> erase_events(const Filter& filter) override {
    if (!error.empty()) return failure(error);
    return std::erase_if(stored, [&](const Event& event) { return filter.matches(event); });
  }

  [[nodiscard]] Result<std::vector<Event>, std::string> find_events(
      const Filter& filter, std::size_t count_max) override {
    if (!error.empty()) return failure(error);
    std::vector<Event> out;
    for (const Event& event : stored) {
      if (filter.matches(event) && out.size() < count_max) out.push_back(event);
    }
    return out;
  }

  [[nodiscard]] std::string figures_json() override { return "{}"; }

  [[nodiscard]] std::string settings_json() override { return "[]"; }

  [[nodiscard]] RelayConfig present_config() override { return config; }

  RelayConfig config;
  std::vector<Event> stored;
  std::string error;
  int changes = 0;
  Moderation* moderation = nullptr;
};

class ManagementTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = Moderation::open(dir.path() / "moderation");
    ASSERT_TRUE(opened);
    moderation = std::move(*opened);
    management.emplace(*moderation, relay);
    relay.moderation = moderation.get();
    relay.config.url = "wss://relay.example";
    relay.config.admin.keys = {encode_hex(operator_)};
  }

  std::string call(const std::string& method, const std::string& params,
                   std::optional<PublicKey> who = {}) {
    return management->answer(who.value_or(operator_),
                              R"({"method":")" + method + R"(","params":[)" + params + "]}");
  }

  static std::string quoted(const std::string& text) { return '"' + text + '"'; }

  TempDir dir;
  FakeClock clock{1'700'000'000};
  FakeManaged relay;
  std::unique_ptr<Moderation> moderation;
  std::optional<Management> management;
  const PublicKey operator_ = make_event(9, 1, 1).pubkey;
  const Event event = make_event(1, 1, 1);
};

TEST_F(ManagementTest, ABanIsInForceBeforeWhatIsStoredGoes) {
  relay.stored = {event};
  EXPECT_EQ(call("banpubkey", quoted(encode_hex(event.pubkey)) + R"(,"spam")"),
            R"({"result":true})");
  EXPECT_EQ(relay.changes, 1);
  EXPECT_TRUE(relay.stored.empty());
  EXPECT_EQ(Admission({}, moderation->lists()).refuse(event, 1, false), Refusal::BlockedAuthor);
}

TEST_F(ManagementTest, ABanThatCouldNotRemoveSaysSoAndStands) {
  relay.error = "disk";
  EXPECT_EQ(call("banevent", quoted(encode_hex(event.id))),
            R"({"error":"banned, but not all was removed: disk"})");
  EXPECT_TRUE(moderation->lists()->bans(event));
}

TEST_F(ManagementTest, WithoutBanDeletesStoredEventsStay) {
  relay.config.admin.ban_deletes = false;
  relay.stored = {event};
  call("banpubkey", quoted(encode_hex(event.pubkey)));
  EXPECT_EQ(relay.stored.size(), 1U);
  call("banevent", quoted(encode_hex(event.id)));
  EXPECT_TRUE(relay.stored.empty());
}

TEST_F(ManagementTest, WhatTheFileSaysIsShownAndStands) {
  relay.config.policy.blocked_authors = {encode_hex(event.pubkey)};
  relay.config.policy.blocked_kinds = {"4"};
  EXPECT_NE(call("listbannedpubkeys", "").find("the configuration file"), std::string::npos);
  EXPECT_NE(call("unbanpubkey", quoted(encode_hex(event.pubkey))).find("error"), std::string::npos);
  EXPECT_EQ(call("listdisallowedkinds", ""), R"({"result":[4]})");
  EXPECT_NE(call("allowkind", "4").find("error"), std::string::npos);
}

TEST_F(ManagementTest, WrongParamsChangeNothing) {
  const std::string key = quoted(encode_hex(event.pubkey));
  for (const auto& [method, params] : std::vector<std::pair<std::string, std::string>>{
           {"banpubkey", ""},
           {"banpubkey", "7"},
           {"banpubkey", "\"00\""},
           {"banpubkey", key + ",7"},
           {"allowpubkey", "null"},
           {"banevent", "\"x\""},
           {"allowkind", "-1"},
           {"allowkind", "65536"},
           {"allowkind", "\"1\""},
           {"allowkind", "1.5"},
           {"disallowkind", ""},
           {"blockip", "\"x\""},
           {"changerelayname", ""},
           {"changerelayname", quoted(std::string(1001, 'x'))},
           {"assignmethod", key},
           {"assignmethod", key + ",\"x\""},
           {"nostril_events", ""},
           {"nostril_events", "[]"},
           {"nostril_events", R"({"nonsense":1})"},
           {"nostril_events", "{},{}"}}) {
    EXPECT_NE(call(method, params).find("\"error\""), std::string::npos) << method << params;
  }
  EXPECT_EQ(relay.changes, 0);
  EXPECT_EQ(moderation->rows(), 0U);
}

TEST_F(ManagementTest, OnlyAssignedMethodsMayBeCalledByOthers) {
  const PublicKey other = make_event(3, 1, 1).pubkey;
  EXPECT_FALSE(management->knows(other));
  call("assignmethod", quoted(encode_hex(other)) + R"(,"blockip")");
  EXPECT_TRUE(management->knows(other));
  EXPECT_EQ(call("blockip", R"("192.0.2.1")", other), R"({"result":true})");
  for (const char* method : {"unblockip", "assignmethod", "nostril_settings", "listblockedips"}) {
    EXPECT_NE(call(method, R"("192.0.2.1")", other).find("restricted"), std::string::npos)
        << method;
  }
  // To assign is the operator's, whatever the file of the lists says.
  ASSERT_TRUE(moderation->apply(
      std::vector<ModerationChange>{{ModerationList::Methods, item_of(other, "assignmethod"), ""}},
      1));
  EXPECT_NE(
      call("assignmethod", quoted(encode_hex(other)) + R"(,"banevent")", other).find("restricted"),
      std::string::npos);
}

TEST_F(ManagementTest, RolesAreMadeChangedGivenAndTaken) {
  const std::string key = quoted(encode_hex(event.pubkey));
  const std::string yes = R"({"result":true})";
  EXPECT_NE(call("createrole", R"("king")").find("restricted"), std::string::npos)
      << "a relay without members has none";
  EXPECT_EQ(call("supportedmethods", "").find("createrole"), std::string::npos);
  relay.config.membership.enabled = true;
  EXPECT_NE(call("supportedmethods", "").find("createrole"), std::string::npos);
  EXPECT_EQ(call("createrole", R"("king","King","rules","37",1)"), yes);
  EXPECT_EQ(moderation->lists()->roles->at("king"), (MemberRole{"King", "rules", 37, 1}));
  EXPECT_NE(call("createrole", R"("king")").find("such a role"), std::string::npos);
  EXPECT_EQ(call("editrole", R"("king","Queen",null,360)"), yes);
  EXPECT_EQ(moderation->lists()->roles->at("king"), (MemberRole{"Queen", "", 360, {}}));
  EXPECT_NE(call("editrole", R"("pawn","x")").find("no such role"), std::string::npos);

  EXPECT_NE(call("assignrole", key + R"(,"pawn")").find("no such role"), std::string::npos);
  EXPECT_EQ(call("assignrole", key + R"(,"king")"), yes);
  EXPECT_EQ(call("assignrole", key + R"(,"king")"), yes) << "once more is no other state";
  EXPECT_EQ(moderation->lists()->member_roles->at(event.pubkey), std::set<std::string>{"king"});
  EXPECT_EQ(call("unassignrole", key + R"(,"king")"), yes);
  EXPECT_TRUE(moderation->lists()->member_roles->empty());
  EXPECT_EQ(call("assignrole", key + R"(,"king")"), yes);

  moderation.reset();
  auto opened = Moderation::open(dir.path() / "moderation");
  ASSERT_TRUE(opened) << opened.error();
  moderation = std::move(*opened);
  relay.moderation = moderation.get();
  management.emplace(*moderation, relay);
  EXPECT_EQ(moderation->lists()->roles->at("king").label, "Queen");
  EXPECT_EQ(call("deleterole", R"("king")"), yes);
  EXPECT_TRUE(moderation->lists()->roles->empty());
  EXPECT_TRUE(moderation->lists()->member_roles->empty());
  EXPECT_EQ(moderation->rows(), 0U);
}

TEST_F(ManagementTest, RolesHaveBounds) {
  relay.config.membership.enabled = true;
  for (const char* params : {"", "7", R"("")", R"("a\u0007b")", R"("r",7)", R"("r","l",[])",
                             R"("r","l","d",361)", R"("r","l","d",-1)", R"("r","l","d","red")",
                             R"("r","l","d",1.5)", R"("r","l","d",1,"x")", R"("r","l","d",1,"")"}) {
    EXPECT_NE(call("createrole", params).find("params: "), std::string::npos) << params;
  }
  const std::string long_id = quoted(std::string(65, 'x'));
  EXPECT_NE(call("createrole", long_id).find("params: "), std::string::npos);
  const std::string long_text = R"("r",)" + quoted(std::string(1'001, 'x'));
  EXPECT_NE(call("createrole", long_text).find("1000 bytes"), std::string::npos);
  for (std::size_t i = 0; i < kRolesMax; ++i) {
    EXPECT_EQ(call("createrole", quoted(std::to_string(i))), R"({"result":true})");
  }
  EXPECT_NE(call("createrole", R"("one more")").find("100 roles"), std::string::npos);
  const std::string key = quoted(encode_hex(event.pubkey));
  for (std::size_t i = 0; i < kRolesOfAKeyMax; ++i) {
    EXPECT_EQ(call("assignrole", key + "," + quoted(std::to_string(i))), R"({"result":true})");
  }
  EXPECT_NE(call("assignrole", key + R"(,"50")").find("8 roles"), std::string::npos);
  EXPECT_EQ(call("assignrole", key + R"(,"1")"), R"({"result":true})") << "it has that";
  EXPECT_NE(call("assignrole", R"("x","1")").find("params: "), std::string::npos);
}

}  // namespace
}  // namespace nostril::relay::test
