#pragma once

#include "bench/relay/load/answers.h"
#include "bench/relay/load/connections.h"
#include "bench/relay/load/samples.h"
#include "events/filter.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::bench {

/// A REQ, or a COUNT, and what must come back.
struct Case {
  Case(Filter filter, const Answers& answers, bool is_count = false);

  std::string frame;
  bool is_count;
  Answer expected;
};

/// Several clients, each with one REQ under way, closed after EOSE, or one COUNT. Every answer is
/// compared.
class Asking {
 public:
  /// The clients are the connections from `first` on. Borrows.
  Asking(Connections& connections, const std::vector<Case>& cases, std::size_t first,
         std::size_t clients);

  /// All cases, each client's next as soon as its last is answered.
  void ask_all();
  /// All cases over and over, until stop().
  void ask_repeatedly();

  void stop() { limit_ = next_; }

  /// One more case falls due now; it waits when all clients are busy, and its time counts.
  void ask_one();
  /// A message that came on `connection`.
  void take(std::size_t connection, std::string_view text);

  [[nodiscard]] bool complete() const { return answered_ == limit_; }

  [[nodiscard]] std::size_t answered() const { return answered_; }

  /// From falling due to EOSE.
  [[nodiscard]] const Samples& latencies() const { return latencies_; }

  [[nodiscard]] std::size_t events() const { return events_; }

  /// Answers with the right events in another order than NIP-01's.
  [[nodiscard]] std::size_t unordered() const { return unordered_; }

 private:
  struct Client {
    std::size_t at = 0;  // of what is asked, cases_ again and again
    Answer answer;
    bool busy = false;
  };

  [[nodiscard]] const Case& case_of(const Client& client) const;
  void ask_next(Client& client);
  void end(std::size_t connection);

  Connections& connections_;
  const std::vector<Case>& cases_;
  std::size_t first_;
  std::string close_;
  std::vector<Client> clients_;
  std::vector<std::int64_t> due_at_;  // of the cases that are due
  Samples latencies_;
  std::size_t next_ = 0;
  std::size_t answered_ = 0;
  std::size_t events_ = 0;
  std::size_t unordered_ = 0;
  std::size_t limit_;  // how many are asked in all
  bool repeats_ = false;
};

}  // namespace nostril::bench
