#include "settlement/lightning/bolt11.h"

#include "base/hex.h"
#include "base/json.h"
#include "tests/support/bolt11_maker.h"
#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

namespace nostril::settlement::lightning {
namespace {

using test::Bolt11Maker;

EcdsaKey payee_key() {
  return *EcdsaKey::from_secret(SecretBytes<32>(Digest{{7}}.bytes));
}

CompressedPublicKey compressed(const EcdsaPublicKey& key) {
  CompressedPublicKey out;
  out.bytes[0] = (key.bytes[64] & 1U) != 0 ? 3 : 2;
  std::copy_n(key.bytes.begin() + 1, 32, out.bytes.begin() + 1);
  return out;
}

Bolt11Error error_of(const Bolt11Maker& maker) {
  const auto parsed = parse_bolt11(maker.sign(payee_key()));
  EXPECT_FALSE(parsed.has_value());
  return parsed ? Bolt11Error{255} : parsed.error();
}

std::optional<Msat> amount_of(const std::string& prefix) {
  const auto parsed = parse_bolt11(Bolt11Maker(prefix).required().sign(payee_key()));
  EXPECT_TRUE(parsed.has_value() || parsed.error() == Bolt11Error::BadAmount) << prefix;
  return parsed ? parsed->amount : std::nullopt;
}

TEST(Bolt11, ReadsWhatWasWritten) {
  Bytes hop = {2};
  hop.resize(33, 0x11);
  for (const int byte : {0, 0, 1, 0, 2, 0, 3, 0}) hop.push_back(static_cast<std::uint8_t>(byte));
  for (const int byte : {0, 0, 0, 9, 0, 0, 1, 0, 0, 40})
    hop.push_back(static_cast<std::uint8_t>(byte));
  const auto parsed = parse_bolt11(Bolt11Maker("lnbcrt2500u")
                                       .required()
                                       .field('x', {1, 28})
                                       .field('c', {4, 0})
                                       .field('9', {16, 8, 0})
                                       .bytes('r', hop)
                                       .bytes('m', Bytes{1, 2, 3})
                                       .sign(payee_key()));
  ASSERT_TRUE(parsed.has_value()) << to_string(parsed.error());
  EXPECT_EQ(parsed->network, Network::Regtest);
  EXPECT_EQ(parsed->amount, 250'000'000U);
  EXPECT_EQ(parsed->created_at, 1'700'000'000);
  EXPECT_EQ(parsed->expires_at(), 1'700'000'060);
  EXPECT_EQ(parsed->payment_hash, Digest{{1}});
  EXPECT_EQ(parsed->payment_secret, Digest{{2}});
  EXPECT_EQ(parsed->description, "coffee");
  EXPECT_EQ(parsed->min_final_cltv, 128U);
  EXPECT_EQ(parsed->features, (std::vector<std::uint32_t>{8, 14}));
  EXPECT_EQ(parsed->metadata, (Bytes{1, 2, 3}));
  ASSERT_EQ(parsed->routes.size(), 1U);
  ASSERT_EQ(parsed->routes[0].size(), 1U);
  const RouteHop& first = parsed->routes[0][0];
  EXPECT_EQ(first.channel, 0x0000010002000300U);
  EXPECT_EQ(first.fee_base_msat, 9U);
  EXPECT_EQ(first.fee_millionths, 256U);
  EXPECT_EQ(first.cltv_delta, 40U);
  EXPECT_EQ(parsed->payee, compressed(payee_key().public_key()));
}

TEST(Bolt11, ReadsAmountsExactly) {
  EXPECT_EQ(amount_of("lnbc"), std::nullopt);
  EXPECT_EQ(amount_of("lnbc1"), 100'000'000'000U);
  EXPECT_EQ(amount_of("lnbc20m"), 2'000'000'000U);
  EXPECT_EQ(amount_of("lnbc2500u"), 250'000'000U);
  EXPECT_EQ(amount_of("lnbc1n"), 100U);
  EXPECT_EQ(amount_of("lnbc9678785340p"), 967'878'534U);
  EXPECT_EQ(amount_of("lnbc21000000"), kMsatMax);
  for (const char* bad : {"lnbc0", "lnbc01u", "lnbc1p", "lnbc15p", "lnbc1x", "lnbc21000001",
                          "lnbc99999999999999999999999999999999999999999", "lnbc1uu", "lnbc1-"}) {
    EXPECT_FALSE(parse_bolt11(Bolt11Maker(bad).required().sign(payee_key())).has_value()) << bad;
  }
}

TEST(Bolt11, RefusesAFieldThatIsMissing) {
  const Digest one{{1}};
  EXPECT_EQ(error_of(Bolt11Maker().bytes('s', one.bytes).text('d', "")), Bolt11Error::MissingField);
  EXPECT_EQ(error_of(Bolt11Maker().bytes('p', one.bytes).text('d', "")), Bolt11Error::MissingField);
  EXPECT_EQ(error_of(Bolt11Maker().bytes('p', one.bytes).bytes('s', one.bytes)),
            Bolt11Error::MissingField);
}

TEST(Bolt11, RefusesAFieldThatStandsTwice) {
  const Digest other{{9}};
  for (const char letter : {'p', 's', 'd'}) {
    EXPECT_EQ(error_of(Bolt11Maker().required().bytes(letter, other.bytes)),
              Bolt11Error::DoubleField)
        << letter;
  }
  for (const char letter : {'x', 'c', 'm', '9'}) {
    const Bytes zeros = {0, 0};
    EXPECT_EQ(error_of(Bolt11Maker().required().field(letter, zeros).field(letter, zeros)),
              Bolt11Error::DoubleField)
        << letter;
  }
  EXPECT_EQ(error_of(Bolt11Maker().required().bytes('h', other.bytes)), Bolt11Error::MissingField)
      << "a description and its hash";
}

TEST(Bolt11, SkipsFieldsOfAnotherLengthAndOfUnknownNames) {
  const auto parsed = parse_bolt11(Bolt11Maker()
                                       .required()
                                       .field('p', Bytes(51, 0))
                                       .field('s', Bytes(53, 0))
                                       .field('h', Bytes(10, 0))
                                       .field('n', Bytes(52, 0))
                                       .field('q', Bytes(3, 1))
                                       .sign(payee_key()));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->payment_hash, Digest{{1}});
}

TEST(Bolt11, RefusesWhatEndsBehindTheData) {
  EXPECT_EQ(error_of(Bolt11Maker().required().raw({13, 31, 31, 0})), Bolt11Error::BadField);
  EXPECT_EQ(error_of(Bolt11Maker().required().raw({13, 0})), Bolt11Error::BadField);
  EXPECT_EQ(error_of(Bolt11Maker().required().bytes('r', Bytes(50, 2))), Bolt11Error::BadField);
  EXPECT_EQ(error_of(Bolt11Maker().required().bytes('r', {})), Bolt11Error::BadField);
  EXPECT_EQ(error_of(Bolt11Maker().required().field('m', {1})), Bolt11Error::BadField)
      << "padding that is not zero";
}

TEST(Bolt11, RefusesNumbersOutOfRange) {
  EXPECT_EQ(error_of(Bolt11Maker().required().field('x', Bytes(20, 31))), Bolt11Error::BadNumber);
  EXPECT_EQ(error_of(Bolt11Maker().required().field('c', {2, 0, 0, 0})), Bolt11Error::BadNumber);
}

TEST(Bolt11, RefusesFeaturesThatMustBeUnderstood) {
  for (const std::size_t bit :
       {std::size_t{0}, std::size_t{20}, std::size_t{100}, std::size_t{2000}}) {
    Bytes groups(bit / 5 + 1, 0);
    groups[0] = static_cast<std::uint8_t>(1U << (bit % 5));
    EXPECT_EQ(error_of(Bolt11Maker().required().field('9', groups)), Bolt11Error::BadFeature)
        << bit;
  }
  const auto odd =
      parse_bolt11(Bolt11Maker().required().field('9', {1, 0, 0, 0, 0}).sign(payee_key()));
  EXPECT_FALSE(odd.has_value());  // bit 20
  const auto fine =
      parse_bolt11(Bolt11Maker().required().field('9', {2, 0, 0, 0, 0}).sign(payee_key()));
  ASSERT_TRUE(fine.has_value());
  EXPECT_EQ(fine->features, (std::vector<std::uint32_t>{21}));
}

TEST(Bolt11, ChecksTheSignatureAgainstTheNamedPayee) {
  const CompressedPublicKey right = compressed(payee_key().public_key());
  const auto parsed =
      parse_bolt11(Bolt11Maker().required().bytes('n', right.bytes).sign(payee_key()));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->payee, right);
  const EcdsaKey other = *EcdsaKey::from_secret(SecretBytes<32>(Digest{{8}}.bytes));
  EXPECT_EQ(parse_bolt11(Bolt11Maker().required().bytes('n', right.bytes).sign(other)).error(),
            Bolt11Error::BadSignature);
  CompressedPublicKey no_point = right;
  no_point.bytes[0] = 5;
  EXPECT_EQ(error_of(Bolt11Maker().required().bytes('n', no_point.bytes)),
            Bolt11Error::BadSignature);
}

TEST(Bolt11, RefusesEveryChangedCharacter) {
  const std::string good = Bolt11Maker().required().sign(payee_key());
  ASSERT_TRUE(parse_bolt11(good).has_value());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == 'q' ? 'p' : 'q';
    EXPECT_FALSE(parse_bolt11(bad).has_value()) << i;
    EXPECT_FALSE(parse_bolt11(good.substr(0, i)).has_value()) << i;
  }
  EXPECT_EQ(parse_bolt11(std::string(Bolt11Limits::kCharactersMax + 1, 'q')).error(),
            Bolt11Error::BadBech32);
}

TEST(Bolt11, OneCaseOnly) {
  const std::string good = Bolt11Maker().required().sign(payee_key());
  std::string upper = good;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_EQ(*parse_bolt11(upper), *parse_bolt11(good));
  std::string mixed = good;
  mixed[0] = 'L';
  EXPECT_EQ(parse_bolt11(mixed).error(), Bolt11Error::BadBech32);
}

TEST(Bolt11, TooShort) {
  EXPECT_EQ(parse_bolt11(Bolt11Maker().unsigned_text()).error(), Bolt11Error::TooShort);
}

TEST(Bolt11, JudgesTheExamplesOfTheSpecification) {
  REQUIRE_SHARED("vectors/bolt11/examples.json");
  const auto file = Json::parse(test::read_file(test::shared_path("vectors/bolt11/examples.json")));
  ASSERT_TRUE(file.has_value());
  const auto payee = from_hex<CompressedPublicKey>(*file->find_string("payee_node_id"));
  ASSERT_TRUE(payee.has_value());
  std::size_t count = 0;
  for (const Json& one : file->find("valid")->items()) {
    const auto parsed = parse_bolt11(*one.find_string("invoice"));
    const std::string_view name = *one.find_string("description");
    ASSERT_TRUE(parsed.has_value()) << name << ": " << to_string(parsed.error());
    ++count;
    EXPECT_EQ(parsed->payee == *payee, name != "Public-key recovery with high-S signature") << name;
    if (name.starts_with("On mainnet, with fallback address 1Rusty")) {
      ASSERT_EQ(parsed->routes.size(), 1U);
      EXPECT_EQ(parsed->routes[0].size(), 2U);
      EXPECT_EQ(parsed->routes[0][1].cltv_delta, 4U);
    }
    if (name.starts_with("Please send 0.00967878534")) {
      EXPECT_EQ(parsed->amount, 967'878'534U);
    }
    if (name.starts_with("Please send $3 ")) {
      EXPECT_EQ(parsed->amount, 250'000'000U);
      EXPECT_EQ(parsed->expiry_s, 60);
      EXPECT_EQ(parsed->description, "1 cup coffee");
      EXPECT_EQ(parsed->created_at, 1'496'314'658);
    }
  }
  EXPECT_EQ(count, 16U);
  count = 0;
  for (const Json& one : file->find("invalid")->items()) {
    EXPECT_FALSE(parse_bolt11(*one.find_string("invoice")).has_value())
        << *one.find_string("description");
    ++count;
  }
  EXPECT_EQ(count, 10U);
}

}  // namespace
}  // namespace nostril::settlement::lightning
