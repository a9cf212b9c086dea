#include "attestation/model_manifest.h"

#include "base/hex.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 1> kLeafMark = {0};
constexpr std::array<std::uint8_t, 1> kNodeMark = {1};
constexpr std::string_view kHead = "nostril-manifest 2\nleaf 1048576\n";
static_assert(kManifestLeafBytes == 1048576);
constexpr std::string_view kFileWord = "file ";
constexpr std::string_view kProofHead = "nostril-leaf 1\n";
constexpr std::size_t kRootDigits = 64;

Digest node_digest(const Digest& left, const Digest& right) {
  return Sha256().update(kNodeMark).update(left.bytes).update(right.bytes).finish();
}

/// Decimal without leading zeros.
std::optional<std::uint64_t> parse_count(std::string_view digits) {
  std::uint64_t out = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, out);
  if (error != std::errc() || stop != end || digits != std::to_string(out)) return std::nullopt;
  return out;
}

/// The next line without its LF, off the front of `text`; nothing when it is not ended.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

/// What follows `word`.
std::optional<std::string_view> after(std::string_view line, std::string_view word) {
  if (!line.starts_with(word)) return std::nullopt;
  return line.substr(word.size());
}

std::string file_line(const ManifestFile& file) {
  return fmt::format("file {} {} {}\n", encode_hex(file.root), file.bytes, file.name);
}

/// Leaves of the left subtree of a tree of `count`, which is more than one.
std::uint64_t left_leaves(std::uint64_t count) {
  return std::bit_floor(count - 1);
}

Digest tree_root(std::span<const Digest> leaves) {
  MerkleRoot tree;
  for (const Digest& leaf : leaves) tree.add(leaf);
  return tree.root();
}

/// The path's steps from the leaf upwards: whether the sibling stands on the left.
std::vector<bool> path_sides(std::uint64_t count, std::uint64_t index) {
  std::vector<bool> out;
  while (count > 1) {
    const std::uint64_t left = left_leaves(count);
    const bool on_right = index >= left;
    out.push_back(on_right);
    index -= on_right ? left : 0;
    count = on_right ? count - left : left;
  }
  std::reverse(out.begin(), out.end());
  return out;
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
  const auto bytes = parse_count(digits);
  if (!bytes) return std::nullopt;
  out.bytes = *bytes;
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
    out += file_line(file);
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

std::vector<Digest> leaf_path(std::span<const Digest> leaves, std::size_t index) {
  std::vector<Digest> out;
  while (leaves.size() > 1) {
    const auto left = static_cast<std::size_t>(left_leaves(leaves.size()));
    if (index < left) {
      out.push_back(tree_root(leaves.subspan(left)));
      leaves = leaves.first(left);
    } else {
      out.push_back(tree_root(leaves.first(left)));
      leaves = leaves.subspan(left);
      index -= left;
    }
  }
  std::reverse(out.begin(), out.end());
  return out;
}

bool is_leaf(const LeafProof& proof, ByteSpan leaf) {
  const std::uint64_t count = leaf_count(proof.file.bytes);
  if (proof.index >= count) return false;
  const std::uint64_t rest = proof.file.bytes - proof.index * kManifestLeafBytes;
  if (leaf.size() != std::min<std::uint64_t>(rest, kManifestLeafBytes)) return false;
  const std::vector<bool> sides = path_sides(count, proof.index);
  if (sides.size() != proof.path.size()) return false;
  Digest out = leaf_digest(leaf);
  for (std::size_t i = 0; i < sides.size(); ++i) {
    out = sides[i] ? node_digest(proof.path[i], out) : node_digest(out, proof.path[i]);
  }
  return out == proof.file.root;
}

std::string print_leaf_proof(const LeafProof& proof) {
  std::string out(kProofHead);
  out += file_line(proof.file);
  out += fmt::format("leaf {}\n", proof.index);
  for (const Digest& sibling : proof.path) out += fmt::format("hash {}\n", encode_hex(sibling));
  return out;
}

std::optional<LeafProof> parse_leaf_proof(std::string_view text) {
  if (text.size() > kLeafProofTextBytesMax || !text.starts_with(kProofHead)) return std::nullopt;
  text.remove_prefix(kProofHead.size());
  const auto file_text = take_line(text);
  const auto leaf_text = take_line(text);
  if (!file_text || !leaf_text) return std::nullopt;
  const auto file_words = after(*file_text, kFileWord);
  const auto index_digits = after(*leaf_text, "leaf ");
  if (!file_words || !index_digits) return std::nullopt;
  auto file = parse_file(*file_words);
  const auto index = parse_count(*index_digits);
  if (!file || !index || *index >= leaf_count(file->bytes)) return std::nullopt;
  LeafProof out{std::move(*file), *index, {}};
  while (!text.empty()) {
    const auto line = take_line(text);
    const auto digits = line ? after(*line, "hash ") : std::nullopt;
    Digest sibling;
    if (!digits || !decode_hex(*digits, sibling.bytes)) return std::nullopt;
    out.path.push_back(sibling);
  }
  const std::size_t length = path_sides(leaf_count(out.file.bytes), out.index).size();
  if (out.path.size() != length) return std::nullopt;
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
