#include "node/simulated_source.h"

#include "attestation/simulator.h"
#include "attestation/snp_simulator.h"
#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

namespace nostril::node {

namespace {

namespace fs = std::filesystem;
using Seed = std::array<std::uint8_t, 32>;

bool write_whole(const fs::path& path, ByteSpan bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << as_text(bytes);
  file.close();
  return !file.fail();
}

/// The same at each start, so that clients which were given the root keep it. It protects nothing.
std::optional<Seed> simulator_seed(const fs::path& path, Rng& rng) {
  Seed seed{};
  std::ifstream file(path, std::ios::binary);
  const Bytes kept(std::istreambuf_iterator<char>(file), {});
  if (kept.size() == seed.size()) {
    std::ranges::copy(kept, seed.begin());
    return seed;
  }
  rng.fill(seed);
  if (!write_whole(path, seed)) return std::nullopt;
  return seed;
}

/// `TheSimulator` makes evidence of a statement.
template <typename TheSimulator>
class SimulatedSource final : public EvidenceSource {
 public:
  explicit SimulatedSource(TheSimulator simulator) : simulator_(std::move(simulator)) {}

  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t now_s) override {
    return simulator_.evidence(statement, now_s);
  }

  [[nodiscard]] std::string_view tee() const override { return "simulated"; }

  [[nodiscard]] bool simulated() const override { return true; }

 private:
  TheSimulator simulator_;
};

template <typename TheSimulator>
Result<std::unique_ptr<EvidenceSource>, std::string> with_root(TheSimulator simulator,
                                                               const fs::path& path) {
  if (!write_whole(path, simulator.root_der()))
    return failure(path.string() + ": can't be written");
  return std::make_unique<SimulatedSource<TheSimulator>>(std::move(simulator));
}

}  // namespace

Result<std::unique_ptr<EvidenceSource>, std::string> make_simulated_source(
    std::string_view platform, const fs::path& data, Rng& rng) {
  if (platform != "tdx" && platform != "snp") {
    return failure(std::string("tee.simulated_platform must be \"tdx\" or \"snp\""));
  }
  const auto seed = simulator_seed(data / "sim-seed", rng);
  if (!seed) return failure((data / "sim-seed").string() + ": can't be written");
  const fs::path root = data / "sim-root.der";
  if (platform == "tdx") return with_root(attestation::Simulator(*seed), root);
  const auto keys = std::make_shared<const attestation::SnpSimKeys>(*seed);
  return with_root(attestation::SnpSimulator(keys), root);
}

}  // namespace nostril::node
