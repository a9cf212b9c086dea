#include "settlement/usage_limit.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril::settlement {
namespace {

Offer offer_of(std::uint64_t context, std::uint64_t output) {
  Offer offer;
  offer.context_tokens = context;
  offer.output_tokens_max = output;
  return offer;
}

TEST(UsageMax, IsTheOffersContextAndOutput) {
  const Usage limit = usage_max(offer_of(32'768, 4'096), R"({"model":"m"})");
  EXPECT_EQ(limit, (Usage{32'768, 32'768, 4'096}));
}

TEST(UsageMax, ABatchMayPassTheContextButHasNoMoreTokensThanBytes) {
  const std::string body = R"({"input":[")" + std::string(50'000, 'x') + R"("]})";
  EXPECT_EQ(usage_max(offer_of(32'768, 1), body).input, body.size());
  EXPECT_EQ(usage_max(offer_of(0, 1), body).input, body.size() + kTemplateTokensMax);
}

TEST(UsageMax, TakesTheBodysOwnLimitOfTheOutput) {
  const Offer offer = offer_of(100, 4'096);
  EXPECT_EQ(usage_max(offer, R"({"max_tokens":7})").output, 7U);
  EXPECT_EQ(usage_max(offer, R"({"max_completion_tokens":7,"max_tokens":9})").output, 7U);
  EXPECT_EQ(usage_max(offer, R"({"max_tokens":9000})").output, 4'096U);
  EXPECT_EQ(usage_max(offer, R"({"max_tokens":-1})").output, 4'096U);
  EXPECT_EQ(usage_max(offer, R"({"max_tokens":null})").output, 4'096U);
}

TEST(UsageMax, CountsEachChoice) {
  const Offer offer = offer_of(100, 4'096);
  EXPECT_EQ(usage_max(offer, R"({"n":3,"max_tokens":7})").output, 21U);
  EXPECT_EQ(usage_max(offer, R"({"n":2,"best_of":5,"max_tokens":7})").output, 35U);
  EXPECT_EQ(usage_max(offer, R"({"n":1000000,"max_tokens":1})").output, kChoicesMax);
}

TEST(UsageMax, OfABodyThatIsNoneIsTheOffers) {
  EXPECT_EQ(usage_max(offer_of(100, 50), "not JSON").output, 50U);
  EXPECT_EQ(usage_max(offer_of(100, 50), "[]").output, 50U);
}

}  // namespace
}  // namespace nostril::settlement
