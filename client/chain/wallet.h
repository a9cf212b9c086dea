#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/chain/rpc_client.h"
#include "client/chain/sender.h"
#include "client/chain/settings.h"
#include "client/chain/store.h"
#include "client/funded_channel.h"
#include "client/journal.h"
#include "net/loop.h"
#include "schnorr/ecdsa_key.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client::chain {

/// HOME/wallet.toml.
struct WalletSettings : ChainSettings {
  std::string asset;
  std::string key_file;
  std::string nwc_file;          ///< empty: HOME/nwc
  std::int64_t payment_max = 0;  ///< msat that a program may pay at once by itself; 0: nothing
  std::int64_t day_max = 0;      ///< and in 24 hours

  void declare(Config& config);
  [[nodiscard]] std::optional<std::string> problem() const;

  [[nodiscard]] std::filesystem::path nwc_path(const std::filesystem::path& home) const {
    return nwc_file.empty() ? home / "nwc" : std::filesystem::path(nwc_file);
  }

  /// Throws ConfigError; without the file the defaults.
  [[nodiscard]] static WalletSettings of_home(const std::filesystem::path& home);
};

struct Balances {
  Uint128 coin = 0;  ///< wei of the account; pays gas
  Amount token;      ///< of the account; the coin itself where that is the asset
  Amount pool;       ///< inside the contract, in no channel
  Amount locked;     ///< in channels, not claimed
};

/// Whom a channel is for, as his offer says.
struct ChannelPartner {
  PublicKey node;
  std::string asset;
  EvmRail rail;
};

/// A user's money on a chain: what the commands of `nostril wallet` do. Every step is on the disk
/// before it is taken (Sender), and a channel's row before its transaction, so a command that was
/// killed may be given again: it ends what was begun.
/// Errors are one line for the user. Threads: one; waits for the chain, up to ten minutes a step.
class ChainWallet {
 public:
  /// Throws std::runtime_error. State: HOME/chain, and the journal's table `funded`.
  ChainWallet(const std::filesystem::path& home, const WalletSettings& settings, Journal& journal,
              net::Loop& loop, Clock& clock, Rng& rng);

  [[nodiscard]] const EthereumAddress& account() const { return sender_.account(); }

  void on_progress(std::function<void(const std::string&)> callback) {
    sender_.on_progress(std::move(callback));
  }

  [[nodiscard]] Result<Balances, std::string> balances();
  /// Into the contract's pool, with an approval where the token needs one.
  [[nodiscard]] Result<void, std::string> deposit(Amount amount);
  [[nodiscard]] Result<void, std::string> withdraw(Amount amount, const EthereumAddress& to);

  /// A channel whose receipts `signer` signs; out of the pool where that suffices, else out of the
  /// account.
  [[nodiscard]] Result<FundedChannel, std::string> open(const ChannelPartner& partner,
                                                        const PublicKey& signer, Amount amount);
  [[nodiscard]] Result<FundedChannel, std::string> top_up(const ChannelId& id, Amount amount);
  /// Asks for the close; after the grace period takes what is left into the pool.
  [[nodiscard]] Result<FundedChannel, std::string> close(const ChannelId& id);

  /// The user was told how all that has ended did: the same command is a new wish from now on.
  [[nodiscard]] Result<void, std::string> acknowledge();

  /// All channels as the chain has them now.
  [[nodiscard]] Result<std::vector<FundedChannel>, std::string> refresh();

  [[nodiscard]] std::vector<StoredTransaction> transactions() {
    return store_->transactions(account());
  }

 private:
  [[nodiscard]] Result<Bytes, std::string> call(const EthereumAddress& to, ByteSpan data);
  [[nodiscard]] Result<Amount, std::string> amount_of(const EthereumAddress& to, ByteSpan data);
  [[nodiscard]] Result<Amount, std::string> pool();
  [[nodiscard]] Result<std::uint64_t, std::string> chain_time();
  [[nodiscard]] Result<void, std::string> approve(Amount amount);
  [[nodiscard]] Result<void, std::string> send(const std::string& purpose, Bytes data,
                                               Amount value = {});
  [[nodiscard]] Result<void, std::string> keep(const FundedChannel& channel);
  [[nodiscard]] Result<FundedChannel, std::string> looked_up(FundedChannel channel);
  [[nodiscard]] Result<FundedChannel, std::string> find(const ChannelId& id);
  [[nodiscard]] std::optional<FundedChannel> begun(const ChannelPartner& partner,
                                                   const PublicKey& signer);
  [[nodiscard]] Result<void, std::string> check_place();
  [[nodiscard]] Amount value_of(Amount amount) const;

  Journal& journal_;
  net::Loop& loop_;
  Rng& rng_;
  const std::string asset_text_;
  const settlement::evm::Asset asset_;
  const settlement::evm::ContractPlace place_;
  const EcdsaKey key_;
  std::unique_ptr<ChainStore> store_;
  const FileLock lock_;
  RpcClient rpc_;
  Sender sender_;
  bool place_checked_ = false;
};

}  // namespace nostril::client::chain
