#include "schnorr/keys.h"

#include "schnorr/hash.h"
#include "schnorr/verify.h"
#include "tests/schnorr/vectors.h"

#include <thread>
#include <vector>

namespace nostril {

namespace {

using test::fixed;
using test::RepeatableRng;
using test::unhex;

class ConstantRng final : public Rng {
 public:
  explicit ConstantRng(std::uint8_t value) : value_(value) {}

  void fill(std::span<std::uint8_t> out) override { std::ranges::fill(out, value_); }

 private:
  std::uint8_t value_;
};

const char* const kGroupOrder = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

TEST(Keypair, HasBip340sPublicKeyAndSignature) {
  // BIP-340, vector 0.
  const auto keypair = Keypair::from_secret(unhex(std::string(63, '0') + "3"));
  ASSERT_TRUE(keypair);
  EXPECT_EQ(encode_hex(keypair->public_key()),
            "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9");
  EXPECT_EQ(encode_hex(keypair->sign_with_aux(Digest{}.span(), {})),
            "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
            "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0");
}

TEST(Keypair, RefusesWhatIsNoSecretKey) {
  EXPECT_FALSE(Keypair::from_secret(unhex(std::string(64, '0'))));
  EXPECT_FALSE(Keypair::from_secret(unhex(kGroupOrder)));
  EXPECT_FALSE(Keypair::from_secret(unhex(std::string(64, 'f'))));
  EXPECT_FALSE(Keypair::from_secret({}));
  EXPECT_FALSE(Keypair::from_secret(unhex(std::string(61, '0') + "3")));
  EXPECT_FALSE(Keypair::from_secret(unhex(std::string(65, '0') + "3")));
  std::string below = kGroupOrder;
  below.back() = '0';
  EXPECT_TRUE(Keypair::from_secret(unhex(below))) << "order - 1 is the largest key";
}

TEST(Keypair, KeepsItsSecretThroughMoveAndDuplicate) {
  RepeatableRng rng(1);
  Keypair original = Keypair::generate(rng);
  const Bytes secret(original.expose_secret().begin(), original.expose_secret().end());
  const Keypair twin = original.duplicate();
  const Keypair moved = std::move(original);
  EXPECT_TRUE(std::ranges::equal(moved.expose_secret(), secret));
  EXPECT_EQ(moved.public_key(), twin.public_key());
  EXPECT_EQ(moved.sign_with_aux(secret, {}), twin.sign_with_aux(secret, {}));
  // NOLINTNEXTLINE(bugprone-use-after-move): that nothing is left there is what is tested
  EXPECT_TRUE(std::ranges::all_of(original.expose_secret(), [](auto byte) { return byte == 0; }));
}

TEST(Keypair, SignsWithFreshRandomnessEachTime) {
  SystemRng rng;
  const Keypair keypair = Keypair::generate(rng);
  const Digest message = sha256("message");
  const Signature first = keypair.sign(message, rng);
  const Signature second = keypair.sign(message, rng);
  EXPECT_NE(first, second);
  Verifier verifier;
  EXPECT_TRUE(verifier.verify({first, message, keypair.public_key()}));
  EXPECT_TRUE(verifier.verify({second, message, keypair.public_key()}));
}

TEST(Keypair, StopsOnAGeneratorThatGivesNoKeys) {
  ConstantRng broken(0);
  EXPECT_DEATH((void)Keypair::generate(broken), "CHECK failed");
}

TEST(Keypair, SignsFromManyThreadsAtOnce) {
  SystemRng rng;
  const Keypair keypair = Keypair::generate(rng);
  std::vector<std::thread> threads;
  std::array<bool, 4> right{};
  for (bool& ok : right) {
    threads.emplace_back([&keypair, &ok] {
      SystemRng own_rng;
      Verifier verifier(16);
      ok = true;
      for (int i = 0; i < 20; ++i) {
        const Digest message = sha256(std::to_string(i));
        ok = ok && verifier.verify({keypair.sign(message, own_rng), message, keypair.public_key()});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const bool ok : right) EXPECT_TRUE(ok);
}

TEST(SharedX, IsTheSameFromBothSides) {
  RepeatableRng rng(7);
  for (int i = 0; i < 16; ++i) {
    const Keypair alice = Keypair::generate(rng);
    const Keypair bob = Keypair::generate(rng);
    const auto from_alice = alice.shared_x(bob.public_key());
    const auto from_bob = bob.shared_x(alice.public_key());
    ASSERT_TRUE(from_alice && from_bob);
    EXPECT_TRUE(equal_constant_time(from_alice->expose(), from_bob->expose()));
  }
}

TEST(SharedX, OfKeyOneIsThePeersOwnX) {
  const auto one = Keypair::from_secret(unhex(std::string(63, '0') + "1"));
  const auto peer = Keypair::from_secret(unhex(std::string(63, '0') + "7"));
  ASSERT_TRUE(one && peer);
  EXPECT_TRUE(
      std::ranges::equal(one->shared_x(peer->public_key())->expose(), peer->public_key().bytes));
}

TEST(SharedX, RefusesWhatIsNoPoint) {
  RepeatableRng rng(3);
  const Keypair keypair = Keypair::generate(rng);
  EXPECT_FALSE(keypair.shared_x(PublicKey{}));
  // BIP-340, vector 5: not on the curve. Then the field size itself.
  EXPECT_FALSE(keypair.shared_x(
      fixed<PublicKey>("eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34")));
  EXPECT_FALSE(keypair.shared_x(
      fixed<PublicKey>("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")));
}

/// The x coordinate of the uncompressed point at the end of a SubjectPublicKeyInfo for secp256k1,
/// or nothing when the structure is another one.
std::optional<PublicKey> x_of_named_curve_spki(const Bytes& spki) {
  const Bytes head = unhex("3056301006072a8648ce3d020106052b8104000a03420004");
  if (spki.size() != head.size() + 64 || !std::equal(head.begin(), head.end(), spki.begin())) {
    return std::nullopt;
  }
  return PublicKey::from(ByteSpan(spki).subspan(head.size(), 32));
}

TEST(SharedX, AgreesWithWycheproof) {
  REQUIRE_SHARED("vectors/wycheproof/ecdh_secp256k1_test.json");
  const Json document = test::load_json("vectors/wycheproof/ecdh_secp256k1_test.json");
  int checked = 0;
  for (const Json& group : document.find("testGroups")->items()) {
    for (const Json& entry : group.find("tests")->items()) {
      const auto peer = x_of_named_curve_spki(test::bytes_of(entry, "public"));
      if (!peer || entry.find_string("result") != "valid") continue;
      Bytes secret = test::bytes_of(entry, "private");
      while (secret.size() > 32 && secret.front() == 0) secret.erase(secret.begin());
      secret.insert(secret.begin(), 32 - std::min<std::size_t>(32, secret.size()), 0);
      const auto keypair = Keypair::from_secret(secret);
      ASSERT_TRUE(keypair) << entry.dump();
      // x does not depend on the point's sign, so the vector's y is not needed.
      const auto shared = keypair->shared_x(*peer);
      ASSERT_TRUE(shared) << entry.dump();
      EXPECT_EQ(encode_hex(ByteSpan(shared->expose())), test::text_of(entry, "shared"))
          << entry.dump();
      ++checked;
    }
  }
  EXPECT_GT(checked, 400);
}

}  // namespace

}  // namespace nostril
