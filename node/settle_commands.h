#pragma once

#include <string>

/// `nostril-node settle …`: what a contract on a chain owes this node. The exit status is 0, or 1
/// with a line on standard error.
namespace nostril::node {

struct SettleOptions {
  std::string config;  ///< of the node
  bool json = false;
  bool csv = false;
  std::string file;  ///< bring: of an order
};

/// What the node last saw of the chain, beside its own receipts; asks no endpoint.
int settle_status(const SettleOptions& options);
/// One claim of all that is worth something. Where the node runs, it is told to.
int settle_claim(const SettleOptions& options);
/// A user's signed order for a channel with this node, with gas of the node's account: he needs
/// none. Where the node runs, it is told to.
int settle_bring(const SettleOptions& options);
/// Claims by policy until SIGTERM.
int settle_watch(const SettleOptions& options);

}  // namespace nostril::node
