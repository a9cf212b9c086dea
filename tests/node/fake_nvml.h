#pragma once

#include "node/nvml_api.h"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace nostril::test {

/// What the fake library answers.
struct FakeNvml {
  unsigned count = 0;
  unsigned cc_feature = 1;
  unsigned dev_tools = 0;
  int init_error = 0;
  int report_error = 0;
  bool lies = false;  ///< about sizes
  bool ready = true;
  int users = 0;  ///< initialised and not shut down
  std::function<std::string(std::size_t)> chain;
  std::function<std::vector<std::uint8_t>(std::size_t, const std::array<std::uint8_t, 32>&)> report;
};

}  // namespace nostril::test
