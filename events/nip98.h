#pragma once

#include "base/result.h"
#include "events/event.h"
#include "schnorr/types.h"
#include "schnorr/verify.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace nostril {

/// HTTP authorisation by a signed event, NIP-98:
///
///   Authorization: Nostr <base64 of a kind 27235 event>
///   tags: ["u", absolute URL] ["method", "POST"] ["payload", hex of SHA-256 of the body]
///
/// NIP-98 leaves `payload` open; here a request with a body must have it, or whoever saw one token
/// could send another prompt with it. Threads: functions any.
inline constexpr std::uint32_t kNip98Kind = 27235;
inline constexpr std::size_t kNip98BytesMax = 8192;      ///< of the header's base64
inline constexpr std::int64_t kNip98PastSeconds = 60;    ///< as NIP-98 suggests
inline constexpr std::int64_t kNip98FutureSeconds = 10;  ///< a client's clock that is ahead

enum class Nip98Error : std::uint8_t {
  BadForm,  ///< not base64 of an event of that kind with these tags once each
  BadSignature,
  OutOfTime,
  WrongTarget,   ///< another URL or method
  WrongPayload,  ///< none for a body, or of another
  Repeated,      ///< this token was used, or may have been before a restart
  TooMany,       ///< no room to remember it
};
std::string_view to_string(Nip98Error error);

/// A token whose signature, time and target are right. Its body is still to be compared.
struct Nip98Token {
  EventId id;
  PublicKey pubkey;
  std::int64_t created_at = 0;
  std::optional<Digest> payload;
};

/// What the token must be for. `url`: scheme, host, path and query, as the client wrote them.
struct Nip98Target {
  std::string_view url;
  std::string_view method;
};

/// `base64`: what stands behind "Nostr ".
[[nodiscard]] Result<Nip98Token, Nip98Error> read_nip98(std::string_view base64,
                                                        const Nip98Target& target,
                                                        std::int64_t now_s, Verifier& verifier);

/// `body`: the SHA-256 of the body as it came; nothing when there was none.
[[nodiscard]] Result<void, Nip98Error> check_payload(const Nip98Token& token,
                                                     const std::optional<Digest>& body);

/// Each token once. In memory: what was taken before a restart is not known, so nothing that could
/// have been is taken after it; a client with a right clock waits kNip98FutureSeconds at most. For
/// the same reason a clock that is set back lets nothing in until it is where it was.
/// When full, new tokens are refused until old ones have left their time: to forget one would let
/// it be used again. Memory: about 150 bytes each. Threads: one.
class Nip98Replays {
 public:
  explicit Nip98Replays(std::int64_t started_at_s, std::size_t count_max = 1U << 16)
      : forgotten_before_(started_at_s + kNip98FutureSeconds + 1), count_max_(count_max) {}

  /// How long nothing made now is taken, because the process has just started. 0: it is.
  [[nodiscard]] std::int64_t opens_in_s(std::int64_t now_s) const {
    return now_s < forgotten_before_ ? forgotten_before_ - now_s : 0;
  }

  [[nodiscard]] Result<void, Nip98Error> admit(const Nip98Token& token, std::int64_t now_s);

 private:
  std::int64_t forgotten_before_;  ///< tokens made before it are not remembered
  std::size_t count_max_;
  std::set<std::pair<std::int64_t, EventId>> seen_;  ///< by created_at
};

}  // namespace nostril
