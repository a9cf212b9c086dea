#include "events/nip98.h"

#include "base/base64.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace nostril {

namespace {

constexpr std::int64_t kNow = 1'790'000'000;
constexpr std::string_view kUrl = "https://node.example:8443/v1/chat/completions";

class Nip98 : public testing::Test {
 protected:
  EventDraft draft() {
    return {kNow,
            kNip98Kind,
            {{"u", kUrl}, {"method", "POST"}, {"payload", encode_hex(sha256("body"))}},
            ""};
  }

  std::string header(EventDraft from) {
    return encode_base64(as_bytes(to_json(sign_event(std::move(from), key_, rng_))));
  }

  Result<Nip98Token, Nip98Error> read(std::string_view base64, std::int64_t now_s = kNow) {
    return read_nip98(base64, {kUrl, "POST"}, now_s, verifier_);
  }

  Nip98Error error_of(EventDraft from, std::int64_t now_s = kNow) {
    const auto got = read(header(std::move(from)), now_s);
    EXPECT_FALSE(got);
    return got ? Nip98Error::TooMany : got.error();
  }

  SystemRng rng_;
  Keypair key_ = Keypair::generate(rng_);
  Verifier verifier_;
};

TEST_F(Nip98, ReadsWhatItsKeySigned) {
  const auto token = read(header(draft()));
  ASSERT_TRUE(token) << to_string(token.error());
  EXPECT_EQ(token->pubkey, key_.public_key());
  EXPECT_TRUE(check_payload(*token, sha256("body")));
}

TEST_F(Nip98, MethodMayBeInLowercase) {
  EventDraft from = draft();
  from.tags = {{"u", kUrl}, {"method", "post"}};
  EXPECT_TRUE(read(header(from)));
}

TEST_F(Nip98, RefusesOtherTargets) {
  const std::string url(kUrl);
  for (const std::string& other :
       {url + "/", url + "?", url.substr(0, url.size() - 1), "http" + url.substr(5),
        std::string("https://evil.example/v1")}) {
    EventDraft from = draft();
    from.tags = {{"u", other}, {"method", "POST"}};
    EXPECT_EQ(error_of(from), Nip98Error::WrongTarget) << other;
  }
  EventDraft from = draft();
  from.tags = {{"u", kUrl}, {"method", "GET"}};
  EXPECT_EQ(error_of(from), Nip98Error::WrongTarget);
}

TEST_F(Nip98, RefusesTagsThatMissOrStandTwice) {
  const std::string hash = encode_hex(sha256("body"));
  const std::vector<Tags> bad = {
      {{"method", "POST"}},
      {{"u", kUrl}},
      {{"u"}, {"method", "POST"}},
      {{"u", kUrl}, {"u", kUrl}, {"method", "POST"}},
      {{"u", kUrl}, {"method", "POST"}, {"method", "POST"}},
      {{"u", kUrl}, {"method", "POST"}, {"payload", hash}, {"payload", hash}},
      {{"u", kUrl}, {"method", "POST"}, {"payload"}},
      {{"u", kUrl}, {"method", "POST"}, {"payload", hash.substr(1)}},
      {{"u", kUrl}, {"method", "POST"}, {"payload", "Z" + hash.substr(1)}},
  };
  for (const Tags& tags : bad) {
    EventDraft from = draft();
    from.tags = tags;
    EXPECT_EQ(error_of(from), Nip98Error::BadForm);
  }
}

TEST_F(Nip98, RefusesWhatIsOutOfTime) {
  EXPECT_TRUE(read(header(draft()), kNow + kNip98PastSeconds));
  EXPECT_EQ(error_of(draft(), kNow + kNip98PastSeconds + 1), Nip98Error::OutOfTime);
  EXPECT_TRUE(read(header(draft()), kNow - kNip98FutureSeconds));
  EXPECT_EQ(error_of(draft(), kNow - kNip98FutureSeconds - 1), Nip98Error::OutOfTime);
}

TEST_F(Nip98, RefusesOtherKindsFormsAndSignatures) {
  EventDraft from = draft();
  from.kind = 22242;
  EXPECT_EQ(error_of(from), Nip98Error::BadForm);
  const std::string good = header(draft());
  for (const std::string& bad :
       {std::string(), good.substr(1), good + "=", " " + good, good.substr(0, 40),
        encode_base64(as_bytes("{}")), std::string(kNip98BytesMax + 4, 'A')}) {
    const auto got = read(bad);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), Nip98Error::BadForm);
  }
  Event forged = sign_event(draft(), key_, rng_);
  forged.sig.bytes[40] ^= 1U;
  const auto got = read(encode_base64(as_bytes(to_json(forged))));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), Nip98Error::BadSignature);
}

TEST_F(Nip98, BindsTheBody) {
  const auto token = read(header(draft()));
  ASSERT_TRUE(token);
  EXPECT_FALSE(check_payload(*token, sha256("another body")));
  EXPECT_FALSE(check_payload(*token, std::nullopt));
  EventDraft from = draft();
  from.tags = {{"u", kUrl}, {"method", "POST"}};
  const auto without = read(header(from));
  ASSERT_TRUE(without);
  EXPECT_FALSE(check_payload(*without, sha256("body")));
  EXPECT_TRUE(check_payload(*without, std::nullopt));
}

Nip98Token token_at(std::int64_t created_at, std::string_view name = "t") {
  Nip98Token out;
  out.id.bytes = sha256(name).bytes;
  out.created_at = created_at;
  return out;
}

TEST(Nip98Replays, TakesEachTokenOnce) {
  Nip98Replays replays(kNow - 1000);
  EXPECT_TRUE(replays.admit(token_at(kNow), kNow));
  EXPECT_EQ(replays.admit(token_at(kNow), kNow).error(), Nip98Error::Repeated);
  EXPECT_EQ(replays.admit(token_at(kNow), kNow + kNip98PastSeconds).error(), Nip98Error::Repeated);
  EXPECT_TRUE(replays.admit(token_at(kNow, "u"), kNow));
}

TEST(Nip98Replays, TakesNothingThatARestartMayHaveForgotten) {
  Nip98Replays replays(kNow);
  EXPECT_FALSE(replays.admit(token_at(kNow + kNip98FutureSeconds), kNow));
  EXPECT_TRUE(replays.admit(token_at(kNow + kNip98FutureSeconds + 1), kNow + 1));
}

TEST(Nip98Replays, TakesNothingAgainWhenTheClockIsSetBack) {
  Nip98Replays replays(kNow - 1000);
  ASSERT_TRUE(replays.admit(token_at(kNow), kNow));
  ASSERT_TRUE(replays.admit(token_at(kNow + 3600, "later"), kNow + 3600));
  EXPECT_EQ(replays.admit(token_at(kNow), kNow).error(), Nip98Error::Repeated);
}

TEST(Nip98Replays, RefusesWhenFullAndForgetsWhatIsOutOfTime) {
  Nip98Replays replays(kNow - 1000, 2);
  EXPECT_TRUE(replays.admit(token_at(kNow, "a"), kNow));
  EXPECT_TRUE(replays.admit(token_at(kNow, "b"), kNow));
  EXPECT_EQ(replays.admit(token_at(kNow, "c"), kNow).error(), Nip98Error::TooMany);
  const std::int64_t later = kNow + kNip98PastSeconds + 1;
  EXPECT_TRUE(replays.admit(token_at(later, "c"), later));
}

}  // namespace

}  // namespace nostril
