#include "relay/cli/commands.h"

#include "base/clock.h"
#include "base/hex.h"
#include "relay/cli/progress.h"
#include "relay/store/compact.h"
#include "relay/store/import_export.h"
#include "relay/store/scan.h"
#include "relay/store/train.h"

#include <fmt/core.h>

#include <algorithm>
#include <iostream>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nostril::relay {

namespace {

constexpr ScanBudget kScanStep{SIZE_MAX, 1 << 14, 10'000};
constexpr std::size_t kDeletePiece = 500;
constexpr std::size_t kExportPiece = 1'000;  // a read transaction
constexpr std::size_t kVerifiedPiece = 256;
constexpr std::size_t kForgedShownMax = 20;

std::uint64_t per_event(std::uint64_t bytes, std::uint64_t events) {
  return events == 0 ? 0 : bytes / events;
}

Filter filter_of(const RelayConfig& config, const std::string& text) {
  auto filter = parse_filter(text, config.session_limits().message.filter);
  if (!filter) throw std::runtime_error(fmt::format("--filter: {}", to_string(filter.error())));
  return std::move(*filter);
}

// Calls take(row) for what the filter names, in the order of a query and without its bounds.
template <typename Take>
void for_each_match(Store& store, const Filter& filter, std::int64_t now_s, Take&& take) {
  ProgressLine progress;
  std::size_t found = 0;
  Scan scan(store, {filter}, ScanOptions{now_s, UINT64_MAX});
  for (bool done = false; !done; progress.show("found", found)) {
    ReadTxn txn = store.read();
    const auto step = scan.step(txn, kScanStep, [&](const ScanRow& row) {
      take(row);
      ++found;
      return RowAction::Take;
    });
    if (!step) throw std::runtime_error(step.error().text);
    done = step->done;
  }
}

// Prints the first of those that their authors have not signed; how many there are.
std::size_t find_forged(Store& store) {
  Verifier verifier;
  std::size_t count = 0;
  std::vector<EventId> ids;
  std::vector<UnverifiedEvent> piece;
  const auto verify = [&] {
    const auto verified = VerifiedEvent::verify_all(piece, verifier);
    for (std::size_t i = 0; i < verified.size(); ++i) {
      if (verified[i]) continue;
      if (++count <= kForgedShownMax) fmt::print("event {}: wrong signature\n", encode_hex(ids[i]));
    }
    piece.clear();
    ids.clear();
  };
  for_each_match(store, Filter(), 0, [&](const ScanRow& row) {
    auto event = row.record.to_event();
    if (!event) return;  // a problem of the record's own
    auto unverified = check_id(std::move(*event));
    if (!unverified) return;  // likewise
    ids.push_back(row.record.id());
    piece.push_back(std::move(*unverified));
    if (piece.size() == kVerifiedPiece) verify();
  });
  verify();
  return count;
}

// Sequences first: a scan goes from the newest to the oldest, an export the other way.
std::uint64_t export_matches(Store& store, const Filter& filter, std::ostream& out) {
  std::vector<Sequence> rows;
  for_each_match(store, filter, SystemClock().unix_s(),
                 [&](const ScanRow& row) { rows.push_back(row.sequence); });
  std::ranges::reverse(rows);
  std::uint64_t lines = 0;
  TextBuffer text;
  for (std::size_t at = 0; at < rows.size(); at += kExportPiece) {
    text.clear();
    ReadTxn txn = store.read();
    for (const Sequence sequence :
         std::span(rows).subspan(at, std::min(kExportPiece, rows.size() - at))) {
      const auto record = store.find(txn, sequence);
      if (!record) continue;  // removed meanwhile
      if (!append_json(text, *record)) throw std::runtime_error("a record is damaged: run check");
      text.append("\n");
      ++lines;
    }
    if (!txn.ok()) throw std::runtime_error("the store can't be read: " + txn.error().text());
    out << text.text();
  }
  return lines;
}

}  // namespace

std::unique_ptr<Store> open_store(const RelayConfig& config, bool read_only) {
  StoreOptions options;
  options.read_only = read_only;
  options.address = RelayAddress::of(config.url);
  auto store = Store::open(config.data, options);
  if (!store) throw std::runtime_error(store.error().text);
  return std::move(*store);
}

void refuse_cluster_store(Store& store) {
  const auto position = store.stream_position();
  if (!position) return;
  throw std::runtime_error(fmt::format(
      "this store is one of the cluster \"{}\": changed on its own it would differ from the "
      "others. "
      "Publish events to a relay of the cluster; remove them as moderators do (docs/admin.md)",
      position->of.name));
}

int import_events(const RelayConfig& config, bool verify) {
  auto store = open_store(config, false);
  refuse_cluster_store(*store);
  const SystemClock clock;
  ImportOptions options;
  options.verify = verify;
  options.verifier_threads = config.ingest_options().verifier_threads;
  options.limits = config.session_limits().message.event;
  options.progress = &std::cerr;
  std::ios::sync_with_stdio(false);
  const auto report = import_jsonl(*store, std::cin, clock, options);
  if (!report) throw std::runtime_error(report.error().text);
  std::uint64_t malformed = report->lines_too_long;
  for (const std::uint64_t count : report->parse_errors) malformed += count;
  const std::uint64_t stored = report->count(PutResult::Stored);
  const std::uint64_t duplicates = report->count(PutResult::Duplicate);
  // Replaced, deleted, expired, ephemeral: what their own rules keep out.
  const std::uint64_t not_kept =
      std::accumulate(report->results.begin(), report->results.end(), std::uint64_t{0}) - stored -
      duplicates;
  fmt::print(stderr,
             "{} lines: {} stored, {} duplicates, {} malformed, {} wrong signatures, {} not kept\n",
             report->lines, stored, duplicates, malformed, report->bad_signatures, not_kept);
  return 0;
}

int export_events(const RelayConfig& config, const std::string& filter) {
  std::optional<Filter> wanted;
  if (!filter.empty()) wanted = filter_of(config, filter);
  auto store = open_store(config, true);
  std::ios::sync_with_stdio(false);
  std::uint64_t lines = 0;
  if (wanted) {
    lines = export_matches(*store, *wanted, std::cout);
  } else {
    const auto all =
        export_jsonl(*store, std::cout, SystemClock().unix_s(), show_progress(store->count()));
    if (!all) throw std::runtime_error(all.error().text);
    lines = *all;
  }
  std::cout.flush();
  if (!std::cout) throw std::runtime_error("standard output can't be written");
  fmt::print(stderr, "{} events\n", lines);
  return 0;
}

int show_stats(const RelayConfig& config) {
  const StoreStats stats = open_store(config, true)->stats();
  std::uint64_t in_tables = 0;
  for (const auto& table : stats.tables) in_tables += table.used_bytes;
  fmt::print("events {}\nfile_used_bytes {} an_event {}\nin_tables_bytes {} an_event {}\n",
             stats.events, stats.file_used_bytes, per_event(stats.file_used_bytes, stats.events),
             in_tables, per_event(in_tables, stats.events));
  for (const auto& table : stats.tables) {
    fmt::print("table {} entries {} bytes {} an_event {}\n", table.name, table.entries,
               table.used_bytes, per_event(table.used_bytes, stats.events));
  }
  return 0;
}

int check_store(const RelayConfig& config, bool with_signatures) {
  auto store = open_store(config, true);
  const CheckReport report = store->check(true, show_progress(store->count()));
  for (const auto& problem : report.problems) fmt::print("{}\n", problem);
  const std::size_t forged = with_signatures ? find_forged(*store) : 0;
  fmt::print("{} records, {} index entries, {} problems\n", report.records, report.index_entries,
             report.problem_count + forged);
  return report.ok() && forged == 0 ? 0 : 1;
}

int compact_store(const RelayConfig& config, const std::string& to, bool recompress) {
  CompactOptions options;
  options.recompress = recompress;
  options.progress = show_progress();
  const auto report = compact(*open_store(config, true), to, options);
  if (!report) throw std::runtime_error(report.error().text);
  fmt::print("{} events, {} bytes an event before, {} after\n", report->events,
             per_event(report->bytes_before, report->events),
             per_event(report->bytes_after, report->events));
  return 0;
}

// Ids first, then in pieces: a relay's own writer waits for one piece at most. What is stored
// meanwhile may stay.
int delete_events(const RelayConfig& config, const DeleteArguments& arguments) {
  const Filter filter = filter_of(config, arguments.filter);
  (void)open_store(config, true);  // makes no new store
  auto store = open_store(config, arguments.is_dry_run);
  if (!arguments.is_dry_run) refuse_cluster_store(*store);
  std::vector<EventId> ids;
  for_each_match(*store, filter, 0,  // what has expired, too
                 [&](const ScanRow& row) { ids.push_back(row.record.id()); });
  if (arguments.is_dry_run) {
    fmt::print("{} events would be removed\n", ids.size());
    return 0;
  }
  ProgressLine progress;
  std::size_t removed = 0;
  for (std::size_t at = 0; at < ids.size(); at += kDeletePiece) {
    const auto piece = std::span(ids).subspan(at, std::min(kDeletePiece, ids.size() - at));
    const auto erased = store->erase(piece);
    if (!erased) throw std::runtime_error(erased.error().text);
    removed += *erased;
    progress.show("removed", removed, ids.size());
  }
  fmt::print("{} events removed\n", removed);
  return 0;
}

int train_dictionary_of(const RelayConfig& config, std::size_t samples) {
  (void)open_store(config, true);  // makes no new store
  auto store = open_store(config, false);
  TrainOptions options;
  options.samples = samples;
  const auto report = train_dictionary(*store, options, SystemClock().unix_s());
  if (!report) throw std::runtime_error("no dictionary was added: " + report.error().text);
  fmt::print(
      "dictionary {}: {} bytes, trained on four fifths of {} contents; the others: {} bytes "
      "as text, {} packed\n",
      static_cast<unsigned>(report->id), report->dictionary_bytes, report->samples,
      report->test_content_bytes, report->test_stored_bytes);
  return 0;
}

int list_dictionaries(const RelayConfig& config) {
  const auto found = open_store(config, true)->dictionaries();
  if (!found) throw std::runtime_error(found.error().text);
  for (const auto& dictionary : *found) {
    fmt::print("dictionary {} bytes {} trained_at {} sha256 {}\n",
               static_cast<unsigned>(dictionary.id), dictionary.bytes, dictionary.trained_at_s,
               dictionary.sha256);
  }
  return 0;
}

int show_dictionary_stats(const RelayConfig& config) {
  auto store = open_store(config, true);
  const auto found = store->content_stats(show_progress(store->count()));
  if (!found) throw std::runtime_error(found.error().text);
  for (const auto& stats : *found) {
    const auto id = static_cast<unsigned>(stats.id);
    fmt::print("{} records {} content_bytes {} stored_bytes {}\n",
               id == 0 ? "text" : fmt::format("dictionary {}", id), stats.records,
               stats.content_bytes, stats.stored_bytes);
  }
  return 0;
}

}  // namespace nostril::relay
