#pragma once

#include "attestation/statement.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::attestation {

enum class CheckStatus : std::uint8_t { Passed, Failed, NotChecked };

/// One thing that was looked at. `required`: the verdict needs it Passed; otherwise NotChecked is
/// tolerated (the policy did not ask). Failed always refuses.
struct Check {
  std::string name;
  CheckStatus status = CheckStatus::NotChecked;
  bool required = true;
  std::string found;
  std::string wanted;
};

/// How much the verdict proves, in rising order. Simulated evidence never proves more than
/// Declared.
enum class Level : std::uint8_t {
  None,            ///< refused
  Declared,        ///< a sound quote, of software nobody vouched for
  ImageMeasured,   ///< the measurements are in the policy's list
  WeightsMeasured  ///< and so is the model manifest, computed by that measured software
};

using Measurement = std::array<std::uint8_t, 48>;

struct Measurements {
  Measurement mrtd{};
  std::array<Measurement, 4> rtmr{};
  Measurement mrconfigid{};
  Measurement mrowner{};
  Measurement mrownerconfig{};
  Measurement mrseam{};
  /// Service (migration) TD; TDX 1.5 only, else zero.
  Measurement mrservicetd{};

  bool operator==(const Measurements&) const = default;
};

/// Which machine it is, from its PCK certificate: for allow and deny lists. Hex, lower case.
struct PlatformId {
  std::string fmspc;
  std::string ppid;
};

/// The answer. `accepted` is true only when every check Passed, or was NotChecked and not required.
/// The other fields are meaningful only as far as the checks beside them passed.
struct Verdict {
  bool accepted = false;
  /// The quote chains to a test root: no TEE stands behind it, whatever the other fields say.
  bool simulated = false;
  Level level = Level::None;
  /// "tdx", or empty when the quote was not understood.
  std::string platform;
  Measurements measurements;
  PlatformId platform_id;
  /// Intel's word, as "UpToDate"; empty when not evaluated.
  std::string tcb_status;
  std::vector<std::string> advisories;
  /// The expected statement that the evidence was compared with.
  Statement statement;
  /// Every check of the verifier, always all of them, in a fixed order.
  std::vector<Check> checks;

  /// The check of that name, or nullptr.
  [[nodiscard]] const Check* find(std::string_view name) const;
};

std::string_view to_string(CheckStatus status);
std::string_view to_string(Level level);

/// Text for a person, several lines. The first line is the verdict, e.g.
/// "ACCEPTED (SIMULATED EVIDENCE - not a TEE)".
std::string explain(const Verdict& verdict);

/// One line for a log: verdict, platform, TCB status, and the names of the checks that refused.
std::string summary(const Verdict& verdict);

}  // namespace nostril::attestation
