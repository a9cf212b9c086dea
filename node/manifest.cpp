#include "node/manifest.h"

#include "node/file_tree.h"
#include "node/leaf_cache.h"
#include "node/verity.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace nostril::node {

namespace {

using attestation::kManifestLeafBytes;
using attestation::ModelManifest;

constexpr std::chrono::seconds kProgressPeriod{1};
constexpr std::int64_t kNsPerMs = 1'000'000;

/// A file to hash: where it is and how it was when the work began.
struct Item {
  const FileTree* tree = nullptr;
  std::string name;
  FileIdentity identity;
};

std::size_t leaf_count_of(std::uint64_t bytes) {
  return static_cast<std::size_t>((bytes + kManifestLeafBytes - 1) / kManifestLeafBytes);
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string changed(const Item& item) {
  return (item.tree->path() / item.name).string() +
         ": it changed while it was hashed; start again when nothing writes there";
}

/// One run over all files.
class Hasher {
 public:
  Hasher(const ManifestSettings& settings, const ManifestCalls& calls)
      : settings_(settings), calls_(calls) {
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    threads_ = settings.threads == 0 ? cores : settings.threads;
  }

  /// The error, if any.
  std::optional<std::string> add_folder() {
    if (settings_.folder.empty()) return std::nullopt;
    const FileTree* tree = nullptr;
    if (auto error = open_tree(settings_.folder, tree)) return error;
    const auto names = tree->list();
    if (!names) return names.error();
    for (const std::string& name : *names) {
      if (auto error = add(*tree, name)) return error;
    }
    return std::nullopt;
  }

  std::optional<std::string> add_files() {
    for (const std::filesystem::path& path : settings_.files) {
      const FileTree* tree = nullptr;
      const auto folder = path.has_parent_path() ? path.parent_path() : ".";
      if (auto error = open_tree(folder, tree)) return error;
      if (auto error = add(*tree, path.filename().string())) return error;
    }
    return std::nullopt;
  }

  Result<ModelManifest, std::string> run() {
    std::ranges::sort(items_, {}, &Item::name);
    const auto twice = std::ranges::adjacent_find(items_, {}, &Item::name);
    if (twice != items_.end()) return failure(twice->name + ": two files have this name");
    if (items_.size() > attestation::kManifestFilesMax) {
      return failure(std::string("more files than a manifest has"));
    }
    for (const Item& item : items_) progress_.bytes_total += item.identity.bytes;
    ModelManifest out;
    for (const Item& item : items_) {
      auto root = hash(item);
      if (!root) return failure(root.error());
      out.files.push_back({item.name, item.identity.bytes, *root});
    }
    // What was hashed first may have changed while the rest was.
    for (const Item& item : items_) {
      if (!is_unchanged(item)) return failure(changed(item));
    }
    if (print_manifest(out).size() > attestation::kManifestTextBytesMax) {
      return failure(std::string("the names of the files are too long together"));
    }
    return out;
  }

 private:
  std::optional<std::string> open_tree(const std::filesystem::path& folder, const FileTree*& out) {
    auto tree = FileTree::open(folder);
    if (!tree) return tree.error();
    trees_.push_back(std::make_unique<FileTree>(std::move(*tree)));
    out = trees_.back().get();
    return std::nullopt;
  }

  std::optional<std::string> add(const FileTree& tree, const std::string& name) {
    const auto file = tree.open_file(name);
    if (!file) return file.error();
    const auto identity = identity_of(*file, (tree.path() / name).string());
    if (!identity) return identity.error();
    items_.push_back({&tree, name, *identity});
    return std::nullopt;
  }

  static bool is_unchanged(const Item& item) {
    const auto file = item.tree->open_file(item.name);
    if (!file) return false;
    const auto identity = identity_of(*file, item.name);
    return identity && *identity == item.identity;
  }

  [[nodiscard]] bool is_settled(const FileIdentity& identity) const {
    const std::int64_t newest = std::max(identity.changed_ns, identity.modified_ns);
    return newest + settings_.settle_ms * kNsPerMs <= now_ns();
  }

  Result<Digest, std::string> hash(const Item& item) {
    const auto file = item.tree->open_file(item.name);
    if (!file) return failure(file.error());
    const std::size_t count = leaf_count_of(item.identity.bytes);
    std::error_code ignored;
    const auto whole_path = std::filesystem::absolute(item.tree->path() / item.name, ignored);
    const LeafCache cache(is_settled(item.identity) ? settings_.cache : std::filesystem::path(),
                          whole_path.string(), item.identity, count);
    std::vector<Digest> leaves = cache.known();
    std::vector<std::size_t> missing;
    for (std::size_t i = 0; i < count; ++i) {
      if (!leaves[i].is_zero()) {
        skip(leaf_bytes(item, i));
      } else {
        missing.push_back(i);
      }
    }
    if (!hash_leaves(item, *file, missing, leaves, cache)) {
      if (is_cancelled()) return failure(std::string("stopped"));
      return failure(changed(item));
    }
    attestation::MerkleRoot tree;
    for (const Digest& leaf : leaves) tree.add(leaf);
    return tree.root();
  }

  static std::size_t leaf_bytes(const Item& item, std::size_t index) {
    const std::uint64_t offset = std::uint64_t{index} * kManifestLeafBytes;
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(kManifestLeafBytes, item.identity.bytes - offset));
  }

  /// False when a leaf can't be read whole, the file changed, or the work was cancelled.
  bool hash_leaves(const Item& item, const UniqueFd& file, const std::vector<std::size_t>& missing,
                   std::vector<Digest>& leaves, const LeafCache& cache) {
    if (missing.empty()) return true;
    posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    std::atomic<std::size_t> next = 0;
    std::atomic<bool> failed = false;
    const auto work = [&](bool reports) {
      Bytes piece(kManifestLeafBytes);
      for (;;) {
        const std::size_t place = next.fetch_add(1);
        if (place >= missing.size() || failed) return;
        const std::size_t index = missing[place];
        const std::size_t size = leaf_bytes(item, index);
        if (is_cancelled() || !read_leaf(file, index, piece, size)) {
          failed = true;
          return;
        }
        leaves[index] = attestation::leaf_digest(ByteSpan(piece).first(size));
        cache.put(index, leaves[index]);
        bytes_done_ += size;
        if (reports) report();
      }
    };
    const std::size_t helpers = std::min<std::size_t>(threads_, missing.size()) - 1;
    std::vector<std::thread> pool;
    for (std::size_t i = 0; i < helpers; ++i) pool.emplace_back(work, false);
    work(true);
    for (std::thread& thread : pool) thread.join();
    const auto after = identity_of(file, item.name);
    return !failed && after && *after == item.identity;
  }

  static bool read_leaf(const UniqueFd& file, std::size_t index, Bytes& piece, std::size_t size) {
    std::size_t got = 0;
    const std::uint64_t offset = std::uint64_t{index} * kManifestLeafBytes;
    while (got < size) {
      const ssize_t count =
          pread(file.get(), piece.data() + got, size - got, static_cast<off_t>(offset + got));
      if (count <= 0) return false;
      got += static_cast<std::size_t>(count);
    }
    return true;
  }

  [[nodiscard]] bool is_cancelled() const {
    return calls_.cancelled != nullptr && *calls_.cancelled;
  }

  void skip(std::size_t bytes) {
    progress_.bytes_total -= bytes;
    progress_.bytes_reused += bytes;
  }

  void report() {
    const auto now = std::chrono::steady_clock::now();
    if (!calls_.progress || now - reported_ < kProgressPeriod) return;
    reported_ = now;
    progress_.bytes = bytes_done_;
    calls_.progress(progress_);
  }

  const ManifestSettings& settings_;
  const ManifestCalls& calls_;
  unsigned threads_;
  std::vector<std::unique_ptr<FileTree>> trees_;
  std::vector<Item> items_;
  ManifestProgress progress_;
  std::atomic<std::uint64_t> bytes_done_ = 0;
  std::chrono::steady_clock::time_point reported_ = std::chrono::steady_clock::now();
};

}  // namespace

Result<ModelManifest, std::string> make_manifest(const ManifestSettings& settings,
                                                 const ManifestCalls& calls) {
  Hasher hasher(settings, calls);
  if (auto error = hasher.add_folder()) return failure(*error);
  if (auto error = hasher.add_files()) return failure(*error);
  return hasher.run();
}

Result<std::string, std::string> weights_text(const ManifestSettings& settings,
                                              const ManifestCalls& calls) {
  if (!settings.is_verity) {
    const auto made = make_manifest(settings, calls);
    if (!made) return failure(made.error());
    return attestation::print_manifest(*made);
  }
  const auto mapper = open_device_mapper();
  if (!mapper) return failure(mapper.error());
  const auto device = verity_below(**mapper, settings.folder);
  if (!device) return failure(device.error());
  return attestation::print_verity(*device);
}

}  // namespace nostril::node
