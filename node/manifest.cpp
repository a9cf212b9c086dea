#include "node/manifest.h"

#include "events/big_endian.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <system_error>

namespace nostril::node {

namespace {

constexpr std::size_t kPieceBytes = 1U << 20;

struct FileDigest {
  std::uint64_t bytes = 0;
  Digest digest;
};

Result<FileDigest, std::string> digest_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return failure(path.string() + ": can't be read");
  Sha256 hash;
  FileDigest out;
  std::string piece(kPieceBytes, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto got = static_cast<std::size_t>(file.gcount());
    hash.update(std::string_view(piece).substr(0, got));
    out.bytes += got;
  }
  if (!file.eof()) return failure(path.string() + ": reading failed");
  out.digest = hash.finish();
  return out;
}

}  // namespace

Result<Digest, std::string> manifest_digest(const std::vector<std::filesystem::path>& files) {
  std::map<std::string, std::filesystem::path> by_name;
  for (const auto& path : files) {
    if (!by_name.emplace(path.filename().string(), path).second) {
      return failure(path.string() + ": two weight files have this name");
    }
  }
  Bytes manifest;
  for (const auto& [name, path] : by_name) {
    const auto file = digest_file(path);
    if (!file) return failure(file.error());
    append_big_endian(manifest, name.size(), 4);
    const ByteSpan name_bytes = as_bytes(name);
    manifest.insert(manifest.end(), name_bytes.begin(), name_bytes.end());
    append_big_endian(manifest, file->bytes, 8);
    manifest.insert(manifest.end(), file->digest.bytes.begin(), file->digest.bytes.end());
  }
  return tagged_hash("nostril/manifest/1", manifest);
}

}  // namespace nostril::node
