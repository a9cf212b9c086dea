#include "node/manifest_commands.h"

#include "attestation/verity.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "node/manifest.h"

#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace nostril::node {

namespace {

using attestation::ManifestFile;
using attestation::ModelManifest;

constexpr double kMb = 1e6;

/// A line that is written over, on a terminal only.
void show_progress(const ManifestProgress& progress) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r{:.0f} of {:.0f} MB, {:.0f} MB known from before ",
             static_cast<double>(progress.bytes) / kMb,
             static_cast<double>(progress.bytes_total) / kMb,
             static_cast<double>(progress.bytes_reused) / kMb);
}

ModelManifest make(const ManifestOptions& options) {
  ManifestSettings settings;
  settings.folder = options.folder;
  settings.threads = static_cast<unsigned>(options.threads);
  settings.cache = options.cache;
  const auto made = make_manifest(settings, {show_progress, nullptr});
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\n");
  if (!made) throw std::runtime_error(made.error());
  return *made;
}

ModelManifest read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(attestation::kManifestTextBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (!file.eof()) throw std::runtime_error(path + ": can't be read, or is no manifest");
  auto manifest = attestation::parse_manifest(text);
  if (!manifest) throw std::runtime_error(path + ": is no manifest");
  return std::move(*manifest);
}

void write(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file.fail()) throw std::runtime_error(path + ": can't be written");
}

std::string digest_of(const ModelManifest& manifest) {
  return encode_hex(attestation::manifest_digest(attestation::print_manifest(manifest)));
}

}  // namespace

int manifest_make(const ManifestOptions& options) {
  const ModelManifest manifest = make(options);
  const std::string text = attestation::print_manifest(manifest);
  if (options.output.empty()) {
    fmt::print("{}", text);
  } else {
    write(options.output, text);
  }
  fmt::print(stderr, "digest {}\n", digest_of(manifest));
  return 0;
}

int manifest_check(const ManifestOptions& options) {
  const ModelManifest wanted = read(options.manifest);
  const ModelManifest found = make(options);
  int differences = 0;
  const auto differs = [&differences](const char* how, const std::string& name) {
    fmt::print("{} {}\n", how, name);
    ++differences;
  };
  for (const ManifestFile& file : wanted.files) {
    const ManifestFile* now = found.find(file.name);
    if (now == nullptr) {
      differs("missing", file.name);
    } else if (*now != file) {
      differs("changed", file.name);
    }
  }
  for (const ManifestFile& file : found.files) {
    if (wanted.find(file.name) == nullptr) differs("extra", file.name);
  }
  fmt::print("{} files, {} differ; manifest {}\n", wanted.files.size(), differences,
             digest_of(wanted));
  return differences == 0 ? 0 : 1;
}

int manifest_prove(const ManifestOptions& options) {
  if (!attestation::is_manifest_name(options.name)) {
    throw std::runtime_error(options.name + ": a manifest has no such name");
  }
  const std::string path = options.folder + "/" + options.name;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": can't be read");
  attestation::LeafProof proof;
  proof.file.name = options.name;
  proof.index = options.leaf;
  std::vector<Digest> leaves;
  std::string page;
  std::string piece(attestation::kManifestLeafBytes, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto leaf = std::string_view(piece).substr(0, static_cast<std::size_t>(file.gcount()));
    if (leaf.empty()) break;
    if (leaves.size() == options.leaf) page = leaf;
    leaves.push_back(attestation::leaf_digest(as_bytes(leaf)));
    proof.file.bytes += leaf.size();
  }
  if (!file.eof()) throw std::runtime_error(path + ": reading failed");
  if (options.leaf >= leaves.size()) {
    throw std::runtime_error(fmt::format("{}: has {} leaves", path, leaves.size()));
  }
  attestation::MerkleRoot tree;
  for (const Digest& leaf : leaves) tree.add(leaf);
  proof.file.root = tree.root();
  proof.path = attestation::leaf_path(leaves, static_cast<std::size_t>(options.leaf));
  const std::string text = attestation::print_leaf_proof(proof);
  if (options.output.empty()) {
    fmt::print("{}", text);
  } else {
    write(options.output, text);
  }
  if (!options.page.empty()) write(options.page, page);
  return 0;
}

int manifest_show(const ManifestOptions& options) {
  const ModelManifest manifest = options.manifest.empty() ? make(options) : read(options.manifest);
  for (const ManifestFile& file : manifest.files) {
    fmt::print("{} {:>14} {}\n", encode_hex(file.root), file.bytes, file.name);
  }
  fmt::print("digest {}\n", digest_of(manifest));
  return 0;
}

int manifest_verity(const ManifestOptions& options) {
  std::string text;
  if (options.root.empty()) {
    ManifestSettings settings;
    settings.folder = options.folder;
    settings.is_verity = true;
    auto made = weights_text(settings);
    if (!made) throw std::runtime_error(made.error());
    text = std::move(*made);
  } else {
    attestation::VerityDevice device;
    const auto salt = decode_hex(options.salt);
    if (!decode_hex(options.root, device.root.bytes) || !salt) {
      throw std::runtime_error("--root: 64 hex digits; --salt: hex");
    }
    device.salt = *salt;
    device.data_blocks = options.data_blocks;
    device.data_block_bytes = options.data_block_bytes;
    device.hash_block_bytes = options.hash_block_bytes;
    if (!attestation::is_verity_device(device)) {
      throw std::runtime_error("--data-blocks, --data-block or --hash-block: no such device");
    }
    text = attestation::print_verity(device);
  }
  if (options.output.empty()) {
    fmt::print("{}", text);
  } else {
    write(options.output, text);
  }
  fmt::print(stderr, "digest {}\n", encode_hex(attestation::verity_digest(text)));
  return 0;
}

}  // namespace nostril::node
