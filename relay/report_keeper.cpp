#include "relay/report_keeper.h"

#include "base/log.h"
#include "events/kinds.h"
#include "relay/store/scan.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::chrono::milliseconds kAnHour{3'600'000};
constexpr std::chrono::milliseconds kTryAgainAfter{1'000};
constexpr std::size_t kDueMax = 65'536;

}  // namespace

ReportKeeper::ReportKeeper(Store& store, CommitGate& gate, Reports& reports)
    : store_(store), gate_(gate), reports_(reports) {
  if (reports_.is_empty()) return;
  is_reading_due_ = !read_all();
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
  std::chrono::milliseconds wait_max = is_reading_due_ ? kTryAgainAfter : kAnHour;
  while (auto tasks = tasks_.wait_all_for(wait_max)) {
    for (const Task& task : *tasks) {
      if (task) {
        due_ids_.push_back(*task);
      } else {
        is_reading_due_ = true;
      }
    }
    if (due_ids_.size() > kDueMax) {  // to read all finds them, too
      due_ids_.clear();
      is_reading_due_ = true;
    }
    wait_max = do_due() ? kAnHour : kTryAgainAfter;
  }
}

// False: not now, the disk is full perhaps.
bool ReportKeeper::do_due() {
  if (due_ids_.empty() && !is_reading_due_) return true;
  if (!gate_.wait()) return false;
  if (is_reading_due_ && !read_all()) return false;
  is_reading_due_ = false;
  if (!erase(due_ids_)) return false;
  due_ids_.clear();
  return true;
}

bool ReportKeeper::read_all() {
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
      errors_.error(public_text("reports: " + step.error().text));
      return false;
    }
    is_done = step->done;
  }
  reports_.start_with(found);
  return erase(reports_.refused_events());
}

// Moderators' own events stay.
bool ReportKeeper::erase(const std::vector<EventId>& ids) {
  std::vector<EventId> there;
  {
    ReadTxn txn = store_.read();
    for (const EventId& id : ids) {
      const auto record = store_.find(txn, id);
      if (record && !reports_.moderators().contains(record->pubkey())) there.push_back(id);
    }
  }
  if (there.empty()) return true;
  const auto erased = store_.erase(there);
  if (!erased) {
    errors_.error(public_text("reports: " + erased.error().text));
    return false;
  }
  log(LogLevel::Info, "reports: {} events erased", *erased);
  return true;
}

}  // namespace nostril::relay
