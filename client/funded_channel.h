#pragma once

#include "client/journal.h"
#include "settlement/channel.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

enum class FundedState : std::uint8_t {
  Opening,  ///< its transaction is signed; perhaps in no block
  Open,
  Closing,  ///< a close was requested: nothing more is paid over it
  Closed,
};
std::string_view to_string(FundedState state);

/// A payer's channel on a chain, as the last command of the wallet saw it there. Its book is the
/// StoredChannel of the same name.
struct FundedChannel {
  settlement::ChannelTerms terms;  ///< with `chain`
  Amount locked;
  Amount claimed;
  std::uint64_t close_at = 0;  ///< seconds since 1970; 0: none was requested
  FundedState state = FundedState::Opening;
  bool told = false;  ///< who opened it knows that it is open

  bool operator==(const FundedChannel&) const = default;
};

/// Row of the table `funded`: channel id (32) -> JSON of FundedChannel.
[[nodiscard]] JournalChange put_funded(const FundedChannel& channel);
[[nodiscard]] std::vector<FundedChannel> funded_channels(Journal& journal);

/// The row's text, and back; for tests.
[[nodiscard]] std::string encode_funded(const FundedChannel& channel);
[[nodiscard]] std::optional<FundedChannel> decode_funded(std::string_view text);

}  // namespace nostril::client
