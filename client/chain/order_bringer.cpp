#include "client/chain/order_bringer.h"

#include "client/private_file.h"
#include "events/nip19.h"
#include "settlement/evm/asset.h"

#include <fmt/format.h>

namespace nostril::client::chain {

using settlement::evm::Channel;
using settlement::evm::ChannelOrder;
using settlement::evm::SignedOrder;

Result<SignedOrder, std::string> read_order(const std::filesystem::path& file) {
  const auto text = read_whole_file(file, SignedOrder::kBytesMax);
  if (!text) return failure(text.error());
  Verifier verifier;
  auto order = SignedOrder::parse(*text, verifier);
  if (!order) return failure(file.string() + ": " + std::string(to_string(order.error())));
  return *std::move(order);
}

Result<Amount, std::string> order_worth(ContractView& view, const Channel& channel,
                                        const ChannelOrder& order) {
  const auto state = view.channel(order.channel);
  if (!state) return failure(state.error());
  if (state->locked >= order.total) return Amount();
  if (state->close_at != 0) return failure(std::string("the channel is closing: no order counts"));
  if (state->returned) {
    return failure(
        std::string("something of the channel was given back: no order counts any more"));
  }
  const auto now = view.time();
  if (!now) return failure(now.error());
  if (static_cast<std::int64_t>(*now) > order.expires_at) {
    return failure(std::string("the order has ended: a new one is needed"));
  }
  const Amount more = *Amount::from(order.total.value() - state->locked.value());
  const auto allowed = view.allowance(channel.payer, channel.signer, channel.token);
  if (!allowed) return failure(allowed.error());
  const std::string payer = settlement::evm::to_string(channel.payer);
  const std::string signer = nip19::encode(nip19::Npub{channel.signer});
  if (more > *allowed) {
    return failure(fmt::format(
        "the order locks {} more, and {} lets {} lock {}: there, `nostril wallet allow {} --signer "
        "{}`",
        more.to_string(), payer, signer, allowed->to_string(), more.to_string(), signer));
  }
  const auto pool = view.pool(channel.payer, channel.token);
  if (!pool) return failure(pool.error());
  if (more > *pool) {
    return failure(fmt::format("the order locks {} more, and the pool of {} has {}",
                               more.to_string(), payer, pool->to_string()));
  }
  return more;
}

Result<Amount, std::string> bring_order(ContractView& view, Sender& sender,
                                        const SignedOrder& order) {
  if (order.place() != view.place()) {
    return failure(std::string("the order is for another chain or contract"));
  }
  // What an earlier run began is ended first: it may have been this very order.
  if (const auto finished = sender.finish_pending(); !finished) return failure(finished.error());
  const auto worth = order_worth(view, order.channel(), order.order());
  if (!worth || worth->is_zero()) return worth;
  const auto sent = sender.send(
      {"order " + order.order().total.to_string(), order.place().contract, 0, order.call()});
  if (!sent) return failure(sent.error());
  return worth;
}

}  // namespace nostril::client::chain
