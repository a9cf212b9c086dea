#pragma once

#include "base/lmdb.h"
#include "base/result.h"
#include "events/event.h"
#include "relay/relay_address.h"
#include "relay/store/dictionary.h"
#include "relay/store/keys.h"
#include "relay/store/record.h"
#include "relay/store/stream_position.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

using ReadTxn = lmdb::ReadTxn;

/// Formats 1 to 3 know nothing of requests to vanish, 1 and 2 have no log, 1 has no dictionaries;
/// they are read as they are, and become format 4 when opened for writing.
inline constexpr std::uint32_t kStoreFormat = 4;
inline constexpr std::size_t kLogBytes = std::size_t{1} << 20;

struct StoreOptions {
  /// Address space reserved at first; doubled when full, without a restart. The file is as big as
  /// its content needs, and up to 64 MiB more (Transaction::log()).
  std::size_t map_bytes_initial = std::size_t{1} << 30;
  std::size_t map_bytes_max = std::size_t{1} << 44;
  unsigned readers_max = 256;  ///< read transactions at a time in all processes
  /// For export, stats and check of a file that a relay uses. What the log holds is in the tables
  /// first: the relay that uses the file commits it, or when it has ended this does.
  bool read_only = false;
  bool sync = true;  ///< false: for scratch files only, a machine's crash damages them
  /// More than 0: LoggedWrites may use a log of this size. It is made when the store is opened.
  std::size_t log_bytes = 0;
  /// Of the relay whose store it is, for requests to vanish (NIP-62) that name it. Written into the
  /// file; empty: as it stands there.
  std::optional<RelayAddress> address = {};
  /// Whether texts can be searched (NIP-50). Where the file has it otherwise, the index of words is
  /// made of all records before open() returns, or removed. Nothing: as it stands there.
  std::optional<bool> search = {};
};

/// What became of one event. Numbers are counted in metrics, not stored.
enum class PutResult : std::uint8_t {
  Stored,
  Duplicate,   ///< this id is stored
  HaveNewer,   ///< replaceable: a newer version (or same second and lower id) is stored
  Deleted,     ///< its author has asked to delete it (NIP-09)
  Vanished,    ///< its author, or its receiver, has asked to vanish (NIP-62)
  Expired,     ///< NIP-40: already past
  Ephemeral,   ///< of a kind that must not be stored; the relay never sends one here
  OutOfRange,  ///< created_at over kCreatedAtMax
  Failed,      ///< the disk failed; the store takes nothing more
  DiskFull,    ///< no room on the disk: not stored, later maybe
  Blocked,     ///< banned while it was under way; the store never says so
};
inline constexpr std::size_t kPutResultCount = 11;

/// OK's third member: true for Stored and Duplicate only. An older version of a replaceable event
/// is answered with false, because it is not kept and its author may have lost an edit; the prefix
/// is "duplicate:", because to send it again is senseless.
[[nodiscard]] bool is_accepted(PutResult result);
/// The disk did not fail: what has to be there now is there.
[[nodiscard]] bool is_kept(PutResult result);
/// OK's fourth member, with NIP-01's prefix; empty for Stored.
[[nodiscard]] std::string_view ok_message(PutResult result);

struct StoreError {
  std::string text;           ///< one line for the log or the operator
  bool is_disk_full = false;  ///< nothing was written, the store is as it was: try again later
};

/// Told what is being done and how much of it so far.
using ProgressHandler = std::function<void(std::string_view what, std::uint64_t count)>;

struct StoreStats {
  struct Table {
    std::string_view name;
    std::uint64_t entries = 0;
    std::uint64_t used_bytes = 0;
  };

  std::uint64_t events = 0;
  std::uint64_t file_used_bytes = 0;  ///< pages in use or free for reuse
  std::uint64_t map_bytes = 0;
  std::vector<Table> tables;
};

struct DictionaryInfo {
  DictionaryId id{};
  std::int64_t trained_at_s = 0;
  std::size_t bytes = 0;
  std::string sha256;  ///< hex
};

/// How the contents of a store are kept, by dictionary; id 0: as text.
struct ContentStats {
  DictionaryId id{};
  std::uint64_t records = 0;
  std::uint64_t content_bytes = 0;  ///< as text
  std::uint64_t stored_bytes = 0;
};

struct CheckReport {
  std::uint64_t records = 0;
  std::uint64_t index_entries = 0;
  std::uint64_t problem_count = 0;
  std::vector<std::string> problems;  ///< the first 100, in words

  [[nodiscard]] bool ok() const { return problem_count == 0; }
};

struct NamedTable {
  const char* name = nullptr;
  lmdb::Dbi Tables::*table = nullptr;
  std::uint32_t since = 1;  ///< format
};

/// All tables but `dictionaries`, meta first.
[[nodiscard]] std::span<const NamedTable> named_tables();
/// In the table meta: the file's format as u32.
inline constexpr std::string_view kFormatKey = "format";
/// In the table meta: StoreOptions::address as text.
inline constexpr std::string_view kAddressKey = "address";
/// In the table meta: 1, where the table words is complete.
inline constexpr std::string_view kSearchKey = "search";
/// In the table meta: the highest Sequence in use when a removal last made it vanish from the
/// records.
inline constexpr std::string_view kGivenKey = "given";

class Editor;
class EventCache;
class EventLog;
class Transaction;

/// Events on disk: LMDB tables as in relay/store/keys.h, records as in relay/store/record.h, and
/// the log of relay/store/log.h, which LoggedWrites writes. What an ended process has left in the
/// log is in the tables when open() returns.
///
/// Threads: all members from any. Writers wait for each other. A ReadTxn sees the store as it was
/// when it began; keep it for milliseconds (a long one keeps the file growing, and holds up a
/// growth of the map), and begin no second one or a write on the same thread meanwhile.
/// After a failed commit all writes are refused: what reached the disk is unknown until reopened.
/// A full disk is no such failure: the tables show what they showed before, see StoreError.
class Store {
 public:
  /// Opens or creates the directory `path`. A file of another format is refused with what to do,
  /// never read.
  [[nodiscard]] static Result<std::unique_ptr<Store>, StoreError> open(
      const std::filesystem::path& path, const StoreOptions& options = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  Store(Store&&) = delete;
  Store& operator=(Store&&) = delete;

  [[nodiscard]] ReadTxn read() { return ReadTxn(*env_); }

  // --- Lookups. What is expired counts as stored here until it is swept.

  [[nodiscard]] bool has_id(const EventId& id);  ///< in a read transaction of its own, 1 us
  [[nodiscard]] bool has_id(lmdb::Txn& txn, const EventId& id);
  /// What put() would say of an event that is stored already: Duplicate, or Vanished where it is
  /// left of somebody who has asked to vanish and goes by and by. Nothing: it is not stored, or
  /// with another signature, and this one may be wrong.
  [[nodiscard]] std::optional<PutResult> known(const Event& event);
  /// The record, borrowed until `txn` ends. A damaged one counts as absent: check() names it.
  [[nodiscard]] std::optional<RecordView> find(lmdb::Txn& txn, const EventId& id);
  [[nodiscard]] std::optional<RecordView> find(lmdb::Txn& txn, Sequence sequence);
  /// The bytes that the table `records` holds for one.
  [[nodiscard]] std::optional<RecordView> view(lmdb::Txn& txn, ByteSpan record);
  /// Where the event stands in the order of answers. By a cursor on the table `by_id`.
  [[nodiscard]] std::optional<Position> position_of(lmdb::Txn& txn, lmdb::Cursor& by_id,
                                                    const EventId& id,
                                                    const EventCache* cache = nullptr);
  /// Events in the store, by LMDB's own count.
  [[nodiscard]] std::uint64_t count();

  // --- Writes. Each is one transaction, on disk when it returns. Results in the order of events.

  [[nodiscard]] Result<std::vector<PutResult>, StoreError> put(
      std::span<const VerifiedEvent> events, std::int64_t now_s);
  /// For `import --no-verify` of an operator's own export, and nothing else: the signatures of
  /// these events have not been checked.
  [[nodiscard]] Result<std::vector<PutResult>, StoreError> put_unverified(
      std::span<const UnverifiedEvent> events, std::int64_t now_s);

  struct Swept {
    std::size_t removed = 0;
    bool is_behind = false;  ///< there is more to remove
  };

  /// Removes expired events and what is left of authors who have asked to vanish, `rows_max` of
  /// each at most.
  [[nodiscard]] Result<Swept, StoreError> sweep(std::int64_t now_s, std::size_t rows_max);
  /// Removes events without a trace (moderation); they may come back. How many were there.
  [[nodiscard]] Result<std::size_t, StoreError> erase(std::span<const EventId> ids);

  /// From now on, StoreOptions::address; nothing: the relay has none, and no request names it.
  [[nodiscard]] Result<void, StoreError> set_address(const std::optional<RelayAddress>& address);

  /// How far it is in the stream of its cluster, in the tables; nothing: it is of none.
  [[nodiscard]] std::optional<StreamPosition> stream_position();
  /// A transaction of its own, with what the log holds.
  [[nodiscard]] Result<void, StoreError> set_stream_position(const StreamPosition& position);

  /// Reserves address space (no disk) for a file of so many bytes, so that a long read transaction
  /// that begins next holds up no writer that needs more. The caller holds no transaction.
  [[nodiscard]] Result<void, StoreError> make_room(std::size_t bytes);

  /// Texts can be searched.
  [[nodiscard]] bool has_search() const { return tables_.words.exists(); }

  /// The disk has room for some more: a try after StoreError::is_disk_full. A write: the thread
  /// holds no transaction.
  [[nodiscard]] bool has_room();

  /// False after a failed commit.
  [[nodiscard]] bool is_writable() const { return !failed_.load() && !env_->read_only(); }

  /// Events that were taken from the log, after a crash or while the map grew.
  [[nodiscard]] std::uint64_t replayed() const { return replayed_.load(); }

  /// Records that could not be read since the store was opened; anything but 0 wants a check().
  [[nodiscard]] std::uint64_t damaged_reads() const { return damaged_reads_.load(); }

  // --- For the operator. All work on a live file.

  [[nodiscard]] StoreStats stats();
  [[nodiscard]] StoreStats stats_in(ReadTxn& txn);
  [[nodiscard]] Result<std::vector<DictionaryInfo>, StoreError> dictionaries();
  /// Reads every record, in short transactions; calls `progress` with the count now and then.
  [[nodiscard]] Result<std::vector<ContentStats>, StoreError> content_stats(
      const ProgressHandler& progress = {});
  /// From the next transaction on, of this and of other processes, new records are packed with it.
  [[nodiscard]] Result<DictionaryId, StoreError> add_dictionary(ByteSpan bytes, std::int64_t now_s);
  /// Compares every record with every index, both ways; `recompute_ids` hashes each event too.
  /// One long read transaction: run it in a process of its own beside a busy relay.
  [[nodiscard]] CheckReport check(bool recompute_ids = false, const ProgressHandler& progress = {});

  [[nodiscard]] const Tables& tables() const { return tables_; }

  [[nodiscard]] Dictionaries& known_dictionaries() { return dictionaries_; }

 private:
  friend class LoggedWrites;

  Store(std::unique_ptr<lmdb::Env> env, std::unique_ptr<EventLog> log);

  // Opens the directory as it is, the log's events left where they are.
  [[nodiscard]] static Result<std::unique_ptr<Store>, StoreError> open_tables_of(
      const std::filesystem::path& path, const StoreOptions& options);

  struct Found {
    Sequence sequence{};
    RecordView record;
  };

  [[nodiscard]] std::optional<Found> find_numbered(lmdb::Txn& txn, lmdb::Cursor& by_id,
                                                   const EventId& id, const EventCache* cache);
  [[nodiscard]] Result<void, StoreError> open_tables(const std::filesystem::path& path);
  [[nodiscard]] Result<void, StoreError> open_words();
  [[nodiscard]] Result<void, StoreError> set_search(bool is_on);
  [[nodiscard]] Result<void, StoreError> fill_words();
  // The format found, or written into a new file.
  [[nodiscard]] Result<std::uint64_t, StoreError> check_format();
  [[nodiscard]] Result<void, StoreError> open_dictionaries(std::uint64_t format);
  [[nodiscard]] Result<void, StoreError> upgrade();
  [[nodiscard]] Result<void, StoreError> write_format();
  // Whether the log holds what the tables lack, as far as they are committed.
  [[nodiscard]] Result<bool, StoreError> is_log_ahead();
  [[nodiscard]] Result<void, StoreError> apply_log();
  [[nodiscard]] Result<void, StoreError> make_log(std::size_t bytes);

  using Work = std::function<void(Editor&)>;
  using Finish = std::function<Result<void, lmdb::Error>(Transaction&)>;

  // Runs `work`, then `finish` in the transaction `open`, which is begun when there is none; grows
  // the map and starts over as often as needed. After an error there is no transaction, and unless
  // the disk was full the store has failed.
  [[nodiscard]] Result<void, StoreError> write_in(std::unique_ptr<Transaction>& open,
                                                  std::int64_t now_s, const Work& work,
                                                  const Finish& finish);
  // The same in a transaction of its own.
  [[nodiscard]] Result<void, StoreError> write(std::int64_t now_s, const Work& work);
  [[nodiscard]] StoreError fail(const std::string& why);
  [[nodiscard]] StoreError fail_to_write(const lmdb::Error& error);
  template <typename E>
  [[nodiscard]] Result<std::vector<PutResult>, StoreError> put_all(std::span<const E> events,
                                                                   std::int64_t now_s);

  // Constant after construction.
  std::unique_ptr<lmdb::Env> env_;
  Tables tables_;
  Dictionaries dictionaries_;
  const std::unique_ptr<EventLog> log_;  // used by whoever holds the write lock
  std::uint64_t format_ = kStoreFormat;  // of the file, while it is opened
  std::atomic<bool> failed_{false};
  std::atomic<std::uint64_t> replayed_{0};
  std::atomic<std::uint64_t> damaged_reads_{0};
};

}  // namespace nostril::relay
