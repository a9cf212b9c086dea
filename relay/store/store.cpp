#include "relay/store/store.h"

#include "base/hex.h"
#include "base/log.h"
#include "base/rng.h"
#include "relay/store/editor.h"
#include "relay/store/event_cache.h"
#include "relay/store/log.h"
#include "relay/store/transaction.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::uint64_t kFormatWithoutDictionaries = 1;
constexpr std::uint64_t kFormatWithVanished = 4;
constexpr std::size_t kRowsBetweenProgress = 10000;
constexpr std::size_t kRowsInWordsTransaction = 20000;
constexpr const char* kWordsTable = "words";

constexpr std::array<NamedTable, 15> kTables = {{
    {"meta", &Tables::meta},
    {"records", &Tables::records},
    {"by_id", &Tables::by_id},
    {"by_time", &Tables::by_time},
    {"by_kind", &Tables::by_kind},
    {"by_author", &Tables::by_author},
    {"by_author_kind", &Tables::by_author_kind},
    {"by_tag", &Tables::by_tag},
    {"by_address", &Tables::by_address},
    {"by_expiry", &Tables::by_expiry},
    {"deleted_ids", &Tables::deleted_ids},
    {"deleted_addresses", &Tables::deleted_addresses},
    {"vanished", &Tables::vanished, 4},
    {"vanishing", &Tables::vanishing, 4},
    {kWordsTable, &Tables::words, 4},
}};

const Event& event_of(const VerifiedEvent& event) {
  return event.event();
}

const Event& event_of(const UnverifiedEvent& event) {
  return event.event();
}

}  // namespace

std::span<const NamedTable> named_tables() {
  return kTables;
}

bool is_accepted(PutResult result) {
  return result == PutResult::Stored || result == PutResult::Duplicate;
}

bool is_kept(PutResult result) {
  return result != PutResult::Failed && result != PutResult::DiskFull;
}

std::string_view ok_message(PutResult result) {
  switch (result) {
    case PutResult::Stored:
      return "";
    case PutResult::Duplicate:
      return "duplicate: already have this event";
    case PutResult::HaveNewer:
      return "duplicate: have a newer version of this event";
    case PutResult::Deleted:
      return "blocked: its author has deleted this event";
    case PutResult::Vanished:
      return "blocked: its author, or who it is for, has asked to vanish from here";
    case PutResult::Expired:
      return "invalid: the event has expired";
    case PutResult::Ephemeral:
      return "invalid: events of this kind are not stored";
    case PutResult::OutOfRange:
      return "invalid: created_at is out of range";
    case PutResult::Failed:
      return "error: the event could not be stored";
    case PutResult::DiskFull:
      return "error: the relay's disk is full, nothing can be stored now";
    case PutResult::Blocked:
      return "blocked: a moderator has removed this event, or its author";
  }
  return "error: unknown";
}

Store::Store(std::unique_ptr<lmdb::Env> env, std::unique_ptr<EventLog> log)
    : env_(std::move(env)), log_(std::move(log)) {}

Store::~Store() = default;

Result<std::unique_ptr<Store>, StoreError> Store::open(const std::filesystem::path& path,
                                                       const StoreOptions& options) {
  auto store = open_tables_of(path, options);
  if (!store) return store;
  const auto is_ahead = (*store)->is_log_ahead();
  if (!is_ahead) return failure(is_ahead.error());
  if (*is_ahead && options.read_only) {
    // Waits for a writer that lives, and writes what one that has ended has left.
    store->reset();
    StoreOptions writable = options;
    writable.read_only = false;
    if (auto applied = open(path, writable); !applied) {
      return failure(StoreError{
          "the log holds events that are not in the tables yet, and to put them there: " +
          applied.error().text});
    }
    return open_tables_of(path, options);
  }
  Result<void, StoreError> done;
  if (*is_ahead) done = (*store)->apply_log();
  if (done && options.log_bytes > 0) done = (*store)->make_log(options.log_bytes);
  if (done && options.address && !options.read_only) {
    done = (*store)->set_address(options.address);
  }
  if (done && !options.read_only) done = (*store)->upgrade();
  if (done && options.search && !options.read_only) done = (*store)->set_search(*options.search);
  if (!done) return failure(done.error());
  return store;
}

Result<std::unique_ptr<Store>, StoreError> Store::open_tables_of(const std::filesystem::path& path,
                                                                 const StoreOptions& options) {
  lmdb::EnvOptions env_options;
  env_options.map_bytes_initial = options.map_bytes_initial;
  env_options.map_bytes_max = options.map_bytes_max;
  env_options.readers_max = options.readers_max;
  env_options.read_only = options.read_only;
  env_options.sync = options.sync;
  env_options.tables_max = kTables.size() + 1;  // dictionaries
  auto env = lmdb::Env::open(path, env_options);
  if (!env) return failure(StoreError{env.error()});
  auto log = std::make_unique<EventLog>(path, options.sync);
  std::unique_ptr<Store> store(  // NOLINT: the constructor is private
      new Store(std::move(*env), std::move(log)));
  if (auto opened = store->open_tables(path); !opened) return failure(opened.error());
  return store;
}

Result<void, StoreError> Store::open_tables(const std::filesystem::path& path) {
  const auto refuse = [&path](const std::string& why) {
    return failure(StoreError{path.string() + ": " + why});
  };
  const auto format = check_format();
  if (!format) return refuse(format.error().text);
  format_ = *format;
  for (const auto& [name, table, since] : kTables) {
    if (env_->read_only() && *format < since) continue;
    if (table == &Tables::words) continue;  // open_words()
    const auto opened = env_->open_table(name, !env_->read_only());
    if (!opened) return refuse(std::string(name) + ": " + opened.error().text());
    tables_.*table = *opened;
  }
  if (auto opened = open_dictionaries(*format); !opened) return refuse(opened.error().text);
  if (auto opened = open_words(); !opened) return refuse(opened.error().text);
  return {};
}

Result<void, StoreError> Store::open_words() {
  if (!ReadTxn(*env_).get(tables_.meta, as_bytes(kSearchKey))) return {};
  const auto opened = env_->open_table(kWordsTable, false);
  if (!opened) return failure(StoreError{"words: " + opened.error().text()});
  tables_.words = *opened;
  return {};
}

// What a program has begun that ended before it was done is begun again.
Result<void, StoreError> Store::set_search(bool is_on) {
  if (is_on == has_search()) return {};
  const auto opened = env_->open_table(kWordsTable, true);
  if (!opened) return failure(StoreError{"words: " + opened.error().text()});
  tables_.words = *opened;
  auto done = write(0, [](Editor& editor) { editor.clear_words(); });
  if (done && is_on) done = fill_words();
  if (!is_on) tables_.words = {};
  return done;
}

Result<void, StoreError> Store::fill_words() {
  const std::uint64_t all = count();
  std::uint64_t seen = 0;
  if (all > kRowsInWordsTransaction) log(LogLevel::Info, "the index for searches is being made");
  for (std::optional<Sequence> next = Sequence{0}; next;) {
    std::optional<Sequence> after;
    const auto written = write(0, [&](Editor& editor) {
      after = editor.index_words(*next, kRowsInWordsTransaction);
      if (!after) editor.finish_words();
    });
    if (!written) return failure(written.error());
    next = after;
    seen += kRowsInWordsTransaction;
    if (next) log(LogLevel::Info, "… {} of {} events", seen, all);
  }
  return {};
}

// The format is written before the other tables are made, so that a file without one is either not
// ours or has nothing in it.
Result<std::uint64_t, StoreError> Store::check_format() {
  const auto root = env_->open_table(nullptr, false);
  if (!root) return failure(StoreError{root.error().text()});
  const bool is_new = ReadTxn(*env_).entries(*root) == 0;
  const auto meta = env_->open_table("meta", is_new && !env_->read_only());
  if (!meta) return failure(StoreError{"not an event store"});
  tables_.meta = *meta;
  std::optional<std::uint64_t> format;
  {
    ReadTxn txn(*env_);
    if (const auto value = txn.get(*meta, as_bytes(kFormatKey))) format = read_integer(*value);
  }
  if (format && *format >= kFormatWithoutDictionaries && *format <= kStoreFormat) return *format;
  if (format && *format > kStoreFormat) {
    return failure(StoreError{"store format " + std::to_string(*format) + " is newer than " +
                              std::to_string(kStoreFormat) +
                              ", the newest this program knows: use a newer program"});
  }
  if (format) {
    return failure(StoreError{"store format " + std::to_string(*format) +
                              " is older than this program reads: export it with the program that "
                              "wrote it and import the result"});
  }
  if (env_->open_table("records", false)) {
    return failure(
        StoreError{"the store's format number is missing: the file is damaged, or the copy of one "
                   "that was not finished"});
  }
  if (env_->read_only()) return failure(StoreError{"not an event store"});
  if (auto written = write_format(); !written) return failure(written.error());
  return kStoreFormat;
}

Result<void, StoreError> Store::open_dictionaries(std::uint64_t format) {
  if (format == kFormatWithoutDictionaries && env_->read_only()) return {};
  const auto opened = env_->open_table("dictionaries", !env_->read_only());
  if (!opened) return failure(StoreError{"dictionaries: " + opened.error().text()});
  tables_.dictionaries = *opened;
  dictionaries_.set_table(*opened);
  return {};
}

// An older file has its new tables by now; what they must say comes next and the number last: ended
// in between it still is what its number says.
Result<void, StoreError> Store::upgrade() {
  if (format_ == kStoreFormat) return {};
  if (format_ < kFormatWithVanished) {
    const auto applied = write(0, [](Editor& editor) { editor.apply_stored_requests(); });
    if (!applied) return failure(applied.error());
  }
  auto written = write_format();
  if (written) format_ = kStoreFormat;
  return written;
}

Result<void, StoreError> Store::write_format() {
  lmdb::WriteTxn txn(*env_);
  txn.put(tables_.meta, as_bytes(kFormatKey), Key().add_integer(kStoreFormat, 4).span());
  if (auto committed = txn.commit(); !committed) {
    return failure(StoreError{committed.error().text()});
  }
  return {};
}

Result<bool, StoreError> Store::is_log_ahead() {
  std::optional<LogMark> mark;
  {
    ReadTxn txn(*env_);
    const auto value = txn.get(tables_.meta, as_bytes(kLogMarkKey));
    if (!value) return false;
    mark = LogMark::parse(*value);
  }
  if (!mark) return failure(StoreError{"the store is damaged: the log's mark"});
  const auto is_ahead = log_->is_ahead_of(*mark);
  if (!is_ahead) return failure(StoreError{is_ahead.error()});
  return *is_ahead;
}

// Every transaction begins with it.
Result<void, StoreError> Store::apply_log() {
  return write(0, [](Editor&) {});
}

// The file first: a log that the tables name is there.
Result<void, StoreError> Store::make_log(std::size_t bytes) {
  const auto refuse = [](const lmdb::Error& error) {
    return failure(StoreError{"the log can't be made: " + error.text()});
  };
  lmdb::WriteTxn txn(*env_);
  if (auto prepared = log_->prepare(bytes); !prepared) return refuse(prepared.error());
  if (txn.get(tables_.meta, as_bytes(kLogMarkKey))) return {};
  LogMark mark;
  SystemRng().fill(mark.key);
  txn.put(tables_.meta, as_bytes(kLogMarkKey), mark.value().span());
  if (auto committed = txn.commit(); !committed) return refuse(committed.error());
  return {};
}

// After what the log holds, whose writer has the lock: that was judged with the address before.
Result<void, StoreError> Store::set_address(const std::optional<RelayAddress>& address) {
  lmdb::WriteTxn txn(*env_);
  const auto known = txn.get(tables_.meta, as_bytes(kAddressKey));
  if (!known && !address) return {};
  if (known && address && as_text(*known) == address->text()) return {};
  if (address) {
    txn.put(tables_.meta, as_bytes(kAddressKey), as_bytes(address->text()));
  } else {
    txn.erase(tables_.meta, as_bytes(kAddressKey));
  }
  if (auto committed = txn.commit(); !committed) {
    return failure(StoreError{committed.error().text()});
  }
  return {};
}

std::optional<StreamPosition> Store::stream_position() {
  ReadTxn txn(*env_);
  const auto value = txn.get(tables_.meta, as_bytes(kStreamPositionKey));
  return value ? StreamPosition::parse(*value) : std::nullopt;
}

Result<void, StoreError> Store::set_stream_position(const StreamPosition& position) {
  return write(0, [&](Editor& editor) { editor.set_stream(position); });
}

Result<void, StoreError> Store::make_room(std::size_t bytes) {
  while (env_->map_bytes() < bytes) {
    if (auto grown = env_->grow(env_->map_bytes()); !grown) {
      return failure(StoreError{grown.error().text()});
    }
  }
  return {};
}

bool Store::has_id(const EventId& id) {
  ReadTxn txn(*env_);
  return has_id(txn, id);
}

std::optional<PutResult> Store::known(const Event& event) {
  ReadTxn txn(*env_);
  const auto record = find(txn, event.id);
  if (!record || record->sig() != event.sig) return std::nullopt;
  return is_left_by_vanished(txn, tables_, event) ? PutResult::Vanished : PutResult::Duplicate;
}

bool Store::has_id(lmdb::Txn& txn, const EventId& id) {
  return find(txn, id).has_value();
}

std::optional<Store::Found> Store::find_numbered(lmdb::Txn& txn, lmdb::Cursor& by_id,
                                                 const EventId& id, const EventCache* cache) {
  const Key prefix = id_prefix(id);
  for (bool more = by_id.seek(prefix.span()); more && starts_with(by_id.key(), prefix.span());
       more = by_id.next()) {
    const auto sequence = Sequence{read_integer(by_id.key().last(kSequenceBytes))};
    const auto* known = cache == nullptr ? nullptr : cache->find(sequence);
    const auto record = known != nullptr ? std::optional(known->record) : find(txn, sequence);
    if (record && record->id() == id) return Found{sequence, *record};
  }
  return std::nullopt;
}

std::optional<RecordView> Store::find(lmdb::Txn& txn, const EventId& id) {
  lmdb::Cursor by_id(txn, tables_.by_id);
  const auto found = find_numbered(txn, by_id, id, nullptr);
  if (!found) return std::nullopt;
  return found->record;
}

std::optional<Position> Store::position_of(lmdb::Txn& txn, lmdb::Cursor& by_id, const EventId& id,
                                           const EventCache* cache) {
  const auto found = find_numbered(txn, by_id, id, cache);
  if (!found) return std::nullopt;
  return Position::of(found->record.created_at(), id, found->sequence);
}

std::optional<RecordView> Store::find(lmdb::Txn& txn, Sequence sequence) {
  const auto bytes = txn.get(tables_.records, sequence_key(sequence).span());
  if (!bytes) return std::nullopt;
  return view(txn, *bytes);
}

std::optional<RecordView> Store::view(lmdb::Txn& txn, ByteSpan record) {
  const auto view = dictionaries_.parse(txn, record);
  if (view) return *view;
  ++damaged_reads_;
  return std::nullopt;
}

std::uint64_t Store::count() {
  ReadTxn txn(*env_);
  return txn.entries(tables_.records);
}

StoreError Store::fail(const std::string& why) {
  failed_.store(true);
  return {why};
}

Result<void, StoreError> Store::write_in(std::unique_ptr<Transaction>& open, std::int64_t now_s,
                                         const Work& work, const Finish& finish) {
  if (env_->read_only()) return failure(StoreError{"the store was opened read-only"});
  while (true) {
    if (failed_.load()) {
      open.reset();
      return failure(StoreError{"the store takes nothing more: a write failed"});
    }
    const std::size_t map_bytes = env_->map_bytes();
    if (!open) {
      open = std::make_unique<Transaction>(*env_, tables_, dictionaries_, *log_);
      replayed_ += open->replayed();
    }
    open->editor().set_now(now_s);
    work(open->editor());
    lmdb::Error error = open->error();
    if (error.code == 0 && !open->damage().empty()) {
      const StoreError damaged = fail("the store is damaged: " + open->damage());
      open.reset();
      return failure(damaged);
    }
    if (error.code == 0) {
      const auto finished = finish(*open);
      if (finished) return {};
      error = finished.error();
    }
    open.reset();
    if (error.is_map_full()) {
      // liblmdb finds that out before it writes anything, so the file is as it was.
      const auto grown = env_->grow(map_bytes);
      if (grown) continue;
      error = grown.error();
    }
    return failure(fail_to_write(error));
  }
}

bool Store::has_room() {
  constexpr std::size_t kRoomBytes = std::size_t{4} << 20;
  lmdb::WriteTxn txn(*env_);
  const auto reserved = txn.reserve(kRoomBytes);
  return reserved || !reserved.error().is_no_space();
}

// A transaction that was dropped before its last step, the new meta page, has written nothing but
// pages that no reader and no later transaction knows of; what that step leaves unknown, liblmdb
// refuses to go on with. A disk that fails otherwise is not trusted with more.
StoreError Store::fail_to_write(const lmdb::Error& error) {
  // What was written in part only liblmdb calls an error of the disk.
  const bool is_full =
      error.is_no_space() || error.is_map_full() || (error.code == EIO && !has_room());
  if (is_full) {
    const std::string why = error.code == EIO ? "a write was cut short" : error.text();
    return {"the disk is full: " + why, true};
  }
  return fail("the store takes nothing more: a write failed: " + error.text());
}

Result<void, StoreError> Store::write(std::int64_t now_s, const Work& work) {
  std::unique_ptr<Transaction> own;
  return write_in(own, now_s, work, [](Transaction& txn) { return txn.commit(); });
}

template <typename E>
Result<std::vector<PutResult>, StoreError> Store::put_all(std::span<const E> events,
                                                          std::int64_t now_s) {
  std::vector<PutResult> results;
  const auto written = write(now_s, [&](Editor& editor) {
    results.clear();
    for (const E& event : events) results.push_back(editor.put(event_of(event)));
  });
  if (!written) return failure(written.error());
  return results;
}

Result<std::vector<PutResult>, StoreError> Store::put(std::span<const VerifiedEvent> events,
                                                      std::int64_t now_s) {
  return put_all(events, now_s);
}

Result<std::vector<PutResult>, StoreError> Store::put_unverified(
    std::span<const UnverifiedEvent> events, std::int64_t now_s) {
  return put_all(events, now_s);
}

Result<Store::Swept, StoreError> Store::sweep(std::int64_t now_s, std::size_t rows_max) {
  Swept swept;
  const auto written = write(now_s, [&](Editor& editor) {
    swept.removed = editor.sweep_expired(rows_max);
    swept.is_behind = swept.removed == rows_max;
    swept.removed += editor.sweep_vanished(rows_max);
    swept.is_behind = swept.is_behind || editor.has_vanishing();
  });
  if (!written) return failure(written.error());
  return swept;
}

Result<std::size_t, StoreError> Store::erase(std::span<const EventId> ids) {
  std::size_t erased = 0;
  const auto written = write(0, [&](Editor& editor) {
    erased = 0;
    for (const EventId& id : ids) erased += editor.erase(id) ? 1U : 0U;
  });
  if (!written) return failure(written.error());
  return erased;
}

StoreStats Store::stats() {
  ReadTxn txn(*env_);
  return stats_in(txn);
}

StoreStats Store::stats_in(ReadTxn& txn) {
  StoreStats stats;
  for (const auto& [name, table, since] : kTables) {
    if (!(tables_.*table).exists()) continue;
    stats.tables.push_back({name, txn.entries(tables_.*table), txn.used_bytes(tables_.*table)});
  }
  if (const auto table = tables_.dictionaries) {
    stats.tables.push_back({"dictionaries", txn.entries(*table), txn.used_bytes(*table)});
  }
  stats.events = txn.entries(tables_.records);
  stats.file_used_bytes = env_->used_bytes();
  stats.map_bytes = env_->map_bytes();
  return stats;
}

Result<std::vector<DictionaryInfo>, StoreError> Store::dictionaries() {
  std::vector<DictionaryInfo> found;
  if (!tables_.dictionaries) return found;
  ReadTxn txn(*env_);
  lmdb::Cursor cursor(txn, *tables_.dictionaries);
  for (bool more = cursor.first(); more; more = cursor.next()) {
    const auto row = DictionaryRow::parse(cursor.key(), cursor.value());
    if (!row) return failure(StoreError{"a dictionary is damaged: run check"});
    found.push_back({row->id, row->trained_at_s, row->bytes.size(), encode_hex(row->sha256)});
  }
  if (!txn.ok()) return failure(StoreError{"the store can't be read: " + txn.error().text()});
  return found;
}

Result<DictionaryId, StoreError> Store::add_dictionary(ByteSpan bytes, std::int64_t now_s) {
  if (bytes.empty() || bytes.size() > kDictionaryBytesMax ||
      !Dictionary::make(DictionaryId{1}, bytes)) {
    return failure(StoreError{"not a dictionary"});
  }
  std::optional<DictionaryId> id;
  const auto written = write(now_s, [&](Editor& editor) { id = editor.add_dictionary(bytes); });
  if (!written) return failure(written.error());
  if (!id) {
    return failure(StoreError{"all " + std::to_string(kDictionariesMax) +
                              " dictionaries are taken: compact --recompress keeps the newest"});
  }
  return *id;
}

Result<std::vector<ContentStats>, StoreError> Store::content_stats(
    const ProgressHandler& progress) {
  std::array<ContentStats, kDictionariesMax + 1> by_id{};
  std::uint64_t seen = 0;
  Sequence next{0};
  for (bool more = true; more;) {
    ReadTxn txn(*env_);
    lmdb::Cursor cursor(txn, tables_.records);
    std::size_t rows = 0;
    more = cursor.seek(sequence_key(next).span());
    for (; more && rows < kRowsBetweenProgress; more = cursor.next(), ++rows) {
      next = Sequence{read_integer(cursor.key()) + 1};
      const auto record = dictionaries_.parse(txn, cursor.value());
      if (!record) return failure(StoreError{"a record is damaged: run check"});
      const auto id = RecordView::packed_with(cursor.value()).value_or(DictionaryId{});
      ContentStats& stats = by_id[static_cast<std::size_t>(id)];
      ++stats.records;
      stats.content_bytes += record->content_bytes();
      stats.stored_bytes += record->stored_content_bytes();
    }
    if (!txn.ok()) return failure(StoreError{"the store can't be read: " + txn.error().text()});
    seen += rows;
    if (progress) progress("records", seen);
  }
  std::vector<ContentStats> used;
  for (std::size_t id = 0; id < by_id.size(); ++id) {
    by_id[id].id = DictionaryId{static_cast<std::uint8_t>(id)};
    if (by_id[id].records > 0) used.push_back(by_id[id]);
  }
  return used;
}

}  // namespace nostril::relay
