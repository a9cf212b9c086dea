#include "bench/relay/load/publish.h"

#include "bench/relay/load/clocks.h"
#include "bench/relay/load/relay_line.h"

#include <string>

namespace nostril::bench {

Publisher::Publisher(Connections& connections, const Publications& publications, Pace pace)
    : connections_(connections),
      publications_(publications),
      pace_(pace),
      sent_at_(publications.count()),
      has_answer_(publications.count()) {}

void Publisher::start() {
  if (pace_.period_ns > 0) {
    return connections_.every(pace_.period_ns, [this] { return send_one(); });
  }
  for (std::size_t i = 0; i < pace_.connections * pace_.in_flight; ++i) {
    if (!send_next(i % pace_.connections)) return;
  }
}

bool Publisher::send_next(std::size_t connection) {
  if (sent_ == publications_.count()) return false;
  sent_at_[sent_] = now_ns();
  connections_.send(connection, publications_.frame(sent_++));
  return true;
}

void Publisher::take_ok(std::size_t connection, std::string_view text) {
  const RelayLine line = read_relay_line(text);
  const auto key = line.id_key();
  const std::size_t index = key ? publications_.find(*key) : publications_.count();
  if (!line.accepted() || index == publications_.count() || has_answer_[index]) {
    return connections_.fail("not one OK true for each event: " + std::string(text));
  }
  has_answer_[index] = true;
  latencies_.add(now_ns() - sent_at_[index]);
  if (line.rest.find("duplicate:") != std::string_view::npos) ++duplicates_;
  ++answered_;
  if (pace_.in_flight > 0) send_next(connection);
}

}  // namespace nostril::bench
