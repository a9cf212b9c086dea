#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/inference.h"
#include "net/http.h"
#include "settlement/price.h"

#include "face/api_error.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

/// What payer and node owe each other, as HTTP headers: the documents of spec/06-record.md and
/// 07-receipt.md, over the same channels as sealed sessions. Pure. Threads: any.
///
/// | header               | in a request                           | in an answer |
/// |----------------------|----------------------------------------|----------------------------------|
/// | X-User-ID            | payment signer, 64 hex digits          | the same | | X-Query-Chain-ID
/// | channel id that the client counts on   | channel id, 64 hex digits        | | X-Channel-Salt
/// | the channel's salt, 32 hex; none: zero | -                                | |
/// X-Last-Signed-Query  | base64 of a receipt (kind 1472)        | base64 of the newest record
/// (1471)| | X-Server-Signature   | -                                      | BIP-340 of that
/// record's id, hex | | X-Total-Tokens-Used  | -                                      | of that
/// record                   | | X-Cost-Per-Token     | -                                      | the
/// prices, see cost_per_token() | | X-Outstanding-Balance| -                                      |
/// base units without a receipt yet |
///
/// An answer with them is not to be kept: Cache-Control is no-store. Of a streamed answer the
/// record does not exist when its head leaves; `GET /v1/balance` has it afterwards.
namespace nostril::node {

struct BalanceRequest {
  std::optional<PublicKey> user;
  std::optional<ChannelId> chain;
  std::array<std::uint8_t, 16> salt{};
  std::optional<UnverifiedEvent> receipt;  ///< its signature is the caller's to check
};

inline constexpr std::size_t kBalanceReceiptBytesMax = 4096;  ///< of its base64

/// Each header once at most, in exactly these forms.
[[nodiscard]] Result<BalanceRequest, face::ApiError> read_balance_headers(
    const net::HttpHeaders& headers);

struct BalanceState {
  PublicKey user;
  ChannelId chain;
  settlement::PriceTable prices;
  Amount outstanding;
  std::optional<Event> record;  ///< newest statement
};

/// "input=100000;cached=50000;output=400000;per=1000000;asset=msat", without what is free.
[[nodiscard]] std::string cost_per_token(const settlement::PriceTable& prices);

void add_balance_headers(const BalanceState& state, net::HttpHeaders& headers);

}  // namespace nostril::node
