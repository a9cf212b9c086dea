#include "node/claims.h"

#include "client/channel_store.h"
#include "schnorr/verify.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace nostril::node {

namespace {

using settlement::evm::MirroredChannel;

/// The newest receipt, checked once more: it is about to cost gas.
std::optional<VerifiedEvent> newest_receipt(client::Journal& journal, const ChannelId& id,
                                            Verifier& verifier) {
  auto stored = client::get_channel(journal, id);
  if (!stored || !stored->paid) return std::nullopt;
  auto event = check_id(std::move(stored->paid->receipt));
  if (!event) return std::nullopt;
  auto verified = VerifiedEvent::verify(std::move(*event), verifier);
  if (!verified) return std::nullopt;
  return std::move(*verified);
}

Amount worth_of(const MirroredChannel& channel, Amount receipt) {
  const Amount most = std::min(receipt, channel.locked);
  if (most <= channel.claimed) return {};
  return *Amount::from(most.value() - channel.claimed.value());
}

}  // namespace

std::string_view to_string(ClaimReason reason) {
  constexpr std::array<std::string_view, 4> kNames = {"asked for", "a channel is closing",
                                                      "claim_at is reached", "it is time"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::vector<Claimable> find_claimable(client::Journal& journal,
                                      const settlement::evm::ContractPlace& place,
                                      const settlement::evm::Mirror& mirror,
                                      const EthereumAddress& payee, const EthereumAddress& token,
                                      Amount least) {
  std::vector<Claimable> out;
  Verifier verifier;
  for (const auto& [id, channel] : mirror.channels()) {
    if (channel.terms.payee != payee || channel.terms.token != token ||
        channel.claimed >= channel.locked) {
      continue;
    }
    const auto event = newest_receipt(journal, id, verifier);
    const auto receipt = event ? parse_receipt(event->event()) : failure(InferenceError::WrongKind);
    if (!receipt) continue;
    const Amount worth = worth_of(channel, receipt->amount);
    const auto row = settlement::evm::claim_row(place, channel.terms, *event);
    if (worth.is_zero() || worth < least || !row) continue;
    out.push_back({id, worth, channel.close_at, *row});
  }
  std::ranges::sort(out, [](const Claimable& a, const Claimable& b) {
    const bool a_closes = a.close_at != 0;
    const bool b_closes = b.close_at != 0;
    if (a_closes != b_closes) return a_closes;
    return std::tie(a.close_at, b.worth, a.id) < std::tie(b.close_at, a.worth, b.id);
  });
  return out;
}

std::optional<ClaimReason> reason_to_claim(std::span<const Claimable> claimable,
                                           const ClaimPolicy& policy, std::int64_t since_last_s,
                                           bool asked) {
  if (claimable.empty()) return std::nullopt;
  if (asked) return ClaimReason::Asked;
  if (claimable.front().close_at != 0) return ClaimReason::Closing;
  Uint128 sum = 0;
  for (const Claimable& one : claimable) sum += one.worth.value();
  if (sum >= policy.at.value()) return ClaimReason::Sum;
  if (since_last_s >= policy.after_s) return ClaimReason::Time;
  return std::nullopt;
}

}  // namespace nostril::node
