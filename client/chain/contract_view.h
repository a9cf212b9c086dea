#pragma once

#include "client/chain/rpc_client.h"
#include "settlement/evm/abi.h"
#include "settlement/evm/channel.h"

#include <cstdint>
#include <string>

namespace nostril::client::chain {

/// What the contract and its tokens answer now, as far as the endpoints say the same. Before the
/// first question it is checked that the contract is the one (follower.h). Errors are one line for
/// the user. Threads: the RpcClient's.
class ContractView {
 public:
  ContractView(RpcClient& rpc, const settlement::evm::ContractPlace& place)
      : rpc_(rpc), place_(place) {}

  [[nodiscard]] const settlement::evm::ContractPlace& place() const { return place_; }

  [[nodiscard]] Result<void, std::string> check_place();

  /// eth_call in the newest block.
  [[nodiscard]] Result<Bytes, std::string> call(const EthereumAddress& to, ByteSpan data);
  /// The same where the answer is an amount. What no channel could hold is the most that one can.
  [[nodiscard]] Result<Amount, std::string> amount(const EthereumAddress& to, ByteSpan data);

  [[nodiscard]] Result<settlement::evm::ChannelState, std::string> channel(const ChannelId& id);
  [[nodiscard]] Result<Amount, std::string> pool(const EthereumAddress& owner,
                                                 const EthereumAddress& token);
  /// How much of the payer's pool the signer may lock by orders.
  [[nodiscard]] Result<Amount, std::string> allowance(const EthereumAddress& payer,
                                                      const PublicKey& signer,
                                                      const EthereumAddress& token);
  /// Of the newest block, as the endpoint that is behind most has it; Unix seconds.
  [[nodiscard]] Result<std::uint64_t, std::string> time();

 private:
  RpcClient& rpc_;
  const settlement::evm::ContractPlace place_;
  bool checked_ = false;
};

}  // namespace nostril::client::chain
