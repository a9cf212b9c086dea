#pragma once

#include "net/loop.h"

#include <cstdint>
#include <functional>

namespace nostril::client {

/// Runs `loop` until `done`, which is asked each 20 ms, or so long, whoever else stops it
/// meanwhile: for commands that wait.
void run_until(net::Loop& loop, std::uint64_t wait_ms, const std::function<bool()>& done);

}  // namespace nostril::client
