#include "client/money_checks.h"

#include "base/check.h"
#include "client/chain/follower.h"
#include "client/chain/rpc_client.h"
#include "client/run_until.h"
#include "client/wallet_connect.h"
#include "settlement/evm/asset.h"
#include "settlement/evm/rpc.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace nostril::client {

namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kServiceMsMax = 8'000;
/// Of a claim or an open, at the most that a unit of gas may cost.
constexpr Uint128 kGasOfACall = 150'000;

Finding wrong(std::string check, std::string found, std::string remedy) {
  return {std::move(check), Health::Wrong, std::move(found), std::move(remedy)};
}

/// One service that is asked.
struct Asked {
  const WalletServiceNeeds* needs = nullptr;
  std::unique_ptr<WalletConnect> wallet;
  std::optional<WalletReply> info;
  std::optional<Finding> finding;
};

Finding judge(const Asked& asked) {
  const WalletServiceNeeds& needs = *asked.needs;
  const std::string reach = "see that the wallet service runs, and that its relay can be reached";
  const auto& service = asked.wallet->service();
  if (!service) return wrong(needs.check, "the wallet service says nothing of itself", reach);
  if (!service->nip44) {
    return wrong(needs.check, "the wallet service speaks NIP-04 only, which has no MAC",
                 "use one that speaks NIP-44");
  }
  std::string missing;
  for (const WalletMethod method : needs.methods) {
    if (!service->has(method)) missing += " " + std::string(to_string(method));
  }
  if (!missing.empty()) {
    return wrong(needs.check, "the wallet service may not" + missing,
                 "make a connection that may, in the wallet");
  }
  if (!service->has(WalletMethod::GetInfo)) {
    return {
        needs.check, Health::Ok, "the wallet service is there; it says nothing of its network", {}};
  }
  if (!asked.info || !asked.info->answer) {
    return wrong(needs.check,
                 "the wallet service does not answer" +
                     (asked.info ? ": " + asked.info->problem : std::string()),
                 reach);
  }
  const auto* node = std::get_if<WalletNode>(&*asked.info->answer);
  const std::string network =
      node != nullptr && node->network ? std::string(to_string(*node->network)) : "";
  if (needs.network && !network.empty() && network != *needs.network) {
    return wrong(needs.check, fmt::format("the wallet is on {}, not {}", network, *needs.network),
                 "mend lightning.network, or use another wallet");
  }
  return {
      needs.check,
      Health::Ok,
      network.empty() ? "the wallet service answers" : "the wallet service answers, on " + network,
      {}};
}

}  // namespace

Findings check_chain(const chain::ChainSettings& settings, const std::string& asset,
                     const std::optional<EthereumAddress>& account,
                     const std::string& remedy_file) {
  const auto parsed = settlement::evm::parse_asset(asset);
  CHECK(parsed.has_value());
  chain::RpcClient rpc(settings.rpc_settings());
  const auto heads = rpc.ask_each<settlement::evm::BlockHead>(
      "eth_getBlockByNumber", R"(["latest",false])", settlement::evm::parse_block);
  if (!heads) {
    return {wrong("chain", heads.error().text,
                  "check rpc in " + remedy_file + ", and that the endpoints can be reached")};
  }
  if (const auto place = chain::check_place(rpc, settings.place(parsed->chain_id)); !place) {
    return {wrong("chain", place.error().text, "mend rpc, contract or asset in " + remedy_file)};
  }
  const auto newest = std::ranges::max_element(*heads, {}, &settlement::evm::BlockHead::number);
  Findings out = {{"chain",
                   Health::Ok,
                   fmt::format("{} endpoint{} at block {}, the contract is there", heads->size(),
                               heads->size() == 1 ? "" : "s", newest->number),
                   {}}};
  if (!account) return out;
  const std::string address = settlement::evm::to_string(*account);
  const auto coin =
      rpc.ask<Uint128>("eth_getBalance", fmt::format(R"(["{}","latest"])", address),
                       [](const Json& value) { return settlement::evm::parse_quantity(value); });
  if (!coin) {
    out.push_back(wrong("gas", coin.error().text, "check the endpoints"));
    return out;
  }
  const Uint128 enough = kGasOfACall * std::max<Uint128>(newest->base_fee * 2, Uint128{1'000'000});
  const std::string has = fmt::format("{} has {} wei", address, to_decimal(*coin));
  if (*coin >= enough) {
    out.push_back({"gas", Health::Ok, has, {}});
  } else {
    out.push_back({"gas", Health::Warning, has + ": not enough for a transaction now",
                   "send it some of the chain's coin"});
  }
  return out;
}

Findings check_wallet_services(std::span<const WalletServiceNeeds> all, const std::string& ca_file,
                               net::Loop& loop, Clock& clock, Rng& rng) {
  std::vector<Asked> asked(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    Asked& one = asked[i];
    one.needs = &all[i];
    auto uri = read_wallet_uri(all[i].file);
    if (!uri) {
      one.finding = wrong(all[i].check, uri.error(),
                          "put the wallet's nostr+walletconnect:// line into it, mode 0600");
      continue;
    }
    one.wallet = std::make_unique<WalletConnect>(loop, clock, rng, std::move(*uri), ca_file);
    one.wallet->ask(GetInfo{}, [&one](const WalletReply& reply) { one.info = reply; });
  }
  run_until(loop, kServiceMsMax, [&asked] {
    return std::ranges::all_of(asked, [](const Asked& one) { return one.finding || one.info; });
  });
  Findings out;
  for (const Asked& one : asked) out.push_back(one.finding ? *one.finding : judge(one));
  return out;
}

}  // namespace nostril::client
