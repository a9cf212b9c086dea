#include "client/cli/node_evidence.h"

#include "client/offer_book.h"
#include "client/trust_feed.h"
#include "events/nip19.h"

#include <optional>
#include <stdexcept>
#include <variant>

namespace nostril::client::cli {

namespace {

constexpr std::uint64_t kAnswerMsMax = 8'000;
constexpr std::uint64_t kLateMs = 200;  ///< of other relays, after the first has sent all

PublicKey node_key(const std::string& npub) {
  const auto code = nip19::decode(npub);
  const auto* key = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
  if (key == nullptr) throw std::runtime_error("--node: not an npub: " + npub);
  return key->key;
}

}  // namespace

JudgedOffer judge_from_relays(Process& process, const ClientSettings& settings,
                              const std::string& npub, const std::string& model) {
  const PublicKey node = node_key(npub);
  TrustSettings trust = trust_from(settings);
  RelayPool pool(process.loop, process.clock, {}, settings.ca_file);
  for (const std::string& relay : settings.relays) {
    if (!pool.add_relay(relay)) throw std::runtime_error(relay + ": not a relay's URL");
  }
  TrustFeed feed(pool, trust, process.clock, settings.home / "known-good");
  OfferBook book(pool, trust, process.clock);
  bool ending = false;
  const auto look = [&] {
    if (ending || !feed.complete() || !book.complete()) return;
    ending = true;
    process.loop.after(kLateMs, [&] { process.loop.stop(); });
  };
  feed.on_change([&] {
    book.on_trust_changed();
    look();
  });
  book.on_change(look);
  process.loop.after(kAnswerMsMax, [&] { process.loop.stop(); });
  process.loop.run();

  std::optional<JudgedOffer> found;
  const auto consider = [&](const Offer& offer, const auto& verdict, const std::string& reason) {
    if (offer.node != node || (!model.empty() && offer.model != model)) return;
    if (found && found->offer.created_at >= offer.created_at) return;
    found = JudgedOffer{offer, verdict, reason, {}};
  };
  for (const auto& good : book.usable()) {
    consider(good->offer(), std::make_shared<const attestation::Verdict>(good->verdict()), "");
  }
  for (const RejectedOffer& bad : book.rejected()) consider(bad.offer, bad.verdict, bad.reason);
  if (found) {
    const auto evidence = book.evidence_of(found->offer);
    if (evidence) found->chains = chains_of_evidence(*evidence);
    return *found;
  }
  std::string problems;
  for (const std::string& problem : pool.problems()) problems += "; " + problem;
  throw std::runtime_error("no offer of this node on the relays" + problems);
}

}  // namespace nostril::client::cli
