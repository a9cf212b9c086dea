// Keys and boxes of other people's protocols, against tests/face/vectors.json, which independent
// implementations made (tests/interop/make_face_vectors.mjs).
#include "schnorr/ecdsa_key.h"
#include "schnorr/ed25519.h"
#include "schnorr/hash.h"
#include "schnorr/hpke.h"
#include "schnorr/sealed_box.h"
#include "tests/schnorr/vectors.h"
#include "tests/support/shared_data.h"

#include <utility>
#include <vector>

namespace nostril {

namespace {

using test::bytes_of;
using test::fixed_of;
using test::RepeatableRng;
using test::text_of;
using test::unhex;

Json vectors(std::string_view part) {
  auto parsed = Json::parse(test::read_source("tests/face/vectors.json"));
  CHECK(parsed.has_value());
  const Json* found = parsed->find(part);
  CHECK(found != nullptr);
  return *found;
}

SecretBytes<32> secret_from(const Bytes& bytes) {
  CHECK(bytes.size() == 32);
  return SecretBytes<32>(std::span<const std::uint8_t, 32>(bytes));
}

Ed25519Key test_ed25519() {
  return Ed25519Key::from_seed(secret_from(bytes_of(vectors("ed25519"), "seed")));
}

EcdsaKey test_ecdsa() {
  return *EcdsaKey::from_secret(secret_from(bytes_of(vectors("ecdsa"), "secret")));
}

TEST(Ed25519, SignsAsRfc8032) {
  // RFC 8032, 7.1, TEST 2.
  const auto key = Ed25519Key::from_seed(
      secret_from(unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")));
  const Bytes message{0x72};
  const Ed25519Signature signature = key.sign(message);
  EXPECT_EQ(encode_hex(signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(ed25519_verify(key.public_key(), message, signature));
  for (const std::size_t byte : {0U, 31U, 32U, 63U}) {
    Ed25519Signature changed = signature;
    changed.bytes[byte] ^= 1;
    EXPECT_FALSE(ed25519_verify(key.public_key(), message, changed));
  }
  EXPECT_FALSE(ed25519_verify(key.public_key(), Bytes{0x73}, signature));
}

TEST(Ed25519, AgreesWithAnotherImplementation) {
  const Json given = vectors("ed25519");
  const Ed25519Key key = test_ed25519();
  EXPECT_EQ(encode_hex(key.public_key()), text_of(given, "public"));
  EXPECT_EQ(encode_hex(key.sign(as_bytes(text_of(given, "message")))), text_of(given, "signature"));
  EXPECT_EQ(encode_hex(key.to_x25519().public_key()), text_of(given, "x25519_public"));
  const auto mapped = to_x25519(key.public_key());
  ASSERT_TRUE(mapped);
  EXPECT_EQ(*mapped, key.to_x25519().public_key());
}

TEST(Ed25519, MapsEveryKeyAsItsSecretDoes) {
  RepeatableRng rng(7);
  for (int i = 0; i < 64; ++i) {
    const Ed25519Key key = Ed25519Key::generate(rng);
    EXPECT_EQ(to_x25519(key.public_key()), key.to_x25519().public_key());
  }
}

TEST(Ed25519, RefusesToMapWhatIsNoPoint) {
  Ed25519PublicKey key;
  key.bytes[0] = 1;  // y = 1: the neutral element
  EXPECT_FALSE(to_x25519(key));
  key.bytes[0] = 2;  // no x for it
  EXPECT_FALSE(to_x25519(key));
  key.bytes.fill(0xff);  // y = 2^255 - 1, above p
  EXPECT_FALSE(to_x25519(key));
}

TEST(X25519, AgreesAndRefusesSmallOrder) {
  const auto alice = test_ed25519().to_x25519();
  const Digest secret = sha256("ephemeral");
  const auto bob = X25519Key::from_secret(SecretBytes<32>(secret.span()));
  const auto one = alice.shared_secret(bob.public_key());
  const auto other = bob.shared_secret(alice.public_key());
  ASSERT_TRUE(one && other);
  EXPECT_EQ(encode_hex(one->expose()), text_of(vectors("x25519"), "shared"));
  EXPECT_EQ(encode_hex(other->expose()), text_of(vectors("x25519"), "shared"));
  X25519PublicKey point;
  EXPECT_FALSE(alice.shared_secret(point));
  point.bytes[0] = 1;
  EXPECT_FALSE(alice.shared_secret(point));
}

TEST(EcdsaKey, SignsAsEthereumDoes) {
  const Json given = vectors("ecdsa");
  const EcdsaKey key = test_ecdsa();
  const std::string message = text_of(given, "message");
  EXPECT_EQ(encode_hex(key.public_key()), text_of(given, "public"));
  EXPECT_EQ(encode_hex(key.address()), text_of(given, "address"));
  const EthereumSignature signature = key.sign_personal(message);
  EXPECT_EQ(encode_hex(signature), text_of(given, "signature"));
  EXPECT_EQ(recover_personal(message, signature), key.address());
  EXPECT_NE(recover_personal(message + "!", signature), key.address());
}

TEST(EcdsaKey, RecoversNothingFromABadSignature) {
  const EcdsaKey key = test_ecdsa();
  const EthereumSignature good = key.sign_personal("text");
  EthereumSignature bad = good;
  for (const int v : {0, 1, 26, 29}) {
    bad.bytes.back() = static_cast<std::uint8_t>(v);
    EXPECT_FALSE(recover_personal("text", bad));
  }
  bad = good;
  // n - s: the same signature for most verifiers, with the other v.
  const Bytes order = unhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
  int borrow = 0;
  for (std::size_t i = 32; i-- > 0;) {
    const int difference = order[i] - good.bytes[32 + i] - borrow;
    borrow = difference < 0 ? 1 : 0;
    bad.bytes[32 + i] = static_cast<std::uint8_t>(difference + 256 * borrow);
  }
  bad.bytes.back() = good.bytes.back() == 27 ? 28 : 27;
  EXPECT_FALSE(recover_personal("text", bad));
}

TEST(EcdsaKey, RefusesWhatIsNoKeyOrPoint) {
  EXPECT_FALSE(EcdsaKey::from_secret(SecretBytes<32>()));
  EXPECT_FALSE(EcdsaKey::from_secret(
      secret_from(unhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"))));
  const EcdsaKey key = test_ecdsa();
  EcdsaPublicKey point = key.public_key();
  EXPECT_TRUE(is_point(point));
  point.bytes[64] ^= 1;
  EXPECT_FALSE(is_point(point));
  EXPECT_FALSE(key.shared_x(point));
  point = key.public_key();
  point.bytes[0] = static_cast<std::uint8_t>(6 + (point.bytes[64] & 1));  // SEC 1's hybrid form
  EXPECT_FALSE(is_point(point));
}

struct NamedBox {
  const char* name;
  BoxSuite suite;
  bool has_aad;
};

const std::vector<NamedBox>& x25519_boxes() {
  static const std::vector<NamedBox> kBoxes{
      {"x25519_aes_gcm", {BoxCipher::AesGcm, "aci.e2ee.v2.x25519"}, true},
      {"xchacha", {BoxCipher::XChaCha, "ed25519_encryption"}, false},
      {"nacl_xsalsa", {BoxCipher::NaclXSalsa, {}}, false},
      {"nacl_xchacha", {BoxCipher::NaclXChaCha, {}}, false},
      {"bare_xchacha", {BoxCipher::BareXChaCha, {}}, false},
  };
  return kBoxes;
}

/// Gives the vectors' ephemeral key first, then their nonce: a seal is then the vector.
class VectorRng final : public Rng {
 public:
  void fill(std::span<std::uint8_t> out) override {
    const Digest source = sha256(calls_++ == 0 ? "ephemeral" : "nonce");
    CHECK(out.size() <= source.bytes.size());
    std::copy_n(source.bytes.begin(), out.size(), out.begin());
  }

 private:
  int calls_ = 0;
};

TEST(SealedBox, IsByteForByteThatOfOthers) {
  const Json given = vectors("boxes");
  const X25519Key key = test_ed25519().to_x25519();
  const std::string text = text_of(given, "text");
  for (const NamedBox& box : x25519_boxes()) {
    const std::string aad = box.has_aad ? text_of(given, "aad") : "";
    VectorRng rng;
    const auto sealed = seal_box(box.suite, key.public_key(), as_bytes(aad), as_bytes(text), rng);
    ASSERT_TRUE(sealed);
    EXPECT_EQ(encode_hex(*sealed), text_of(given, box.name)) << box.name;
    const auto opened = open_box(box.suite, key, as_bytes(aad), bytes_of(given, box.name));
    ASSERT_TRUE(opened) << box.name;
    EXPECT_EQ(as_text(*opened), text);
  }
  VectorRng rng;
  const EcdsaKey ecdsa = test_ecdsa();
  const auto sealed =
      seal_ecdsa_box("ecdsa_encryption", ecdsa.public_key(), {}, as_bytes(text), rng);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(encode_hex(*sealed), text_of(given, "ecdsa"));
  const auto opened = open_ecdsa_box("ecdsa_encryption", ecdsa, {}, *sealed);
  ASSERT_TRUE(opened);
  EXPECT_EQ(as_text(*opened), text);
}

TEST(SealedBox, KeepsEverySizeOfText) {
  RepeatableRng rng(5);
  const X25519Key key = X25519Key::generate(rng);
  for (const NamedBox& box : x25519_boxes()) {
    for (const std::size_t size : {0U, 1U, 31U, 32U, 33U, 64U, 96U, 97U, 1000U}) {
      const std::string text(size, 'a');
      const auto sealed = seal_box(box.suite, key.public_key(), {}, as_bytes(text), rng);
      ASSERT_TRUE(sealed);
      const auto opened = open_box(box.suite, key, {}, *sealed);
      ASSERT_TRUE(opened) << box.name << ' ' << size;
      EXPECT_EQ(as_text(*opened), text);
    }
  }
}

TEST(SealedBox, RefusesEveryChangeAndEveryCut) {
  const Json given = vectors("boxes");
  const X25519Key key = test_ed25519().to_x25519();
  for (const NamedBox& box : x25519_boxes()) {
    const std::string aad = box.has_aad ? text_of(given, "aad") : "";
    const Bytes good = bytes_of(given, box.name);
    for (std::size_t i = 0; i < good.size(); ++i) {
      Bytes changed = good;
      changed[i] ^= 1;
      EXPECT_FALSE(open_box(box.suite, key, as_bytes(aad), changed)) << box.name << ' ' << i;
      EXPECT_FALSE(open_box(box.suite, key, as_bytes(aad), ByteSpan(good).first(i)));
    }
  }
  EXPECT_FALSE(
      open_box(x25519_boxes()[0].suite, key, as_bytes("other"), bytes_of(given, "x25519_aes_gcm")));
  const Bytes good = bytes_of(given, "ecdsa");
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes changed = good;
    changed[i] ^= 1;
    EXPECT_FALSE(open_ecdsa_box("ecdsa_encryption", test_ecdsa(), {}, changed)) << i;
    EXPECT_FALSE(open_ecdsa_box("ecdsa_encryption", test_ecdsa(), {}, ByteSpan(good).first(i)));
  }
}

TEST(Hpke, OpensWhatAnotherImplementationSealed) {
  const Json given = vectors("hpke");
  const auto key = X25519Key::from_secret(secret_from(bytes_of(given, "secret")));
  EXPECT_EQ(encode_hex(key.public_key()), text_of(given, "public"));
  auto context =
      HpkeContext::receive(key, fixed_of<X25519PublicKey>(given, "enc"), text_of(given, "info"));
  ASSERT_TRUE(context);
  const std::string aad = text_of(given, "aad");
  for (const Json& message : given.find("messages")->items()) {
    Bytes changed = bytes_of(message, "sealed");
    changed.back() ^= 1;
    EXPECT_FALSE(context->open(as_bytes(aad), changed));
    const auto text = context->open(as_bytes(aad), bytes_of(message, "sealed"));
    ASSERT_TRUE(text);
    EXPECT_EQ(as_text(*text), text_of(message, "text"));
  }
  EXPECT_EQ(encode_hex(context->export_secret(text_of(given, "export_context")).expose()),
            text_of(given, "exported"));
}

constexpr const char* kRfc9180 = "vectors/hpke/rfc9180.json";

/// The suite of RFC 9180 A.1, base mode.
TEST(Hpke, OpensTheMessagesOfItsRfc) {
  REQUIRE_SHARED(kRfc9180);
  const auto all = Json::parse(nostril::test::read_file(nostril::test::shared_path(kRfc9180)));
  ASSERT_TRUE(all);
  int tried = 0;
  for (const Json& given : all->items()) {
    const bool ours = given.find_integer("mode") == 0 && given.find_integer("kem_id") == kHpkeKem &&
                      given.find_integer("kdf_id") == kHpkeKdf &&
                      given.find_integer("aead_id") == 1;
    if (!ours) continue;
    ++tried;
    const auto key = X25519Key::from_secret(secret_from(bytes_of(given, "skRm")));
    const Bytes info = bytes_of(given, "info");
    auto context = HpkeContext::receive(key, fixed_of<X25519PublicKey>(given, "enc"), as_text(info),
                                        HpkeAead::Aes128Gcm);
    ASSERT_TRUE(context);
    // The RFC's numbers are 0, 1, 2, and then not every one.
    for (const Json& message : given.find("encryptions")->items().first(3)) {
      const auto text = context->open(bytes_of(message, "aad"), bytes_of(message, "ct"));
      ASSERT_TRUE(text);
      EXPECT_EQ(encode_hex(*text), text_of(message, "pt"));
    }
    for (const Json& exported : given.find("exports")->items()) {
      const Bytes label = bytes_of(exported, "exporter_context");
      EXPECT_EQ(encode_hex(context->export_secret(as_text(label)).expose()),
                text_of(exported, "exported_value"));
    }
  }
  EXPECT_EQ(tried, 1);
}

TEST(Hpke, SendsToItsReceiver) {
  RepeatableRng rng(11);
  const X25519Key key = X25519Key::generate(rng);
  const X25519Key ephemeral = X25519Key::generate(rng);
  auto sender = HpkeContext::send(key.public_key(), "info", ephemeral);
  auto receiver = HpkeContext::receive(key, ephemeral.public_key(), "info");
  ASSERT_TRUE(sender && receiver);
  for (const std::string text : {"one", "two"}) {
    Bytes sealed;
    sender->seal(sealed, {}, as_bytes(text));
    const auto opened = receiver->open({}, sealed);
    ASSERT_TRUE(opened);
    EXPECT_EQ(as_text(*opened), text);
    EXPECT_FALSE(receiver->open({}, sealed));  // its number has passed
  }
  EXPECT_FALSE(HpkeContext::receive(key, X25519PublicKey{}, "info"));
}

}  // namespace

}  // namespace nostril
