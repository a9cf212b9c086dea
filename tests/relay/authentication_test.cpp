// NIP-42, and the kinds that only their parties may see (NIP-17, NIP-59): the rules alone, then one
// connection.
#include "relay/authentication.h"

#include "tests/relay/session_support.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace nostril::relay::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using Texts = std::vector<std::string>;

constexpr std::string_view kChallenge = "0123456789abcdef0123456789abcdef";

AuthRules rules() {
  return {.address = RelayAddress::of("wss://relay.example.org"),
          .port_url = "",
          .private_kinds = {4, 1059, 21059}};
}

Tags proof(std::string_view challenge = kChallenge,
           std::string_view relay = "wss://relay.example.org/") {
  return {{"relay", relay}, {"challenge", challenge}};
}

class AuthenticationTest : public testing::Test {
 protected:
  std::optional<AuthError> error_of(const Event& event, const AuthRules& with = rules()) const {
    auto checked = check_id(event);
    EXPECT_TRUE(checked);
    const auto key = Authentication(with).key_of(std::move(*checked), kChallenge, now);
    if (!key) return key.error();
    EXPECT_EQ(*key, event.pubkey);
    return std::nullopt;
  }

  Author alice;
  Author bob;
  std::int64_t now = SystemClock().unix_s();
};

TEST_F(AuthenticationTest, TakesAProofForThisRelayAndThisConnection) {
  EXPECT_EQ(error_of(alice.sign(22242, "", proof())), std::nullopt);
  for (const std::string_view url : {"ws://relay.example.org", "wss://RELAY.example.org/inbox",
                                     "wss://relay.example.org:443/"}) {
    EXPECT_EQ(error_of(alice.sign(22242, "", proof(kChallenge, url))), std::nullopt) << url;
  }
  EXPECT_EQ(error_of(alice.sign(22242, "", proof(), 590)), std::nullopt);
  EXPECT_EQ(error_of(alice.sign(22242, "", proof(), -590)), std::nullopt);
}

TEST_F(AuthenticationTest, OfARelayWithoutANameTakesEveryLoopbackNameOfItsPort) {
  AuthRules local = rules();
  local.address = RelayAddress::on_loopback(7447);
  local.port_url = "ws://127.0.0.1:7447";
  for (const std::string_view url :
       {"ws://127.0.0.1:7447", "ws://localhost:7447/", "ws://[::1]:7447/inbox"}) {
    EXPECT_EQ(error_of(alice.sign(22242, "", proof(kChallenge, url)), local), std::nullopt) << url;
  }
  for (const std::string_view url : {"wss://relay.example.org", "ws://localhost:7448",
                                     "ws://localhost", "wss://evil.example:7447"}) {
    EXPECT_EQ(error_of(alice.sign(22242, "", proof(kChallenge, url)), local), AuthError::WrongRelay)
        << url;
  }
  // Who set no `url` learns of it here.
  EXPECT_EQ(Authentication(local).text_of(AuthError::WrongRelay),
            "invalid: the event was made for another relay: this one is called "
            "ws://127.0.0.1:7447, until its operator sets `url`");
  EXPECT_EQ(Authentication(local).text_of(AuthError::WrongKind), message_of(AuthError::WrongKind));
  EXPECT_EQ(Authentication(rules()).text_of(AuthError::WrongRelay),
            message_of(AuthError::WrongRelay));
}

TEST_F(AuthenticationTest, RefusesEverythingElse) {
  EXPECT_EQ(error_of(alice.sign(22242, "", proof()), {}), AuthError::NotOffered);
  EXPECT_EQ(error_of(alice.sign(1, "", proof())), AuthError::WrongKind);
  EXPECT_EQ(error_of(alice.sign(22242, "", proof(), 700)), AuthError::WrongTime);
  EXPECT_EQ(error_of(alice.sign(22242, "", proof(), -700)), AuthError::WrongTime);
  EXPECT_EQ(error_of(alice.sign(22242, "", proof("0"))), AuthError::WrongChallenge);
  EXPECT_EQ(error_of(alice.sign(22242, "", {{"relay", "wss://relay.example.org"}})),
            AuthError::WrongChallenge);
  for (const std::string_view url :
       {"wss://evil.example.org/", "wss://relay.example.org.evil.org/", "relay.example.org", "",
        "wss://relay.example.org:444/", "wss://evil@relay.example.org/"}) {
    EXPECT_EQ(error_of(alice.sign(22242, "", proof(kChallenge, url))), AuthError::WrongRelay)
        << url;
  }
  EXPECT_EQ(error_of(alice.sign(22242, "", {{"challenge", kChallenge}})), AuthError::WrongRelay);
}

TEST_F(AuthenticationTest, ATagThatIsThereTwiceSaysNothing) {
  Tags twice = proof();
  twice.add({"challenge", "another"});
  EXPECT_EQ(error_of(alice.sign(22242, "", twice)), AuthError::WrongChallenge);
  twice = proof();
  twice.add({"relay", "wss://evil.example.org"});
  EXPECT_EQ(error_of(alice.sign(22242, "", twice)), AuthError::WrongRelay);
}

TEST_F(AuthenticationTest, RefusesTheSignatureOfAnother) {
  Event event = alice.sign(22242, "", proof());
  event.sig = bob.sign(22242, "", proof()).sig;
  EXPECT_EQ(error_of(event), AuthError::WrongSignature);
}

TEST_F(AuthenticationTest, KnowsWhatFiltersAreAfter) {
  const Authentication with(rules());
  const auto sought = [&](std::vector<std::vector<std::uint32_t>> kinds) {
    std::vector<Filter> filters;
    for (auto& some : kinds) {
      filters.emplace_back();
      if (!some.empty()) filters.back().kinds = std::move(some);
    }
    return with.sought_by(filters);
  };
  EXPECT_EQ(sought({{1, 7}}), Sought::Public);
  EXPECT_EQ(sought({{1059}}), Sought::PrivateOnly);
  EXPECT_EQ(sought({{1059, 4}, {21059}}), Sought::PrivateOnly);
  EXPECT_EQ(sought({{1059, 1}}), Sought::Any);
  EXPECT_EQ(sought({{1059}, {1}}), Sought::Any);
  EXPECT_EQ(sought({{}}), Sought::Any);
  EXPECT_EQ(Authentication({}).sought_by({Filter{}}), Sought::Public);
}

TEST_F(AuthenticationTest, AuthorAndReceiversSeeAPrivateEventInBothItsForms) {
  const Authentication with(rules());
  const Event mine =
      alice.sign(1059, "", {{"P", bob.hex()}, {"p"}, {"p", "short"}, {"p", bob.hex(), "wss://r"}});
  const Event open = alice.sign(1, "", {});
  const auto sees = [&](const std::vector<PublicKey>& keys, const Event& event) {
    const Reader reader(with, keys);
    Bytes record;
    encode_record(record, event);
    const auto view = RecordView::parse(record);
    EXPECT_TRUE(view);
    EXPECT_EQ(reader.may_see(event), reader.may_see(*view));
    return reader.may_see(event);
  };
  const PublicKey alice_key = mine.pubkey, bob_key = bob.sign(1).pubkey,
                  carol = Author().sign(1).pubkey;
  EXPECT_TRUE(sees({alice_key}, mine));
  EXPECT_TRUE(sees({carol, bob_key}, mine));
  EXPECT_FALSE(sees({carol}, mine));
  EXPECT_FALSE(sees({}, mine));
  EXPECT_TRUE(sees({}, open));
  // An e tag is nobody's address.
  EXPECT_FALSE(sees({bob_key}, alice.sign(4, "", {{"e", bob.hex()}})));
}

// --- One connection.

class AuthSessionTest : public testing::Test {
 protected:
  void start(const AuthRules& auth = rules(), const AdmissionRules& admission = {}) {
    bed = std::make_unique<SessionBed>(SessionLimits{}, admission, auth);
    bed->session->open();
    const Texts said = take();
    ASSERT_EQ(said.size(), auth.address ? 1U : 0U);
    if (said.empty()) return;
    const auto message = parse_relay_message(said[0], {});
    ASSERT_TRUE(message);
    challenge = std::get<relay_message::AuthChallenge>(*message).challenge;
    EXPECT_EQ(challenge.size(), 32U);
  }

  Texts take() { return bed->host.take(); }

  std::string authenticate(Author& author) {
    const Event event = author.sign(22242, "", proof(challenge));
    bed->session->on_text(auth_text(event));
    const Texts said = take();
    return said.size() == 1 ? said[0].substr(ok_text(hex(event), true, "").find(',', 8) + 1) : "";
  }

  std::string publish(const Event& event) {
    bed->session->on_text(publish_text(event));
    const Texts said = take();
    return said.empty() ? "" : said[0];
  }

  Author alice;
  Author bob;
  std::string challenge;
  std::unique_ptr<SessionBed> bed;
};

TEST_F(AuthSessionTest, EachConnectionHasItsOwnChallengeAndNoneWithoutAnAddress) {
  start();
  const std::string first = challenge;
  start();
  EXPECT_NE(challenge, first);
  start({});
  const Event event = alice.sign(22242, "", proof(challenge));
  bed->session->on_text(auth_text(event));
  EXPECT_THAT(take(), ElementsAre(ok_text(hex(event), false, message_of(AuthError::NotOffered))));
  EXPECT_THAT(publish(alice.sign(1, "", {{"-"}})), HasSubstr("blocked: "));
}

TEST_F(AuthSessionTest, SeveralKeysOfOneConnectionUpToABound) {
  start();
  EXPECT_EQ(authenticate(alice), R"(true,""])");
  EXPECT_EQ(authenticate(alice), R"(true,""])");
  EXPECT_EQ(authenticate(bob), R"(true,""])");
  for (int i = 0; i < 30; ++i) {
    Author one;
    EXPECT_EQ(authenticate(one), R"(true,""])");
  }
  Author late;
  EXPECT_THAT(authenticate(late), HasSubstr("restricted: too many keys"));
  for (int i = 0; i < 40; ++i) (void)authenticate(late);
  EXPECT_THAT(authenticate(late), HasSubstr("rate-limited: "));
  EXPECT_EQ(bed->metrics.authentications.read(), 33U);
}

TEST_F(AuthSessionTest, PrivateKindsWantAnAuthenticatedReader) {
  start();
  bed->request("s", R"({"kinds":[1059]})");
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","s","auth-required: )")));
  bed->session->on_text(R"(["COUNT","n",{"kinds":[4,1059]}])");
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","n","auth-required: )")));
  EXPECT_EQ(authenticate(alice), R"(true,""])");
  bed->request("s", R"({"kinds":[1059]})");
  const auto query = bed->host.take_step();
  ASSERT_TRUE(query);
  ASSERT_TRUE(query->reader);
  EXPECT_THAT(query->reader->keys(), ElementsAre(alice.sign(1).pubkey));
}

TEST_F(AuthSessionTest, OnlyQueriesThatMayFindPrivateEventsLookAtEach) {
  start();
  bed->request("a", R"({"kinds":[1]})");
  auto query = bed->host.take_step();
  EXPECT_EQ(query->reader, nullptr);
  bed->session->on_step(SessionBed::step(std::move(query), {}));
  bed->request("b");
  EXPECT_NE(bed->host.take_step()->reader, nullptr);
}

TEST_F(AuthSessionTest, ALivePrivateEventReachesItsPartiesOnly) {
  start();
  bed->subscribe("s");
  const Event to_bob = Author().sign(1059, "1", {{"p", bob.hex()}});
  const Event passing = Author().sign(21059, "2", {{"p", bob.hex()}});
  bed->deliver(to_bob, 1);
  bed->deliver_ephemeral(passing);
  EXPECT_EQ(authenticate(alice), R"(true,""])");
  bed->deliver(to_bob, 2);
  bed->deliver_ephemeral(passing);
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_EQ(authenticate(bob), R"(true,""])");
  bed->deliver(to_bob, 3);
  bed->deliver_ephemeral(passing);
  EXPECT_THAT(take(), ElementsAre(event_prefix("s") + to_json(to_bob) + "]",
                                  event_prefix("s") + to_json(passing) + "]"));
}

TEST_F(AuthSessionTest, AProtectedEventIsTakenFromItsAuthor) {
  start();
  const Event event = alice.sign(1, "", {{"-"}});
  EXPECT_THAT(publish(event), HasSubstr("auth-required: "));
  EXPECT_EQ(authenticate(bob), R"(true,""])");
  EXPECT_THAT(publish(event), HasSubstr("restricted: "));
  EXPECT_EQ(authenticate(alice), R"(true,""])");
  EXPECT_EQ(publish(event), "");
  EXPECT_EQ(bed->host.offered.size(), 1U);
}

TEST_F(AuthSessionTest, ReadingAndWritingCanWantAuthentication) {
  AuthRules strict = rules();
  strict.is_needed_to_read = strict.is_needed_to_write = true;
  start(strict);
  EXPECT_THAT(publish(alice.sign(1)), HasSubstr("auth-required: "));
  bed->request("s");
  EXPECT_THAT(take(), ElementsAre(StartsWith(R"(["CLOSED","s","auth-required: )")));
  EXPECT_EQ(authenticate(bob), R"(true,""])");
  EXPECT_EQ(publish(alice.sign(1)), "");
  bed->subscribe("s");
}

}  // namespace
}  // namespace nostril::relay::test
