#pragma once

#include "base/bytes.h"
#include "events/negentropy.h"
#include "relay/credits.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nostril::relay {

struct Query;

/// Bounds on reconciliations (NIP-77).
struct NegentropyLimits {
  std::size_t events_max = 1'000'000;  ///< that one may be about, 42 bytes each; 0: none are held
  std::size_t open_max = 4;            ///< of one connection
  std::int64_t idle_ms_max = 60'000;   ///< without a message; then it is closed
  std::size_t frame_bytes_max = 128 << 10;  ///< of one message before hex: half of it on the wire
};

/// What a reconciliation's Query carries to the workers and back: the first steps collect the set,
/// and each further one answers a message.
struct NegentropyWork {
  enum class State : std::uint8_t {
    Collecting,
    Answered,    ///< the answer is the step's text
    TooBig,      ///< more events than one may be about
    Full,        ///< all open ones together hold as many events as may be
    BadMessage,  ///< `error` says why
  };

  std::string subscription;
  NegentropyLimits limits;
  Bytes message;  ///< to be answered
  State state = State::Collecting;
  negentropy::Error error{};
  std::vector<negentropy::Item> collected;
  negentropy::Set set;
  Credit credit;  ///< of what it holds

  /// One more event that the asker may see. False: it has become TooBig or Full.
  [[nodiscard]] bool collect(const negentropy::Item& item, Credits& items);
  void finish_set();
  /// The text of the answer; none when the message is bad.
  [[nodiscard]] std::string answer();
};

/// One that is open on a connection.
struct OpenNegentropy {
  std::string id;
  std::shared_ptr<Query> query;
  std::int64_t used_ms = 0;
  bool is_waiting = true;  ///< for a step
};

}  // namespace nostril::relay
