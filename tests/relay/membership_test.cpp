#include "relay/membership.h"

#include "base/hex.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace nostril::relay {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

constexpr std::int64_t kNow = 1'700'000'000;

class MembershipTest : public testing::Test {
 protected:
  MembershipTest() {
    rules_.enabled = true;
    rules_.invite_s = 3'600;
    rules_.url = "wss://here.example/";
    rules_.founders = {founder_.public_key()};
    open();
  }

  void open() {
    auto opened = Membership::open(dir_.path(), rules_, rng_);
    ASSERT_TRUE(opened) << opened.error();
    membership_ = std::move(*opened);
  }

  Event request(const Keypair& who, std::uint32_t kind, const std::string& claim = "",
                std::int64_t at = kNow) {
    return sign_event({at, kind, {{"-"}, {"claim", claim}}, ""}, who, rng_);
  }

  static std::vector<Filter> asking(std::vector<std::uint32_t> kinds) {
    Filter filter;
    filter.kinds = std::move(kinds);
    return {filter};
  }

  std::optional<std::string> invite(const Keypair& who, std::int64_t now_s = kNow) {
    const std::array keys = {who.public_key()};
    const auto event =
        membership_->invite_for(keys, asking({Membership::kInviteKind}), lists_, now_s);
    if (!event) return std::nullopt;
    EXPECT_EQ(event->pubkey, membership_->self());
    EXPECT_EQ(event->kind, Membership::kInviteKind);
    return std::string(event->tags.find("claim").value());
  }

  void apply(const std::optional<ModerationChange>& change) {
    ASSERT_TRUE(change);
    EXPECT_EQ(change->list, ModerationList::AllowedKeys);
    auto keys = std::make_shared<ModerationLists::Reasons<PublicKey>>(*lists_.allowed_keys);
    PublicKey key;
    std::ranges::copy(as_bytes(change->item), key.bytes.begin());
    if (change->text) {
      (*keys)[key] = *change->text;
    } else {
      keys->erase(key);
    }
    lists_.allowed_keys = keys;
  }

  const test::TempDir dir_;
  SystemRng rng_;
  const Keypair founder_ = Keypair::generate(rng_);
  const Keypair alice_ = Keypair::generate(rng_);
  MembershipRules rules_;
  ModerationLists lists_;
  std::unique_ptr<Membership> membership_;
};

TEST_F(MembershipTest, AnInviteMakesAMemberWhoMayInvite) {
  EXPECT_FALSE(invite(alice_)) << "not a member yet";
  const auto code = invite(founder_);
  ASSERT_TRUE(code);
  const auto verdict =
      membership_->judge(request(alice_, Membership::kJoinKind, *code), lists_, kNow);
  EXPECT_TRUE(verdict.accepted);
  EXPECT_EQ(verdict.text, "info: welcome to wss://here.example/");
  apply(verdict.change);
  EXPECT_TRUE(invite(alice_));
  const auto again =
      membership_->judge(request(alice_, Membership::kJoinKind, *code), lists_, kNow);
  EXPECT_TRUE(again.accepted);
  EXPECT_THAT(again.text, StartsWith("duplicate: "));
  EXPECT_FALSE(again.change);
  const auto left = membership_->judge(request(alice_, Membership::kLeaveKind), lists_, kNow);
  EXPECT_TRUE(left.accepted);
  apply(left.change);
  EXPECT_FALSE(invite(alice_));
  const auto gone = membership_->judge(request(alice_, Membership::kLeaveKind), lists_, kNow);
  EXPECT_TRUE(gone.accepted);
  EXPECT_FALSE(gone.change);
  EXPECT_FALSE(
      membership_->judge(request(founder_, Membership::kLeaveKind), lists_, kNow).accepted);
}

TEST_F(MembershipTest, ACodeIsTheRelaysOwnAndEnds) {
  const auto code = invite(founder_);
  ASSERT_TRUE(code);
  const auto text_of = [&](const std::string& claim, std::int64_t now_s = kNow) {
    const auto verdict =
        membership_->judge(request(alice_, Membership::kJoinKind, claim, now_s), lists_, now_s);
    EXPECT_EQ(verdict.accepted, verdict.change.has_value());
    return verdict.text;
  };
  for (std::size_t i = 0; i < code->size(); ++i) {
    std::string other = *code;
    other[i] = other[i] == '0' ? '1' : '0';
    EXPECT_EQ(text_of(other), "restricted: that is an invalid invite code") << i;
  }
  for (const std::string& other :
       {std::string(), std::string("x"), *code + "00", code->substr(2)}) {
    EXPECT_EQ(text_of(other), "restricted: that is an invalid invite code");
  }
  EXPECT_THAT(text_of(*code, kNow + 3'599), StartsWith("info: "));
  EXPECT_EQ(text_of(*code, kNow + 3'600), "restricted: that invite code is expired");
  EXPECT_NE(*invite(founder_), *code);
  const test::TempDir other_dir;
  const auto other = Membership::open(other_dir.path(), rules_, rng_);
  ASSERT_TRUE(other);
  EXPECT_FALSE(
      (*other)->judge(request(alice_, Membership::kJoinKind, *code), lists_, kNow).accepted);
  const PublicKey self = membership_->self();
  open();
  EXPECT_EQ(membership_->self(), self) << "over a restart";
  EXPECT_THAT(text_of(*code), StartsWith("info: "));
}

TEST_F(MembershipTest, RefusesOldRequestsAndTheBanned) {
  const auto code = invite(founder_);
  for (const std::int64_t at : {kNow - 601, kNow + 601}) {
    EXPECT_THAT(
        membership_->judge(request(alice_, Membership::kJoinKind, *code, at), lists_, kNow).text,
        StartsWith("invalid: "));
  }
  auto banned = std::make_shared<ModerationLists::Reasons<PublicKey>>();
  (*banned)[alice_.public_key()] = "spam";
  lists_.banned_keys = banned;
  EXPECT_THAT(membership_->judge(request(alice_, Membership::kJoinKind, *code), lists_, kNow).text,
              StartsWith("blocked: "));
}

TEST_F(MembershipTest, WhoMayInviteIsTheOperatorsToSay) {
  const auto all = asking({Membership::kInviteKind});
  EXPECT_FALSE(membership_->invite_for({}, all, lists_, kNow));
  rules_.inviters = MembershipRules::Inviters::Anybody;
  open();
  EXPECT_TRUE(membership_->invite_for({}, all, lists_, kNow));
  EXPECT_FALSE(membership_->invite_for({}, asking({1}), lists_, kNow)) << "not asked for";
  EXPECT_FALSE(membership_->invite_for({}, {Filter()}, lists_, kNow)) << "not by its kind";
  auto of_other = all;
  of_other[0].authors = {alice_.public_key()};
  EXPECT_FALSE(membership_->invite_for({}, of_other, lists_, kNow));
  rules_.inviters = MembershipRules::Inviters::Nobody;
  open();
  EXPECT_FALSE(invite(founder_));
}

TEST_F(MembershipTest, TellsWhoIsAMemberAndWhoCameOrWent) {
  const auto kinds = [](const std::vector<Event>& events) {
    std::vector<std::uint32_t> out;
    for (const Event& event : events) out.push_back(event.kind);
    return out;
  };
  const auto first = membership_->announcements(lists_, kNow);
  EXPECT_EQ(kinds(first), (std::vector{Membership::kMembersKind}));
  EXPECT_EQ(first[0].tags.find("member"), encode_hex(founder_.public_key()));
  EXPECT_THAT(membership_->announcements(lists_, kNow), IsEmpty());
  apply(ModerationChange{ModerationList::AllowedKeys, item_of(alice_.public_key()), ""});
  const auto added = membership_->announcements(lists_, kNow);
  EXPECT_EQ(kinds(added), (std::vector{Membership::kAddedKind, Membership::kMembersKind}));
  EXPECT_EQ(added[0].tags.find("p"), encode_hex(alice_.public_key()));
  EXPECT_GT(added[1].created_at, first[0].created_at) << "or it would not replace it";
  lists_.allowed_keys = std::make_shared<ModerationLists::Reasons<PublicKey>>();
  EXPECT_EQ(kinds(membership_->announcements(lists_, kNow)),
            (std::vector{Membership::kRemovedKind, Membership::kMembersKind}));
}

TEST_F(MembershipTest, TellsRolesAndWhoHasThem) {
  const auto tell = [&] { return membership_->announcements(lists_, kNow); };
  (void)tell();
  const auto roles = std::make_shared<std::map<std::string, MemberRole>>();
  (*roles)["king"] = {"King", "rules", 37, 1};
  (*roles)["plain"] = {};
  lists_.roles = roles;
  const auto made = tell();
  ASSERT_THAT(made, SizeIs(2)) << "nobody has one yet: the list is what it was";
  EXPECT_EQ(made[0].kind, Membership::kRoleKind);
  EXPECT_EQ(made[0].pubkey, membership_->self());
  EXPECT_EQ(made[0].tags, (Tags{{"-"},
                                {"d", "king"},
                                {"label", "King"},
                                {"description", "rules"},
                                {"color", "37"},
                                {"order", "1"}}));
  EXPECT_EQ(made[1].tags, (Tags{{"-"}, {"d", "plain"}}));

  ModerationLists::NamesOfKeys of_keys;
  of_keys[founder_.public_key()] = {"king", "no more"};
  of_keys[alice_.public_key()] = {"king"};
  lists_.member_roles = std::make_shared<ModerationLists::NamesOfKeys>(of_keys);
  const auto given = tell();
  ASSERT_THAT(given, SizeIs(1));
  EXPECT_EQ(given[0].kind, Membership::kMembersKind);
  EXPECT_EQ(given[0].tags, (Tags{{"-"}, {"member", encode_hex(founder_.public_key()), "king"}}))
      << "alice is no member, and the other role is none";
  EXPECT_THAT(tell(), IsEmpty());

  auto fewer = std::make_shared<std::map<std::string, MemberRole>>(*roles);
  fewer->erase("king");
  lists_.roles = fewer;
  const auto gone = tell();
  ASSERT_THAT(gone, SizeIs(2));
  EXPECT_EQ(gone[0].kind, 5U);
  EXPECT_EQ(gone[0].tags.find("a"), "33534:" + encode_hex(membership_->self()) + ":king");
  EXPECT_EQ(gone[1].tags, (Tags{{"-"}, {"member", encode_hex(founder_.public_key())}}));
}

TEST_F(MembershipTest, WhoLeavesSaysSoWithAProtectedEvent) {
  const Event open = sign_event({kNow, Membership::kLeaveKind, {{"p", "x"}}, ""}, alice_, rng_);
  const auto verdict = membership_->judge(open, lists_, kNow);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_THAT(verdict.text, StartsWith("invalid: "));
}

TEST_F(MembershipTest, AKeyFileThatIsNotRightIsRefused) {
  const auto file = dir_.path() / "relay.key";
  const auto refusal = [&] { return Membership::open(dir_.path(), rules_, rng_).error(); };
  std::filesystem::permissions(file, std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  EXPECT_THAT(refusal(), testing::HasSubstr("chmod 600"));
  std::filesystem::permissions(file, std::filesystem::perms::group_read,
                               std::filesystem::perm_options::remove);
  std::ofstream(file) << "no key\n";
  EXPECT_THAT(refusal(), testing::HasSubstr("not a secret key"));
}

}  // namespace
}  // namespace nostril::relay
