// Auditors' lists: whose count, which version, for how long, and what they make of a verdict.
#include "client/known_good_book.h"

#include "base/hex.h"
#include "client/trust_feed.h"
#include "events/beacon.h"
#include "events/kinds.h"
#include "events/nip19.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"
#include "tests/support/hand_made_node.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/temp_dir.h"
#include "tests/support/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace nostril::client {
namespace {

namespace fs = std::filesystem;
using attestation::CheckStatus;
using attestation::Verdict;
using attestation::test::kNow;
using attestation::test::status_of;
using test::key_of;
using test::TempDir;
using ::testing::HasSubstr;
using Outcome = KnownGoodBook::Outcome;

VerifiedEvent verified(const Event& event) {
  Verifier verifier;
  auto checked = check_id(event);
  return VerifiedEvent::verify(std::move(*checked), verifier).value();
}

std::string mrtd() {
  return encode_hex(attestation::test::measurements().mrtd);
}

std::string weights() {
  return encode_hex(attestation::test::statement().model_manifest);
}

KnownGoodEntry image(bool allow = true) {
  return {allow, KnownSubject::Image, {{"mrtd", mrtd()}}, "", "we looked"};
}

KnownGoodEntry weights_of(const std::string& model) {
  return {true, KnownSubject::Weights, {{"weights", weights()}}, model, "we hashed"};
}

struct Auditor {
  explicit Auditor(std::string_view name) : key(key_of(name)) {}

  Event event(std::vector<KnownGoodEntry> entries, std::int64_t at = kNow - 100,
              std::int64_t life_s = 86'400, const std::string& name = "list") {
    KnownGoodList list;
    list.auditor = key.public_key();
    list.created_at = at;
    list.expires_at = at + life_s;
    list.name = name;
    list.entries = std::move(entries);
    return sign_event(build_known_good(list), key, rng);
  }

  VerifiedEvent list(std::vector<KnownGoodEntry> entries, std::int64_t at = kNow - 100,
                     std::int64_t life_s = 86'400, const std::string& name = "list") {
    return verified(event(std::move(entries), at, life_s, name));
  }

  [[nodiscard]] std::string npub() const { return nip19::encode(nip19::Npub{key.public_key()}); }

  Keypair key;
  SystemRng rng;
};

class KnownGoodBookTest : public ::testing::Test {
 protected:
  KnownGoodBookTest() {
    policy_.tdx.accept_simulated = true;
    policy_.lists.trusted = {a_.key.public_key(), b_.key.public_key()};
  }

  Verdict judge(const KnownGoodBook& book, std::string_view model = "m") {
    policy_.tdx.acceptance.auditors_min = policy_.lists.auditors_min;
    book.apply_to(policy_);
    const attestation::Simulator sim = attestation::test::simulator();
    return attestation::verify(attestation::test::sound_evidence(sim),
                               attestation::test::statement(), attestation::test::roots_of(sim),
                               kNow, policy_for_model(policy_, model, false));
  }

  Auditor a_{"auditor a"};
  Auditor b_{"auditor b"};
  VerifyPolicy policy_;
};

TEST_F(KnownGoodBookTest, OnlyTrustedKeysCountAndOnlyTheirNewestVersion) {
  KnownGoodBook book(policy_.lists);
  Auditor stranger("stranger");
  EXPECT_EQ(book.add(stranger.list({image()}), kNow), Outcome::Untrusted);
  EXPECT_EQ(book.add(a_.list({image()}, kNow), kNow), Outcome::Taken);
  EXPECT_EQ(book.add(a_.list({}, kNow - 1), kNow), Outcome::Older);
  EXPECT_EQ(status_of(judge(book), "measurements"), CheckStatus::Passed);
  EXPECT_EQ(book.add(a_.list({}, kNow + 1), kNow), Outcome::Taken);
  EXPECT_EQ(book.lists().size(), 1U);
  EXPECT_EQ(status_of(judge(book), "measurements"), CheckStatus::NotChecked);
  EXPECT_EQ(book.add(a_.list({image()}, kNow + 901), kNow), Outcome::FromFuture);
  SystemRng rng;
  EXPECT_EQ(book.add(verified(sign_event({kNow, kinds::kKnownGood, {}, ""}, a_.key, rng)), kNow),
            Outcome::Malformed);
}

TEST_F(KnownGoodBookTest, OfOneSecondTheLowerIdCountsWhicheverComesFirst) {
  const auto one = a_.list({image()}, kNow);
  const auto two = a_.list({weights_of("m")}, kNow);
  const EventId lower = std::min(one.event().id, two.event().id);
  for (const auto* first : {&one, &two}) {
    KnownGoodBook book(policy_.lists);
    book.add(*first, kNow);
    book.add(first == &one ? two : one, kNow);
    ASSERT_EQ(book.lists().size(), 1U);
    EXPECT_EQ(book.lists().begin()->second.event.id, lower);
  }
}

TEST_F(KnownGoodBookTest, TheVerdictNamesWhoVouchedAndKofNMust) {
  KnownGoodBook book(policy_.lists);
  book.add(a_.list({image(), weights_of("m")}), kNow);
  const Verdict one = judge(book);
  EXPECT_THAT(one.find("measurements")->found, HasSubstr("known to " + a_.npub()));
  EXPECT_EQ(status_of(one, "model"), CheckStatus::Passed);
  EXPECT_EQ(one.level, attestation::Level::Declared) << "simulated evidence stays declared";
  EXPECT_LE(one.holds_until, kNow - 100 + 86'400);

  policy_.lists.auditors_min = 2;
  policy_.tdx.level_min = attestation::Level::ImageMeasured;
  const Verdict lonely = judge(book);
  EXPECT_EQ(status_of(lonely, "measurements"), CheckStatus::Failed);
  EXPECT_THAT(lonely.find("measurements")->found, HasSubstr("only to " + a_.npub()));
  // A second list of the same auditor is no second auditor.
  book.add(a_.list({image()}, kNow, 86'400, "other"), kNow);
  EXPECT_EQ(status_of(judge(book), "measurements"), CheckStatus::Failed);
  book.add(b_.list({image()}), kNow);
  const Verdict both = judge(book);
  EXPECT_EQ(status_of(both, "measurements"), CheckStatus::Passed);
  EXPECT_THAT(both.find("measurements")->found, HasSubstr(b_.npub()));
}

TEST_F(KnownGoodBookTest, WeightsAreKnownForTheModelTheyAreOf) {
  KnownGoodBook book(policy_.lists);
  book.add(a_.list({image(), weights_of("small")}), kNow);
  EXPECT_EQ(status_of(judge(book, "small"), "model"), CheckStatus::Passed);
  policy_.tdx.level_min = attestation::Level::WeightsMeasured;
  EXPECT_EQ(status_of(judge(book, "large"), "model"), CheckStatus::Failed);
}

TEST_F(KnownGoodBookTest, ADenialWinsAndOutlivesItsList) {
  KnownGoodBook book(policy_.lists);
  book.add(a_.list({image()}), kNow);
  book.add(b_.list({image(false)}, kNow - 1000, 10), kNow);
  const Verdict verdict = judge(book);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(status_of(verdict, "denied"), CheckStatus::Failed);
  EXPECT_THAT(verdict.find("denied")->found, HasSubstr("denied by " + b_.npub() + ": we looked"));
  // A newer version of the list takes it back.
  book.add(b_.list({}, kNow, 10), kNow);
  EXPECT_TRUE(judge(book).accepted);
}

TEST_F(KnownGoodBookTest, AListVouchesUntilItEndsOrIsTooOld) {
  for (const auto& [at, life_s] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {kNow - 100, 99}, {kNow - 3601, 86'400}}) {
    policy_.lists.age_s_max = 3600;
    KnownGoodBook book(policy_.lists);
    book.add(a_.list({image()}, at, life_s), kNow);
    EXPECT_EQ(status_of(judge(book), "measurements"), CheckStatus::NotChecked);
    KnownGoodBook other(policy_.lists);
    other.add(a_.list({image()}, at + 1, life_s), kNow);
    EXPECT_EQ(status_of(judge(other), "measurements"), CheckStatus::Passed);
  }
}

TEST_F(KnownGoodBookTest, IsBoundedForEachAuditor) {
  KnownGoodBook book(policy_.lists);
  for (std::size_t i = 0; i < KnownGoodBook::kListsPerKeyMax; ++i) {
    EXPECT_EQ(book.add(a_.list({}, kNow, 10, "l" + std::to_string(i)), kNow), Outcome::Taken);
  }
  EXPECT_EQ(book.add(a_.list({}, kNow, 10, "more"), kNow), Outcome::TooMany);
  EXPECT_EQ(book.add(a_.list({}, kNow + 1, 10, "l0"), kNow), Outcome::Taken) << "a new version";
  EXPECT_EQ(book.add(b_.list({}, kNow, 10, "more"), kNow), Outcome::Taken);
}

TEST_F(KnownGoodBookTest, ComesBackFromItsFolderAndIgnoresWhatIsDamaged) {
  const TempDir folder;
  KnownGoodBook book(policy_.lists);
  book.add(a_.list({image(false)}, kNow, 86'400, "a/../../name"), kNow);
  ASSERT_TRUE(save_list(folder.path() / "known-good", book.lists().begin()->second));
  std::ofstream(folder.path() / "known-good" / "bad.json") << "{";
  std::ofstream(folder.path() / "known-good" / "x.part") << "{";
  KnownGoodBook again(policy_.lists);
  add_folder(again, folder.path() / "known-good", kNow);
  ASSERT_EQ(again.lists().size(), 1U);
  EXPECT_EQ(status_of(judge(again), "denied"), CheckStatus::Failed);
  // Who is no longer trusted is not read.
  policy_.lists.trusted = {b_.key.public_key()};
  KnownGoodBook other(policy_.lists);
  add_folder(other, folder.path() / "known-good", kNow);
  EXPECT_TRUE(other.lists().empty());
  add_folder(other, folder.path() / "none", kNow);
}

TEST_F(KnownGoodBookTest, AFileThatDoesNotCountIsAnError) {
  const TempDir folder;
  const auto file = (folder.path() / "list.json").string();
  Auditor stranger("stranger");
  policy_.lists.files = {file};
  const auto error = [&](const std::string& text) {
    std::ofstream(file, std::ios::trunc) << text;
    KnownGoodBook book(policy_.lists);
    try {
      add_files(book, policy_.lists, kNow);
    } catch (const std::runtime_error& problem) {
      return std::string(problem.what());
    }
    return std::string();
  };
  EXPECT_EQ(error(to_json(a_.event({image()})) + "\n"), "");
  EXPECT_THAT(error(to_json(stranger.event({image()}))), HasSubstr("[lists] trusted"));
  EXPECT_THAT(error("{}"), HasSubstr(file));
  Event forged = a_.event({image()});
  forged.sig.bytes[5] ^= 1;
  EXPECT_THAT(error(to_json(forged)), HasSubstr("signature is wrong"));
}

// ---- From relays --------------------------------------------------------------------------------

class TrustFeedTest : public ::testing::Test {
 protected:
  TrustFeedTest()
      : world_([](node::NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; },
               trust_of(auditor_)),
        node_(world_.relay.url()) {
    const AttestationEvent attestation = node_.attestation_of(node_.statement);
    node_.offer.attestation = attestation.digest;
    feed_ = std::make_unique<TrustFeed>(world_.user->pool, world_.user->trust, world_.clock,
                                        world_.folder.path() / "lists");
    feed_->on_change([this] { world_.user->offers.on_trust_changed(); });
    EXPECT_TRUE(world_.until([&] { return feed_->complete() && world_.user->offers.complete(); }));
    world_.relay.inject(node_.signed_attestation(attestation));
    world_.relay.inject(node_.signed_offer());
    EXPECT_TRUE(
        world_.until([&] { return !book().usable().empty() || !book().rejected().empty(); }));
  }

  static TrustSettings trust_of(const Auditor& auditor) {
    TrustSettings trust = test::test_trust();
    trust.policy.lists.trusted = {auditor.key.public_key()};
    return trust;
  }

  OfferBook& book() { return world_.user->offers; }

  void publish(const Event& event) { world_.relay.inject(event); }

  Auditor auditor_{"auditor"};
  test::World world_;
  test::HandMadeNode node_;
  std::unique_ptr<TrustFeed> feed_;
};

TEST_F(TrustFeedTest, AListThatArrivesChangesTheVerdictAtOnceAndIsKept) {
  ASSERT_EQ(book().usable().size(), 1U);
  const std::string ppid = book().usable()[0]->verdict().platform_id.ppid;
  const std::int64_t now_s = world_.clock.unix_s();
  publish(auditor_.event({{false, KnownSubject::Machine, {{"ppid", ppid}}, "", "sold"}}, now_s));
  ASSERT_TRUE(world_.until([&] { return book().usable().empty(); }));
  EXPECT_THAT(book().rejected()[0].reason, HasSubstr("denied"));

  // Another run with a relay that hides the list.
  world_.relay.forget_stored();
  TrustSettings trust = trust_of(auditor_);
  const TrustFeed again(world_.user->pool, trust, world_.clock, world_.folder.path() / "lists");
  ASSERT_EQ(trust.policy.tdx.acceptance.lists.size(), 1U);
  EXPECT_FALSE(trust.policy.tdx.acceptance.lists[0].entries[0].allow);
}

TEST_F(TrustFeedTest, AListOfAStrangerChangesNothing) {
  Auditor stranger("stranger");
  const std::string ppid = book().usable().at(0)->verdict().platform_id.ppid;
  publish(stranger.event({{false, KnownSubject::Machine, {{"ppid", ppid}}, "", "envy"}},
                         world_.clock.unix_s()));
  test::run_for(world_.loop, 100);
  EXPECT_EQ(book().usable().size(), 1U);
  EXPECT_TRUE(feed_->book().lists().empty());
}

TEST(TrustFeedBeacon, AnotherEventOfTheKeyIsNone) {
  Auditor beacon("beacon");
  TrustSettings trust = test::test_trust();
  trust.policy.beacons = {beacon.key.public_key()};
  test::World world([](node::NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; },
                    trust);
  TrustFeed feed(world.user->pool, world.user->trust, world.clock, world.folder.path() / "lists");
  const std::int64_t now_s = world.clock.unix_s();
  // What anybody could have foreseen: a note, and a beacon without its random bytes.
  EventDraft bare = build_beacon(now_s, {});
  bare.tags = {};
  bare.tags.add({"v", "1"});
  world.relay.inject(sign_event({now_s, 1, {}, "the time"}, beacon.key, beacon.rng));
  world.relay.inject(sign_event(std::move(bare), beacon.key, beacon.rng));
  world.relay.inject(sign_event(build_beacon(now_s, {}), beacon.key, beacon.rng));
  const auto& known = world.user->trust.policy.tdx.acceptance.beacons;
  ASSERT_TRUE(world.until([&] { return !known.empty(); }));
  EXPECT_EQ(known.size(), 1U);
}

TEST(TrustFeedBeacon, EvidenceOverAFreshBeaconIsTakenWhenItArrives) {
  Auditor beacon("beacon");
  TrustSettings trust = test::test_trust();
  trust.policy.beacons = {beacon.key.public_key()};
  trust.policy.tdx.acceptance.require_beacon = true;
  test::World world([](node::NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; },
                    trust);
  TrustFeed feed(world.user->pool, world.user->trust, world.clock, world.folder.path() / "lists");
  feed.on_change([&] { world.user->offers.on_trust_changed(); });
  ASSERT_TRUE(world.until([&] { return feed.complete() && world.user->offers.complete(); }));
  test::HandMadeNode node(world.relay.url());
  const Event tick = sign_event(build_beacon(world.clock.unix_s(), sha256(as_bytes("drawn"))),
                                beacon.key, beacon.rng);
  node.statement.nonce = tick.id.bytes;
  const AttestationEvent attestation = node.attestation_of(node.statement);
  node.offer.attestation = attestation.digest;
  world.relay.inject(node.signed_attestation(attestation));
  world.relay.inject(node.signed_offer());
  ASSERT_TRUE(world.until([&] { return !world.user->offers.rejected().empty(); }));
  EXPECT_THAT(world.user->offers.rejected()[0].reason, HasSubstr("freshness"));
  world.relay.inject(tick);
  EXPECT_TRUE(world.until([&] { return !world.user->offers.usable().empty(); }));
}

}  // namespace
}  // namespace nostril::client
