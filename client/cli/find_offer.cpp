#include "client/cli/find_offer.h"

#include "events/nip19.h"

#include <stdexcept>
#include <variant>

namespace nostril::client::cli {

namespace {

constexpr std::uint64_t kOfferMsMax = 15'000;

}  // namespace

PublicKey node_named(const std::string& npub) {
  const auto code = nip19::decode(npub);
  const auto* node = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
  if (node == nullptr) throw std::runtime_error(npub + ": not a node's npub");
  return node->key;
}

std::shared_ptr<const VerifiedOffer> find_offer(Process& process, ClientHome& home,
                                                const std::string& npub,
                                                const std::function<bool(const Offer&)>& suits) {
  const PublicKey node = node_named(npub);
  const auto found = [&]() -> std::shared_ptr<const VerifiedOffer> {
    for (const auto& one : home.offers().usable()) {
      if (one->offer().node == node && suits(one->offer())) return one;
    }
    return nullptr;
  };
  home.on_offers_changed([&] {
    if (found()) process.loop.stop();
  });
  const net::TimerId limit = process.loop.after(kOfferMsMax, [&] { process.loop.stop(); });
  process.loop.run();
  process.loop.cancel(limit);
  home.on_offers_changed({});
  return found();
}

}  // namespace nostril::client::cli
