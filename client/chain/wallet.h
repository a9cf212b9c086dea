#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/chain/contract_view.h"
#include "client/chain/rpc_client.h"
#include "client/chain/sender.h"
#include "client/chain/settings.h"
#include "client/chain/store.h"
#include "client/funded_channel.h"
#include "client/journal.h"
#include "net/loop.h"
#include "schnorr/ecdsa_key.h"
#include "settlement/evm/signed_order.h"

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
  /// `signer` may lock so much of this account's pool by orders, in channels with any node;
  /// replaces what it might before.
  [[nodiscard]] Result<void, std::string> allow(const PublicKey& signer, Amount amount);

  /// A channel whose receipts `signer` signs; out of the pool where that suffices, else out of the
  /// account.
  [[nodiscard]] Result<FundedChannel, std::string> open(const ChannelPartner& partner,
                                                        const PublicKey& signer, Amount amount);
  [[nodiscard]] Result<FundedChannel, std::string> top_up(const ChannelId& id, Amount amount);
  /// Asks for the close; after the grace period takes what is left into the pool.
  [[nodiscard]] Result<FundedChannel, std::string> close(const ChannelId& id);

  /// An order that opens a channel with `total`, out of the pool of `payer`, who lets `signer` do
  /// so. Asked again before it was brought it is for the same channel. No transaction, no gas: who
  /// brings it pays that. Nothing is signed that the contract would refuse now.
  [[nodiscard]] Result<settlement::evm::SignedOrder, std::string> order(
      const ChannelPartner& partner, const EthereumAddress& payer, const Keypair& signer,
      Amount total, std::int64_t valid_s);
  /// One that raises a channel of this home to `total`.
  [[nodiscard]] Result<settlement::evm::SignedOrder, std::string> order(const ChannelId& id,
                                                                        const Keypair& signer,
                                                                        Amount total,
                                                                        std::int64_t valid_s);
  /// Anybody's order, with this account's gas: bring_order() of order_bringer.h.
  [[nodiscard]] Result<Amount, std::string> bring(const settlement::evm::SignedOrder& order);
  /// close() of a channel that another key opened by an order out of this account's pool.
  [[nodiscard]] Result<settlement::evm::ChannelState, std::string> close(
      const settlement::evm::SignedOrder& order);

  /// The user was told how all that has ended did: the same command is a new wish from now on.
  [[nodiscard]] Result<void, std::string> acknowledge();

  /// All channels as the chain has them now.
  [[nodiscard]] Result<std::vector<FundedChannel>, std::string> refresh();

  [[nodiscard]] std::vector<StoredTransaction> transactions() {
    return store_->transactions(account());
  }

 private:
  [[nodiscard]] Result<Amount, std::string> pool();
  [[nodiscard]] Result<void, std::string> approve(Amount amount);
  [[nodiscard]] Result<void, std::string> send(const std::string& purpose, Bytes data,
                                               Amount value = {});
  [[nodiscard]] Result<void, std::string> keep(const FundedChannel& channel);
  [[nodiscard]] Result<FundedChannel, std::string> looked_up(FundedChannel channel);
  [[nodiscard]] Result<FundedChannel, std::string> find(const ChannelId& id);
  [[nodiscard]] Result<FundedChannel, std::string> find_own(const ChannelId& id);
  [[nodiscard]] std::optional<FundedChannel> begun(const ChannelPartner& partner,
                                                   const PublicKey& signer);
  [[nodiscard]] Result<settlement::evm::SignedOrder, std::string> sign_order(
      const settlement::evm::Channel& channel, const Keypair& signer, Amount total,
      std::int64_t valid_s);
  [[nodiscard]] Result<void, std::string> is_paid_here(const ChannelPartner& partner) const;
  [[nodiscard]] Result<bool, std::string> may_finalise(std::uint64_t close_at);
  [[nodiscard]] Amount value_of(Amount amount) const;

  Journal& journal_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  const std::string asset_text_;
  const settlement::evm::Asset asset_;
  const settlement::evm::ContractPlace place_;
  const EcdsaKey key_;
  std::unique_ptr<ChainStore> store_;
  const FileLock lock_;
  RpcClient rpc_;
  Sender sender_;
  ContractView view_;
};

}  // namespace nostril::client::chain
