#include "client/chain/follower.h"

#include "base/crash_point.h"
#include "base/hex.h"
#include "base/log.h"
#include "settlement/evm/asset.h"
#include "settlement/evm/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace nostril::client::chain {

namespace {

using settlement::evm::BlockHead;
using settlement::evm::LogEntry;
using settlement::evm::Mirror;
using settlement::evm::quantity;

std::string block_params(std::uint64_t number) {
  return fmt::format(R"(["{}",false])", quantity(number));
}

std::optional<std::uint64_t> parse_number(const Json& value) {
  const auto number = settlement::evm::parse_quantity(value, std::uint64_t{1} << 53U);
  if (!number) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

void apply(Mirror& mirror, const LogEntry& entry) {
  const auto parsed = settlement::evm::parse_log(entry.topics, entry.data);
  if (parsed) {
    mirror.apply(*parsed);
  } else {
    log(LogLevel::Error, "block {}: the contract's entry {} has another form than the contract's",
        entry.block, entry.index);
  }
}

RpcFailure of_store(const std::string& problem) {
  return {RpcFailure::Kind::Unreachable, problem};
}

}  // namespace

Follower::Follower(RpcClient& rpc, ChainStore& store, const FollowSettings& settings)
    : rpc_(rpc),
      store_(store),
      settings_(settings),
      range_(std::max<std::uint64_t>(1, settings.range_blocks)),
      confirmed_(settings.place, settings.payee),
      newest_(settings.place, settings.payee) {
  rebuild();
}

void Follower::rebuild() {
  confirmed_ = Mirror(settings_.place, settings_.payee);
  for (const LogEntry& entry : store_.logs()) apply(confirmed_, entry);
  newest_ = confirmed_;
  const auto known = store_.checkpoints();
  cursor_ = known.empty() ? Checkpoint{} : known.front();
}

RpcResult<void> check_place(RpcClient& rpc, const settlement::evm::ContractPlace& place) {
  const auto chain = rpc.ask<std::uint64_t>("eth_chainId", "[]", parse_number);
  if (!chain) return failure(chain.error());
  if (*chain != place.chain_id) {
    return failure(RpcFailure{
        RpcFailure::Kind::Refused,
        fmt::format("the endpoints are on chain {}, the asset is on {}", *chain, place.chain_id)});
  }
  const std::string contract = settlement::evm::to_string(place.contract);
  const auto code = rpc.ask<Bytes>(
      "eth_getCode", fmt::format(R"(["{}","latest"])", contract), [](const Json& value) {
        return settlement::evm::parse_data(value, settlement::evm::RpcLimits::kCallBytesMax);
      });
  if (!code) return failure(code.error());
  if (code->empty()) {
    return failure(
        RpcFailure{RpcFailure::Kind::Refused, "no contract is at " + contract + " on this chain"});
  }
  return {};
}

RpcResult<BlockHead> Follower::block(std::uint64_t number) {
  return rpc_.ask<BlockHead>("eth_getBlockByNumber", block_params(number),
                             [number](const Json& value) -> std::optional<BlockHead> {
                               auto head = settlement::evm::parse_block(value);
                               if (!head || head->number != number) return std::nullopt;
                               return head;
                             });
}

/// What all endpoints have: the lowest of what they say.
RpcResult<std::uint64_t> Follower::find_head() {
  const auto heads = rpc_.ask_each<std::uint64_t>("eth_blockNumber", "[]", parse_number);
  if (!heads) return failure(heads.error());
  return *std::ranges::min_element(*heads);
}

RpcResult<std::uint64_t> Follower::confirmed_height(std::uint64_t head) {
  const std::uint64_t on_top = std::max<std::uint64_t>(1, settings_.confirmations) - 1;
  const std::uint64_t height = head > on_top ? head - on_top : 0;
  if (!settings_.finalized) return height;
  const auto finalized = rpc_.ask_each<BlockHead>("eth_getBlockByNumber", R"(["finalized",false])",
                                                  settlement::evm::parse_block);
  if (!finalized) return failure(finalized.error());
  return std::min(height, std::ranges::min_element(*finalized, {}, &BlockHead::number)->number);
}

RpcResult<void> Follower::rewind_if_needed() {
  const auto known = store_.checkpoints();
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (known[i].number > head_.number) continue;
    const auto now = block(known[i].number);
    if (!now) return failure(now.error());
    if (now->hash != known[i].hash) continue;
    if (i == 0) return {};
    log(LogLevel::Warning, "re-org: what was read above block {} is read anew", known[i].number);
    ++rewinds_;
    if (auto done = store_.rewind(known[i].number); !done) return failure(of_store(done.error()));
    rebuild();
    return {};
  }
  if (known.empty()) return {};
  // A chain that is shorter than ours may be an endpoint that was set back: that is no re-org.
  if (known.front().number > head_.number) {
    return failure(RpcFailure{RpcFailure::Kind::Disagree,
                              fmt::format("the endpoints know {} blocks, and {} were read before",
                                          head_.number, known.front().number)});
  }
  return failure(
      RpcFailure{RpcFailure::Kind::Disagree,
                 "none of the blocks that were read is on the endpoints' chain: a wrong endpoint? "
                 "If the chain was made anew, remove the folder of the chain's store"});
}

RpcResult<std::vector<LogEntry>> Follower::entries(std::uint64_t first, std::uint64_t last) {
  const std::string params = fmt::format(R"([{{"address":"{}","fromBlock":"{}","toBlock":"{}"}}])",
                                         settlement::evm::to_string(settings_.place.contract),
                                         quantity(first), quantity(last));
  return rpc_.ask<std::vector<LogEntry>>(
      "eth_getLogs", params,
      [this, first, last](const Json& value) -> std::optional<std::vector<LogEntry>> {
        auto found = settlement::evm::parse_logs(value);
        if (!found) return std::nullopt;
        const auto is_ours = [this, first, last](const LogEntry& entry) {
          return entry.address == settings_.place.contract && entry.block >= first &&
                 entry.block <= last;
        };
        if (!std::ranges::all_of(*found, is_ours)) return std::nullopt;
        return found;
      });
}

/// From the cursor to `last`. The block before and after the entries were asked for must be the
/// same, or they may be those of another branch.
RpcResult<void> Follower::read_range(std::uint64_t last) {
  const bool first_ever = cursor_ == Checkpoint{};
  const std::uint64_t first = first_ever ? settings_.from_block : cursor_.number + 1;
  const auto before = block(last);
  if (!before) return failure(before.error());
  const auto found = entries(first, last);
  if (!found) return failure(found.error());
  const auto after = block(last);
  if (!after) return failure(after.error());
  const bool fits =
      found->empty() || found->back().block != last || found->back().block_hash == before->hash;
  if (before->hash != after->hash || !fits) {
    return failure(RpcFailure{RpcFailure::Kind::Disagree, "a re-org while the log was read"});
  }
  crash_point("log-read");
  const Checkpoint checkpoint{last, before->hash};
  if (auto done = store_.advance(checkpoint, *found); !done) {
    return failure(of_store(done.error()));
  }
  crash_point("log-stored");
  for (const LogEntry& entry : *found) apply(confirmed_, entry);
  cursor_ = checkpoint;
  return {};
}

RpcResult<void> Follower::advance() {
  const auto height = find_head();
  if (!height) return failure(height.error());
  const auto head = block(*height);
  if (!head) return failure(head.error());
  head_ = *head;
  if (auto rewound = rewind_if_needed(); !rewound) return rewound;
  const auto confirmed = confirmed_height(head_.number);
  if (!confirmed) return failure(confirmed.error());
  while (cursor_.number < *confirmed && settings_.from_block <= *confirmed) {
    const std::uint64_t start = std::max(cursor_.number, settings_.from_block);
    const std::uint64_t last = std::min(*confirmed, start + range_);
    auto done = read_range(last);
    if (!done) {
      // Perhaps it was more than an endpoint gives at once; the next look asks for less.
      range_ = std::max<std::uint64_t>(1, range_ / 2);
      return done;
    }
    range_ = std::min(std::max<std::uint64_t>(1, settings_.range_blocks), range_ * 2);
  }
  newest_ = confirmed_;
  const std::uint64_t first = std::max(cursor_.number + 1, settings_.from_block);
  if (first > head_.number) return {};
  const auto fresh = entries(first, head_.number);
  if (!fresh) return failure(fresh.error());
  for (const LogEntry& entry : *fresh) apply(newest_, entry);
  return {};
}

}  // namespace nostril::client::chain
