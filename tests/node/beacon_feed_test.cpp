// A node that follows beacons: what its evidence is over, when it is made anew, and what becomes of
// its offers when the beacons stop.
#include "node/beacon_feed.h"

#include "base/hex.h"
#include "client/trust_feed.h"
#include "events/kinds.h"
#include "events/nip19.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::chat;
using test::World;

constexpr std::int64_t kRefreshS = 60;
constexpr std::int64_t kAgeSMax = 300;

/// Signs beacons of any date.
struct Witness {
  explicit Witness() : key(Keypair::generate(rng)) {}

  [[nodiscard]] std::string npub() const { return nip19::encode(nip19::Npub{key.public_key()}); }

  [[nodiscard]] Event beat(std::int64_t at_s) {
    Digest random;
    rng.fill(random.bytes);
    return sign_event(build_beacon(at_s, random), key, rng);
  }

  SystemRng rng;
  Keypair key;
};

class BeaconOffers : public ::testing::Test {
 protected:
  BeaconOffers()
      : world_(
            [this](NodeConfig& config) {
              config.freshness.beacons = {first_.npub(), second_.npub()};
              config.freshness.refresh_s = kRefreshS;
              config.freshness.beacon_age_s_max = kAgeSMax;
            },
            trust()) {}

  /// Demands a beacon of the first witness.
  client::TrustSettings trust() {
    client::TrustSettings out = test::test_trust();
    out.policy.beacons = {first_.key.public_key()};
    out.policy.tdx.acceptance.require_beacon = true;
    out.policy.tdx.acceptance.beacon_age_s_max = kAgeSMax;
    return out;
  }

  void SetUp() override {
    feed_ = std::make_unique<client::TrustFeed>(world_.user->pool, world_.user->trust, world_.clock,
                                                world_.folder.path() / "lists");
    feed_->on_change([this] { world_.user->offers.on_trust_changed(); });
  }

  EventId beat(Witness& witness, std::int64_t at_s) {
    const Event event = witness.beat(at_s);
    world_.relay.inject(event);
    return event.id;
  }

  /// An attestation over that id is on the relay.
  [[nodiscard]] bool offered_over(const EventId& id) const {
    const auto is_over = [&](const Event& event) {
      if (event.kind != kinds::kAttestation) return false;
      const auto attestation = parse_attestation(event);
      return attestation && attestation->nonce.bytes == id.bytes;
    };
    return std::ranges::any_of(world_.relay.seen(), is_over);
  }

  [[nodiscard]] std::int64_t now_s() const { return world_.clock.unix_s(); }

  Witness first_;
  Witness second_;
  World world_;
  std::unique_ptr<client::TrustFeed> feed_;
};

TEST_F(BeaconOffers, AreRefusedUntilTheirEvidenceIsOverABeacon) {
  ASSERT_TRUE(world_.until([&] { return !world_.user->offers.rejected().empty(); }));
  EXPECT_NE(world_.user->offers.rejected()[0].reason.find("freshness"), std::string::npos);
  const EventId id = beat(first_, now_s());
  ASSERT_TRUE(world_.wait_for_offer());
  EXPECT_TRUE(offered_over(id));
  const auto answer = world_.ask(chat("x", false));
  ASSERT_TRUE(world_.finish(answer));
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
}

TEST_F(BeaconOffers, AreMadeAnewOverALaterBeaconAndTheOldOnesAreStillServed) {
  beat(first_, now_s());
  ASSERT_TRUE(world_.wait_for_offer());
  const auto old = world_.offer();
  const EventId soon = beat(first_, now_s() + kRefreshS - 10);
  const EventId later = beat(first_, now_s() + kRefreshS + 10);
  ASSERT_TRUE(world_.until([&] { return world_.offer()->offer().id != old->offer().id; }));
  EXPECT_TRUE(offered_over(later));
  EXPECT_FALSE(offered_over(soon));
  EXPECT_EQ(world_.offer()->offer().encryption_key, old->offer().encryption_key);
  const auto answer = world_.query(chat("x", false), std::nullopt, old);
  ASSERT_TRUE(world_.finish(answer));
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->result->record->offer, old->offer().id);
}

TEST_F(BeaconOffers, GoOnWhenTheBeaconsStopButAreRefusedAsStale) {
  beat(first_, now_s());
  ASSERT_TRUE(world_.wait_for_offer());
  world_.clock.set_date(now_s() + kAgeSMax + 5);
  EXPECT_EQ(world_.offer(), nullptr);
  // The next key's evidence is over random bytes: it is offered all the same.
  const std::size_t before = world_.relay.seen_count(kinds::kOffer);
  world_.clock.set_date(now_s() + world_.config.limits.key_life_s / 2);
  ASSERT_TRUE(world_.until([&] { return world_.relay.seen_count(kinds::kOffer) > before; }));
  ASSERT_TRUE(world_.until([&] { return !world_.user->offers.rejected().empty(); }));
  EXPECT_NE(world_.user->offers.rejected()[0].reason.find("freshness"), std::string::npos);
  EXPECT_EQ(world_.offer(), nullptr);
  // And taken again when they are back.
  beat(first_, now_s());
  EXPECT_TRUE(world_.wait_for_offer());
}

TEST_F(BeaconOffers, TakeTheNextWitnessWhileTheFirstIsSilent) {
  const EventId other = beat(second_, now_s());
  ASSERT_TRUE(world_.until([&] { return offered_over(other); }));
  EXPECT_EQ(world_.offer(), nullptr) << "the client trusts the first only";
  const EventId id = beat(first_, now_s() + kRefreshS);
  beat(second_, now_s() + 2 * kRefreshS);
  ASSERT_TRUE(world_.wait_for_offer());
  EXPECT_TRUE(offered_over(id));
}

TEST_F(BeaconOffers, IgnoreWhatAStrangerSignsAndWhatIsDatedFarAhead) {
  Witness stranger;
  const EventId strange = beat(stranger, now_s());
  const EventId ahead = beat(first_, now_s() + 3'600);
  const EventId right = beat(first_, now_s());
  ASSERT_TRUE(world_.until([&] { return offered_over(right); }));
  EXPECT_FALSE(offered_over(strange));
  EXPECT_FALSE(offered_over(ahead));
}

TEST(BeaconSettings, RefuseWhatIsNoKeyAndARefreshBeyondTheAge) {
  NodeConfig config;
  EXPECT_EQ(config.problem(), std::nullopt);
  config.freshness.beacons = {std::string(64, 'a')};
  EXPECT_TRUE(config.problem());
  config.freshness.beacons = {Witness().npub()};
  EXPECT_EQ(config.problem(), std::nullopt);
  config.freshness.beacons.resize(17, config.freshness.beacons[0]);
  EXPECT_TRUE(config.problem());
  config.freshness.beacons.resize(1);
  config.freshness.refresh_s = config.freshness.beacon_age_s_max;
  EXPECT_TRUE(config.problem());
}

}  // namespace
}  // namespace nostril::node
