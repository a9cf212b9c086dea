#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nostril {

enum class Health : std::uint8_t {
  Ok,
  Warning,  ///< it works, but somebody may refuse it or be served worse
  Wrong,    ///< nothing works until this is mended
};
std::string_view to_string(Health health);

/// What a `doctor` says of one thing that it looked at.
struct Finding {
  std::string check;  ///< one word; of relays and engines one each
  Health health = Health::Ok;
  std::string found;
  std::string remedy;  ///< exactly what to do; empty only when Ok
};

using Findings = std::vector<Finding>;

/// The worst of them; Ok of none.
[[nodiscard]] Health worst(const Findings& findings);

/// 0, 1, 2: ok, warnings, something wrong.
[[nodiscard]] int exit_status(Health health);

/// One row of the table, and its remedy below it. Control characters in what was found, which may
/// be a peer's words, are replaced. `colours`: for a terminal only.
[[nodiscard]] std::string to_text(const Finding& finding, bool colours);

/// {"health":…,"checks":[{"check":…,"health":…,"found":…,"remedy":…}]}; remedy only where there is
/// one.
[[nodiscard]] std::string to_json(const Findings& findings);

}  // namespace nostril
