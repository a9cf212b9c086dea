#include "client/journal.h"

#include "base/log.h"

#include <utility>

namespace nostril::client {

namespace {

constexpr std::array<const char*, kJournalTableCount> kTableNames = {
    "channels",       "records",   "receipts",      "answers", "exchanges",
    "exchange_names", "api_usage", "stored_frames", "funded",  "lightning"};

std::uint64_t microseconds_since(std::chrono::steady_clock::time_point begun) {
  const auto took = std::chrono::steady_clock::now() - begun;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(took).count());
}

}  // namespace

Result<std::unique_ptr<Journal>, std::string> Journal::open(const std::filesystem::path& folder,
                                                            net::Loop& loop,
                                                            const JournalLimits& limits) {
  auto env = lmdb::Env::open(folder, {.tables_max = kJournalTableCount});
  if (!env) return failure(env.error());
  std::array<lmdb::Dbi, kJournalTableCount> tables;
  for (std::size_t i = 0; i < kJournalTableCount; ++i) {
    const auto table = (*env)->open_table(kTableNames[i], true);
    if (!table) return failure(folder.string() + ": " + table.error().text());
    tables[i] = *table;
  }
  return std::unique_ptr<Journal>(new Journal(std::move(*env), tables, loop, limits));
}

Journal::Journal(std::unique_ptr<lmdb::Env> env, std::array<lmdb::Dbi, kJournalTableCount> tables,
                 net::Loop& loop, const JournalLimits& limits)
    : env_(std::move(env)), tables_(tables), loop_(loop), jobs_(limits.waiting_max) {
  writer_ = std::thread([this] { write_loop(); });
}

Journal::~Journal() {
  closing_ = true;
  jobs_.close();
  writer_.join();
}

bool Journal::commit(std::vector<JournalChange> changes, std::function<void(bool)> done) {
  return jobs_.push(Job{std::move(changes), std::move(done), std::chrono::steady_clock::now()});
}

void Journal::write_loop() {
  bool usable = true;
  while (auto jobs = jobs_.wait_all()) {
    usable = usable && write(*jobs);
    counters_.syncs.add();
    // Callbacks are called, and what they hold is let go, on the loop's thread only. The loop
    // outlives the journal, but the journal may be gone when the loop gets to them.
    const auto batch = std::make_shared<std::vector<Job>>(std::move(*jobs));
    const auto report = [this, alive = std::weak_ptr<Alive>(alive_), batch, usable] {
      for (Job& job : std::exchange(*batch, {})) {
        if (alive.expired()) continue;
        counters_.commits.add();
        counters_.microseconds.add(microseconds_since(job.begun));
        if (job.done) job.done(usable);
      }
    };
    // Nobody empties the loop's queue while the journal is being destroyed.
    while (!loop_.post(report) && !closing_) std::this_thread::yield();
  }
}

bool Journal::write(const std::vector<Job>& jobs) {
  for (;;) {
    const std::size_t map_bytes = env_->map_bytes();
    lmdb::Error error;
    {
      lmdb::WriteTxn txn(*env_);
      for (const Job& job : jobs) {
        for (const JournalChange& change : job.changes) {
          if (change.value) {
            txn.put(table(change.table), change.key, *change.value);
          } else {
            txn.erase(table(change.table), change.key);
          }
        }
      }
      const auto committed = txn.commit();
      if (committed) return true;
      error = committed.error();
    }
    if (error.is_map_full() && env_->grow(map_bytes)) continue;
    log(LogLevel::Error, "journal: {}; nothing more is accepted until a restart",
        public_text(error.text()));
    return false;
  }
}

std::optional<Bytes> Journal::get(JournalTable name, ByteSpan key) {
  lmdb::ReadTxn txn(*env_);
  const auto value = txn.get(table(name), key);
  if (!value) return std::nullopt;
  return Bytes(value->begin(), value->end());
}

void Journal::scan(JournalTable name, ByteSpan first,
                   const std::function<bool(ByteSpan, ByteSpan)>& visit) {
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor cursor(txn, table(name));
  bool there = first.empty() ? cursor.first() : cursor.seek(first);
  while (there && visit(cursor.key(), cursor.value())) there = cursor.next();
}

std::optional<Bytes> Journal::last_key(JournalTable name) {
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor cursor(txn, table(name));
  if (!cursor.last()) return std::nullopt;
  return Bytes(cursor.key().begin(), cursor.key().end());
}

std::uint64_t Journal::used_bytes(JournalTable name) {
  lmdb::ReadTxn txn(*env_);
  return txn.used_bytes(table(name));
}

}  // namespace nostril::client
