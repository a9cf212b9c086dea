// Hashing weights: what a manifest costs beside one plain SHA-256 of the same file (OpenSSL), as
// sha256sum computes it. The file is in the page cache: the disk is not what is measured.
#include "node/manifest.h"

#include "base/check.h"
#include "schnorr/hash.h"
#include "tests/support/temp_dir.h"

#include <benchmark/benchmark.h>

#include <fstream>
#include <memory>

namespace nostril::node {
namespace {

constexpr std::size_t kFileBytes = 64U << 20U;

struct Setup {
  test::TempDir folder;
  ManifestSettings settings;

  Setup() {
    settings.folder = folder.path() / "model";
    settings.settle_ms = 0;
    std::filesystem::create_directories(settings.folder);
    std::string text(kFileBytes, '\0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 131 + i / 8191);
    std::ofstream(settings.folder / "w.bin", std::ios::binary) << text;
  }
};

Setup& setup() {
  static const auto made = std::make_unique<Setup>();
  return *made;
}

void count(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() * std::int64_t{kFileBytes});
}

void plain_sha256(benchmark::State& state) {
  const auto path = setup().settings.folder / "w.bin";
  std::string piece(1U << 20U, '\0');
  for (auto _ : state) {
    std::ifstream file(path, std::ios::binary);
    Sha256 hash;
    while (file) {
      file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      hash.update(std::string_view(piece).substr(0, static_cast<std::size_t>(file.gcount())));
    }
    benchmark::DoNotOptimize(hash.finish());
  }
  count(state);
}

BENCHMARK(plain_sha256)->MeasureProcessCPUTime()->UseRealTime();

void manifest(benchmark::State& state) {
  ManifestSettings settings = setup().settings;
  settings.threads = static_cast<unsigned>(state.range(0));
  for (auto _ : state) CHECK(make_manifest(settings));
  count(state);
}

BENCHMARK(manifest)->Arg(1)->Arg(2)->MeasureProcessCPUTime()->UseRealTime();

/// Nothing has changed since the last time.
void manifest_from_cache(benchmark::State& state) {
  ManifestSettings settings = setup().settings;
  settings.cache = setup().folder.path() / "cache";
  CHECK(make_manifest(settings));
  for (auto _ : state) CHECK(make_manifest(settings));
  count(state);
}

BENCHMARK(manifest_from_cache)->UseRealTime();

}  // namespace
}  // namespace nostril::node
