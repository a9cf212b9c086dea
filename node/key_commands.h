#pragma once

#include <cstdint>
#include <string>

/// `nostril-node keys …`: who may use the HTTPS face. They change the keys file only; a running
/// node sees that within a second. The exit status is 0, or 1 with a line on standard error.
namespace nostril::node {

struct KeyOptions {
  std::string config;  ///< of the node; empty: defaults
  std::string name;
  std::string npub;  ///< add: a Nostr key that signs its requests, in place of an API key
  std::int64_t tokens_per_day = 0;
  std::int64_t tokens = 0;
  std::int64_t amount_per_day = 0;
  std::int64_t amount = 0;
};

/// Prints the new API key, which is shown nowhere else.
int keys_add(const KeyOptions& options);
/// Names, budgets, and what a node that was there has used of them.
int keys_list(const KeyOptions& options);
int keys_revoke(const KeyOptions& options);

}  // namespace nostril::node
