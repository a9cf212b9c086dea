#include "node/simulated_source.h"

#include "attestation/event_log.h"
#include "attestation/simulator.h"
#include "attestation/snp_simulator.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "base/json.h"
#include "schnorr/hash.h"

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

/// What the simulated machine says it booted, when nobody names another text.
std::string own_compose() {
  const std::string digest = encode_hex(sha256("NOT A TEE"));
  JsonWriter json;
  json.begin_object().key("manifest_version").integer(2).key("name").string("NOT A TEE");
  json.key("runner").string("docker-compose");
  json.key("docker_compose_file")
      .string("services:\n  node:\n    image: simulated.invalid/node@sha256:" + digest + "\n");
  json.end_object();
  return std::move(json).take();
}

std::optional<std::string> read_compose(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string out(attestation::kAppComposeBytesMax + 1, '\0');
  file.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(file.gcount()));
  if (out.empty() || out.size() > attestation::kAppComposeBytesMax) return std::nullopt;
  return out;
}

/// A dstack guest on a TDX machine.
class SimulatedTdx {
 public:
  SimulatedTdx(const Seed& seed, std::string compose)
      : simulator_(seed),
        compose_(std::move(compose)),
        boot_(attestation::simulated_boot(compose_)) {}

  [[nodiscard]] Bytes root_der() const { return simulator_.root_der(); }

  [[nodiscard]] attestation::Evidence evidence(const attestation::Statement& statement,
                                               std::int64_t now_s) const {
    auto out = simulator_.evidence(statement, now_s, boot_.measurements);
    out.app = app();
    return out;
  }

  [[nodiscard]] attestation::Evidence quote(std::span<const std::uint8_t, 64> report_data) const {
    attestation::Evidence out;
    out.kind = attestation::kKindSimulatedTdx;
    out.cpu_quote = simulator_.tdx_quote(report_data, boot_.measurements);
    out.app = app();
    return out;
  }

 private:
  [[nodiscard]] attestation::AppDocuments app() const {
    return {attestation::to_json(boot_.log), compose_, {}};
  }

  attestation::Simulator simulator_;
  std::string compose_;
  attestation::SimulatedBoot boot_;
};

class SimulatedSnp {
 public:
  explicit SimulatedSnp(const Seed& seed)
      : simulator_(std::make_shared<const attestation::SnpSimKeys>(seed)) {}

  [[nodiscard]] Bytes root_der() const { return simulator_.root_der(); }

  [[nodiscard]] attestation::Evidence evidence(const attestation::Statement& statement,
                                               std::int64_t now_s) const {
    return simulator_.evidence(statement, now_s);
  }

  [[nodiscard]] attestation::Evidence quote(std::span<const std::uint8_t, 64> report_data) const {
    attestation::Evidence out;
    out.kind = attestation::kKindSimulatedSnp;
    out.cpu_quote = simulator_.report(report_data, {});
    return out;
  }

 private:
  attestation::SnpSimulator simulator_;
};

/// `TheSimulator` makes evidence of a statement, and quotes.
template <typename TheSimulator>
class SimulatedSource final : public EvidenceSource {
 public:
  explicit SimulatedSource(TheSimulator simulator) : simulator_(std::move(simulator)) {}

  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t now_s) override {
    return simulator_.evidence(statement, now_s);
  }

  Result<attestation::Evidence, std::string> quote(std::span<const std::uint8_t, 64> report_data,
                                                   std::int64_t /*now_s*/) override {
    return simulator_.quote(report_data);
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
    const EvidenceSettings& settings, const fs::path& data, Rng& rng) {
  const std::string& platform = settings.simulated_platform;
  if (platform != "tdx" && platform != "snp") {
    return failure(std::string("tee.simulated_platform must be \"tdx\" or \"snp\""));
  }
  const auto seed = simulator_seed(data / "sim-seed", rng);
  if (!seed) return failure((data / "sim-seed").string() + ": can't be written");
  const fs::path root = data / "sim-root.der";
  if (platform == "tdx") {
    const auto compose = settings.simulated_compose.empty()
                             ? std::optional(own_compose())
                             : read_compose(settings.simulated_compose);
    if (!compose)
      return failure(settings.simulated_compose + ": no compose text of 256 KiB at most");
    return with_root(SimulatedTdx(*seed, *compose), root);
  }
  return with_root(SimulatedSnp(*seed), root);
}

}  // namespace nostril::node
