#pragma once

#include "bench/relay/load/connections.h"
#include "bench/relay/load/publications.h"
#include "bench/relay/load/samples.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace nostril::bench {

/// How events are sent: over the first `connections`, at most `in_flight` unanswered on each. With
/// in_flight 0 by the clock, over the connections in turn, answered or not: one each `period_ns`,
/// or, when that is 0 too, at each send_one().
struct Pace {
  std::size_t connections = 1;
  std::size_t in_flight = 1;
  std::int64_t period_ns = 0;
};

/// Sends events and takes their answers: each must get OK true once. The caller hands it every OK.
class Publisher {
 public:
  /// Borrows both.
  Publisher(Connections& connections, const Publications& publications, Pace pace);

  void start();

  /// False when all are sent.
  bool send_one() { return send_next(sent_ % pace_.connections); }

  /// An OK that came on `connection`; WrongAnswer goes to Connections::fail().
  void take_ok(std::size_t connection, std::string_view text);

  [[nodiscard]] bool all_answered() const { return answered_ == publications_.count(); }

  /// When event `index` was handed to its socket; 0: not yet.
  [[nodiscard]] std::int64_t sent_at(std::size_t index) const { return sent_at_[index]; }

  /// From sending to OK.
  [[nodiscard]] const Samples& latencies() const { return latencies_; }

  /// Of the answers, how many said that the relay had the event.
  [[nodiscard]] std::size_t duplicates() const { return duplicates_; }

 private:
  bool send_next(std::size_t connection);

  Connections& connections_;
  const Publications& publications_;
  Pace pace_;
  std::vector<std::int64_t> sent_at_;
  std::vector<bool> has_answer_;
  std::size_t sent_ = 0;
  std::size_t answered_ = 0;
  std::size_t duplicates_ = 0;
  Samples latencies_;
};

}  // namespace nostril::bench
