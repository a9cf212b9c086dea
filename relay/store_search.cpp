#include "relay/store_search.h"

#include "relay/store/scan.h"

#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kErasedATime = 256;

// All rows of the filter, `count_max` at most; in steps, each a read transaction of its own.
template <typename OnRecord>
Result<void, std::string> scan(Store& store, StoreWriter& writer, const Filter& filter,
                               std::size_t count_max, std::int64_t now_s, OnRecord on_record) {
  if (writer.in_tables().would_miss({&filter, 1}) && !writer.in_tables().wait()) {
    return failure(std::string("what was stored last can't be read"));
  }
  ScanOptions options;
  options.now_s = now_s;
  options.limit_max = count_max;
  Scan rows(store, {filter}, options);
  for (bool done = false; !done;) {
    ReadTxn txn = store.read();
    const auto step = rows.step(txn, {}, [&](const ScanRow& row) {
      on_record(row.record);
      return RowAction::Take;
    });
    if (!step) return failure(step.error().text);
    done = step->done;
  }
  return {};
}

}  // namespace

Result<std::vector<Event>, std::string> find_events(Store& store, StoreWriter& writer,
                                                    const Filter& filter, std::size_t count_max,
                                                    std::int64_t now_s) {
  std::vector<Event> out;
  auto scanned = scan(store, writer, filter, count_max, now_s, [&](const RecordView& record) {
    if (auto event = record.to_event()) out.push_back(std::move(*event));
  });
  if (!scanned) return failure(std::move(scanned.error()));
  return out;
}

Result<std::size_t, std::string> erase_events(Store& store, StoreWriter& writer,
                                              const Filter& filter, std::int64_t now_s) {
  std::size_t total = 0;
  // What is being written has asked before the caller closed the door: it is to be there by the
  // first look.
  if (!writer.run_between([] {})) return failure(std::string("the relay is stopping"));
  for (;;) {
    std::vector<EventId> ids;
    auto scanned = scan(store, writer, filter, kErasedATime, now_s,
                        [&](const RecordView& record) { ids.push_back(record.id()); });
    if (!scanned) return failure(std::move(scanned.error()));
    if (ids.empty()) return total;
    Result<std::size_t, StoreError> erased = std::size_t{0};
    if (!writer.run_between([&] { erased = store.erase(ids); })) {
      return failure(std::string("the relay is stopping"));
    }
    if (!erased) return failure(std::move(erased.error().text));
    if (*erased == 0) return failure(std::string("the store does not let go of what it shows"));
    total += *erased;
  }
}

}  // namespace nostril::relay
