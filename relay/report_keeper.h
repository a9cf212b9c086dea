#pragma once

#include "base/log_seldom.h"
#include "base/mailbox.h"
#include "relay/reports.h"
#include "relay/store/commit_gate.h"
#include "relay/store/store.h"

#include <optional>
#include <thread>
#include <vector>

namespace nostril::relay {

/// Keeps Reports true to the store: reads the stored reports at the start and after a deletion by a
/// moderator, and erases what they name. Threads: on_stored() from one, which it does not hold up;
/// the rest is a thread of its own, when there are moderators.
class ReportKeeper {
 public:
  /// Reads the stored reports before it returns. `gate` is asked before each look at the store; all
  /// outlive it.
  ReportKeeper(Store& store, CommitGate& gate, Reports& reports);
  ~ReportKeeper();
  ReportKeeper(const ReportKeeper&) = delete;
  ReportKeeper& operator=(const ReportKeeper&) = delete;
  ReportKeeper(ReportKeeper&&) = delete;
  ReportKeeper& operator=(ReportKeeper&&) = delete;

  /// An event is on disk.
  void on_stored(const Event& event);
  void stop();

 private:
  /// An event to be erased; nothing: all reports are to be read again.
  using Task = std::optional<EventId>;

  void run();
  [[nodiscard]] bool do_due();
  [[nodiscard]] bool read_all();
  [[nodiscard]] bool erase(const std::vector<EventId>& ids);

  Store& store_;
  CommitGate& gate_;
  Reports& reports_;
  Mailbox<Task> tasks_{65'536};
  // The thread's: what is to be done, kept until it could be.
  std::vector<EventId> due_ids_;
  bool is_reading_due_ = false;
  SeldomLog errors_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
