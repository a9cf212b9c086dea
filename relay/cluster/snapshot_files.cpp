#include "relay/cluster/snapshot_files.h"

#include "base/crash_point.h"
#include "base/file_at.h"
#include "base/rng.h"
#include "relay/cluster/applied_ids.h"
#include "relay/cluster/decision_log.h"
#include "relay/store/compact.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace nostril::relay {

namespace {

namespace fs = std::filesystem;

constexpr const char* kMadeFolder = "snapshot.tmp";
constexpr const char* kStageFolder = "snapshot.in";
constexpr const char* kReadyFolder = "snapshot.ready";
constexpr const char* kWantedFile = "snapshot.wanted";
constexpr const char* kModerationFolder = "moderation";
constexpr const char* kDataFile = "data.mdb";
constexpr const char* kLockFile = "lock.mdb";
// Left free beside a snapshot that is fetched: the relay goes on meanwhile.
constexpr std::uint64_t kFreeBytesMin = std::uint64_t{64} << 20;
// Address space for what the relay writes while a copy is being made.
constexpr std::size_t kRoomBytes = std::size_t{4} << 30;

std::string text_of(int error) {
  return std::generic_category().message(error);
}

std::string problem(const fs::path& path, int error) {
  return fmt::format("{}: {}", path.string(), text_of(error));
}

std::array<fs::path, kSnapshotFileCount> files_in(const fs::path& folder) {
  return {folder / kDataFile, folder / kModerationFolder / kDataFile};
}

/// Where a chunk is.
struct Place {
  std::size_t file = 0;
  std::uint64_t at = 0;
  std::size_t bytes = 0;
};

std::optional<Place> place_of(const SnapshotHeader& header, std::uint64_t number) {
  std::uint64_t first = 0;
  for (std::size_t file = 0; file < kSnapshotFileCount; ++file) {
    const std::uint64_t chunks = header.chunks_of(static_cast<SnapshotFile>(file));
    if (number < first + chunks) {
      const std::uint64_t at = (number - first) * kChunkBytes;
      const auto bytes = std::min<std::uint64_t>(kChunkBytes, header.bytes.at(file) - at);
      return Place{file, at, static_cast<std::size_t>(bytes)};
    }
    first += chunks;
  }
  return std::nullopt;
}

void remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
}

ByteSpan hash_in(ByteSpan hashes, std::uint64_t number) {
  return hashes.subspan(static_cast<std::size_t>(number) * kHashBytes, kHashBytes);
}

bool is_hash_of(ByteSpan hash, ByteSpan bytes) {
  return std::ranges::equal(sha256(bytes).bytes, hash);
}

}  // namespace

// --- Making one.

Result<std::unique_ptr<Snapshot>, std::string> Snapshot::make(const Source& source,
                                                              const fs::path& data,
                                                              std::int64_t now_s) {
  remove_leftovers(data);
  std::unique_ptr<Snapshot> out(  // NOLINT: the constructor is private
      new Snapshot(data / kMadeFolder));
  if (auto copied = out->copy(source); !copied) return failure(std::move(copied.error()));
  if (auto described = out->describe(source, now_s); !described) {
    return failure(std::move(described.error()));
  }
  return out;
}

Snapshot::~Snapshot() {
  remove_folder(folder_);
}

void Snapshot::remove_leftovers(const fs::path& data) {
  remove_folder(data / kMadeFolder);
}

Result<void, std::string> Snapshot::copy(const Source& source) {
  const std::size_t used = source.store.stats().file_used_bytes;
  if (auto room = source.store.make_room(2 * used + kRoomBytes); !room) {
    return failure(std::move(room.error().text));
  }
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return failure(problem(folder_, error.value()));
  // Both of one moment; then the writer goes on while the transaction is read.
  std::optional<ReadTxn> txn;
  Result<void, std::string> lists;
  const bool is_taken = source.writer.run_between([&] {
    lists = source.moderation.copy_to(folder_ / kModerationFolder);
    txn.emplace(source.store.read());
  });
  if (!is_taken) return failure(std::string("the relay is stopping"));
  if (!lists) return lists;
  // The store's copy wants an empty directory.
  const fs::path events = folder_ / "events";
  CompactOptions options;
  options.goes_on = source.goes_on;
  std::uint64_t before = 0;
  std::uint64_t table = 0;
  if (source.progress) {
    options.progress = [&](std::string_view, std::uint64_t rows) {
      if (rows < table) before += table;
      table = rows;
      source.progress(before + table);
    };
  }
  auto copied = compact(source.store, std::move(*txn), events, options);
  if (!copied) return failure(std::move(copied.error().text));
  header_.events = copied->events;
  for (const char* name : {kDataFile, kLockFile}) {
    fs::rename(events / name, folder_ / name, error);
    if (error) return failure(problem(events / name, error.value()));
  }
  remove_folder(events);
  return {};
}

Result<void, std::string> Snapshot::describe(const Source& source, std::int64_t now_s) {
  {
    StoreOptions options;
    options.read_only = true;
    auto store = Store::open(folder_, options);
    if (!store) return failure(std::move(store.error().text));
    const auto position = (*store)->stream_position();
    if (!position) return failure(std::string("this store is of no cluster"));
    header_.stream = position->of;
    header_.position = position->sequence;
  }
  const auto paths = files_in(folder_);
  for (std::size_t i = 0; i < kSnapshotFileCount; ++i) {
    files_.at(i) = UniqueFd(::open(paths.at(i).c_str(), O_RDONLY | O_CLOEXEC));

    struct stat found {};

    if (!files_.at(i).is_open() || ::fstat(files_.at(i).get(), &found) != 0) {
      return failure(problem(paths.at(i), errno));
    }
    header_.bytes.at(i) = static_cast<std::uint64_t>(found.st_size);
  }
  if (header_.bytes_in_all() > kSnapshotBytesMax) {
    return failure(fmt::format("a snapshot may have {} bytes", kSnapshotBytesMax));
  }
  for (std::uint64_t number = 0; number < header_.chunks(); ++number) {
    if (source.goes_on && !source.goes_on()) return failure(std::string("given up"));
    const auto bytes = chunk(number);
    if (!bytes) return failure(fmt::format("{}: it can't be read", folder_.string()));
    const Digest hash = sha256(*bytes);
    hashes_.insert(hashes_.end(), hash.bytes.begin(), hash.bytes.end());
  }
  SystemRng rng;
  header_.id = new_message_id(rng);
  header_.relay = source.relay;
  header_.made_at_s = now_s;
  header_.hashes_sha256 = sha256(hashes_);
  return {};
}

std::optional<Bytes> Snapshot::chunk(std::uint64_t number) const {
  const auto place = place_of(header_, number);
  if (!place) return std::nullopt;
  Bytes out(place->bytes);
  const auto got = read_at(files_.at(place->file).get(), place->at, out);
  if (!got || *got != out.size()) return std::nullopt;
  return out;
}

std::optional<Bytes> Snapshot::hashes(std::uint64_t number) const {
  if (number >= hashes_.size() / kChunkBytes + 1) return std::nullopt;
  const auto from = static_cast<std::size_t>(number) * kChunkBytes;
  if (from >= hashes_.size()) return std::nullopt;
  const auto piece = ByteSpan(hashes_).subspan(from, std::min(kChunkBytes, hashes_.size() - from));
  return Bytes(piece.begin(), piece.end());
}

// --- Taking one in.

SnapshotStage::SnapshotStage(fs::path data, const SnapshotHeader& header, Bytes hashes)
    : data_(std::move(data)),
      header_(header),
      hashes_(std::move(hashes)),
      has_(header.chunks()),
      missing_(header.chunks()) {}

Result<std::unique_ptr<SnapshotStage>, std::string> SnapshotStage::open(
    const fs::path& data, const SnapshotHeader& header, Bytes hashes) {
  if (hashes.size() != header.chunks() * kHashBytes || sha256(hashes) != header.hashes_sha256) {
    return failure(std::string("the list of hashes is not the header's"));
  }
  std::unique_ptr<SnapshotStage> out(  // NOLINT: the constructor is private
      new SnapshotStage(data, header, std::move(hashes)));
  if (auto opened = out->open_files(); !opened) return failure(std::move(opened.error()));
  return out;
}

Result<void, std::string> SnapshotStage::open_files() {
  const fs::path folder = data_ / kStageFolder;
  std::error_code error;
  const bool is_new = fs::create_directories(folder / kModerationFolder, error);
  if (error) return failure(problem(folder, error.value()));
  const auto paths = files_in(folder);
  for (std::size_t i = 0; i < kSnapshotFileCount; ++i) {
    files_.at(i) = UniqueFd(::open(paths.at(i).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!files_.at(i).is_open()) return failure(problem(paths.at(i), errno));
  }
  if (!is_new) look_what_is_there();

  struct statvfs disk {};

  if (::statvfs(folder.c_str(), &disk) != 0) return failure(problem(folder, errno));
  const std::uint64_t wanted = missing_ * kChunkBytes + kFreeBytesMin;
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free < wanted) {
    return failure(fmt::format("{}: the snapshot needs {} MiB on the disk, {} are free",
                               folder.string(), wanted >> 20U, free >> 20U));
  }
  for (std::size_t i = 0; i < kSnapshotFileCount; ++i) {
    if (::ftruncate(files_.at(i).get(), static_cast<off_t>(header_.bytes.at(i))) != 0) {
      return failure(problem(paths.at(i), errno));
    }
  }
  return {};
}

void SnapshotStage::look_what_is_there() {
  Bytes bytes;
  for (std::uint64_t number = 0; number < header_.chunks(); ++number) {
    const auto place = place_of(header_, number);
    bytes.resize(place->bytes);
    const auto got = read_at(files_.at(place->file).get(), place->at, bytes);
    if (!got || *got != bytes.size()) continue;
    if (!is_hash_of(hash_in(hashes_, number), bytes)) continue;
    has_.at(number) = true;
    --missing_;
    ++kept_;
  }
}

SnapshotStage::Put SnapshotStage::put(std::uint64_t number, ByteSpan bytes) {
  const auto place = place_of(header_, number);
  if (!place || bytes.size() != place->bytes || !is_hash_of(hash_in(hashes_, number), bytes)) {
    return Put::Wrong;
  }
  if (has_.at(number)) return Put::Written;
  if (write_at(files_.at(place->file).get(), place->at, bytes) != 0) return Put::DiskFailed;
  has_.at(number) = true;
  --missing_;
  return Put::Written;
}

Result<void, std::string> SnapshotStage::finish() {
  const fs::path folder = data_ / kStageFolder;
  if (missing_ > 0) return failure(std::string("the snapshot is not whole"));
  for (std::size_t i = 0; i < kSnapshotFileCount; ++i) {
    if (::fsync(files_.at(i).get()) != 0) return failure(problem(files_in(folder).at(i), errno));
  }
  if (auto checked = check_store(); !checked) {
    remove_folder(folder);
    return checked;
  }
  crash_point("snapshot.checked");
  for (const fs::path& synced : {folder / kModerationFolder, folder}) {
    if (const int error = sync_folder(synced); error != 0) return failure(problem(synced, error));
  }
  const fs::path ready = data_ / kReadyFolder;
  remove_folder(ready);  // an earlier one, that no start has taken
  std::error_code error;
  fs::rename(folder, ready, error);
  if (error) return failure(problem(ready, error.value()));
  if (const int synced = sync_folder(data_); synced != 0) return failure(problem(data_, synced));
  crash_point("snapshot.ready");
  return {};
}

// Whoever sends it is of the cluster; a version or a disk may differ all the same.
Result<void, std::string> SnapshotStage::check_store() const {
  const fs::path folder = data_ / kStageFolder;
  {
    StoreOptions options;
    options.read_only = true;
    auto store = Store::open(folder, options);
    if (!store) return failure(std::move(store.error().text));
    const StreamPosition wanted{header_.stream, header_.position};
    if ((*store)->stream_position() != wanted || (*store)->count() != header_.events) {
      return failure(std::string("the snapshot's store is not what its header says"));
    }
    if (auto lists = Moderation::open(folder / kModerationFolder); !lists) {
      return failure(std::move(lists.error()));
    }
  }
  for (const fs::path& lock : {folder / kLockFile, folder / kModerationFolder / kLockFile}) {
    std::error_code error;
    fs::remove(lock, error);
  }
  return {};
}

// --- In place.

namespace {

void must(const fs::path& path, const std::error_code& error) {
  if (error) throw std::runtime_error(problem(path, error.value()));
}

// What is under another name in the same file system takes the place of `target` at once. The lock
// file goes first: its readers' table is of the old file.
void replace(const fs::path& source, const fs::path& target) {
  std::error_code error;
  if (!fs::exists(source, error)) return;
  fs::create_directories(target.parent_path(), error);
  must(target.parent_path(), error);
  fs::remove(target.parent_path() / kLockFile, error);
  must(target.parent_path() / kLockFile, error);
  fs::rename(source, target, error);
  must(target, error);
  if (const int synced = sync_folder(target.parent_path()); synced != 0) {
    throw std::runtime_error(problem(target.parent_path(), synced));
  }
}

}  // namespace

// The moderators' lists first: with them the old store is still the old store, and the relay does
// not run before both are there.
bool put_snapshot_in_place(const fs::path& data) {
  const fs::path ready = data / kReadyFolder;
  std::error_code error;
  if (!fs::exists(ready, error)) return false;
  crash_point("snapshot.begin");
  replace(ready / kModerationFolder / kDataFile, data / kModerationFolder / kDataFile);
  crash_point("snapshot.moderation");
  // The log of the old tables means nothing to the new ones: they have no key for it.
  replace(ready / kDataFile, data / kDataFile);
  crash_point("snapshot.events");
  // What the old store was told says nothing of the new one.
  fs::remove(data / kAppliedIdsFile, error);
  must(data / kAppliedIdsFile, error);
  fs::remove_all(data / kDecisionsFolder, error);
  must(data / kDecisionsFolder, error);
  fs::remove(data / kWantedFile, error);
  must(data / kWantedFile, error);
  crash_point("snapshot.wanted");
  fs::remove_all(ready, error);
  must(ready, error);
  if (const int synced = sync_folder(data); synced != 0) {
    throw std::runtime_error(problem(data, synced));
  }
  return true;
}

bool want_snapshot(const fs::path& data) {
  const UniqueFd file(::open((data / kWantedFile).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return file.is_open() && ::fsync(file.get()) == 0 && sync_folder(data) == 0;
}

bool is_snapshot_wanted(const fs::path& data) {
  std::error_code error;
  return fs::exists(data / kWantedFile, error);
}

bool is_snapshot_ready(const fs::path& data) {
  std::error_code error;
  return fs::exists(data / kReadyFolder, error);
}

}  // namespace nostril::relay
