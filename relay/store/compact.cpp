#include "relay/store/compact.h"

#include <string>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kRowsInTransaction = 20000;
constexpr std::size_t kBytesInTransaction = std::size_t{16} << 20;

StoreError unreadable(const lmdb::Error& error) {
  return {"the store can't be read: " + error.text()};
}

class Copier {
 public:
  Copier(Store& source, ReadTxn&& txn, lmdb::Env& target, const CompactOptions& options)
      : source_(source), txn_(std::move(txn)), target_(target), options_(options) {}

  Result<CompactReport, StoreError> run() {
    if (auto chosen = choose_dictionary(); !chosen) return failure(chosen.error());
    for (const NamedTable& one : named_tables()) {
      if (one.table == &Tables::words && !source_.has_search()) continue;
      if (auto copied = copy_table(one.name, source_.tables().*one.table); !copied) {
        return failure(copied.error());
      }
    }
    if (auto finished = finish(); !finished) return failure(finished.error());
    report_.bytes_before = source_.stats_in(txn_).file_used_bytes;
    report_.bytes_after = target_.used_bytes();
    return report_;
  }

 private:
  Result<void, StoreError> choose_dictionary() {
    const auto newest = source_.known_dictionaries().newest(txn_);
    if (!newest) return failure(StoreError{"the newest dictionary is damaged: run check"});
    newest_ = *newest;
    const auto table = target_.open_table("dictionaries", true);
    if (!table) return failure(StoreError{table.error().text()});
    if (!source_.tables().dictionaries) return {};
    return copy_rows("dictionaries", *source_.tables().dictionaries, *table);
  }

  // All but the format number, which comes when everything else is on disk.
  Result<void, StoreError> copy_table(const char* name, lmdb::Dbi from) {
    const auto to = target_.open_table(name, true);
    if (!to) return failure(StoreError{to.error().text()});
    if (from.handle == source_.tables().meta.handle) {
      meta_ = *to;
      return {};
    }
    if (!from.exists()) return {};  // the source is of an older format
    return copy_rows(name, from, *to);
  }

  Result<void, StoreError> copy_rows(const char* name, lmdb::Dbi from, lmdb::Dbi to) {
    Bytes next;  // the first key that is not in the copy yet
    std::uint64_t rows = 0;
    for (bool more = true; more;) {
      if (options_.goes_on && !options_.goes_on()) return failure(StoreError{"given up"});
      const std::size_t map_bytes = target_.map_bytes();
      Batch batch{from, next, 0, false};
      auto written = write_batch(batch, to);
      if (written) {
        rows += batch.rows;
        next = std::move(batch.next);
        more = batch.more;
        if (options_.progress) options_.progress(name, rows);
        continue;
      }
      if (!problem_.text.empty()) return failure(problem_);
      if (!written.error().is_map_full()) return failure(StoreError{written.error().text()});
      if (auto grown = target_.grow(map_bytes); !grown) {
        return failure(StoreError{grown.error().text()});
      }
    }
    if (!txn_.ok()) return failure(unreadable(txn_.error()));
    if (from.handle == source_.tables().records.handle) report_.events = rows;
    return {};
  }

  struct Batch {
    lmdb::Dbi from;
    Bytes next;
    std::size_t rows = 0;
    bool more = false;
  };

  Result<void, lmdb::Error> write_batch(Batch& batch, lmdb::Dbi to) {
    lmdb::WriteTxn out(target_);
    {
      lmdb::Cursor in(txn_, batch.from);
      lmdb::WriteCursor rows(out, to);
      std::size_t bytes = 0;
      batch.more = batch.next.empty() ? in.first() : in.seek(batch.next);
      for (; batch.more && batch.rows < kRowsInTransaction && bytes < kBytesInTransaction;
           batch.more = in.next()) {
        if (!is_wanted(batch.from, in.key())) continue;
        const auto value = value_of(batch.from, in.value());
        if (!value) return failure(lmdb::Error{});
        rows.append(in.key(), *value);
        bytes += in.key().size() + value->size();
        ++batch.rows;
      }
      if (batch.more) batch.next.assign(in.key().begin(), in.key().end());
    }
    return out.commit();
  }

  [[nodiscard]] bool is_wanted(lmdb::Dbi from, ByteSpan key) const {
    const auto dictionaries = source_.tables().dictionaries;
    if (!options_.recompress || !dictionaries || from.handle != dictionaries->handle) return true;
    return newest_ != nullptr && key.size() == 1 && DictionaryId{key[0]} == newest_->id();
  }

  // As it stands, or a record packed anew. Nothing: problem_ says why.
  std::optional<ByteSpan> value_of(lmdb::Dbi from, ByteSpan value) {
    if (!options_.recompress || from.handle != source_.tables().records.handle) return value;
    const auto record = source_.known_dictionaries().parse(txn_, value);
    if (record && repack_record(repacked_, *record, newest_)) return ByteSpan(repacked_);
    problem_.text = "a record is damaged: run check";
    return std::nullopt;
  }

  Result<void, StoreError> finish() {
    if (auto synced = target_.sync(); !synced) return failure(StoreError{synced.error().text()});
    lmdb::WriteTxn txn(target_);
    // Requests to vanish in an older file are still to be applied, by who opens the copy.
    const std::uint64_t format = source_.tables().vanished.exists() ? kStoreFormat : 3;
    txn.put(meta_, as_bytes(kFormatKey), Key().add_integer(format, 4).span());
    if (source_.has_search()) {
      txn.put(meta_, as_bytes(kSearchKey), Key().add_integer(1, 1).span());
    }
    if (const auto position = txn_.get(source_.tables().meta, as_bytes(kStreamPositionKey))) {
      txn.put(meta_, as_bytes(kStreamPositionKey), *position);
    }
    auto done = txn.commit();
    if (done) done = target_.sync();
    if (!done) return failure(StoreError{done.error().text()});
    return {};
  }

  Store& source_;
  ReadTxn txn_;
  lmdb::Env& target_;
  const CompactOptions& options_;
  const Dictionary* newest_ = nullptr;
  lmdb::Dbi meta_;
  Bytes repacked_;  // scratch
  StoreError problem_;
  CompactReport report_;
};

}  // namespace

Result<CompactReport, StoreError> compact(Store& source, const std::filesystem::path& target,
                                          const CompactOptions& options) {
  return compact(source, source.read(), target, options);
}

Result<CompactReport, StoreError> compact(Store& source, ReadTxn&& txn,
                                          const std::filesystem::path& target,
                                          const CompactOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(target, error);
  if (error) return failure(StoreError{target.string() + ": " + error.message()});
  if (!std::filesystem::is_empty(target, error)) {
    return failure(StoreError{target.string() + ": the directory is not empty"});
  }
  lmdb::EnvOptions env_options;
  env_options.map_bytes_initial = std::size_t{1} << 30;
  env_options.tables_max = static_cast<unsigned>(named_tables().size()) + 1;
  env_options.sync = false;  // once, at the end
  auto env = lmdb::Env::open(target, env_options);
  if (!env) return failure(StoreError{env.error()});
  auto report = Copier(source, std::move(txn), **env, options).run();
  if (!report) return failure(StoreError{target.string() + ": " + report.error().text});
  return report;
}

}  // namespace nostril::relay
