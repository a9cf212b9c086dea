// What endpoints answer, what transactions may cost, and channels as a fold over the log.
#include "settlement/evm/asset.h"
#include "settlement/evm/fees.h"
#include "settlement/evm/mirror.h"
#include "settlement/evm/rpc.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::settlement::evm {
namespace {

constexpr Uint128 kGwei = 1'000'000'000;

std::string answer(const std::string& result) {
  return R"({"jsonrpc":"2.0","id":7,"result":)" + result + "}";
}

Json json(const std::string& text) {
  return *Json::parse(text);
}

std::string hash_text(char digit) {
  return "\"0x" + std::string(64, digit) + "\"";
}

std::string log_text(const std::string& block, const std::string& index, char hash = '1') {
  return R"({"address":"0x)" + std::string(40, '2') +
         R"(","topics":[],"data":"0x","blockNumber":")" + block + R"(","blockHash":)" +
         hash_text(hash) + R"(,"transactionHash":)" + hash_text('3') + R"(,"logIndex":")" + index +
         "\"}";
}

// ---- Answers ------------------------------------------------------------------------------------

TEST(RpcAnswer, GivesTheResultOfThisCallOnly) {
  EXPECT_EQ(parse_rpc_answer(answer("\"0x1\""), 7)->string(), "0x1");
  EXPECT_TRUE(parse_rpc_answer(answer("null"), 7)->is_null());
  EXPECT_FALSE(parse_rpc_answer(answer("\"0x1\""), 8));
  EXPECT_FALSE(parse_rpc_answer(R"({"id":7,"result":1})", 7));
  EXPECT_FALSE(parse_rpc_answer(R"({"jsonrpc":"2.0","id":7})", 7));
  EXPECT_FALSE(parse_rpc_answer("<html>", 7));
}

TEST(RpcAnswer, TellsARefusalInOneShortLine) {
  const auto refused =
      parse_rpc_answer(R"({"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"nonce\n)" +
                           std::string(1'000, 'x') + "\"}}",
                       7);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().by_endpoint);
  EXPECT_EQ(refused.error().code, -32000);
  EXPECT_EQ(refused.error().message.size(), RpcLimits::kMessageBytesMax);
  EXPECT_EQ(refused.error().message.find('\n'), std::string::npos);
}

TEST(RpcQuantity, HasOneSpelling) {
  EXPECT_EQ(quantity(0), "0x0");
  EXPECT_EQ(quantity(0x1f4), "0x1f4");
  EXPECT_EQ(parse_quantity(json("\"0x1f4\"")), Uint128{500});
  EXPECT_EQ(parse_quantity(json("\"0xffffffffffffffffffffffffffffffff\"")), ~Uint128{0});
  for (const char* bad : {"\"0x\"", "\"0x01\"", "\"1\"", "\"0xG\"", "\"0xAB\"", "1", "null",
                          "\"0x100000000000000000000000000000000\""}) {
    EXPECT_FALSE(parse_quantity(json(bad))) << bad;
  }
  EXPECT_FALSE(parse_quantity(json("\"0x100\""), 255));
}

TEST(RpcLogs, ComeInOrderAndOnce) {
  EXPECT_EQ(
      parse_logs(json("[" + log_text("0x1", "0x0") + "," + log_text("0x1", "0x1") + "]"))->size(),
      2U);
  EXPECT_FALSE(parse_logs(json("[" + log_text("0x1", "0x1") + "," + log_text("0x1", "0x1") + "]")));
  EXPECT_FALSE(parse_logs(json("[" + log_text("0x2", "0x0") + "," + log_text("0x1", "0x0") + "]")));
}

TEST(RpcLogs, OfOneBlockHaveOneHash) {
  EXPECT_FALSE(parse_logs(
      json("[" + log_text("0x1", "0x0", '1') + "," + log_text("0x1", "0x1", '4') + "]")));
}

TEST(RpcLogs, RefusesRemovedOnes) {
  std::string removed = log_text("0x1", "0x0");
  removed.back() = ',';
  EXPECT_FALSE(parse_logs(json("[" + removed + "\"removed\":true}]")));
}

TEST(RpcBlock, MissesNothing) {
  const std::string block = R"({"number":"0x2","hash":)" + hash_text('a') + R"(,"parentHash":)" +
                            hash_text('b') + R"(,"timestamp":"0x5","baseFeePerGas":"0x7"})";
  const auto head = parse_block(json(block));
  ASSERT_TRUE(head);
  EXPECT_EQ(head->number, 2U);
  EXPECT_EQ(head->base_fee, Uint128{7});
  for (const char* member : {"number", "hash", "parentHash", "timestamp", "baseFeePerGas"}) {
    std::string without = block;
    without.replace(without.find(member), 1, "_");
    EXPECT_FALSE(parse_block(json(without))) << member;
  }
}

// ---- Fees ---------------------------------------------------------------------------------------

TEST(Fees, LeaveRoomForTheBaseFeeToDouble) {
  const FeeHistory history{20 * kGwei, {1 * kGwei, 3 * kGwei, 2 * kGwei}};
  EXPECT_EQ(fees_now(history, {100 * kGwei, 0}), (Fees{42 * kGwei, 2 * kGwei}));
}

TEST(Fees, StayBelowTheCapOrAreNone) {
  const FeeHistory history{20 * kGwei, {5 * kGwei}};
  EXPECT_EQ(fees_now(history, {30 * kGwei, 0}), (Fees{30 * kGwei, 5 * kGwei}));
  EXPECT_EQ(fees_now(history, {22 * kGwei, 0}), (Fees{22 * kGwei, 2 * kGwei}));
  EXPECT_EQ(fees_now(history, {19 * kGwei, 0}), std::nullopt);
}

TEST(Fees, OfAReplacementAreAnEighthHigherInBothParts) {
  const Fees before{80, 8};
  const auto more = fees_for_replacement(before, {1, {}}, {1'000, 0});
  ASSERT_TRUE(more);
  EXPECT_GE(more->fee_max * 8, before.fee_max * 9);
  EXPECT_GE(more->tip * 8, before.tip * 9);
  EXPECT_EQ(fees_for_replacement(before, {1, {}}, {85, 0}), std::nullopt);
}

TEST(Fees, OfAReplacementFollowTheMarket) {
  EXPECT_EQ(fees_for_replacement({80, 8}, {200, {20}}, {1'000, 0}), (Fees{420, 20}));
}

// ---- Mirror -------------------------------------------------------------------------------------

struct MirrorTest : ::testing::Test {
  ContractPlace place{31337, {{7}}};
  Channel terms{.payer = {{1}}, .salt = {2}, .signer = {{3}}, .payee = {{4}}, .token = {{5}}};
  ChannelId id = channel_id(place, terms);
  Mirror mirror{place};

  void SetUp() override { mirror.apply(OpenedLog{id, terms, Amount::of(100)}); }
};

TEST_F(MirrorTest, FollowsAChannelToItsEndAndBeyond) {
  mirror.apply(ClaimedLog{id, Amount::of(30)});
  mirror.apply(CloseRequestedLog{id, 99});
  EXPECT_EQ(*mirror.find(id), (MirroredChannel{terms, Amount::of(100), Amount::of(30), 99, false}));
  mirror.apply(FinalisedLog{id, Amount::of(30)});
  EXPECT_EQ(*mirror.find(id), (MirroredChannel{terms, Amount::of(30), Amount::of(30), 0, true}));
  mirror.apply(LockedLog{id, Amount::of(80)});
  EXPECT_EQ(mirror.find(id)->locked, Amount::of(80));
}

TEST_F(MirrorTest, KnowsThatARefundReturnedSomething) {
  mirror.apply(LockedLog{id, Amount::of(120)});
  EXPECT_FALSE(mirror.find(id)->returned);
  mirror.apply(LockedLog{id, Amount::of(90)});
  EXPECT_TRUE(mirror.find(id)->returned);
}

TEST_F(MirrorTest, IgnoresANameThatIsNotOfItsTerms) {
  const ChannelId other{{9}};
  mirror.apply(OpenedLog{other, terms, Amount::of(5)});
  mirror.apply(ClaimedLog{other, Amount::of(5)});
  EXPECT_EQ(mirror.find(other), nullptr);
  EXPECT_EQ(mirror.channels().size(), 1U);
}

// ---- Names --------------------------------------------------------------------------------------

TEST(EvmAsset, HasOneSpelling) {
  const std::string token = "eip155:8453/erc20:0x" + std::string(40, 'a');
  ASSERT_TRUE(parse_asset(token));
  EXPECT_EQ(parse_asset(token)->chain_id, 8453U);
  EXPECT_EQ(to_string(*parse_asset(token)), token);
  EXPECT_EQ(to_string(*parse_asset("eip155:1/slip44:60")), "eip155:1/slip44:60");
  const std::vector<std::string> wrong = {"msat",
                                          "eip155:0/slip44:60",
                                          "eip155:01/slip44:60",
                                          "eip155:1/slip44:61",
                                          "eip155:1/erc20:0x" + std::string(40, 'A'),
                                          "eip155:1/erc20:0x" + std::string(40, '0')};
  for (const std::string& bad : wrong) EXPECT_FALSE(parse_asset(bad)) << bad;
}

TEST(EvmAddress, IsReadInEitherCase) {
  EXPECT_EQ(parse_address("0x" + std::string(40, 'A')), parse_address("0x" + std::string(40, 'a')));
  EXPECT_FALSE(parse_address(std::string(40, 'a')));
  EXPECT_FALSE(parse_address("0x" + std::string(39, 'a')));
}

}  // namespace
}  // namespace nostril::settlement::evm
