#pragma once

#include "base/config.h"
#include "client/chain/follower.h"
#include "client/chain/rpc_client.h"
#include "client/chain/sender.h"
#include "settlement/evm/asset.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client::chain {

/// Which chain and how to speak to it: the same keys in a node's [settlement] and a user's
/// wallet.toml. Comments and defaults: --print-config.
struct ChainSettings {
  std::vector<std::string> rpc;
  std::int64_t rpc_agree = 0;
  std::string ca_file;
  std::string contract;
  std::int64_t from_block = 0;
  std::int64_t confirmations = 12;
  bool finalized = false;
  std::int64_t fee_max_gwei = 100;
  std::int64_t tip_min_mwei = 1;
  std::int64_t replace_s = 60;
  std::int64_t poll_ms = 4'000;

  /// Into the config's present section.
  void declare(Config& config);

  /// A line for the operator; nothing when all can be used.
  [[nodiscard]] std::optional<std::string> problem() const;

  // Only without a problem().
  [[nodiscard]] RpcSettings rpc_settings() const;
  [[nodiscard]] settlement::evm::ContractPlace place(std::uint64_t chain_id) const;
  [[nodiscard]] FollowSettings follow_settings(std::uint64_t chain_id) const;
  [[nodiscard]] SenderSettings sender_settings(std::uint64_t chain_id) const;
};

/// The account's key: one nsec line, 0600, made by `nostril key new` (the same 32 bytes serve both
/// curves' signatures; an account of its own is better than an identity's). With `make` a missing
/// file is made.
[[nodiscard]] Result<EcdsaKey, std::string> account_key(const std::filesystem::path& file,
                                                        bool make, Rng& rng);

}  // namespace nostril::client::chain
