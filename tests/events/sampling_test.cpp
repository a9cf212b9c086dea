// What a record says of an answer's sampling: of the request and nothing else.
#include "events/sampling.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril {
namespace {

Json json(std::string_view text) {
  auto parsed = Json::parse(text);
  EXPECT_TRUE(parsed) << text;
  return std::move(*parsed);
}

TEST(Sampling, IsOneTextInOneOrderWithNumbersAsTheyWereWritten) {
  const Json body = json(
      R"({"top_k":40,"model":"m","top_p":0.90,"seed":5,"temperature":1e0,"stop":["x"],"min_p":null})");
  EXPECT_EQ(sampling_text(body, 5), R"({"seed":5,"temperature":1e0,"top_p":0.90,"top_k":40})");
  EXPECT_EQ(sampling_text(json("{}"), 0), R"({"seed":0})");
}

TEST(Sampling, RefusesParametersThatAreNoNumber) {
  EXPECT_EQ(sampling_text(json(R"({"temperature":"0.5"})"), 1), std::nullopt);
  EXPECT_EQ(sampling_text(json(R"({"top_p":[1]})"), 1), std::nullopt);
  const std::string digits(31, '1');
  EXPECT_TRUE(sampling_text(json(R"({"top_k":1)" + digits + "}"), 1));
  EXPECT_EQ(sampling_text(json(R"({"top_k":11)" + digits + "}"), 1), std::nullopt);
}

TEST(Sampling, TheLargestTextFitsARecord) {
  std::string body = "{";
  for (const char* name :
       {"temperature", "top_p", "top_k", "min_p", "typical_p", "frequency_penalty",
        "presence_penalty", "repetition_penalty", "repeat_penalty"}) {
    body += (body.size() > 1 ? ",\"" : "\"") + std::string(name) + "\":" + std::string(32, '1');
  }
  const auto text = sampling_text(json(body + "}"), kSeedMax);
  ASSERT_TRUE(text);
  EXPECT_LE(text->size(), InferenceLimits::kSamplingBytesMax);
}

TEST(Sampling, ASeedIsAskedForOrLeftToTheNode) {
  EXPECT_EQ(asked_seed(json(R"({"seed":0})")).seed, 0);
  EXPECT_EQ(asked_seed(json(R"({"seed":4294967294})")).seed, kSeedMax);
  for (const char* body : {"{}", R"({"seed":null})", R"({"seed":-1})"}) {
    EXPECT_TRUE(asked_seed(json(body)).valid) << body;
    EXPECT_EQ(asked_seed(json(body)).seed, std::nullopt) << body;
  }
  for (const char* body : {R"({"seed":4294967295})", R"({"seed":1.0})", R"({"seed":"1"})",
                           R"({"seed":12345678901234567890})", R"({"seed":true})"}) {
    EXPECT_FALSE(asked_seed(json(body)).valid) << body;
  }
}

TEST(Sampling, SuitsTheRequestItIsOf) {
  const std::string body = R"({"model":"m","seed":7,"temperature":0.5})";
  EXPECT_TRUE(sampling_suits(R"({"seed":7,"temperature":0.5})", body));
  EXPECT_FALSE(sampling_suits(R"({"seed":8,"temperature":0.5})", body)) << "another seed";
  EXPECT_FALSE(sampling_suits(R"({"seed":7,"temperature":0.50})", body)) << "another text";
  EXPECT_FALSE(sampling_suits(R"({"seed":7})", body)) << "one less";
  EXPECT_FALSE(sampling_suits(R"({"seed":7,"temperature":0.5,"top_p":1})", body)) << "one more";
  EXPECT_FALSE(sampling_suits(R"({"temperature":0.5,"seed":7})", body)) << "another order";
  EXPECT_FALSE(sampling_suits(R"({"seed":7, "temperature":0.5})", body));
  EXPECT_FALSE(sampling_suits(R"({"temperature":0.5})", body));
  EXPECT_FALSE(sampling_suits("", body));
  EXPECT_FALSE(sampling_suits("7", body));
  // A seed of the node's, where none was asked for.
  EXPECT_TRUE(sampling_suits(R"({"seed":123})", R"({"model":"m"})"));
  EXPECT_FALSE(sampling_suits(R"({"seed":-1})", R"({"model":"m"})"));
  EXPECT_FALSE(sampling_suits(R"({"seed":4294967295})", R"({"model":"m"})"));
  EXPECT_FALSE(sampling_suits(R"({"seed":1})", R"({"model":"m","top_k":"x"})"));
  EXPECT_FALSE(sampling_suits(R"({"seed":1})", "no JSON"));
}

TEST(Sampling, AnOfferPromisesItByName) {
  Offer offer;
  offer.features = {"stream"};
  EXPECT_FALSE(records_sampling(offer));
  offer.features.emplace_back("seed");
  EXPECT_TRUE(records_sampling(offer));
}

}  // namespace
}  // namespace nostril
