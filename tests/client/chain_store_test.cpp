// What is kept of a chain: log entries with checkpoints, and transactions.
#include "base/rng.h"
#include "client/chain/settings.h"
#include "client/chain/store.h"
#include "client/funded_channel.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <memory>

namespace nostril::client::chain {
namespace {

using settlement::evm::LogEntry;

LogEntry entry_at(std::uint64_t block, std::uint32_t index) {
  LogEntry out;
  out.address.bytes.fill(1);
  out.topics = {Digest{{2}}, Digest{{3}}};
  out.data = {4, 5};
  out.block = block;
  out.block_hash.bytes.fill(static_cast<std::uint8_t>(block));
  out.transaction.bytes.fill(6);
  out.index = index;
  return out;
}

StoredTransaction transaction(const EcdsaKey& key, std::uint64_t nonce) {
  settlement::evm::Transaction one;
  one.chain_id = 31337;
  one.nonce = nonce;
  one.fee_max = 10;
  one.gas_max = 21'000;
  one.to = EthereumAddress{{7}};
  one.data = {1, 2, 3};
  auto dearer = one;
  dearer.fee_max = 12;
  StoredTransaction out;
  out.from = key.address();
  out.nonce = nonce;
  out.purpose = "deposit \"5\"";
  out.sent = {sign(one, key), sign(dearer, key)};
  out.signed_at = 1'800'000'000;
  return out;
}

class ChainStoreTest : public ::testing::Test {
 protected:
  ChainStoreTest() { reopen(); }

  void reopen() {
    store_.reset();
    auto opened = ChainStore::open(folder_.path() / "chain");
    ASSERT_TRUE(opened) << opened.error();
    store_ = std::move(*opened);
  }

  static Checkpoint checkpoint(std::uint64_t number) {
    Checkpoint out{number, {}};
    out.hash.bytes.fill(static_cast<std::uint8_t>(number));
    return out;
  }

  test::TempDir folder_;
  SystemRng rng_;
  EcdsaKey key_ = EcdsaKey::generate(rng_);
  std::unique_ptr<ChainStore> store_;
};

TEST_F(ChainStoreTest, KeepsEntriesInOrderOverARestart) {
  const std::vector<LogEntry> later = {entry_at(300, 0), entry_at(300, 11)};
  const std::vector<LogEntry> first = {entry_at(2, 1)};
  ASSERT_TRUE(store_->advance(checkpoint(5), first));
  ASSERT_TRUE(store_->advance(checkpoint(301), later));
  reopen();
  EXPECT_EQ(store_->logs(), (std::vector<LogEntry>{first[0], later[0], later[1]}));
  EXPECT_EQ(store_->checkpoints(), (std::vector<Checkpoint>{checkpoint(301), checkpoint(5)}));
}

TEST_F(ChainStoreTest, RewindsToABlock) {
  const std::vector<LogEntry> all = {entry_at(2, 1), entry_at(5, 0), entry_at(6, 0)};
  ASSERT_TRUE(store_->advance(checkpoint(5), std::span(all).first(2)));
  ASSERT_TRUE(store_->advance(checkpoint(6), std::span(all).last(1)));
  ASSERT_TRUE(store_->rewind(5));
  EXPECT_EQ(store_->logs(), (std::vector<LogEntry>{all[0], all[1]}));
  EXPECT_EQ(store_->checkpoints(), (std::vector<Checkpoint>{checkpoint(5)}));
}

TEST_F(ChainStoreTest, KeepsABoundedNumberOfCheckpoints) {
  for (std::uint64_t i = 1; i <= ChainStore::kCheckpointsMax + 3; ++i) {
    ASSERT_TRUE(store_->advance(checkpoint(i), {}));
  }
  EXPECT_EQ(store_->checkpoints().size(), ChainStore::kCheckpointsMax);
  EXPECT_EQ(store_->checkpoints().front().number, ChainStore::kCheckpointsMax + 3);
}

TEST_F(ChainStoreTest, KeepsTransactionsOfEachAccountByNonce) {
  const EcdsaKey other = EcdsaKey::generate(rng_);
  StoredTransaction done = transaction(key_, 256);
  done.state = TransactionState::Done;
  done.told = true;
  done.receipt = settlement::evm::Receipt{done.sent[0].hash, 9, Digest{{1}}, true, 21'000, 3};
  ASSERT_TRUE(store_->put(done));
  ASSERT_TRUE(store_->put(transaction(key_, 3)));
  ASSERT_TRUE(store_->put(transaction(other, 4)));
  reopen();
  EXPECT_EQ(store_->transactions(key_.address()),
            (std::vector<StoredTransaction>{transaction(key_, 3), done}));
}

TEST_F(ChainStoreTest, ForgetsAnEmptyMeta) {
  ASSERT_TRUE(store_->set_meta("a", "1"));
  EXPECT_EQ(store_->meta("a"), "1");
  ASSERT_TRUE(store_->set_meta("a", ""));
  EXPECT_EQ(store_->meta("a"), std::nullopt);
}

TEST_F(ChainStoreTest, RefusesARowOfAnotherAccountOrNonce) {
  StoredTransaction one = transaction(key_, 3);
  one.nonce = 4;
  EXPECT_EQ(decode_transaction(encode_transaction(one)), std::nullopt);
  one = transaction(key_, 3);
  one.from.bytes[0] ^= 1;
  EXPECT_EQ(decode_transaction(encode_transaction(one)), std::nullopt);
}

TEST_F(ChainStoreTest, LetsOneProcessSendAtATime) {
  const FileLock first = lock_sender(folder_.path() / "chain");
  EXPECT_THROW(static_cast<void>(lock_sender(folder_.path() / "chain")), std::runtime_error);
}

TEST(FundedChannelRow, ReadsWhatItWrites) {
  FundedChannel one;
  one.terms.signer.bytes.fill(1);
  one.terms.node.bytes.fill(2);
  one.terms.asset = "eip155:1/slip44:60";
  one.terms.salt = {3};
  one.terms.chain = settlement::ChainTerms{{1, {{4}}}, {{5}}, {{6}}, {}};
  one.locked = Amount::of(70);
  one.claimed = Amount::of(8);
  one.close_at = 9;
  one.state = FundedState::Closing;
  one.told = true;
  EXPECT_EQ(decode_funded(encode_funded(one)), one);
  one.terms.chain.reset();
  EXPECT_EQ(decode_funded(encode_funded(one)), std::nullopt);
}

TEST(ShownEndpoint, HidesWhatMayBeAToken) {
  EXPECT_EQ(shown_endpoint("https://rpc.example/v3/secret?key=1"), "https://rpc.example");
}

TEST(ChainSettings, AskForSafeEndpointsAndAContract) {
  ChainSettings settings;
  EXPECT_TRUE(settings.problem());
  settings.rpc = {"https://rpc.example"};
  EXPECT_TRUE(settings.problem());
  settings.contract = "0x" + std::string(40, '1');
  EXPECT_FALSE(settings.problem());
  settings.rpc = {"http://rpc.example"};
  EXPECT_TRUE(settings.problem());
  settings.rpc = {"http://127.0.0.1:8545"};
  EXPECT_FALSE(settings.problem());
  settings.rpc_agree = 2;
  EXPECT_TRUE(settings.problem());
}

}  // namespace
}  // namespace nostril::client::chain
