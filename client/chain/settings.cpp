#include "client/chain/settings.h"

#include "base/check.h"
#include "client/key_file.h"

#include <utility>

namespace nostril::client::chain {

namespace {

constexpr Uint128 kGwei = 1'000'000'000;
constexpr Uint128 kMwei = 1'000'000;

}  // namespace

void ChainSettings::declare(Config& config) {
  config.list("rpc", &rpc,
              "JSON-RPC endpoints of the chain, https:// (or http:// to this machine). Several:\n"
              "what they don't say alike is not believed. Addresses may hold tokens; the log\n"
              "shows host names only.");
  config.number("rpc_agree", &rpc_agree, 0, 8,
                "How many of them must say the same; 0: more than half.");
  config.text("rpc_ca_file", &ca_file, "PEM file of roots for them; empty: the system's.");
  config.text("contract", &contract, "Address of the contract (settlement/contracts/).");
  config.number("from_block", &from_block, 0, std::int64_t{1} << 53,
                "The block that the contract came with: nothing is looked for before it.");
  config.number("confirmations", &confirmations, 1, 10'000,
                "Blocks, the first counted, until something on the chain counts. Enough that you\n"
                "can bear a re-org that is deeper.");
  config.flag("finalized", &finalized,
              "Wait until the chain calls a block finalized, too (about a quarter of an hour on\n"
              "Ethereum; not every chain does).");
  config.number("fee_max_gwei", &fee_max_gwei, 1, 1'000'000,
                "Most that a unit of gas may cost, tip included; above, transactions wait.");
  config.number("tip_min_mwei", &tip_min_mwei, 0, 1'000'000'000,
                "Least tip for a unit of gas, in millions of wei.");
  config.number("replace_s", &replace_s, 5, 86'400,
                "A transaction that is in no block by then is sent again for an eighth more.");
  config.number("poll_ms", &poll_ms, 50, 600'000, "Pause between two looks at the chain.");
}

std::optional<std::string> ChainSettings::problem() const {
  if (auto found = RpcClient::problem(rpc_settings())) return found;
  const auto address = settlement::evm::parse_address(contract);
  if (!address || address->is_zero()) return "contract: 0x and 40 hex digits";
  return std::nullopt;
}

RpcSettings ChainSettings::rpc_settings() const {
  RpcSettings out;
  out.urls = rpc;
  out.agree = static_cast<std::size_t>(rpc_agree);
  out.ca_file = ca_file;
  return out;
}

settlement::evm::ContractPlace ChainSettings::place(std::uint64_t chain_id) const {
  const auto address = settlement::evm::parse_address(contract);
  CHECK(address.has_value());
  return {chain_id, *address};
}

FollowSettings ChainSettings::follow_settings(std::uint64_t chain_id) const {
  FollowSettings out;
  out.place = place(chain_id);
  out.from_block = static_cast<std::uint64_t>(from_block);
  out.confirmations = static_cast<std::uint64_t>(confirmations);
  out.finalized = finalized;
  return out;
}

SenderSettings ChainSettings::sender_settings(std::uint64_t chain_id) const {
  SenderSettings out;
  out.chain_id = chain_id;
  out.fees = {static_cast<Uint128>(fee_max_gwei) * kGwei,
              static_cast<Uint128>(tip_min_mwei) * kMwei};
  out.confirmations = static_cast<std::uint64_t>(confirmations);
  out.replace_s = replace_s;
  out.poll_ms = static_cast<std::uint64_t>(poll_ms);
  return out;
}

Result<EcdsaKey, std::string> account_key(const std::filesystem::path& file, bool make, Rng& rng) {
  if (make && !std::filesystem::exists(file)) {
    if (auto made = write_key_file(file, Keypair::generate(rng)); !made) {
      return failure(made.error());
    }
  }
  const auto key = read_key_file(file);
  if (!key) return failure(key.error());
  return EcdsaKey::of(*key);
}

}  // namespace nostril::client::chain
