#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "settlement/evm/abi.h"
#include "settlement/evm/channel.h"

#include <cstdint>
#include <span>
#include <variant>

/// The contract's log entries as types. spec/12-contract.md, settlement/contracts/.
/// Pure functions. Threads: any.
namespace nostril::settlement::evm {

struct OpenedLog {
  ChannelId id;  ///< as the log says it: compare with channel_id()
  Channel channel;
  Amount locked;

  bool operator==(const OpenedLog&) const = default;
};

/// The channel's locked amount is another one now.
struct LockedLog {
  ChannelId id;
  Amount locked;

  bool operator==(const LockedLog&) const = default;
};

struct ClaimedLog {
  ChannelId id;
  Amount claimed;

  bool operator==(const ClaimedLog&) const = default;
};

struct CloseRequestedLog {
  ChannelId id;
  std::uint64_t close_at = 0;  ///< seconds since 1970

  bool operator==(const CloseRequestedLog&) const = default;
};

/// What was not claimed went back: locked is what was claimed.
struct FinalisedLog {
  ChannelId id;
  Amount locked;

  bool operator==(const FinalisedLog&) const = default;
};

enum class SkipReason : std::uint8_t {
  Unknown = 0,
  NothingNew = 1,
  BadTime = 2,
  BadSignature = 3,
};

/// A row of a claim() paid nothing.
struct SkippedLog {
  std::uint64_t row = 0;
  SkipReason reason = SkipReason::Unknown;

  bool operator==(const SkippedLog&) const = default;
};

/// What was claimed is in the payee's pool.
struct KeptLog {
  EthereumAddress payee;
  EthereumAddress token;
  Amount amount;

  bool operator==(const KeptLog&) const = default;
};

/// Out of an owner's pool, to somebody.
struct WithdrawnLog {
  EthereumAddress owner;
  EthereumAddress token;
  EthereumAddress to;
  Amount amount;

  bool operator==(const WithdrawnLog&) const = default;
};

/// The other entries of pools (Deposited, Allowed): ask pool() instead.
struct OtherLog {
  bool operator==(const OtherLog&) const = default;
};

using ContractLog = std::variant<OpenedLog, LockedLog, ClaimedLog, CloseRequestedLog, FinalisedLog,
                                 SkippedLog, KeptLog, WithdrawnLog, OtherLog>;

/// An entry that the contract itself wrote (the caller compares the address). An unknown first
/// topic is OtherLog; a known one with another form than the contract's is refused.
[[nodiscard]] Result<ContractLog, AbiError> parse_log(std::span<const Digest> topics,
                                                      ByteSpan data);

}  // namespace nostril::settlement::evm
