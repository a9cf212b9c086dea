#pragma once

#include "base/result.h"
#include "events/event.h"
#include "schnorr/verify.h"
#include "settlement/evm/channel.h"
#include "settlement/evm/order.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::settlement::evm {

enum class SignedOrderError : std::uint8_t {
  NotJson,         ///< or not exactly the members of spec/12-contract.md, "An order as a file"
  BadTerms,        ///< an address, the salt or the chain id in another form
  BadEvent,        ///< malformed, no order, or not signed by its author
  AnotherChannel,  ///< the order names another channel than the terms
};
std::string_view to_string(SignedOrderError error);

/// An order (1473) with what somebody needs who brings it to the contract: the terms of the
/// channel, which the order names by its hash only. That there is one means: it is signed, and by
/// the signer of that very channel. Threads: any.
class SignedOrder {
 public:
  static constexpr std::size_t kBytesMax = 4'096;  ///< of the text; an order has 1,000

  [[nodiscard]] static Result<SignedOrder, SignedOrderError> make(const ContractPlace& place,
                                                                  const Channel& channel,
                                                                  const VerifiedEvent& event);
  /// JSON, one object. Strict: parse() of anything else than text() gives is an error, but for
  /// white space and the order of members.
  [[nodiscard]] static Result<SignedOrder, SignedOrderError> parse(std::string_view text,
                                                                   Verifier& verifier);

  [[nodiscard]] std::string text() const;

  [[nodiscard]] const ContractPlace& place() const { return place_; }

  [[nodiscard]] const Channel& channel() const { return channel_; }

  [[nodiscard]] const ChannelOrder& order() const { return order_; }

  /// The contract's call that brings it.
  [[nodiscard]] Bytes call() const;

 private:
  SignedOrder(const ContractPlace& place, const Channel& channel, Event event,
              const ChannelOrder& order, const ContractSignature& signature)
      : place_(place),
        channel_(channel),
        event_(std::move(event)),
        order_(order),
        signature_(signature) {}

  ContractPlace place_;
  Channel channel_;
  Event event_;
  ChannelOrder order_;
  ContractSignature signature_;
};

}  // namespace nostril::settlement::evm
