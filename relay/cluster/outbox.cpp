#include "relay/cluster/outbox.h"

#include "base/log.h"
#include "relay/store/keys.h"

#include <fmt/format.h>

#include <chrono>

namespace nostril::relay {

namespace {

constexpr std::size_t kIdBytes = 32;
// What was sent goes from the disk within this time.
constexpr std::chrono::milliseconds kForgetAfter{200};

Key number_key(std::uint64_t number) {
  return Key().add_integer(number, 8);
}

Bytes row_of(const Event& event) {
  const std::string json = to_json(event);
  Bytes out(event.id.bytes.begin(), event.id.bytes.end());
  out.insert(out.end(), json.begin(), json.end());
  return out;
}

}  // namespace

bool is_accepted(OutboxResult result) {
  return result == OutboxResult::Kept || result == OutboxResult::Duplicate;
}

std::string_view ok_message(OutboxResult result) {
  switch (result) {
    case OutboxResult::Kept:
    case OutboxResult::Duplicate:
      return "info: queued: the cluster is away, the event is on this relay's disk until it is "
             "back";
    case OutboxResult::Full:
      return "error: the cluster is away, and this relay's queue for it is full";
    case OutboxResult::Failed:
      return "error: the cluster is away, and the event could not be queued";
  }
  return "error: unknown";
}

Result<std::unique_ptr<Outbox>, std::string> Outbox::open(const std::filesystem::path& folder,
                                                          const OutboxOptions& options,
                                                          KeptHandler on_kept) {
  auto env = lmdb::Env::open(folder, {.tables_max = 1});
  if (!env) return failure(std::move(env.error()));
  const auto table = (*env)->open_table("events", true);
  if (!table) return failure(fmt::format("{}: {}", folder.string(), table.error().text()));
  std::unique_ptr<Outbox> out(  // NOLINT: the constructor is private
      new Outbox(std::move(*env), *table, options, std::move(on_kept)));
  if (auto loaded = out->load(); !loaded) {
    return failure(fmt::format("{}: {}", folder.string(), loaded.error()));
  }
  out->thread_ = std::thread([self = out.get()] { self->run(); });
  return out;
}

Outbox::Outbox(std::unique_ptr<lmdb::Env> env, lmdb::Dbi table, const OutboxOptions& options,
               KeptHandler on_kept)
    : env_(std::move(env)),
      table_(table),
      options_(options),
      on_kept_(std::move(on_kept)),
      queue_(options.queue_max) {}

Outbox::~Outbox() {
  stop();
}

void Outbox::stop() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

Result<void, std::string> Outbox::load() {
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor at(txn, table_);
  for (bool more = at.first(); more; more = at.next()) {
    const auto id =
        at.value().size() > kIdBytes ? EventId::from(at.value().first(kIdBytes)) : std::nullopt;
    if (at.key().size() != 8 || !id) return failure(std::string("a row of it is damaged"));
    last_number_ = read_integer(at.key());
    ids_.insert(*id);
  }
  if (!txn.ok()) return failure(txn.error().text());
  return {};
}

void Outbox::run() {
  while (auto wanted = queue_.wait_all_for(kForgetAfter, options_.batch_max)) {
    write(std::move(*wanted));
  }
  write({});  // what was sent meanwhile
}

// Takes its place among those under way, or says why not.
OutboxResult Outbox::judge(const EventId& id) {
  if (failed_.load()) return OutboxResult::Failed;
  const std::lock_guard lock(mutex_);
  if (ids_.contains(id)) return OutboxResult::Duplicate;
  if (ids_.size() >= options_.events_max) return OutboxResult::Full;
  ids_.insert(id);
  return OutboxResult::Kept;
}

void Outbox::write(std::vector<Keep>&& wanted) {
  std::vector<std::uint64_t> gone;
  {
    const std::lock_guard lock(mutex_);
    gone = std::exchange(sent_, {});
  }
  if (wanted.empty() && gone.empty()) return;
  std::vector<OutboxOutcome> outcomes;
  std::vector<Row> rows;
  outcomes.reserve(wanted.size());
  for (const Keep& keep : wanted) {
    const OutboxResult result = judge(keep.event->id);
    outcomes.push_back({keep.token, keep.event->id, result});
    if (result == OutboxResult::Kept) rows.emplace_back(++last_number_, row_of(keep.event.event()));
  }
  if (!commit(rows, gone)) {
    const std::lock_guard lock(mutex_);
    for (OutboxOutcome& outcome : outcomes) {
      if (outcome.result == OutboxResult::Kept) ids_.erase(outcome.id);
      outcome.result = OutboxResult::Failed;
    }
  }
  if (!outcomes.empty()) on_kept_(std::move(outcomes));
}

bool Outbox::commit(std::span<const Row> rows, std::span<const std::uint64_t> gone) {
  if (rows.empty() && gone.empty()) return !failed_.load();
  for (;;) {
    if (failed_.load()) return false;
    const std::size_t map_bytes = env_->map_bytes();
    auto written = write_rows(rows, gone);
    if (written) {
      commits_.add();
      return true;
    }
    if (written.error().is_map_full()) {
      const auto grown = env_->grow(map_bytes);
      if (grown) continue;
      written = failure(grown.error());
    }
    fail(written.error().text());
  }
}

Result<void, lmdb::Error> Outbox::write_rows(std::span<const Row> rows,
                                             std::span<const std::uint64_t> gone) {
  lmdb::WriteTxn txn(*env_);
  for (const std::uint64_t number : gone) (void)txn.erase(table_, number_key(number).span());
  for (const auto& [number, row] : rows) txn.append(table_, number_key(number).span(), row);
  return txn.commit();
}

void Outbox::fail(const std::string& why) {
  const std::string text = "the cluster's outbox takes nothing more: a write failed: " + why;
  log(LogLevel::Error, "{}", public_text(text));
  const std::lock_guard lock(mutex_);
  problem_ = text;
  failed_ = true;
}

std::string Outbox::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

std::vector<OutboxEntry> Outbox::after(std::uint64_t number, std::size_t count_max,
                                       std::size_t bytes_max) {
  std::vector<OutboxEntry> out;
  std::size_t bytes = 0;
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor at(txn, table_);
  for (bool more = at.seek(number_key(number + 1).span()); more && out.size() < count_max;
       more = at.next()) {
    const ByteSpan value = at.value();
    const auto id = EventId::from(value.first(kIdBytes));
    {
      const std::lock_guard lock(mutex_);
      if (!ids_.contains(*id)) continue;  // sent, and on the disk until the next commit
    }
    bytes += value.size();
    if (!out.empty() && bytes > bytes_max) break;
    out.push_back({read_integer(at.key()), *id, std::string(as_text(value.subspan(kIdBytes)))});
  }
  return out;
}

void Outbox::sent(std::uint64_t number, const EventId& id) {
  const std::lock_guard lock(mutex_);
  if (ids_.erase(id) > 0) sent_.push_back(number);
}

std::size_t Outbox::size() const {
  const std::lock_guard lock(mutex_);
  return ids_.size();
}

}  // namespace nostril::relay
