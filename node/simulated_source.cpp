#include "node/simulated_source.h"

#include "attestation/event_log.h"
#include "attestation/gpu_simulator.h"
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

constexpr std::size_t kGpusOfSwitches = 8;  // a switch's report names so many

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

/// GPUs, and NVSwitches between them, with manifests and OCSP answers about all.
class SimulatedBoard {
 public:
  SimulatedBoard(const Seed& seed, std::size_t gpu_count, std::size_t switch_count)
      : gpu_count_(gpu_count),
        switch_count_(switch_count),
        simulator_(seed, options(switch_count)) {}

  [[nodiscard]] bool is_empty() const { return gpu_count_ == 0; }

  [[nodiscard]] Bytes root_der() const { return simulator_.root_der(); }

  [[nodiscard]] BoardAnswer answer(const Digest& nonce) const {
    BoardAnswer out;
    const auto add = [](std::vector<GpuAnswer>& to,
                        const std::vector<attestation::GpuEvidence>& devices) {
      for (const auto& device : devices) to.push_back({device.report, device.chain});
    };
    add(out.gpus, simulator_.evidence(gpu_count_, nonce.bytes));
    add(out.switches, simulator_.switches(nonce.bytes));
    return out;
  }

  [[nodiscard]] BoardDocuments documents() const {
    BoardDocuments out;
    if (is_empty()) return out;
    out.manifests = simulator_.manifests();
    const auto add = [&out](const std::vector<Bytes>& answers) {
      for (const Bytes& answer : answers) {
        if (std::ranges::find(out.ocsp, answer) == out.ocsp.end()) out.ocsp.push_back(answer);
      }
    };
    for (std::size_t i = 0; i < gpu_count_; ++i) add(simulator_.ocsp_answers(i, {}));
    for (std::size_t i = 0; i < switch_count_; ++i) add(simulator_.switch_ocsp_answers(i, {}));
    return out;
  }

 private:
  static attestation::GpuSimulatorOptions options(std::size_t switch_count) {
    attestation::GpuSimulatorOptions out;
    out.switch_count = switch_count;
    out.protected_pcie = switch_count != 0;
    out.features = static_cast<std::uint16_t>(switch_count != 0
                                                  ? attestation::GpuFeatures::ProtectedPcie
                                                  : attestation::GpuFeatures::MultiGpuPassthrough);
    return out;
  }

  std::size_t gpu_count_;
  std::size_t switch_count_;
  attestation::GpuSimulator simulator_;
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
  SimulatedSource(TheSimulator simulator, SimulatedBoard board)
      : simulator_(std::move(simulator)), board_(std::move(board)) {}

  Result<BoardAnswer, std::string> board(const Digest& nonce) override {
    return board_.is_empty() ? BoardAnswer{} : board_.answer(nonce);
  }

  BoardDocuments board_documents(const BoardAnswer& /*board*/, std::int64_t /*now_s*/) override {
    return board_.documents();
  }

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
  SimulatedBoard board_;
};

/// With the roots that clients are to be given on the disk.
template <typename TheSimulator>
Result<std::unique_ptr<EvidenceSource>, std::string> with_roots(TheSimulator simulator,
                                                                SimulatedBoard board,
                                                                const fs::path& data) {
  const fs::path root = data / "sim-root.der";
  const fs::path gpu_root = data / "sim-gpu-root.der";
  if (!write_whole(root, simulator.root_der())) {
    return failure(root.string() + ": can't be written");
  }
  if (!board.is_empty() && !write_whole(gpu_root, board.root_der())) {
    return failure(gpu_root.string() + ": can't be written");
  }
  return std::make_unique<SimulatedSource<TheSimulator>>(std::move(simulator), std::move(board));
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
  if (settings.simulated_switches != 0 && settings.simulated_gpus != kGpusOfSwitches) {
    return failure(std::string("tee.simulated_switches: only with tee.simulated_gpus = 8"));
  }
  SimulatedBoard board(*seed, settings.simulated_gpus, settings.simulated_switches);
  if (platform == "tdx") {
    const auto compose = settings.simulated_compose.empty()
                             ? std::optional(own_compose())
                             : read_compose(settings.simulated_compose);
    if (!compose)
      return failure(settings.simulated_compose + ": no compose text of 256 KiB at most");
    return with_roots(SimulatedTdx(*seed, *compose), std::move(board), data);
  }
  return with_roots(SimulatedSnp(*seed), std::move(board), data);
}

}  // namespace nostril::node
