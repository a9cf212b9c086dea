#include "node/rail.h"

namespace nostril::node {

Result<settlement::ChannelTerms, std::string> UnsettledRail::channel(const PaymentTerms& payment,
                                                                     const Offer& offer) const {
  return settlement::ChannelTerms{payment.signer, offer.node, offer.asset, payment.salt};
}

}  // namespace nostril::node
