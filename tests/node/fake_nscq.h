#pragma once

#include "node/nscq_api.h"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace nostril::test {

/// What the fake library answers.
struct FakeNscq {
  std::size_t count = 0;
  node::nscq::Code session_error = 0;
  node::nscq::Code report_error = 0;    ///< of the observation
  node::nscq::Code callback_error = 0;  ///< said to the callback
  bool lies = false;                    ///< about sizes
  int sessions = 0;                     ///< created and not destroyed
  std::array<std::uint8_t, 32> nonce{};
  std::function<std::string(std::size_t)> chain;
  std::function<std::vector<std::uint8_t>(std::size_t, const std::array<std::uint8_t, 32>&)> report;
};

}  // namespace nostril::test
