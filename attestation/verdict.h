#pragma once

#include "attestation/statement.h"

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril::attestation {

/// Excepted: failed, and the policy takes exactly this until a date; `note` says which and why.
enum class CheckStatus : std::uint8_t { Passed, Failed, NotChecked, Excepted };

/// One thing that was looked at. `required`: the verdict needs it Passed; otherwise NotChecked is
/// tolerated (the policy did not ask). Failed always refuses.
struct Check {
  std::string name;
  CheckStatus status = CheckStatus::NotChecked;
  bool required = true;
  std::string found;
  std::string wanted;
  /// Which bytes were looked at.
  std::string source;
  /// What the policy says besides: an exception that was used, or that has ended.
  std::string note = {};
};

/// What lists of known things compare: which image, compose file, weights and machines these are.
/// Names: mrtd, rtmr0 to rtmr3, mrconfigid, measurement, host_data, compose, weights, ppid,
/// chip_id, gpu_serial (one a GPU). Values are lowercase hex. True as far as the checks passed.
struct Identity {
  std::string name;
  std::string value;

  bool operator==(const Identity&) const = default;
};

inline constexpr UnixTime kForever = std::numeric_limits<UnixTime>::max();

/// One thing that the evidence says of itself: true as far as the checks passed.
struct Claim {
  using Value = std::variant<std::string, std::int64_t, std::vector<std::string>>;

  /// A dot groups: "tcb.snp" is "snp" of "tcb". Claims of a group stand together.
  std::string name;
  Value value;
  /// Where it stands in the evidence.
  std::string source;
};

/// How much the verdict proves, in rising order. Simulated evidence never proves more than
/// Declared.
enum class Level : std::uint8_t {
  None,             ///< refused
  Declared,         ///< a sound quote, of software nobody vouched for
  ImageMeasured,    ///< the measurements are known to the policy or its auditors
  WeightsMeasured,  ///< and so is the model manifest, computed by that measured software
  Auditable,        ///< and records hold seed and sampling: who has the weights can repeat answers
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
  /// "tdx", "sgx" or "snp"; empty when the quote or report was not understood.
  std::string platform;
  Measurements measurements;
  PlatformId platform_id;
  /// Intel's word, as "UpToDate"; empty when not evaluated.
  std::string tcb_status;
  std::vector<std::string> advisories;
  /// The expected statement that the evidence was compared with; none when only the quote or report
  /// was judged.
  std::optional<Statement> statement;
  /// What was read, for people and scripts, in the order of the evidence.
  std::vector<Claim> claims;
  /// Every check of the verifier, always all of them, in a fixed order.
  std::vector<Check> checks;
  std::vector<Identity> identities;
  /// The last second at which the same evidence and policy give this verdict: the first end of a
  /// certificate, CRL, collateral, key, list, beacon or exception that it stands on.
  UnixTime holds_until = kForever;

  /// The check of that name, or nullptr.
  [[nodiscard]] const Check* find(std::string_view name) const;
  /// The claim of that name, or nullptr.
  [[nodiscard]] const Claim* claim(std::string_view name) const;

  /// The verdict stands on something that ends then.
  void limit(UnixTime until) { holds_until = until < holds_until ? until : holds_until; }
};

std::string_view to_string(CheckStatus status);
std::string_view to_string(Level level);

/// The check makes the verdict a refusal.
bool refuses(const Check& check);

/// Text for a person, several lines: every claim and every check with its value and its source. The
/// first line is the verdict, e.g. "ACCEPTED (SIMULATED EVIDENCE - not a TEE)".
std::string explain(const Verdict& verdict);

/// One JSON object, compact:
///   {"ok":bool,"status":text,"simulated":bool,"failed":[{"check","found","wanted"}],
///    "excepted":[{"check","found","wanted","note"}],"claims":{…}}
/// `status`: of a sound Intel quote its TCB status, accepted or not; else "Verified" or "Refused".
/// In `failed`, checks that failed come before those that were not made.
std::string to_json(const Verdict& verdict);

/// One line for a log: verdict, platform, TCB status, and the names of the checks that refused.
std::string summary(const Verdict& verdict);

}  // namespace nostril::attestation
