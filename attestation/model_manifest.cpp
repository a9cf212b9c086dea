#include "attestation/model_manifest.h"

#include "base/hex.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 1> kLeafMark = {0};
constexpr std::array<std::uint8_t, 1> kNodeMark = {1};
constexpr std::string_view kHead = "nostril-manifest 2\nleaf 1048576\n";
static_assert(kManifestLeafBytes == 1048576);
constexpr std::string_view kFileWord = "file ";
constexpr std::size_t kRootDigits = 64;

Digest node_digest(const Digest& left, const Digest& right) {
  return Sha256().update(kNodeMark).update(left.bytes).update(right.bytes).finish();
}

/// "<root> <bytes> <name>"
std::optional<ManifestFile> parse_file(std::string_view line) {
  ManifestFile out;
  if (line.size() <= kRootDigits || line[kRootDigits] != ' ') return std::nullopt;
  if (!decode_hex(line.substr(0, kRootDigits), out.root.bytes)) return std::nullopt;
  line.remove_prefix(kRootDigits + 1);
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view digits = line.substr(0, space);
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, out.bytes);
  if (error != std::errc() || stop != end || digits != std::to_string(out.bytes)) {
    return std::nullopt;
  }
  out.name = line.substr(space + 1);
  if (!is_manifest_name(out.name)) return std::nullopt;
  return out;
}

}  // namespace

const ManifestFile* ModelManifest::find(std::string_view name) const {
  const auto found = std::find_if(files.begin(), files.end(),
                                  [name](const ManifestFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

bool is_manifest_name(std::string_view name) {
  if (name.empty() || name.size() > kManifestNameBytesMax) return false;
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; })) {
    return false;
  }
  for (;;) {
    const std::size_t slash = std::min(name.find('/'), name.size());
    const std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == name.size()) return true;
    name.remove_prefix(slash + 1);
  }
}

std::string print_manifest(const ModelManifest& manifest) {
  std::string out(kHead);
  for (const ManifestFile& file : manifest.files) {
    out += fmt::format("file {} {} {}\n", encode_hex(file.root), file.bytes, file.name);
  }
  return out;
}

std::optional<ModelManifest> parse_manifest(std::string_view text) {
  if (text.size() > kManifestTextBytesMax || !text.starts_with(kHead)) return std::nullopt;
  text.remove_prefix(kHead.size());
  ModelManifest out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos || !text.starts_with(kFileWord)) return std::nullopt;
    auto file = parse_file(text.substr(kFileWord.size(), end - kFileWord.size()));
    if (!file || out.files.size() == kManifestFilesMax) return std::nullopt;
    if (!out.files.empty() && file->name <= out.files.back().name) return std::nullopt;
    out.files.push_back(std::move(*file));
    text.remove_prefix(end + 1);
  }
  return out;
}

Digest manifest_digest(std::string_view text) {
  return tagged_hash("nostril/manifest/2", as_bytes(text));
}

Digest leaf_digest(ByteSpan leaf) {
  return Sha256().update(kLeafMark).update(leaf).finish();
}

void MerkleRoot::add(const Digest& leaf) {
  std::pair<unsigned, Digest> subtree(0, leaf);
  while (!subtrees_.empty() && subtrees_.back().first == subtree.first) {
    subtree = {subtree.first + 1, node_digest(subtrees_.back().second, subtree.second)};
    subtrees_.pop_back();
  }
  subtrees_.push_back(subtree);
}

Digest MerkleRoot::root() const {
  if (subtrees_.empty()) return sha256(ByteSpan());
  Digest out = subtrees_.back().second;
  for (std::size_t i = subtrees_.size() - 1; i-- > 0;) {
    out = node_digest(subtrees_[i].second, out);
  }
  return out;
}

void FileRoot::update(ByteSpan bytes) {
  while (!bytes.empty()) {
    if (leaf_bytes_ == 0) leaf_.update(kLeafMark);
    const std::size_t count = std::min(bytes.size(), kManifestLeafBytes - leaf_bytes_);
    leaf_.update(bytes.first(count));
    leaf_bytes_ += count;
    bytes = bytes.subspan(count);
    if (leaf_bytes_ == kManifestLeafBytes) close_leaf();
  }
}

void FileRoot::close_leaf() {
  tree_.add(leaf_.finish());
  leaf_bytes_ = 0;
}

Digest FileRoot::finish() {
  if (leaf_bytes_ > 0) close_leaf();
  const Digest out = tree_.root();
  tree_ = {};
  return out;
}

}  // namespace nostril::attestation
