// A node whose answers can be repeated: which seed the engine got, and what the record says of it.
#include "base/json.h"
#include "events/sampling.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <fstream>

namespace nostril::node {
namespace {

using test::World;

std::string body_with(const std::string& members) {
  return R"({"model":"test-model","messages":[{"role":"user","content":"x"}])" +
         (members.empty() ? "" : "," + members) + "}";
}

/// A node with weights, auditable or not.
class Audit : public ::testing::Test {
 protected:
  explicit Audit(bool auditable = true)
      : world_([auditable](NodeConfig& config) {
          const std::string weights = config.data + "/../model.gguf";
          std::filesystem::create_directories(config.data);
          std::ofstream(weights) << "weights";
          config.engine.weight_files = {weights};
          config.offer.auditable = auditable;
        }) {}

  ResponseRecord record_of(const std::string& body) {
    const auto answer = world_.query(body);
    EXPECT_TRUE(world_.finish(answer));
    EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
    return answer->result->record.value_or(ResponseRecord());
  }

  [[nodiscard]] std::optional<std::int64_t> engine_seed() const {
    const auto body = Json::parse(world_.engine.last_body());
    return body ? body->find_integer("seed") : std::nullopt;
  }

  World world_;
};

class NoAudit : public Audit {
 protected:
  NoAudit() : Audit(false) {}
};

TEST_F(Audit, TheOfferPromisesItAndNamesEngineAndWeights) {
  ASSERT_TRUE(world_.wait_for_offer());
  const Offer& offer = world_.offer()->offer();
  EXPECT_TRUE(records_sampling(offer));
  EXPECT_EQ(offer.engine, "vllm");
  EXPECT_EQ(offer.engine_version, "0.9.1");
  EXPECT_TRUE(offer.weights);
  EXPECT_TRUE(client::policy_for_offer({}, offer).acceptance.records_sampling);
}

TEST_F(Audit, ARequestWithoutASeedGetsOneAndTheRecordNamesIt) {
  ASSERT_TRUE(world_.wait_for_offer());
  const std::string body = body_with(R"("temperature":0.70,"seed":null)");
  const ResponseRecord first = record_of(body);
  const auto seed = engine_seed();
  ASSERT_TRUE(seed);
  EXPECT_EQ(first.sampling, R"({"seed":)" + std::to_string(*seed) + R"(,"temperature":0.70})");
  EXPECT_EQ(first.engine_version, "0.9.1");
  EXPECT_EQ(first.weights, world_.offer()->offer().weights);
  const ResponseRecord second = record_of(body);
  EXPECT_NE(second.sampling, first.sampling) << "each answer has a seed of its own";
}

TEST_F(Audit, AClientsSeedPassesAsItCame) {
  ASSERT_TRUE(world_.wait_for_offer());
  const ResponseRecord record = record_of(body_with(R"("seed":7,"top_p":1)"));
  EXPECT_EQ(record.sampling, R"({"seed":7,"top_p":1})");
  EXPECT_NE(world_.engine.last_body().find(R"("seed":7,"top_p":1)"), std::string::npos);
}

TEST_F(Audit, AStreamsStatementsAllNameIt) {
  world_.engine.set_answer(test::stream_answer({"a", "b"}, {10, 0, 2}));
  ASSERT_TRUE(world_.wait_for_offer());
  EXPECT_EQ(record_of(body_with(R"("seed":7,"stream":true)")).sampling, R"({"seed":7})");
}

TEST_F(Audit, WhatNoRecordCanStateIsRefusedBeforeTheEngine) {
  ASSERT_TRUE(world_.wait_for_offer());
  for (const char* member : {R"("seed":4294967295)", R"("seed":"7")", R"("temperature":"hot")"}) {
    const auto answer = world_.query(body_with(member));
    ASSERT_TRUE(world_.finish(answer));
    EXPECT_EQ(answer->result->failure, client::QueryFailure::Refused) << member;
    ASSERT_TRUE(answer->result->error);
    EXPECT_EQ(answer->result->error->code, ErrorCode::BadRequest);
  }
  EXPECT_EQ(world_.engine.asked(), 0U);
}

TEST_F(NoAudit, NothingIsRewrittenOrRecorded) {
  ASSERT_TRUE(world_.wait_for_offer());
  EXPECT_FALSE(records_sampling(world_.offer()->offer()));
  EXPECT_EQ(record_of(body_with(R"("temperature":"hot")")).sampling, "");
  EXPECT_EQ(engine_seed(), std::nullopt);
}

TEST(AuditSettings, AnEngineThatDoesNotSayItsVersionIsNotOfferedAsAuditable) {
  World world([](NodeConfig& config) {
    const std::string weights = config.data + "/../model.gguf";
    std::filesystem::create_directories(config.data);
    std::ofstream(weights) << "weights";
    config.engine.weight_files = {weights};
    config.offer.auditable = true;
  });
  world.engine.set_version("");
  ASSERT_TRUE(world.wait_for_offer());
  EXPECT_EQ(world.offer()->offer().engine_version, "unknown");
  EXPECT_FALSE(records_sampling(world.offer()->offer()));
}

TEST(AuditSettings, WithoutWeightsTheNodeDoesNotStart) {
  World world([](NodeConfig& config) { config.offer.auditable = true; });
  ASSERT_TRUE(world.until([&] { return !world.fatal.empty(); }));
  EXPECT_NE(world.fatal[0].find("offer.auditable"), std::string::npos) << world.fatal[0];
  EXPECT_EQ(world.offer(), nullptr);
}

}  // namespace
}  // namespace nostril::node
