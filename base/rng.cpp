#include "base/rng.h"

#include "base/check.h"

#include <sys/random.h>

#include <cerrno>
#include <cstddef>

namespace nostril {

void SystemRng::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    CHECK(got > 0);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace nostril
