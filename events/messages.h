#pragma once

#include "events/event.h"
#include "events/filter.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril {

/// Bounds on one client message; also what NIP-11 `limitation` advertises.
struct MessageLimits {
  EventLimits event;
  FilterLimits filter;
  std::size_t filters_max = 20;                ///< of one REQ
  std::size_t subscription_id_chars_max = 64;  ///< NIP-01; never empty
  std::size_t text_bytes_max = 4096;           ///< of OK, CLOSED, NOTICE and the AUTH challenge
};

/// What an EOSE says of the stored events that match (NIP-67).
enum class StoredRest : std::uint8_t {
  Unknown,  ///< no hint
  None,     ///< "finish": all of them were sent
  More,     ///< "more": there are some that were not
};

namespace client_message {
struct Publish {
  UnverifiedEvent event;
};

struct Request {
  std::string subscription;
  std::vector<Filter> filters;
};

struct Count {
  std::string subscription;
  std::vector<Filter> filters;
};

struct Close {
  std::string subscription;
};

struct Auth {
  UnverifiedEvent event;
};

/// `message` here and below: of events/negentropy.h, decoded from hex, otherwise not looked at.
struct NegentropyOpen {
  std::string subscription;
  Filter filter;
  Bytes message;
};

struct NegentropyMessage {
  std::string subscription;
  Bytes message;
};

struct NegentropyClose {
  std::string subscription;
};
}  // namespace client_message

/// What a client says to a relay: NIP-01, NIP-42 (AUTH), NIP-45 (COUNT), NIP-77 (NEG-…).
using ClientMessage =
    std::variant<client_message::Publish, client_message::Request, client_message::Count,
                 client_message::Close, client_message::Auth, client_message::NegentropyOpen,
                 client_message::NegentropyMessage, client_message::NegentropyClose>;

/// A refusal with what is needed to answer in the protocol's form: OK for an event whose id could
/// be read, CLOSED for a subscription, NEG-ERR for a reconciliation, NOTICE for all else. Who asked
/// waits for the id that he wrote: it is repeated as it was, also when it is none, to
/// kRefusedIdBytesMax. It is text without U+0000, and may hold any other character.
struct MessageError {
  ParseError error = ParseError::NotJson;
  std::optional<std::string> event_id;  ///< wherever in the event it stands
  std::optional<std::string> subscription;
  std::optional<std::string> negentropy;  ///< the subscription of a NEG-…
};

inline constexpr std::size_t kRefusedIdBytesMax = 1024;

/// Strict: one array, no elements that the command does not have; others are UnknownCommand. One
/// pass over the text, the event inside included. Size of the text: bounded by the caller's frame
/// limit; the event inside it by limits.event.json_bytes_max. Tolerated, because clients do it: a
/// NEG-OPEN's filter as the only element of an array.
/// Threads: any; each keeps about six times the largest text that it has seen.
[[nodiscard]] Result<ClientMessage, MessageError> parse_client_message(std::string_view text,
                                                                       const MessageLimits& limits);

namespace relay_message {
struct EventFound {
  std::string subscription;
  UnverifiedEvent event;
};

struct Ok {
  EventId id;
  bool accepted = false;
  std::string message;
};

struct EndOfStored {
  std::string subscription;
};

struct Closed {
  std::string subscription;
  std::string message;
};

struct Notice {
  std::string message;
};

struct AuthChallenge {
  std::string challenge;
};

struct Counted {
  std::string subscription;
  std::uint64_t count = 0;
};

struct NegentropyMessage {
  std::string subscription;
  Bytes message;
};

struct NegentropyError {
  std::string subscription;
  std::string reason;
};
}  // namespace relay_message

/// What a relay says to a client.
using RelayMessage =
    std::variant<relay_message::EventFound, relay_message::Ok, relay_message::EndOfStored,
                 relay_message::Closed, relay_message::Notice, relay_message::AuthChallenge,
                 relay_message::Counted, relay_message::NegentropyMessage,
                 relay_message::NegentropyError>;

/// Events are read as strictly as from a client. Tolerated, because relays do it: no text at the
/// end of OK and CLOSED (read as empty), elements after an EOSE's subscription (NIP-67) and after a
/// NEG-ERR's reason, members of a COUNT reply beside `count`.
[[nodiscard]] Result<RelayMessage, ParseError> parse_relay_message(std::string_view text,
                                                                   const MessageLimits& limits);

// The texts. Each is one complete WebSocket message. What is passed in must be UTF-8.
[[nodiscard]] std::string publish_text(const Event& event);
[[nodiscard]] std::string request_text(std::string_view subscription,
                                       const std::vector<Filter>& filters);
[[nodiscard]] std::string count_request_text(std::string_view subscription,
                                             const std::vector<Filter>& filters);
[[nodiscard]] std::string close_text(std::string_view subscription);
[[nodiscard]] std::string auth_text(const Event& event);
[[nodiscard]] std::string auth_challenge_text(std::string_view challenge);
/// `event_id`: in hex, or what stood in its place.
[[nodiscard]] std::string ok_text(std::string_view event_id, bool accepted,
                                  std::string_view message);
[[nodiscard]] std::string eose_text(std::string_view subscription,
                                    StoredRest rest = StoredRest::Unknown);
[[nodiscard]] std::string closed_text(std::string_view subscription, std::string_view message);
[[nodiscard]] std::string notice_text(std::string_view message);
/// `hll`: 256 registers of a HyperLogLog (NIP-45), or none.
[[nodiscard]] std::string counted_text(std::string_view subscription, std::uint64_t count,
                                       ByteSpan hll = {});
[[nodiscard]] std::string negentropy_open_text(std::string_view subscription, const Filter& filter,
                                               ByteSpan message);
/// The same in both directions.
[[nodiscard]] std::string negentropy_message_text(std::string_view subscription, ByteSpan message);
[[nodiscard]] std::string negentropy_close_text(std::string_view subscription);
[[nodiscard]] std::string negentropy_error_text(std::string_view subscription,
                                                std::string_view reason);
/// ["EVENT","sub", — what precedes the shared event JSON and the final ].
[[nodiscard]] std::string event_prefix(std::string_view subscription);

}  // namespace nostril
