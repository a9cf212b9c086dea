#include "client/clock_check.h"

#include <fmt/format.h>

#include <sys/timex.h>

#include <algorithm>
#include <cstdlib>

namespace nostril::client {

namespace {

/// Clients take encryption keys of an hour's life, and offers name one of 55 minutes.
constexpr std::int64_t kAheadMsMax = 60'000;
constexpr std::int64_t kAheadMsWanted = 3'000;

}  // namespace

bool kernel_in_step() {
  timex state{};
  return adjtimex(&state) != TIME_ERROR;
}

Finding judge_clock(const ClockFacts& facts) {
  Finding out{"clock", Health::Ok, {}, {}};
  const char* remedy = "run chrony or systemd-timesyncd on this machine (timedatectl set-ntp true)";
  if (facts.ahead_ms.empty()) {
    out.found = "no relay says the time";
  } else {
    std::vector<std::int64_t> sorted = facts.ahead_ms;
    std::ranges::sort(sorted);
    const std::int64_t middle = sorted[sorted.size() / 2];
    out.found =
        fmt::format("{:.1f} s {} by {} relays", static_cast<double>(std::abs(middle)) / 1000,
                    middle < 0 ? "behind" : "ahead", sorted.size());
    if (std::abs(middle) > kAheadMsWanted) {
      out.health = std::abs(middle) > kAheadMsMax ? Health::Wrong : Health::Warning;
      out.remedy = remedy;
    }
  }
  if (!facts.kernel_in_step) {
    out.found += ", the kernel's clock is not kept in step by anybody";
    out.health = std::max(out.health, Health::Warning);
    out.remedy = remedy;
  }
  if (!facts.beacons_wanted) return out;
  if (!facts.beacon_age_s) {
    out.health = std::max(out.health, Health::Warning);
    out.found += ", no fresh beacon of the witnesses";
    out.remedy += fmt::format(
        "{}ask the witnesses of freshness.beacons; or it is our clock that is "
        "ahead: clients that require a beacon refuse",
        out.remedy.empty() ? "" : "\n");
  } else {
    out.found += fmt::format(", the newest beacon is {} s old", *facts.beacon_age_s);
    if (*facts.beacon_age_s * 1000 < -kAheadMsWanted) {
      out.health = std::max(out.health, Health::Warning);
      out.remedy = remedy;
    }
  }
  return out;
}

}  // namespace nostril::client
