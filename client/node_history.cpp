#include "client/node_history.h"

#include <algorithm>

namespace nostril::client {

namespace {

std::uint32_t faded(std::uint32_t failures, std::int64_t age_ms) {
  const std::int64_t halvings = std::clamp<std::int64_t>(age_ms / NodeHistory::kHalfLifeMs, 0, 31);
  return failures >> static_cast<unsigned>(halvings);
}

}  // namespace

NodeHistory::Entry& NodeHistory::entry(const PublicKey& node, std::int64_t now_ms) {
  if (nodes_.size() >= kNodesMax && !nodes_.contains(node)) {
    nodes_.erase(std::ranges::min_element(
        nodes_, {}, [](const auto& known) { return known.second.heard_at_ms; }));
  }
  Entry& out = nodes_[node];
  out.heard_at_ms = now_ms;
  return out;
}

void NodeHistory::answered(const PublicKey& node, std::uint32_t ms, std::int64_t now_ms) {
  Entry& known = entry(node, now_ms);
  // One slow answer among quick ones moves the figure by a quarter.
  known.first_byte_ms =
      known.first_byte_ms
          ? static_cast<std::uint32_t>((std::uint64_t{*known.first_byte_ms} * 3 + ms) / 4)
          : ms;
  known.failures = faded(known.failures, now_ms - known.failed_at_ms) / 2;
  known.failed_at_ms = now_ms;
}

void NodeHistory::failed(const PublicKey& node, std::int64_t now_ms) {
  Entry& known = entry(node, now_ms);
  known.failures = std::min(faded(known.failures, now_ms - known.failed_at_ms) + 1, kFailuresMax);
  known.failed_at_ms = now_ms;
}

std::optional<std::uint32_t> NodeHistory::first_byte_ms(const PublicKey& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? std::nullopt : found->second.first_byte_ms;
}

std::uint32_t NodeHistory::failures(const PublicKey& node, std::int64_t now_ms) const {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return 0;
  return faded(found->second.failures, now_ms - found->second.failed_at_ms);
}

}  // namespace nostril::client
