#include "node/contract_rail.h"

#include "events/nip19.h"

#include <algorithm>

namespace nostril::node {

Result<settlement::ChannelTerms, std::string> ContractRail::channel(const PaymentTerms& payment,
                                                                    const Offer& offer) const {
  if (!payment.payer) {
    return failure("this node is paid over a channel on " + offer.asset +
                   "; `nostril wallet open " + nip19::encode(nip19::Npub{offer.node}) +
                   "` makes one");
  }
  settlement::ChannelTerms out{payment.signer, offer.node, offer.asset, payment.salt};
  out.chain = settlement::chain_terms(offer, *payment.payer);
  if (!out.chain) return failure(std::string("the offer names no chain that pays it"));
  return out;
}

bool ContractRail::fresh() const {
  return view_ && clock_.unix_s() - static_cast<std::int64_t>(view_->head_time) <= kViewAgeSMax;
}

std::optional<Amount> ContractRail::backing(const settlement::ChannelTerms& terms) const {
  if (!terms.chain) return std::nullopt;  // of a free offer, or of an account with a budget
  if (!fresh()) return Amount();
  const ChannelId id = settlement::channel_id(terms);
  const auto* confirmed = view_->confirmed.find(id);
  const auto* newest = view_->newest.find(id);
  if (confirmed == nullptr || newest == nullptr || newest->close_at != 0 ||
      confirmed->close_at != 0) {
    return Amount();
  }
  return std::min(confirmed->locked, newest->locked);
}

}  // namespace nostril::node
