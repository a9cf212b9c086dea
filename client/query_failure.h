#pragma once

#include <cstdint>
#include <string_view>

namespace nostril::client {

/// Why a question has no verified answer. The numbers are part of the C interface (c/nostril.h):
/// new ones go to the end.
enum class QueryFailure : std::uint8_t {
  None = 0,
  NotOffered = 1,     ///< nodes offer other models only
  NobodyListens = 2,  ///< no relay knows anybody who listens to the node's key
  NotTaken = 3,       ///< the relays refuse the request itself
  NoAnswer = 4,       ///< the node did not accept, or fell silent
  Refused = 5,        ///< the node said no: `error`
  Broken = 6,         ///< the session's rules or the record's signature and hashes were violated
  NotPayable = 7,     ///< the record does not fit price, usage or history; nothing was paid
  JournalFailed = 8,
  NoChannel = 9,  ///< the node is paid on a chain, and no channel to it is open there, or used up
};
/// A sentence's part for people, and a word for programs ("not-offered"); both end in NUL.
std::string_view to_string(QueryFailure failure);
std::string_view word_of(QueryFailure failure);

}  // namespace nostril::client
