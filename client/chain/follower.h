#pragma once

#include "base/result.h"
#include "client/chain/rpc_client.h"
#include "client/chain/store.h"
#include "settlement/evm/mirror.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client::chain {

struct FollowSettings {
  settlement::evm::ContractPlace place;
  std::optional<EthereumAddress> payee = {};  ///< whose channels to mirror; none: all
  std::uint64_t from_block = 0;               ///< the contract was not there before
  std::uint64_t confirmations =
      12;                  ///< blocks on top (the first counts as 1) until an entry counts
  bool finalized = false;  ///< and the chain must call its block finalized
  std::uint64_t range_blocks = 2'000;  ///< asked for at once; half as many after a failure
};

/// The endpoints are on the chain that `place` names, and a contract is there.
[[nodiscard]] RpcResult<void> check_place(RpcClient& rpc,
                                          const settlement::evm::ContractPlace& place);

/// Reads the contract's log, block by block as far as it is confirmed, and keeps it on the disk
/// with the hashes of the blocks that it ended at. When one of those is no longer the chain's, all
/// above the newest that still is gets forgotten and is read anew: whatever the depth of the
/// re-org, the mirror is that of the present chain, as far as the kept checkpoints reach. Below
/// these, nothing is believed and the operator is told. Threads: one.
class Follower {
 public:
  Follower(RpcClient& rpc, ChainStore& store, const FollowSettings& settings);

  /// Follows up to the present end of the chain. After an error what was known before still holds,
  /// and gets older.
  [[nodiscard]] RpcResult<void> advance();

  /// Confirmed.
  [[nodiscard]] const settlement::evm::Mirror& mirror() const { return confirmed_; }

  /// With the blocks that are not confirmed yet, as of the last advance(): a request to close or a
  /// claim counts at once.
  [[nodiscard]] const settlement::evm::Mirror& newest() const { return newest_; }

  /// The chain's end at the last advance().
  [[nodiscard]] const settlement::evm::BlockHead& head() const { return head_; }

  [[nodiscard]] const Checkpoint& cursor() const { return cursor_; }

  [[nodiscard]] std::uint64_t rewinds() const { return rewinds_; }

 private:
  [[nodiscard]] RpcResult<settlement::evm::BlockHead> block(std::uint64_t number);
  [[nodiscard]] RpcResult<std::uint64_t> find_head();
  [[nodiscard]] RpcResult<std::uint64_t> confirmed_height(std::uint64_t head);
  [[nodiscard]] RpcResult<void> rewind_if_needed();
  [[nodiscard]] RpcResult<void> read_range(std::uint64_t last);
  [[nodiscard]] RpcResult<std::vector<settlement::evm::LogEntry>> entries(std::uint64_t first,
                                                                          std::uint64_t last);
  void rebuild();

  RpcClient& rpc_;
  ChainStore& store_;
  const FollowSettings settings_;
  std::uint64_t range_;
  Checkpoint cursor_;
  settlement::evm::BlockHead head_;
  settlement::evm::Mirror confirmed_;
  settlement::evm::Mirror newest_;
  std::uint64_t rewinds_ = 0;
};

}  // namespace nostril::client::chain
