#pragma once

#include "base/file.h"
#include "base/result.h"
#include "relay/cluster/codec.h"
#include "relay/moderation.h"
#include "relay/store/store.h"
#include "relay/store/writer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::relay {

// Snapshots as files below a relay's data directory:
//
//   snapshot.tmp/    a copy for others, made on demand, removed when nobody asks any more
//   snapshot.in/     one that is being fetched; what is right in it is kept for another attempt
//   snapshot.ready/  one that is whole: it takes the place of the relay's own at the next start
//   snapshot.wanted  the operator wants this relay's data replaced (`cluster resnapshot`)
//
// Each of the directories holds data.mdb and moderation/data.mdb.

/// A copy of a relay's store and of its moderators' lists, of one moment, as it is given to others.
/// Removed when it is dropped. Threads: chunk() and hashes() from any; the rest const.
class Snapshot {
 public:
  /// What it takes of the relay.
  struct Source {
    Store& store;
    StoreWriter& writer;
    Moderation& moderation;
    std::string relay;                                 ///< its name
    std::function<void(std::uint64_t rows)> progress;  ///< may be empty
    std::function<bool()> goes_on;                     ///< likewise; false: it is given up
  };

  /// Copies between two batches of the writer: all that was acknowledged is in it, and the position
  /// is that of what is in it. Takes as long as reading all of the store does; the writer is held
  /// up for the moderators' lists only. `data`: the relay's directory. The error is one line.
  [[nodiscard]] static Result<std::unique_ptr<Snapshot>, std::string> make(
      const Source& source, const std::filesystem::path& data, std::int64_t now_s);
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  Snapshot(Snapshot&&) = delete;
  Snapshot& operator=(Snapshot&&) = delete;

  [[nodiscard]] const SnapshotHeader& header() const { return header_; }

  /// Removes what a process that has ended has left. Before the first make().
  static void remove_leftovers(const std::filesystem::path& data);

  /// Nothing: there is none of this number, or the disk can't be read.
  [[nodiscard]] std::optional<Bytes> chunk(std::uint64_t number) const;
  /// The same of the list of hashes.
  [[nodiscard]] std::optional<Bytes> hashes(std::uint64_t number) const;

 private:
  explicit Snapshot(std::filesystem::path folder) : folder_(std::move(folder)) {}

  [[nodiscard]] Result<void, std::string> copy(const Source& source);
  [[nodiscard]] Result<void, std::string> describe(const Source& source, std::int64_t now_s);

  const std::filesystem::path folder_;
  SnapshotHeader header_;
  std::array<UniqueFd, kSnapshotFileCount> files_;
  Bytes hashes_;
};

/// A snapshot that is being fetched, in snapshot.in. A chunk is written where its SHA-256 is the
/// one expected; those that are there already, of an earlier attempt with this relay's or
/// another's snapshot, are not asked for again. Threads: one.
class SnapshotStage {
 public:
  /// Makes room on the disk for all of it. `hashes` are what the header's digest is of, else it is
  /// refused. The error is one line.
  [[nodiscard]] static Result<std::unique_ptr<SnapshotStage>, std::string> open(
      const std::filesystem::path& data, const SnapshotHeader& header, Bytes hashes);

  [[nodiscard]] const SnapshotHeader& header() const { return header_; }

  /// Chunks that are not here yet.
  [[nodiscard]] std::uint64_t missing() const { return missing_; }

  /// Those that an earlier attempt has left.
  [[nodiscard]] std::uint64_t kept() const { return kept_; }

  [[nodiscard]] bool has(std::uint64_t number) const { return has_.at(number); }

  enum class Put : std::uint8_t { Written, Wrong, DiskFailed };

  /// Wrong: these are not the bytes of that chunk.
  [[nodiscard]] Put put(std::uint64_t number, ByteSpan bytes);

  /// With nothing missing: looks whether it is a store at the header's position, puts it on the
  /// disk and calls it ready. The error is one line, and the stage is removed.
  [[nodiscard]] Result<void, std::string> finish();

 private:
  SnapshotStage(std::filesystem::path data, const SnapshotHeader& header, Bytes hashes);

  [[nodiscard]] Result<void, std::string> open_files();
  void look_what_is_there();
  [[nodiscard]] Result<void, std::string> check_store() const;

  const std::filesystem::path data_;
  const SnapshotHeader header_;
  const Bytes hashes_;
  std::array<UniqueFd, kSnapshotFileCount> files_;
  std::vector<bool> has_;
  std::uint64_t missing_ = 0;
  std::uint64_t kept_ = 0;
};

/// Puts a snapshot that is ready in the place of the relay's own files; nothing to do where there
/// is none. True when it did. Before the store is opened, with the directory's lock held. Ended
/// between any two steps, it goes on at the next call: what is opened in between is either the old
/// store or the new one. Throws std::runtime_error with one line.
bool put_snapshot_in_place(const std::filesystem::path& data);

/// The operator's wish, kept until a snapshot is in place. False: the disk can't be written.
[[nodiscard]] bool want_snapshot(const std::filesystem::path& data);
[[nodiscard]] bool is_snapshot_wanted(const std::filesystem::path& data);
/// A whole one waits for the next start.
[[nodiscard]] bool is_snapshot_ready(const std::filesystem::path& data);

}  // namespace nostril::relay
