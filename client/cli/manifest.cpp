#include "attestation/model_manifest.h"
#include "attestation/verity.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

using attestation::ManifestFile;
using attestation::ModelManifest;

constexpr int kWrong = 1;
constexpr int kUnusable = 2;

std::string read_text(const std::string& path, std::size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad() || !file.eof()) throw std::runtime_error(path + ": can't be read, or too large");
  return text;
}

/// The entry that the path ends in: all of the name, from a whole component on.
const ManifestFile* entry_of(const ModelManifest& manifest, const std::string& path) {
  const ManifestFile* found = nullptr;
  for (const ManifestFile& file : manifest.files) {
    const bool ends = path == file.name || path.ends_with("/" + file.name);
    if (ends && (found == nullptr || file.name.size() > found->name.size())) found = &file;
  }
  return found;
}

struct FileFacts {
  std::uint64_t bytes = 0;
  Digest root;
};

FileFacts read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": can't be read");
  attestation::FileRoot root;
  FileFacts out;
  std::string piece(attestation::kManifestLeafBytes, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto count = static_cast<std::size_t>(file.gcount());
    root.update(as_bytes(piece).first(count));
    out.bytes += count;
  }
  if (!file.eof()) throw std::runtime_error(path + ": reading failed");
  out.root = root.finish();
  return out;
}

bool check_file(const ModelManifest& manifest, const std::string& path, const std::string& name) {
  const ManifestFile* entry = name.empty() ? entry_of(manifest, path) : manifest.find(name);
  if (entry == nullptr) {
    fmt::print("WRONG {}: not in the manifest\n", path);
    return false;
  }
  const FileFacts facts = read_file(path);
  if (facts.bytes == entry->bytes && facts.root == entry->root) {
    fmt::print("right {}: is {}\n", path, entry->name);
    return true;
  }
  fmt::print("WRONG {}: {} bytes, root {}; {} has {} bytes, root {}\n", path, facts.bytes,
             encode_hex(facts.root), entry->name, entry->bytes, encode_hex(entry->root));
  return false;
}

bool check_leaf(const ModelManifest& manifest, const ManifestOptions& options) {
  const auto proof =
      attestation::parse_leaf_proof(read_text(options.proof, attestation::kLeafProofTextBytesMax));
  if (!proof) throw std::runtime_error(options.proof + ": is no proof");
  if (options.files.size() != 1) throw std::runtime_error("--proof needs one --file, the leaf");
  const ManifestFile* entry = manifest.find(proof->file.name);
  if (entry == nullptr || *entry != proof->file) {
    fmt::print("WRONG {}: of a file that is not in the manifest\n", options.proof);
    return false;
  }
  const std::string leaf = read_text(options.files[0], attestation::kManifestLeafBytes);
  const bool right = attestation::is_leaf(*proof, as_bytes(leaf));
  const std::uint64_t begin = proof->index * attestation::kManifestLeafBytes;
  fmt::print("{} {}: {}bytes {} to {} of {}\n", right ? "right" : "WRONG", options.files[0],
             right ? "" : "not ", begin, begin + leaf.size(), entry->name);
  return right;
}

bool is_wanted(const ManifestOptions& options, const std::string& digest) {
  if (options.digest.empty() || options.digest == digest) return true;
  fmt::print("WRONG digest: wanted {}\n", options.digest);
  return false;
}

/// What stands in a manifest's place on a dm-verity device: it names no files.
bool check_verity(const ManifestOptions& options, const std::string& text) {
  const auto device = attestation::parse_verity(text);
  if (!device) throw std::runtime_error(options.manifest + ": is no manifest");
  if (!options.files.empty() || !options.proof.empty()) {
    throw std::runtime_error(options.manifest +
                             ": is a dm-verity device; compare files with `veritysetup verify`");
  }
  const std::string digest = encode_hex(attestation::verity_digest(text));
  fmt::print("digest {}, dm-verity device of {} bytes\nroot   {}\n", digest,
             device->data_blocks * device->data_block_bytes, encode_hex(device->root));
  return is_wanted(options, digest);
}

bool check(const ManifestOptions& options) {
  const std::string text = read_text(options.manifest, attestation::kManifestTextBytesMax);
  if (attestation::is_verity_text(text)) return check_verity(options, text);
  const auto manifest = attestation::parse_manifest(text);
  if (!manifest) throw std::runtime_error(options.manifest + ": is no manifest");
  const std::string digest = encode_hex(attestation::manifest_digest(text));
  fmt::print("digest {}, {} files\n", digest, manifest->files.size());
  bool right = is_wanted(options, digest);
  if (!options.proof.empty()) return check_leaf(*manifest, options) && right;
  for (const std::string& file : options.files) {
    right = check_file(*manifest, file, options.name) && right;
  }
  return right;
}

}  // namespace

int verify_manifest(const ManifestOptions& options) {
  try {
    return check(options) ? 0 : kWrong;
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril: {}\n", error.what());
    return kUnusable;
  }
}

void add_verify_manifest(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = verify_app.add_subcommand(
      "manifest", "a model manifest, and files by it; 0 right, 1 wrong, 2 unusable");
  app->add_option("--manifest", o.manifest.manifest, "the manifest's text")->required();
  app->add_option("--digest", o.manifest.digest, "hex: what an offer's `weights` tag says");
  app->add_option("--file", o.manifest.files, "a file of the model; again for more");
  app->add_option("--name", o.manifest.name,
                  "the file's name in the manifest, when its path does not end in it");
  app->add_option("--proof", o.manifest.proof,
                  "of `nostril-node manifest prove`: --file is then that one leaf of a file");
  app->callback([&] { run = [&o](Process&) { return verify_manifest(o.manifest); }; });
}

}  // namespace nostril::client::cli
