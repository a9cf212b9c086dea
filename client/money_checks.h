#pragma once

#include "base/clock.h"
#include "base/finding.h"
#include "base/rng.h"
#include "client/chain/settings.h"
#include "net/loop.h"
#include "schnorr/ecdsa_key.h"
#include "settlement/lightning/nwc.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// What both doctors look at where money is set up. Nothing is sent, signed or made.
namespace nostril::client {

/// The endpoints, the chain that the asset is on, the contract there; with `account` also whether
/// it can pay for a transaction. `settings` without a problem(). `remedy_file`: what is to be
/// mended.
[[nodiscard]] Findings check_chain(const chain::ChainSettings& settings, const std::string& asset,
                                   const std::optional<EthereumAddress>& account,
                                   const std::string& remedy_file);

/// A wallet service's connection, and what is asked of it.
struct WalletServiceNeeds {
  std::string check;  ///< the finding's name
  std::filesystem::path file;
  std::vector<settlement::lightning::WalletMethod> methods;
  std::optional<std::string> network;  ///< that it must be on, where it says so
};

/// Each as one finding; runs `loop` until they have answered, eight seconds at most. Of the
/// connection's line nothing is shown.
[[nodiscard]] Findings check_wallet_services(std::span<const WalletServiceNeeds> all,
                                             const std::string& ca_file, net::Loop& loop,
                                             Clock& clock, Rng& rng);

}  // namespace nostril::client
