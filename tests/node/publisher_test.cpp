// What a node publishes of a machine with GPUs, and what clients make of it: an agent, a relay and
// a client on one loop.
#include "attestation/gpu_simulator.h"
#include "attestation/pack.h"
#include "events/kinds.h"
#include "node/evidence_size.h"
#include "node/simulated_source.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/support/world.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using attestation::TrustRoots;
using test::World;
using ::testing::HasSubstr;

constexpr std::array<std::uint8_t, 32> kSeed = {1, 2, 3};

Bytes read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void board_of_eight(NodeConfig& config) {
  config.tee.simulated_gpus = 8;
  config.tee.simulated_switches = 4;
}

/// The simulated machine of the configuration, whose keys are those of kSeed.
std::unique_ptr<EvidenceSource> simulated(const NodeConfig& config, Rng& rng) {
  fs::create_directories(config.data);
  std::ofstream(fs::path(config.data) / "sim-seed", std::ios::binary) << as_text(ByteSpan(kSeed));
  auto source = make_simulated_source(config.evidence_settings(), config.data, rng);
  EXPECT_TRUE(source) << source.error();
  return std::move(*source);
}

/// What kSeed's machine writes as its roots.
struct Roots {
  Roots() {
    SystemRng rng;
    NodeConfig config;
    config.data = folder.path().string();
    board_of_eight(config);
    simulated(config, rng);
    cpu = read_all(folder.path() / "sim-root.der");
    gpu = read_all(folder.path() / "sim-gpu-root.der");
  }

  test::TempDir folder;
  Bytes cpu;
  Bytes gpu;
};

client::TrustSettings trust(bool gpus = true) {
  const Roots roots;
  TrustRoots all = TrustRoots::vendors_and_test_root(roots.cpu).value();
  if (gpus) all = all.joined(TrustRoots::with_test_root(roots.gpu).value());
  client::VerifyPolicy policy;
  policy.tdx.accept_simulated = true;
  policy.gpu.require_ocsp = true;
  policy.gpu.switch_count = 4;
  return {std::move(all), policy};
}

/// Spoils what the simulated machine says of its board.
class SpoiledSource final : public EvidenceSource {
 public:
  using Spoil = std::function<void(BoardAnswer&)>;

  SpoiledSource(std::unique_ptr<EvidenceSource> source, Spoil spoil)
      : source_(std::move(source)), spoil_(std::move(spoil)) {}

  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t now_s) override {
    return source_->evidence(statement, now_s);
  }

  Result<BoardAnswer, std::string> board(const Digest& nonce) override {
    auto out = source_->board(nonce);
    if (out) spoil_(*out);
    return out;
  }

  BoardDocuments board_documents(const BoardAnswer& board, std::int64_t now_s) override {
    return source_->board_documents(board, now_s);
  }

  [[nodiscard]] std::string_view tee() const override { return source_->tee(); }

  [[nodiscard]] bool simulated() const override { return true; }

 private:
  std::unique_ptr<EvidenceSource> source_;
  Spoil spoil_;
};

TEST(Publisher, OffersABoardThatClientsVerifyWhole) {
  World world(board_of_eight, trust(), simulated);
  ASSERT_TRUE(world.wait_for_offer());
  const auto verdict = world.offer()->verdict();
  EXPECT_EQ(verdict.find("gpu_revocation")->status, attestation::CheckStatus::Passed);
  EXPECT_EQ(verdict.find("switch_revocation")->status, attestation::CheckStatus::Passed);
  EXPECT_NE(verdict.claim("gpu7.driver"), nullptr);
  EXPECT_NE(verdict.claim("switch3.pdi"), nullptr);
  EXPECT_EQ(world.offer()->offer().tee, "simulated+8xgh100");
}

TEST(Publisher, GpusUnderARootThatTheClientDoesNotNameAreRefused) {
  World world(board_of_eight, trust(false), simulated);
  ASSERT_TRUE(world.until([&] { return !world.user->offers.rejected().empty(); }));
  EXPECT_THAT(world.user->offers.rejected().front().reason, HasSubstr("gpu_chain"));
  EXPECT_TRUE(world.user->offers.usable().empty());
}

struct Spoiling {
  const char* reason;
  SpoiledSource::Spoil spoil;
};

TEST(Publisher, ABoardThatIsNotWholeIsRefusedForThat) {
  for (const Spoiling& one : std::vector<Spoiling>{
           {"switch_count", [](BoardAnswer& board) { board.switches.pop_back(); }},
           {"switch_count", [](BoardAnswer& board) { board.switches.clear(); }},
           {"gpu_distinct", [](BoardAnswer& board) { board.gpus[7] = board.gpus[0]; }},
           {"gpu_signature", [](BoardAnswer& board) { board.gpus[3].chain = board.gpus[4].chain; }},
           {"switch_signature", [](BoardAnswer& board) { board.switches[1].report[200] ^= 1; }},
       }) {
    World world(board_of_eight, trust(), [&one](const NodeConfig& config, Rng& rng) {
      return std::make_unique<SpoiledSource>(simulated(config, rng), one.spoil);
    });
    ASSERT_TRUE(world.until([&] { return !world.user->offers.rejected().empty(); })) << one.reason;
    EXPECT_THAT(world.user->offers.rejected().front().reason, HasSubstr(one.reason));
    EXPECT_TRUE(world.user->offers.usable().empty()) << one.reason;
  }
}

/// Text that does not compress below six bits a character.
std::string noise(std::size_t bytes) {
  std::string out(bytes, 'x');
  std::uint64_t state = 1;
  for (char& c : out) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    c = static_cast<char>('0' + (state >> 58U));
  }
  return out;
}

TEST(Publisher, EvidenceThatNoEventHoldsIsNotOffered) {
  World world(
      [](NodeConfig& config) {
        fs::create_directories(config.data);
        config.tee.simulated_compose = (fs::path(config.data) / "compose").string();
        std::ofstream(config.tee.simulated_compose) << noise(200'000);
      },
      trust(), simulated);
  EXPECT_FALSE(world.until([&] { return world.relay.seen_count(kinds::kAttestation) != 0; }, 700));
  EXPECT_EQ(world.relay.seen_count(kinds::kOffer), 0U);
}

TEST(EvidenceSize, SaysHowLargeEachPartIsAndWhatToDo) {
  attestation::Evidence evidence =
      attestation::test::sound_evidence(attestation::test::simulator());
  EXPECT_FALSE(too_large(evidence, 98'304, 98'304));
  evidence.app = attestation::AppDocuments{"[]", noise(150'000), ""};
  evidence.manifest = noise(20'000);
  const std::size_t packed = attestation::pack_evidence(evidence).size();
  const auto problem = too_large(evidence, packed, 98'304);
  ASSERT_TRUE(problem);
  EXPECT_THAT(*problem, HasSubstr(fmt::format("packs to {} bytes, and an event holds 98304: "
                                              "compose text 150000 (",
                                              packed)));
  EXPECT_THAT(*problem, HasSubstr("model manifest 20000 ("));
  EXPECT_THAT(*problem, HasSubstr("To do: make app-compose.json shorter"));
  evidence.app.reset();
  evidence.manifest = noise(200'000);
  EXPECT_THAT(*too_large(evidence, 200'000, 98'304), HasSubstr("name weight_files"));
}

}  // namespace
}  // namespace nostril::node
