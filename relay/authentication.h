#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/filter.h"
#include "relay/relay_address.h"
#include "relay/store/record.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// Why an AUTH event shows nothing.
enum class AuthError : std::uint8_t {
  NotOffered,
  WrongKind,
  WrongTime,       ///< more than ten minutes from our clock
  WrongChallenge,  ///< not this connection's
  WrongRelay,      ///< made for another relay, which may be passing it on
  WrongSignature,
  TooManyKeys,   ///< on this connection
  TooManyTries,  ///< likewise
};

/// OK's fourth member, with NIP-01's prefix.
std::string_view message_of(AuthError error);

struct AuthRules {
  /// Whose a client's proof must be. Nothing: nobody is asked who he is, and private kinds are
  /// kinds like any other.
  std::optional<RelayAddress> address;
  /// What it is called where its operator has set no `url`, for clients that call it otherwise.
  std::string port_url;
  /// Shown to their author and to those in their `p` tags only (NIP-04, NIP-17, NIP-59); sorted.
  std::vector<std::uint32_t> private_kinds;
  bool is_needed_to_read = false;
  bool is_needed_to_write = false;
};

/// What a connection's filters are after.
enum class Sought : std::uint8_t { Public, Any, PrivateOnly };

/// The relay's rules of NIP-42: what shows that a client holds a key, and which events want that.
/// Pure, cheap to copy. Threads: const, any.
class Authentication {
 public:
  explicit Authentication(AuthRules rules)
      : rules_(std::make_shared<const AuthRules>(std::move(rules))) {}

  [[nodiscard]] bool is_offered() const { return rules_->address.has_value(); }

  [[nodiscard]] const AuthRules& rules() const { return *rules_; }

  /// The key that an AUTH event proves; costs a signature check when all else is right.
  [[nodiscard]] Result<PublicKey, AuthError> key_of(UnverifiedEvent&& event,
                                                    std::string_view challenge,
                                                    std::int64_t now_s) const;

  /// message_of(), and what this relay is called where that is not what its operator has said.
  [[nodiscard]] std::string text_of(AuthError error) const;

  [[nodiscard]] bool is_private(std::uint32_t kind) const;
  [[nodiscard]] Sought sought_by(const std::vector<Filter>& filters) const;

 private:
  std::shared_ptr<const AuthRules> rules_;
};

/// The keys of one connection, and so what it may see. Immutable: a query goes on with those that
/// there were when it began. Threads: const, any.
class Reader {
 public:
  Reader(Authentication rules, std::vector<PublicKey> keys)
      : rules_(std::move(rules)), keys_(std::move(keys)) {}

  [[nodiscard]] std::span<const PublicKey> keys() const { return keys_; }

  [[nodiscard]] bool has(const PublicKey& key) const;
  [[nodiscard]] bool may_see(const Event& event) const;
  [[nodiscard]] bool may_see(const RecordView& record) const;

 private:
  Authentication rules_;
  std::vector<PublicKey> keys_;  // few
};

}  // namespace nostril::relay
