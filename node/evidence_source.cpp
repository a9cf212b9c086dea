#include "node/evidence_source.h"

#include "attestation/simulator.h"
#include "base/bytes.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <system_error>

namespace nostril::node {

namespace {

namespace fs = std::filesystem;

/// Linux Documentation/ABI/testing/configfs-tsm.
constexpr const char* kTsmFolder = "/sys/kernel/config/tsm/report";
constexpr std::array kTeeInterfaces = {
    "/dev/tdx_guest", "/dev/tdx-guest",       "/dev/sev-guest",     "/dev/nsm",
    kTsmFolder,       "/var/run/dstack.sock", "/var/run/tappd.sock"};
/// Another process may write the same entry between our write and our read: `generation` tells.
constexpr int kTsmTries = 5;

std::optional<Bytes> read_whole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

/// The same at each start, so that clients which were given the root keep it. It protects nothing.
std::optional<std::array<std::uint8_t, 32>> simulator_seed(const fs::path& file, Rng& rng) {
  std::array<std::uint8_t, 32> seed{};
  if (const auto kept = read_whole(file); kept && kept->size() == seed.size()) {
    std::ranges::copy(*kept, seed.begin());
    return seed;
  }
  rng.fill(seed);
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << as_text(seed);
  out.close();
  if (out.fail()) return std::nullopt;
  return seed;
}

class SimulatedSource final : public EvidenceSource {
 public:
  explicit SimulatedSource(std::span<const std::uint8_t, 32> seed) : simulator_(seed) {}

  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t now_s) override {
    return simulator_.evidence(statement, now_s);
  }

  [[nodiscard]] std::string_view tee() const override { return "simulated"; }

  [[nodiscard]] bool simulated() const override { return true; }

  [[nodiscard]] Bytes root() const { return simulator_.root_der(); }

 private:
  attestation::Simulator simulator_;
};

/// One entry below the configfs folder, removed when it goes.
class TsmEntry {
 public:
  explicit TsmEntry(fs::path path) : path_(std::move(path)) {
    std::error_code error;
    made_ = fs::create_directory(path_, error);
  }

  ~TsmEntry() {
    std::error_code error;
    if (made_) fs::remove(path_, error);
  }

  TsmEntry(const TsmEntry&) = delete;
  TsmEntry& operator=(const TsmEntry&) = delete;

  [[nodiscard]] bool made() const { return made_; }

  [[nodiscard]] std::optional<Bytes> read(const char* name) const {
    return read_whole(path_ / name);
  }

  [[nodiscard]] bool write(const char* name, ByteSpan bytes) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file << as_text(bytes);  // one write(2): the buffer is larger than 64 bytes
    file.close();
    return !file.fail();
  }

 private:
  fs::path path_;
  bool made_ = false;
};

class TdxSource final : public EvidenceSource {
 public:
  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t /*now_s*/) override {
    const auto report_data = attestation::report_data(statement);
    const TsmEntry entry(fs::path(kTsmFolder) / ("nostril-" + std::to_string(getpid())));
    if (!entry.made()) return failure(std::string(kTsmFolder) + ": an entry can't be made");
    if (const auto provider = entry.read("provider");
        !provider || !as_text(*provider).starts_with("tdx_guest")) {
      return failure(std::string("the kernel's report provider is not tdx_guest"));
    }
    for (int i = 0; i < kTsmTries; ++i) {
      if (!entry.write("inblob", report_data)) {
        return failure(std::string("the kernel did not take report_data"));
      }
      const auto before = entry.read("generation");
      auto quote = entry.read("outblob");
      const auto after = entry.read("generation");
      if (!quote || quote->empty()) {
        return failure(std::string(
            "the kernel gave no quote; is the host's quote generation service running?"));
      }
      if (before == after) {
        attestation::Evidence out;
        out.kind = attestation::kKindTdx;
        out.statement = statement;
        out.cpu_quote = std::move(*quote);
        return out;
      }
    }
    return failure(std::string("another process keeps asking for reports; try again"));
  }

  [[nodiscard]] std::string_view tee() const override { return "tdx"; }

  [[nodiscard]] bool simulated() const override { return false; }
};

}  // namespace

std::vector<std::string> tee_interfaces() {
  std::vector<std::string> out;
  std::error_code error;
  for (const char* path : kTeeInterfaces) {
    if (fs::exists(path, error)) out.emplace_back(path);
  }
  return out;
}

Result<std::unique_ptr<EvidenceSource>, std::string> make_evidence_source(std::string_view backend,
                                                                          const fs::path& data,
                                                                          Rng& rng) {
  if (backend == "tdx") {
    std::error_code error;
    if (!fs::exists(kTsmFolder, error)) {
      return failure(std::string(kTsmFolder) +
                     " is not there: this is no TDX guest, or its kernel is older than 6.7");
    }
    return std::make_unique<TdxSource>();
  }
  if (backend == "sim") {
    if (const auto found = tee_interfaces(); !found.empty()) {
      return failure("this machine has " + found.front() +
                     ": simulated evidence is refused beside a real TEE");
    }
    const auto seed = simulator_seed(data / "sim-seed", rng);
    if (!seed) return failure((data / "sim-seed").string() + ": can't be written");
    auto source = std::make_unique<SimulatedSource>(*seed);
    const fs::path root = data / "sim-root.der";
    std::ofstream file(root, std::ios::binary | std::ios::trunc);
    file << as_text(source->root());
    file.close();
    if (file.fail()) return failure(root.string() + ": can't be written");
    return source;
  }
  return failure(std::string("tee.backend must be \"tdx\" or \"sim\"; there is no default"));
}

}  // namespace nostril::node
