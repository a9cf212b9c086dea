#pragma once

#include "events/messages.h"
#include "schnorr/keys.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::relay {

/// Shows another relay that we hold a key, when it asks (NIP-42). Knows messages, no socket; the
/// answer is made for that relay's address and this connection's challenge, so it is of no use
/// elsewhere. Without a key it answers nothing. Threads: one.
class RelayLogin {
 public:
  /// A relay that has not asked by then does not, or only once it has refused something.
  static constexpr std::int64_t kChallengeWaitMs = 1'000;

  enum class Outcome : std::uint8_t { NotOurs, Accepted, Refused };

  RelayLogin(std::shared_ptr<const Keypair> key, std::string url)
      : key_(std::move(key)), url_(std::move(url)) {}

  [[nodiscard]] bool has_key() const { return key_ != nullptr; }

  /// A connection begins.
  void begin();
  /// What to send. Nothing: no key, a challenge that is none, or too many of them.
  [[nodiscard]] std::optional<std::string> answer(std::string_view challenge, std::int64_t now_s);
  [[nodiscard]] Outcome on_ok(const relay_message::Ok& ok);

  /// An answer has been sent, and nothing has come of it yet.
  [[nodiscard]] bool is_pending() const { return pending_.has_value(); }

  [[nodiscard]] bool is_accepted() const { return is_accepted_; }

 private:
  std::shared_ptr<const Keypair> key_;
  std::string url_;
  std::optional<EventId> pending_;
  unsigned answers_ = 0;
  bool is_accepted_ = false;
};

/// A relay says so of what it would do for whom it knows.
[[nodiscard]] bool is_auth_required(std::string_view reason);

}  // namespace nostril::relay
