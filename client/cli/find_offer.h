#pragma once

#include "client/cli/commands.h"
#include "client/home.h"

#include <functional>
#include <memory>
#include <string>

namespace nostril::client::cli {

/// The key that an npub names. Throws std::runtime_error when it is none.
[[nodiscard]] PublicKey node_named(const std::string& npub);

/// A node's offer, proven like any, that `suits`; none when 15 s bring none. Runs the loop. Throws
/// std::runtime_error when `npub` is none.
[[nodiscard]] std::shared_ptr<const VerifiedOffer> find_offer(
    Process& process, ClientHome& home, const std::string& npub,
    const std::function<bool(const Offer&)>& suits);

}  // namespace nostril::client::cli
