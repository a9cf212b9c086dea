// The client's parts that need no peer: rows of the journal, key files, request bodies, trust.
#include "client/asker.h"
#include "client/channel_store.h"
#include "client/home.h"
#include "client/key_file.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <fstream>

namespace nostril::client {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

// ---- Rows ---------------------------------------------------------------------------------------

class ChannelRow : public ::testing::Test {
 protected:
  ChannelRow() {
    row_.terms = {
        Keypair::generate(rng_).public_key(), Keypair::generate(rng_).public_key(), "msat", {}};
    rng_.fill(row_.terms.salt);
    row_.snapshot.n = 7;
    row_.snapshot.last_record = event(2).id;
    row_.snapshot.running_hash = sha256(as_bytes("h7"));
    row_.snapshot.previous_hash = sha256(as_bytes("h6"));
    row_.snapshot.micro = settlement::kMicroMax;
    row_.snapshot.accepted = *Amount::from(Amount::kMax);
    row_.snapshot.session_charged = true;
    row_.record = event(3);
    row_.paid = ChannelResync{event(4), event(5), sha256(as_bytes("h5"))};
    row_.snapshot.paid_record = row_.paid->record.id;
    row_.snapshot.paid_previous_hash = row_.paid->previous_hash;
    row_.open = true;
  }

  Event event(int n) {
    return sign_event({1'700'000'000 + n, 1471, {}, "e\"\n" + std::to_string(n)}, author_, rng_);
  }

  SystemRng rng_;
  Keypair author_ = Keypair::generate(rng_);
  StoredChannel row_;
};

TEST_F(ChannelRow, ReadsBackWhole) {
  const auto read = decode_channel(encode_channel(row_));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->terms, row_.terms);
  EXPECT_EQ(read->snapshot, row_.snapshot);
  EXPECT_EQ(read->record->id, row_.record->id);
  EXPECT_EQ(read->paid, row_.paid);
  EXPECT_TRUE(read->open);
}

TEST_F(ChannelRow, ReadsBackWhenNew) {
  StoredChannel fresh;
  fresh.terms = row_.terms;
  const auto read = decode_channel(encode_channel(fresh));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->snapshot, fresh.snapshot);
  EXPECT_FALSE(read->record);
  EXPECT_FALSE(read->paid);
  EXPECT_FALSE(read->open);
}

TEST_F(ChannelRow, ADamagedRowIsNoChannel) {
  const std::string text = encode_channel(row_);
  for (std::size_t bytes = 0; bytes < text.size(); ++bytes) {
    EXPECT_FALSE(decode_channel(text.substr(0, bytes)));
  }
  // A changed digit of a stored event no longer matches its id.
  std::string changed = text;
  const std::size_t at = changed.find("\"created_at\":");
  ASSERT_NE(at, std::string::npos);
  changed[at + 20] = changed[at + 20] == '1' ? '2' : '1';
  const auto read = decode_channel(changed);
  EXPECT_TRUE(!read || !read->record || read->record->id != row_.record->id);
  for (const std::string key :
       {"\"signer\"", "\"node\"", "\"asset\"", "\"salt\"", "\"n\"", "\"running_hash\"",
        "\"previous_hash\"", "\"micro\"", "\"accepted\""}) {
    std::string without = text;
    without.replace(without.find(key), key.size(), "\"other\"");
    EXPECT_FALSE(decode_channel(without)) << key;
  }
}

// ---- Key files ----------------------------------------------------------------------------------

TEST(KeyFile, KeepsAKeyForItsOwnerOnlyAndNeverOverwrites) {
  const TempDir folder;
  SystemRng rng;
  const fs::path file = folder.path() / "a" / "key";
  const Keypair key = Keypair::generate(rng);
  ASSERT_TRUE(write_key_file(file, key));

  struct stat status {};

  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  const auto read = read_key_file(file);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->public_key(), key.public_key());
  EXPECT_FALSE(write_key_file(file, Keypair::generate(rng)));
  EXPECT_EQ(read_key_file(file)->public_key(), key.public_key());
}

TEST(KeyFile, RefusesWhatOthersMayReadAndWhatIsNoKeyWithoutShowingIt) {
  const TempDir folder;
  SystemRng rng;
  const fs::path file = folder.path() / "key";
  ASSERT_TRUE(write_key_file(file, Keypair::generate(rng)));
  const std::string text = [&] {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  for (const mode_t mode : {0644U, 0640U, 0660U, 0604U}) {
    ASSERT_EQ(chmod(file.c_str(), mode), 0);
    const auto refused = read_key_file(file);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().find("nsec1"), std::string::npos);
  }
  ASSERT_EQ(chmod(file.c_str(), 0600), 0);
  std::string changed = text;
  changed[10] = changed[10] == 'q' ? 'p' : 'q';
  for (const std::string& bad :
       {std::string(), std::string("nsec1"), changed, "x" + text, std::string(10'000, 'n')}) {
    std::ofstream(file, std::ios::trunc) << bad;
    const auto refused = read_key_file(file);
    ASSERT_FALSE(refused);
    if (bad.size() > 10) {
      EXPECT_EQ(refused.error().find(bad.substr(0, 10)), std::string::npos);
    }
  }
  EXPECT_FALSE(read_key_file(folder.path() / "none"));
  EXPECT_FALSE(read_key_file(folder.path()));
}

// ---- Bodies -------------------------------------------------------------------------------------

TEST(WithModel, ChangesTheModelAndNothingElse) {
  EXPECT_EQ(with_model(R"({"a":1.50,"model":"x","b":[1e3]})", "y"),
            R"({"model":"y","a":1.50,"b":[1e3]})");
  EXPECT_EQ(with_model(R"({"a":1})", "y"), R"({"model":"y","a":1})");
  EXPECT_EQ(with_model("{ \"model\" : \"y\" }", "y"), "{ \"model\" : \"y\" }")
      << "the same bytes when it is right";
  EXPECT_EQ(with_model("no json", "y"), "no json");
  EXPECT_EQ(with_model("[1]", "y"), "[1]");
}

// ---- Trust --------------------------------------------------------------------------------------

TEST(TrustFrom, TakesASimulatedProcessorAndGpusOnlyWhenBothRootsAreNamed) {
  const attestation::Simulator cpu = attestation::test::simulator();
  const attestation::GpuSimulator gpu = attestation::test::gpu_simulator({}, 9);
  attestation::Statement statement = attestation::test::statement();
  const Digest nonce = attestation::gpu_nonce(statement.nonce, statement.node);
  const auto gpus = gpu.evidence(1, nonce.bytes);
  const std::vector<ByteSpan> reports = {gpus[0].report};
  statement.gpu_evidence = attestation::gpu_evidence_digest(reports);
  attestation::Evidence evidence = cpu.evidence(
      statement, attestation::test::kNow, attestation::test::measurements(), {gpus[0].report});
  evidence.gpu_chains = {gpus[0].chain};
  evidence.gpu_manifests = gpu.manifests();

  const TempDir folder;
  const auto write = [&folder](const std::string& name, ByteSpan bytes) {
    const std::string path = (folder.path() / name).string();
    std::ofstream(path, std::ios::binary) << as_text(bytes);
    return path;
  };
  const std::string cpu_root = write("cpu.der", cpu.root_der());
  const std::string gpu_root = write("gpu.der", gpu.root_der());
  const auto verdict_under = [&](std::vector<std::string> roots) {
    ClientSettings settings;
    settings.test_roots = std::move(roots);
    const TrustSettings trust = trust_from(settings);
    return attestation::verify(evidence, statement, trust.roots, attestation::test::kNow,
                               trust.policy.tdx);
  };
  EXPECT_FALSE(verdict_under({}).accepted);
  EXPECT_FALSE(verdict_under({cpu_root}).accepted);
  EXPECT_FALSE(verdict_under({gpu_root}).accepted);
  for (const auto& roots : {std::vector{cpu_root, gpu_root}, std::vector{gpu_root, cpu_root}}) {
    const attestation::Verdict verdict = verdict_under(roots);
    EXPECT_TRUE(verdict.accepted) << attestation::explain(verdict);
    EXPECT_TRUE(verdict.simulated);
  }
  EXPECT_THROW(verdict_under({cpu_root, write("none.der", as_bytes("none"))}), std::runtime_error);
}

}  // namespace
}  // namespace nostril::client
