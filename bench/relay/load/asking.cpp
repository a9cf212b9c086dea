#include "bench/relay/load/asking.h"

#include "bench/relay/load/clocks.h"
#include "bench/relay/load/relay_line.h"
#include "events/messages.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

namespace nostril::bench {

namespace {

constexpr const char* kSubscription = "q";

}  // namespace

Case::Case(Filter filter, const Answers& answers, bool count) : is_count(count) {
  filter.normalize();
  expected = answers.answer(filter);
  frame = client_frame(is_count ? count_request_text(kSubscription, {std::move(filter)})
                                : request_text(kSubscription, {std::move(filter)}));
}

Asking::Asking(Connections& connections, const std::vector<Case>& cases, std::size_t first,
               std::size_t clients)
    : connections_(connections),
      cases_(cases),
      first_(first),
      close_(client_frame(close_text(kSubscription))),
      clients_(clients),
      limit_(cases.size()) {}

void Asking::ask_all() {
  due_at_.assign(cases_.size(), 0);  // 0: due when a client is free
  for (Client& client : clients_) ask_next(client);
}

void Asking::ask_repeatedly() {
  repeats_ = true;
  limit_ = std::numeric_limits<std::size_t>::max();
  for (Client& client : clients_) ask_next(client);
}

void Asking::ask_one() {
  if (due_at_.size() == cases_.size()) return;
  due_at_.push_back(now_ns());
  for (Client& client : clients_) {
    if (!client.busy) return ask_next(client);
  }
}

const Case& Asking::case_of(const Client& client) const {
  return cases_[client.at % cases_.size()];
}

void Asking::ask_next(Client& client) {
  if (repeats_ && next_ < limit_) due_at_.push_back(0);
  client.busy = next_ < due_at_.size();
  if (!client.busy) return;
  client.at = next_++;
  client.answer = {};
  if (due_at_[client.at] == 0) due_at_[client.at] = now_ns();
  const auto index = static_cast<std::size_t>(&client - clients_.data());
  connections_.send(first_ + index, case_of(client).frame);
}

void Asking::take(std::size_t connection, std::string_view text) {
  const RelayLine line = read_relay_line(text);
  Client& client = clients_[connection - first_];
  if (line.kind == RelayLine::Kind::Event) {
    const auto key = line.id_key();
    if (!key || !client.busy) return connections_.fail("not asked for: " + std::string(text));
    ++events_;
    return client.answer.add(*key);
  }
  const bool is_count = client.busy && case_of(client).is_count;
  const auto end_kind = is_count ? RelayLine::Kind::Count : RelayLine::Kind::EndOfStored;
  if (line.kind != end_kind || !client.busy) return connections_.fail(std::string(text));
  if (is_count && line.count() != case_of(client).expected.count) {
    return connections_.fail(
        fmt::format("{} match: {}", case_of(client).expected.count, std::string(text)));
  }
  end(connection);
}

void Asking::end(std::size_t connection) {
  Client& client = clients_[connection - first_];
  latencies_.add(now_ns() - due_at_[client.at]);
  if (case_of(client).is_count) {
    ++answered_;
    return ask_next(client);
  }
  const Answer& expected = case_of(client).expected;
  if (!client.answer.same_events(expected)) {
    return connections_.fail(
        fmt::format("{} events came, {} match, or others", client.answer.count, expected.count));
  }
  if (!client.answer.same_order(expected)) ++unordered_;
  ++answered_;
  connections_.send(connection, close_);
  ask_next(client);
}

}  // namespace nostril::bench
