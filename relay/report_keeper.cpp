#include "relay/report_keeper.h"

#include "base/log.h"
#include "events/kinds.h"
#include "relay/store/scan.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

namespace nostril::relay {

ReportKeeper::ReportKeeper(Store& store, CommitGate& gate, Reports& reports)
    : store_(store), gate_(gate), reports_(reports) {
  if (reports_.is_empty()) return;
  read_all();
  thread_ = std::thread([this] { run(); });
}

ReportKeeper::~ReportKeeper() {
  stop();
}

void ReportKeeper::stop() {
  tasks_.close();
  if (thread_.joinable()) thread_.join();
}

// What came through a queue before a report did is stored after it: it is looked at here.
void ReportKeeper::on_stored(const Event& event) {
  if (reports_.is_empty()) return;
  std::vector<EventId> refused = reports_.add(event);
  if (reports_.is_refused(event)) refused.push_back(event.id);
  for (const EventId& id : refused) {
    if (!tasks_.push(Task(id))) {
      log(LogLevel::Warning, "reports: more than can be handled at a time, see docs/protection.md");
      return;
    }
  }
  if (reports_.takes_back(event)) (void)tasks_.push(Task());
}

void ReportKeeper::run() {
  while (auto tasks = tasks_.wait_all()) {
    std::vector<EventId> ids;
    bool read_again = false;
    for (const Task& task : *tasks) {
      if (task) {
        ids.push_back(*task);
      } else {
        read_again = true;
      }
    }
    if (!gate_.wait()) return;  // the store takes nothing any more
    if (read_again) read_all();
    if (!ids.empty()) erase(ids);
  }
}

void ReportKeeper::read_all() {
  reports_.begin_again();
  Filter filter;
  filter.kinds.emplace({kinds::kReport});
  filter.authors.emplace(reports_.moderators().begin(), reports_.moderators().end());
  filter.normalize();
  Scan scan(store_, {filter}, {0, UINT64_MAX});
  std::vector<Event> found;
  bool is_done = false;
  while (!is_done) {
    ReadTxn txn = store_.read();
    const auto step = scan.step(txn, {}, [&](const ScanRow& row) {
      if (auto event = row.record.to_event()) found.push_back(std::move(*event));
      return RowAction::Take;
    });
    if (!step) {
      log(LogLevel::Error, "reports: {}", public_text(step.error().text));
      return;
    }
    is_done = step->done;
  }
  reports_.start_with(found);
  erase(reports_.refused_events());
}

// Moderators' own events stay.
void ReportKeeper::erase(const std::vector<EventId>& ids) {
  std::vector<EventId> there;
  {
    ReadTxn txn = store_.read();
    for (const EventId& id : ids) {
      const auto record = store_.find(txn, id);
      if (record && !reports_.moderators().contains(record->pubkey())) there.push_back(id);
    }
  }
  if (there.empty()) return;
  const auto erased = store_.erase(there);
  if (!erased) {
    log(LogLevel::Error, "reports: {}", public_text(erased.error().text));
  } else {
    log(LogLevel::Info, "reports: {} events erased", *erased);
  }
}

}  // namespace nostril::relay
