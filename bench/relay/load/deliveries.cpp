#include "bench/relay/load/deliveries.h"

#include "bench/relay/load/clocks.h"
#include "bench/relay/load/relay_line.h"
#include "events/messages.h"

#include <fmt/format.h>

#include <charconv>

namespace nostril::bench {

std::string Audience::topic(std::size_t number) const {
  return tag == 'p' ? recipient(number) : fmt::format("live{}", number);
}

void Audience::subscribe(Connections& connections) const {
  std::size_t ready = 0;
  connections.on_message = [&](std::size_t, std::string_view text) {
    const RelayLine line = read_relay_line(text);
    if (line.kind == RelayLine::Kind::Event) return;  // of an earlier round
    if (line.kind != RelayLine::Kind::EndOfStored) return connections.fail(std::string(text));
    if (++ready == subscriptions) connections.done();
  };
  for (std::size_t s = 0; s < subscriptions; ++s) {
    Filter filter;
    filter.kinds = {kind};
    filter.limit = 1;
    filter.tags.push_back({tag, {topic(s % topics)}});
    connections.send(connection_of(s), client_frame(request_text(fmt::format("s{}", s), {filter})));
  }
  connections.run("subscribing");
}

Deliveries::Deliveries(const Audience& audience, const Publications& publications,
                       const std::vector<std::size_t>& topics, const Publisher& publisher)
    : audience_(audience),
      publications_(publications),
      topics_(topics),
      publisher_(publisher),
      seen_(publications.count() * audience.subscriptions),
      missing_(publications.count() * audience.listeners()) {}

std::string Deliveries::take(std::size_t connection, std::string_view text) {
  const std::int64_t now = now_ns();
  const RelayLine line = read_relay_line(text);
  std::size_t subscription = audience_.subscriptions;
  if (line.subject.starts_with('s')) {
    std::from_chars(line.subject.data() + 1, line.subject.data() + line.subject.size(),
                    subscription);
  }
  const auto key = line.id_key();
  const std::size_t event = key ? publications_.find(*key) : publications_.count();
  if (event == publications_.count() || subscription >= audience_.subscriptions ||
      audience_.connection_of(subscription) != connection) {
    return fmt::format("nobody published this for it: {}", text);
  }
  if (topics_[event] != subscription % audience_.topics) return "delivered to the wrong one";
  const std::size_t place = event * audience_.subscriptions + subscription;
  if (seen_[place]) return "delivered twice";
  seen_[place] = true;
  --missing_;
  latencies_.add(now - publisher_.sent_at(event));
  return {};
}

}  // namespace nostril::bench
