#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

// liblmdb's own types, so that lmdb.h stays in lmdb.cpp.
struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

namespace nostril::lmdb {

/// liblmdb's or the system's error code; 0 is none.
struct Error {
  int code = 0;

  [[nodiscard]] bool is_map_full() const;
  [[nodiscard]] bool is_not_found() const;
  /// The disk, the quota or the file's own limit leaves no room.
  [[nodiscard]] bool is_no_space() const;
  [[nodiscard]] std::string text() const;
};

/// One named table of a file. Cheap to copy; valid as long as its Env.
struct Dbi {
  unsigned handle = 0;  ///< 0: none

  [[nodiscard]] bool exists() const { return handle != 0; }
};

struct EnvOptions {
  std::size_t map_bytes_initial = 64U << 20;  ///< address space; the file itself grows by need
  std::size_t map_bytes_max = std::size_t{1} << 44;  ///< grow() refuses beyond: 16 TiB
  unsigned tables_max = 16;
  unsigned readers_max = 256;  ///< read transactions at a time in all processes, 64 bytes each
  bool read_only = false;
  bool sync = true;  ///< false: a crash of the machine may damage the file; for scratch data only
};

/// An LMDB environment: the directory `path` with data.mdb and lock.mdb in it. Its map grows
/// without a restart: grow() waits until no transaction of this process is open, enlarges the map
/// and lets them in again. So transactions must be short, and a thread that holds one must not
/// begin another: it would wait for itself while a resize waits for it.
///
/// Threads: all members from any. A process opens a path once (liblmdb's rule).
class Env {
 public:
  /// Creates the directory when it is not there (unless read_only). The error is one clear line.
  [[nodiscard]] static Result<std::unique_ptr<Env>, std::string> open(
      const std::filesystem::path& path, const EnvOptions& options);
  ~Env();
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;
  Env(Env&&) = delete;
  Env& operator=(Env&&) = delete;

  /// Opens a table, or with `create` makes it when it is not there. nullptr is the table of all
  /// tables. Once a name, before other threads use the Env.
  [[nodiscard]] Result<Dbi, Error> open_table(const char* name, bool create);

  /// Doubles the map when it still is `map_bytes_seen` big: of several writers that met a full map
  /// one enlarges it. The caller holds no transaction.
  [[nodiscard]] Result<void, Error> grow(std::size_t map_bytes_seen);
  [[nodiscard]] std::size_t map_bytes() const;
  /// Bytes of the file that are in use or were once.
  [[nodiscard]] std::size_t used_bytes() const;

  [[nodiscard]] bool read_only() const { return options_.read_only; }

  /// For a file opened without `sync`: all that was committed is on disk when it returns.
  [[nodiscard]] Result<void, Error> sync();

 private:
  friend class Txn;

  Env(MDB_env* env, const EnvOptions& options) : env_(env), options_(options) {}

  int open_in(const char* name, unsigned txn_flags, unsigned table_flags, Dbi& table);
  void enter();  // waits while the map is being resized
  void leave();
  template <typename Resize>
  int resize_alone(Resize resize);

  // Constant after construction.
  MDB_env* env_;
  const EnvOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::size_t open_transactions_ = 0;
  bool resizing_ = false;
};

/// What read and write transactions share. Memory that get() and cursors give out lives until the
/// transaction ends, or its next write.
///
/// The first error sticks: later calls do nothing and find nothing, and error() tells. So a caller
/// looks once, before it believes what it read; a WriteTxn with an error can't commit.
///
/// Threads: one at a time; a transaction may move between threads when it is a ReadTxn.
class Txn {
 public:
  Txn(const Txn&) = delete;
  Txn& operator=(const Txn&) = delete;
  Txn& operator=(Txn&&) = delete;

  [[nodiscard]] std::optional<ByteSpan> get(Dbi table, ByteSpan key);
  [[nodiscard]] std::uint64_t entries(Dbi table);
  /// Pages in use by the table, in bytes.
  [[nodiscard]] std::uint64_t used_bytes(Dbi table);
  /// Of the file: a page, and how many there are at least in the transaction's view of it.
  [[nodiscard]] std::size_t page_bytes();
  [[nodiscard]] std::uint64_t pages();

  [[nodiscard]] Error error() const { return error_; }

  [[nodiscard]] bool ok() const { return error_.code == 0; }

 protected:
  Txn(Env& env, bool write);
  Txn(Txn&& other) noexcept;
  ~Txn();

  void note(int code);  // keeps the first error
  void abort();
  void let_go();  // of the Env, once txn_ has ended

  friend class Cursor;
  Env* env_;
  MDB_txn* txn_ = nullptr;  // none after an error at begin, commit or abort
  Error error_;
};

class ReadTxn : public Txn {
 public:
  explicit ReadTxn(Env& env) : Txn(env, false) {}

  ReadTxn(const ReadTxn&) = delete;
  ReadTxn& operator=(const ReadTxn&) = delete;
  ReadTxn(ReadTxn&&) noexcept = default;
  ReadTxn& operator=(ReadTxn&&) = delete;
  ~ReadTxn() = default;
};

/// Aborted unless committed. Threads: liblmdb lets one write transaction run at a time; the
/// constructor waits for it.
class WriteTxn : public Txn {
 public:
  explicit WriteTxn(Env& env) : Txn(env, true) {}

  WriteTxn(const WriteTxn&) = delete;
  WriteTxn& operator=(const WriteTxn&) = delete;
  WriteTxn(WriteTxn&&) = delete;
  WriteTxn& operator=(WriteTxn&&) = delete;
  ~WriteTxn() = default;

  /// Inserts or replaces. Keys are 1 to 511 bytes.
  void put(Dbi table, ByteSpan key, ByteSpan value);
  /// put() of a key above all others: pages are filled to the brim.
  void append(Dbi table, ByteSpan key, ByteSpan value);
  /// True when the key was there.
  bool erase(Dbi table, ByteSpan key);
  /// Removes all rows.
  void clear(Dbi table);

  /// A bound for what the rows of this transaction, and as many as `rows_more` small ones, make the
  /// file grow by when it is committed: pages that are copied before they change, and new ones.
  /// clear() is not in it.
  [[nodiscard]] std::size_t growth_bytes_max(std::size_t rows_more);
  /// The file gets `bytes` more than are in use (Env::used_bytes()), with room for them on the
  /// disk: the commit finds it. An error is not the transaction's.
  [[nodiscard]] Result<void, Error> reserve(std::size_t bytes);

  /// On disk (fsync) when it returns without error. After an error of the disk nobody knows what
  /// reached it.
  [[nodiscard]] Result<void, Error> commit();

 private:
  friend class WriteCursor;

  void count_row(ByteSpan key, ByteSpan value);

  std::size_t rows_ = 0;
  std::size_t row_bytes_ = 0;
};

/// Walks one table in key order (bytes compared as unsigned, shorter first). Lives shorter than its
/// transaction; a write of the transaction to the table ends its position.
class Cursor {
 public:
  Cursor(Txn& txn, Dbi table);
  ~Cursor();
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;
  Cursor(Cursor&& other) noexcept;
  Cursor& operator=(Cursor&&) = delete;

  bool first();
  bool last();
  bool next();
  bool previous();
  /// To the first key >= `key`.
  bool seek(ByteSpan key);
  /// To this key. Near the place before it costs less than Txn::get().
  bool find(ByteSpan key);
  /// To the last key <= `key`.
  bool seek_back(ByteSpan key);

  /// Where the last successful move went.
  [[nodiscard]] ByteSpan key() const { return key_; }

  [[nodiscard]] ByteSpan value() const { return value_; }

 private:
  bool move(int operation);

  Txn* txn_;
  MDB_cursor* cursor_ = nullptr;
  ByteSpan key_;
  ByteSpan value_;
};

/// Writes many rows to one table. put() of a key near the one before does not walk down the tree
/// again: sorted keys cost half. Lives shorter than its transaction, which keeps its errors.
class WriteCursor {
 public:
  WriteCursor(WriteTxn& txn, Dbi table);
  ~WriteCursor();
  WriteCursor(const WriteCursor&) = delete;
  WriteCursor& operator=(const WriteCursor&) = delete;
  WriteCursor(WriteCursor&&) = delete;
  WriteCursor& operator=(WriteCursor&&) = delete;

  /// As WriteTxn's.
  void put(ByteSpan key, ByteSpan value);
  void append(ByteSpan key, ByteSpan value);

 private:
  void put(ByteSpan key, ByteSpan value, unsigned flags);

  WriteTxn& txn_;
  MDB_cursor* cursor_ = nullptr;
};

}  // namespace nostril::lmdb
