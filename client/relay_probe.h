#pragma once

#include "base/clock.h"
#include "base/finding.h"
#include "base/json.h"
#include "base/rng.h"
#include "client/relay_pool.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "schnorr/keys.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::client {

/// What one relay was found to be.
struct RelayFacts {
  std::string url;
  std::string problem;                   ///< why there is no connection; empty: there was one
  std::optional<Json> document;          ///< NIP-11; nothing: none, or no JSON
  std::optional<std::int64_t> ahead_ms;  ///< our clock, by the relay's HTTP Date (whole seconds)
  std::optional<std::int64_t> echo_ms;   ///< a frame of the largest size, there and back
  std::string echo_problem;              ///< why not, in the relay's words or ours
};

/// Tries one relay as nodes and clients use it: asks for its document (NIP-11), and sends an
/// ephemeral frame of the largest size to a key of its own, which must come back. Begins when it is
/// made. Threads: the loop's only.
class RelayProbe {
 public:
  RelayProbe(std::string url, const std::string& ca_file, net::Loop& loop, Clock& clock, Rng& rng);

  /// All that can be known is known.
  [[nodiscard]] bool done() const;

  /// What was found until now: after done(), or when the caller's time is over.
  [[nodiscard]] RelayFacts facts() const;

 private:
  void ask_document(const std::string& ca_file);
  void send_frame();

  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  RelayFacts facts_;
  Keypair to_;
  EventId sent_;
  std::int64_t sent_at_ms_ = 0;
  bool is_sent_ = false;
  bool asked_ = false;
  std::string body_;
  std::int64_t asked_at_ms_ = 0;
  net::HttpClient http_;
  RelayPool pool_;
};

/// The relay takes connections, frames and the largest of the node's events. Pure.
[[nodiscard]] Finding judge_relay(const RelayFacts& facts);

/// Unix milliseconds of an HTTP date (RFC 9110, the one form that is written today). Pure.
[[nodiscard]] std::optional<std::int64_t> parse_http_date(const std::string& text);

}  // namespace nostril::client
