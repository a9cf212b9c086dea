#include "client/api_keys.h"

#include "base/hex.h"
#include "events/nip19.h"
#include "schnorr/hash.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

namespace nostril::client {

namespace {

ApiKey key_named(const std::string& name, const std::string& key) {
  ApiKey out;
  out.name = name;
  out.sha256 = api_key_hash(key);
  return out;
}

class ApiKeys : public testing::Test {
 protected:
  void write(const std::string& text) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << text;
  }

  [[nodiscard]] std::string read() const {
    std::ifstream in(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  test::TempDir folder_;
  std::filesystem::path file_ = folder_.path() / "keys.toml";
};

TEST_F(ApiKeys, ReadBackWithTheirBudgetsAndHoldNoKey) {
  SystemRng rng;
  const std::string secret = make_api_key(rng);
  EXPECT_EQ(secret.size(), 67U);
  EXPECT_NE(secret, make_api_key(rng));
  std::vector<ApiKey> keys = {key_named("alice", secret)};
  keys[0].budget = {1, 2, 3, 4};
  keys.push_back({"bob", std::nullopt, test::key_of("bob").public_key(), {}});
  ASSERT_TRUE(write_api_keys(file_, keys));
  EXPECT_EQ(read().find(secret), std::string::npos);

  struct stat status {};

  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  const auto again = read_api_keys(file_);
  ASSERT_TRUE(again) << again.error();
  ASSERT_EQ(again->size(), 2U);
  EXPECT_EQ((*again)[0].budget, keys[0].budget);
  EXPECT_EQ((*again)[0].caller_id(), keys[0].caller_id());
  EXPECT_EQ((*again)[1].pubkey, keys[1].pubkey);
  EXPECT_EQ(find_api_key(*again, secret)->name, "alice");
  EXPECT_EQ(find_pubkey(*again, *keys[1].pubkey)->name, "bob");
}

TEST_F(ApiKeys, OthersAreNobodys) {
  const std::vector<ApiKey> keys = {key_named("a", "nk-1"),
                                    {"n", std::nullopt, test::key_of("n").public_key(), {}}};
  EXPECT_EQ(find_api_key(keys, ""), nullptr);
  EXPECT_EQ(find_api_key(keys, "nk-2"), nullptr);
  EXPECT_EQ(find_api_key(keys, "nk-1 "), nullptr);
  EXPECT_EQ(find_api_key(keys, encode_hex(api_key_hash("nk-1"))), nullptr);  // the hash is no key
  EXPECT_EQ(find_api_key(keys, std::string(kApiKeyBytesMax + 1, 'k')), nullptr);
  EXPECT_EQ(find_pubkey(keys, PublicKey{}), nullptr);
}

TEST_F(ApiKeys, RefusesAFileThatIsNotClear) {
  const std::string hash = encode_hex(sha256("a"));
  const std::string npub = nip19::encode(nip19::Npub{test::key_of("n").public_key()});
  const std::string good = "[[key]]\nname = \"a\"\nsha256 = \"" + hash + "\"\n";
  write(good);
  EXPECT_TRUE(read_api_keys(file_));
  const std::vector<std::string> all_bad = {
      "[[key]]\nname = \"a\"\n",
      "[[key]]\nsha256 = \"" + hash + "\"\n",
      good + "npub = \"" + npub + "\"\n",
      good + good,
      good + "[[key]]\nname = \"b\"\nsha256 = \"" + hash + "\"\n",
      "[[key]]\nname = \"a\"\nsha256 = \"" + hash.substr(1) + "\"\n",
      "[[key]]\nname = \"a b\"\nsha256 = \"" + hash + "\"\n",
      "[[key]]\nname = \"a\"\nnpub = \"nsec1\"\n",
      good + "tokens = -1\n",
      good + "token_budget = 5\n",
      "[[key]"};
  for (const std::string& bad : all_bad) {
    write(bad);
    EXPECT_FALSE(read_api_keys(file_)) << bad;
  }
}

TEST_F(ApiKeys, AFileUnderChangeIsNotChanged) {
  std::ofstream(file_.string() + ".new") << "";
  EXPECT_FALSE(write_api_keys(file_, {}));
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(ApiKeys, TheNodeSeesChangesAndKeepsTheOldOnesOfABadFile) {
  ApiKeyFile watched(file_);
  EXPECT_TRUE(watched.refresh(0));
  EXPECT_TRUE(watched.keys().empty());
  ASSERT_TRUE(write_api_keys(file_, std::vector<ApiKey>{key_named("a", "1")}));
  EXPECT_TRUE(watched.refresh(999));
  EXPECT_TRUE(watched.keys().empty());  // looked a moment ago
  EXPECT_TRUE(watched.refresh(1000));
  EXPECT_EQ(watched.keys().size(), 1U);
  write("[[key]");
  EXPECT_FALSE(watched.refresh(2000));
  EXPECT_EQ(watched.keys().size(), 1U);
  std::filesystem::remove(file_);
  EXPECT_TRUE(watched.refresh(3000));
  EXPECT_TRUE(watched.keys().empty());
}

}  // namespace

}  // namespace nostril::client
