#include "base/lmdb.h"

#include "base/check.h"
#include "base/file.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace nostril::lmdb {

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kRoomBytes = std::size_t{1} << 16;

MDB_val as_val(ByteSpan bytes) {
  // liblmdb's type has no const; it does not write through keys and values that are put.
  return {bytes.size(), const_cast<std::uint8_t*>(bytes.data())};  // NOLINT
}

ByteSpan as_span(const MDB_val& val) {
  return {static_cast<const std::uint8_t*>(val.mv_data), val.mv_size};
}

// The system's way to give a part of a file room on the disk.
int set_aside(int fd, int mode, std::size_t from, std::size_t to) {
  int code = EINTR;
  while (code == EINTR) {
    const auto size = static_cast<off_t>(to - from);
    code = ::fallocate(fd, mode, static_cast<off_t>(from), size) == 0 ? 0 : errno;
  }
  return code;
}

// liblmdb ends the process when a page is not what it must be. It does that here: in words, and
// without a core.
void end_for_damage(MDB_env* env, const char* what) {
  const char* path = nullptr;
  if (mdb_env_get_path(env, &path) != 0 || path == nullptr) path = "a store";
  std::fprintf(stderr, "error: %s: the file is damaged (%s)\n", path, what);
  std::_Exit(1);
}

// Of a file that is to be read only, and that liblmdb would describe by an errno at most.
std::optional<std::string> lack_of(const std::filesystem::path& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path / "data.mdb", error);
  if (error && std::filesystem::is_directory(path)) return "there is no data.mdb in it";
  if (!error && bytes == 0) return "its data.mdb is empty";
  return std::nullopt;
}

bool is_unknown(int code) {
  return code == EOPNOTSUPP || code == ENOSYS;
}

// Makes a file that ends at `from` longer, with room on the disk: by zeros where the file system
// knows no other way.
int lengthen(int fd, std::size_t from, std::size_t to) {
  const int code = set_aside(fd, 0, from, to);
  if (!is_unknown(code)) return code;
  const std::vector<std::uint8_t> zeros(std::size_t{1} << 16);
  while (from < to) {
    const std::size_t size = std::min(zeros.size(), to - from);
    const ssize_t done = ::pwrite(fd, zeros.data(), size, static_cast<off_t>(from));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done == 0 ? EIO : errno;
    from += static_cast<std::size_t>(done);
  }
  return 0;
}

// liblmdb maps the file of locks and makes it as a hole: a reader that takes a place in it while
// the disk is full would end the process (SIGBUS). Before this process has opened it: to close any
// descriptor of the file drops the locks that a process has on it.
int allocate_locks(const std::filesystem::path& path, unsigned readers_max) {
  constexpr std::size_t kHeadBytesMax = 4096;
  constexpr std::size_t kReaderBytes = 64;
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.is_open()) return errno;
  const std::size_t bytes = kHeadBytesMax + readers_max * kReaderBytes;
  const int code = set_aside(fd.get(), FALLOC_FL_KEEP_SIZE, 0, bytes);
  return is_unknown(code) ? 0 : code;
}

Result<void, Error> to_result(int code) {
  if (code != 0) return failure(Error{code});
  return {};
}

std::size_t round_to_pages(std::size_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

bool Error::is_map_full() const {
  return code == MDB_MAP_FULL;
}

bool Error::is_not_found() const {
  return code == MDB_NOTFOUND;
}

bool Error::is_no_space() const {
  return code == ENOSPC || code == EDQUOT || code == EFBIG;
}

std::string Error::text() const {
  // mdb_strerror() asks strerror(), which is not for threads, about the system's codes.
  return code > 0 ? std::generic_category().message(code) : mdb_strerror(code);
}

Result<std::unique_ptr<Env>, std::string> Env::open(const std::filesystem::path& path,
                                                    const EnvOptions& options) {
  const auto refuse = [&path](const std::string& why) {
    return failure("cannot open " + path.string() + ": " + why);
  };
  if (!options.read_only) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return refuse(error.message());
    if (const int code = allocate_locks(path / "lock.mdb", options.readers_max); code != 0) {
      return refuse(Error{code}.text());
    }
  }
  if (const auto lack = options.read_only ? lack_of(path) : std::nullopt) return refuse(*lack);
  MDB_env* raw = nullptr;
  if (const int code = mdb_env_create(&raw); code != 0) return refuse(Error{code}.text());
  std::unique_ptr<Env> env(new Env(raw, options));  // NOLINT: the constructor is private
  int code = mdb_env_set_assert(raw, end_for_damage);
  if (code == 0) code = mdb_env_set_maxdbs(raw, options.tables_max);
  if (code == 0) code = mdb_env_set_maxreaders(raw, options.readers_max);
  // A smaller size than the file's own is corrected by liblmdb.
  if (code == 0) code = mdb_env_set_mapsize(raw, round_to_pages(options.map_bytes_initial));
  // NOTLS: a read transaction is no thread's own. NORDAHEAD: look-ups are random, and reading
  // ahead throws useful pages out once the file is larger than memory.
  const unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (options.read_only ? MDB_RDONLY : 0U) |
                         (options.sync ? 0U : MDB_NOSYNC);
  if (code == 0) code = mdb_env_open(raw, path.c_str(), flags, 0600);
  if (code != 0) return refuse(Error{code}.text());
  // A file larger than the map that was asked for fills its own: the first write needs room.
  const std::size_t map_bytes = env->map_bytes();
  if (!options.read_only && env->used_bytes() + kRoomBytes > map_bytes) {
    const std::size_t wanted = std::min(map_bytes + kRoomBytes, options.map_bytes_max);
    if (wanted > map_bytes) (void)mdb_env_set_mapsize(raw, round_to_pages(wanted));
  }
  // Slots of readers that were killed would keep old pages from being used again.
  int dead = 0;
  mdb_reader_check(raw, &dead);
  return env;
}

Env::~Env() {
  CHECK(open_transactions_ == 0);
  mdb_env_close(env_);
}

// A table that is there needs no write transaction, which might have to wait for another's.
Result<Dbi, Error> Env::open_table(const char* name, bool create) {
  Dbi table;
  int code = open_in(name, MDB_RDONLY, 0, table);
  if (code == MDB_NOTFOUND && create) code = open_in(name, 0, MDB_CREATE, table);
  if (code != 0) return failure(Error{code});
  return table;
}

int Env::open_in(const char* name, unsigned txn_flags, unsigned table_flags, Dbi& table) {
  MDB_txn* txn = nullptr;
  enter();
  int code = mdb_txn_begin(env_, nullptr, txn_flags, &txn);
  if (code == 0) {
    code = mdb_dbi_open(txn, name, table_flags, &table.handle);
    if (code == 0) {
      code = mdb_txn_commit(txn);
    } else {
      mdb_txn_abort(txn);
    }
  }
  leave();
  return code;
}

void Env::enter() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !resizing_; });
  ++open_transactions_;
}

void Env::leave() {
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    CHECK(open_transactions_ > 0);
    last = --open_transactions_ == 0 && resizing_;
  }
  if (last) changed_.notify_all();
}

// Runs `resize` while no transaction of this process is open, as mdb_env_set_mapsize() demands: new
// ones wait at the door, so that a stream of readers can't keep a writer from growing the map.
template <typename Resize>
int Env::resize_alone(Resize resize) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !resizing_; });
  resizing_ = true;
  changed_.wait(lock, [this] { return open_transactions_ == 0; });
  const int code = resize();
  resizing_ = false;
  lock.unlock();
  changed_.notify_all();
  return code;
}

Result<void, Error> Env::grow(std::size_t map_bytes_seen) {
  return to_result(resize_alone([this, map_bytes_seen] {
    MDB_envinfo info{};
    mdb_env_info(env_, &info);
    if (info.me_mapsize > map_bytes_seen) return 0;  // another writer has done it
    if (info.me_mapsize >= options_.map_bytes_max) return MDB_MAP_FULL;
    const std::size_t wanted = std::min(info.me_mapsize * 2, options_.map_bytes_max);
    return mdb_env_set_mapsize(env_, round_to_pages(wanted));
  }));
}

// Both look into the map, which is nowhere for a moment while another thread resizes it.
std::size_t Env::map_bytes() const {
  const std::lock_guard lock(mutex_);
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  return info.me_mapsize;
}

std::size_t Env::used_bytes() const {
  const std::lock_guard lock(mutex_);
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  return (info.me_last_pgno + 1) * kPageBytes;
}

Result<void, Error> Env::sync() {
  enter();
  const int code = mdb_env_sync(env_, 1);
  leave();
  return to_result(code);
}

Txn::Txn(Env& env, bool write) : env_(&env) {
  while (true) {
    env.enter();
    const int code = mdb_txn_begin(env.env_, nullptr, write ? 0U : MDB_RDONLY, &txn_);
    if (code == 0) return;
    txn_ = nullptr;
    env.leave();
    if (code != MDB_MAP_RESIZED) {
      note(code);
      return;
    }
    // Another process has grown the file beyond our map: take its size.
    const int resized = env.resize_alone([&env] { return mdb_env_set_mapsize(env.env_, 0); });
    if (resized != 0) {
      note(resized);
      return;
    }
  }
}

Txn::Txn(Txn&& other) noexcept
    : env_(other.env_), txn_(std::exchange(other.txn_, nullptr)), error_(other.error_) {}

Txn::~Txn() {
  abort();
}

void Txn::abort() {
  if (txn_ == nullptr) return;
  mdb_txn_abort(txn_);
  let_go();
}

void Txn::let_go() {
  txn_ = nullptr;
  env_->leave();
}

void Txn::note(int code) {
  if (error_.code == 0) error_.code = code;
}

std::optional<ByteSpan> Txn::get(Dbi table, ByteSpan key) {
  if (!ok()) return std::nullopt;
  MDB_val key_val = as_val(key);
  MDB_val value{};
  const int code = mdb_get(txn_, table.handle, &key_val, &value);
  if (code == 0) return as_span(value);
  if (code != MDB_NOTFOUND) note(code);
  return std::nullopt;
}

std::uint64_t Txn::entries(Dbi table) {
  MDB_stat stat{};
  if (ok()) note(mdb_stat(txn_, table.handle, &stat));
  return stat.ms_entries;
}

std::uint64_t Txn::used_bytes(Dbi table) {
  MDB_stat stat{};
  if (ok()) note(mdb_stat(txn_, table.handle, &stat));
  return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
}

std::size_t Txn::page_bytes() {
  MDB_stat stat{};
  if (ok()) note(mdb_env_stat(env_->env_, &stat));
  return stat.ms_psize;
}

std::uint64_t Txn::pages() {
  MDB_envinfo info{};
  if (ok()) note(mdb_env_info(env_->env_, &info));
  return info.me_last_pgno + 1;
}

void WriteTxn::put(Dbi table, ByteSpan key, ByteSpan value) {
  if (!ok()) return;
  MDB_val key_val = as_val(key);
  MDB_val value_val = as_val(value);
  note(mdb_put(txn_, table.handle, &key_val, &value_val, 0));
  count_row(key, value);
}

void WriteTxn::append(Dbi table, ByteSpan key, ByteSpan value) {
  if (!ok()) return;
  MDB_val key_val = as_val(key);
  MDB_val value_val = as_val(value);
  note(mdb_put(txn_, table.handle, &key_val, &value_val, MDB_APPEND));
  count_row(key, value);
}

bool WriteTxn::erase(Dbi table, ByteSpan key) {
  if (!ok()) return false;
  MDB_val key_val = as_val(key);
  const int code = mdb_del(txn_, table.handle, &key_val, nullptr);
  if (code != 0 && code != MDB_NOTFOUND) note(code);
  if (code == 0) count_row(key, {});
  return code == 0;
}

void WriteTxn::clear(Dbi table) {
  if (ok()) note(mdb_drop(txn_, table.handle, 0));
}

void WriteTxn::count_row(ByteSpan key, ByteSpan value) {
  constexpr std::size_t kNodeBytes = 16;  // liblmdb's own, in a page
  ++rows_;
  row_bytes_ += key.size() + value.size() + kNodeBytes;
}

// Two ways to count too much, the smaller one is taken. A row changes its leaf, may split it, and
// has a share in the pages above. Or else: each page of the file is copied once, and what is new
// lies in pages that are half full.
std::size_t WriteTxn::growth_bytes_max(std::size_t rows_more) {
  constexpr std::size_t kPagesARow = 3;
  constexpr std::size_t kSmallRowBytes = 64;
  constexpr std::size_t kAlwaysBytes = std::size_t{1} << 20;  // roots, branches, the free list
  const std::size_t bytes = row_bytes_ + rows_more * kSmallRowBytes;
  const std::size_t by_row = (rows_ + rows_more) * kPagesARow * page_bytes() + 2 * bytes;
  const std::size_t by_file = env_->used_bytes() + 4 * bytes;
  return std::min(by_row, by_file) + kAlwaysBytes;
}

Result<void, Error> WriteTxn::reserve(std::size_t bytes) {
  constexpr std::size_t kStepBytes = std::size_t{4} << 20;
  if (!ok()) return failure(error_);
  mdb_filehandle_t fd = -1;
  if (const int code = mdb_env_get_fd(mdb_txn_env(txn_), &fd); code != 0)
    return failure(Error{code});

  const std::size_t wanted = env_->used_bytes() + bytes;
  // In steps, for the sake of those who come next; on a disk that is nearly full, what is needed.
  const std::size_t rounded = (wanted + kStepBytes - 1) / kStepBytes * kStepBytes;
  int code = 0;
  for (const std::size_t end : {rounded, wanted}) {
    struct stat info {};

    if (::fstat(fd, &info) != 0) return failure(Error{errno});
    const auto there = static_cast<std::size_t>(info.st_size);
    if (there >= wanted) return {};
    code = lengthen(fd, there, end);
    if (code == 0) return {};
  }
  return failure(Error{code});
}

Result<void, Error> WriteTxn::commit() {
  if (!ok()) {
    abort();
    return failure(error_);
  }
  CHECK(txn_ != nullptr);
  const int code = mdb_txn_commit(txn_);  // ends it in any case
  let_go();
  note(code);
  return to_result(code);
}

Cursor::Cursor(Txn& txn, Dbi table) : txn_(&txn) {
  if (!txn.ok()) return;
  const int code = mdb_cursor_open(txn.txn_, table.handle, &cursor_);
  if (code == 0) return;
  cursor_ = nullptr;
  txn.note(code);
}

Cursor::Cursor(Cursor&& other) noexcept
    : txn_(other.txn_),
      cursor_(std::exchange(other.cursor_, nullptr)),
      key_(other.key_),
      value_(other.value_) {}

Cursor::~Cursor() {
  if (cursor_ != nullptr) mdb_cursor_close(cursor_);
}

bool Cursor::move(int operation) {
  if (cursor_ == nullptr || !txn_->ok()) return false;
  MDB_val key = as_val(key_);
  MDB_val value{};
  const int code = mdb_cursor_get(cursor_, &key, &value, static_cast<MDB_cursor_op>(operation));
  if (code != 0) {
    if (code != MDB_NOTFOUND) txn_->note(code);
    return false;
  }
  key_ = as_span(key);
  value_ = as_span(value);
  return true;
}

bool Cursor::first() {
  return move(MDB_FIRST);
}

bool Cursor::last() {
  return move(MDB_LAST);
}

bool Cursor::next() {
  return move(MDB_NEXT);
}

bool Cursor::previous() {
  return move(MDB_PREV);
}

bool Cursor::seek(ByteSpan key) {
  key_ = key;
  return move(MDB_SET_RANGE);
}

bool Cursor::find(ByteSpan key) {
  key_ = key;
  return move(MDB_SET_KEY);
}

bool Cursor::seek_back(ByteSpan key) {
  if (!seek(key)) return last();
  if (key_.size() == key.size() && std::equal(key.begin(), key.end(), key_.begin())) return true;
  return previous();
}

WriteCursor::WriteCursor(WriteTxn& txn, Dbi table) : txn_(txn) {
  if (!txn.ok()) return;
  const int code = mdb_cursor_open(txn.txn_, table.handle, &cursor_);
  if (code == 0) return;
  cursor_ = nullptr;
  txn.note(code);
}

WriteCursor::~WriteCursor() {
  if (cursor_ != nullptr) mdb_cursor_close(cursor_);
}

void WriteCursor::put(ByteSpan key, ByteSpan value) {
  put(key, value, 0);
}

void WriteCursor::append(ByteSpan key, ByteSpan value) {
  put(key, value, MDB_APPEND);
}

void WriteCursor::put(ByteSpan key, ByteSpan value, unsigned flags) {
  if (cursor_ == nullptr || !txn_.ok()) return;
  MDB_val key_val = as_val(key);
  MDB_val value_val = as_val(value);
  txn_.note(mdb_cursor_put(cursor_, &key_val, &value_val, flags));
  txn_.count_row(key, value);
}

}  // namespace nostril::lmdb
