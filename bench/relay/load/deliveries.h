#pragma once

#include "bench/relay/load/connections.h"
#include "bench/relay/load/publish.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::bench {

/// Live subscriptions, several a connection. Subscription s is called "sS" and wants topic
/// s % topics.
struct Audience {
  std::uint32_t kind = 0;
  char tag = 'p';
  std::size_t first_connection = 1;
  std::size_t subscriptions = 0;
  std::size_t a_connection = 1;
  std::size_t topics = 0;

  [[nodiscard]] std::size_t connections() const {
    return (subscriptions + a_connection - 1) / a_connection;
  }

  [[nodiscard]] std::size_t connection_of(std::size_t subscription) const {
    return first_connection + subscription / a_connection;
  }

  /// How many hear one event.
  [[nodiscard]] std::size_t listeners() const { return subscriptions / topics; }

  /// The value of the tag.
  [[nodiscard]] std::string topic(std::size_t number) const;
  /// Sends all REQs and waits for all EOSE.
  void subscribe(Connections& connections) const;
};

/// Checks that each event comes to each subscription of its topic, once, and to no other.
class Deliveries {
 public:
  /// Event e has topic topics[e]. Borrows all.
  Deliveries(const Audience& audience, const Publications& publications,
             const std::vector<std::size_t>& topics, const Publisher& publisher);

  /// An EVENT that came on `connection`; nothing, or what is wrong with it.
  [[nodiscard]] std::string take(std::size_t connection, std::string_view text);

  [[nodiscard]] bool complete() const { return missing_ == 0; }

  [[nodiscard]] std::size_t count() const { return latencies_.count(); }

  /// From sending to delivery.
  [[nodiscard]] const Samples& latencies() const { return latencies_; }

 private:
  const Audience& audience_;
  const Publications& publications_;
  const std::vector<std::size_t>& topics_;
  const Publisher& publisher_;
  std::vector<bool> seen_;  // event * subscriptions + subscription
  std::size_t missing_;
  Samples latencies_;
};

}  // namespace nostril::bench
