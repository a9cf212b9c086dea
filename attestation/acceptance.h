#pragma once

#include "attestation/checklist.h"
#include "attestation/statement.h"
#include "attestation/verdict.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What a caller takes beyond what one TEE's verifier can prove: which images, weights and machines
/// are known, by whose word, and which deviations are excepted by name. The same for every TEE.
///
/// A verifier fills Verdict::identities, lists these checks with list_acceptance_checks() after its
/// own, records "measurements" and "model" by record_known(), and ends with conclude(). A new kind
/// of identity is one push_back there; a new excepted check is one line of kExceptable.
namespace nostril::attestation {

/// What an entry of a list is about.
enum class Subject : std::uint8_t { Image, Compose, Weights, Machine };

std::string_view to_string(Subject subject);

/// True of a verdict whose identities hold all `parts`. For example the image mrtd=…, rtmr1=….
struct ListEntry {
  bool allow = true;
  Subject subject = Subject::Image;
  std::vector<Identity> parts;  ///< at least one
  /// Weights: the model, as offers name it, that they are the weights of; allowed weights must name
  /// it, else a small model could be sold under a large one's name.
  std::string model;
  std::string reason;  ///< for people
};

/// The word of one auditor, or the policy's own. After `ends_at` it vouches for nothing; what it
/// denies stays denied.
struct KnownList {
  std::string author;  ///< npub; for people when `own`
  std::string name;
  bool own = false;  ///< the policy's: enough by itself
  UnixTime ends_at = kForever;
  std::vector<ListEntry> entries;
};

/// A failed check that is taken as it is: this check, with exactly this `found`, until then.
struct Exception {
  std::string check;
  std::string found;
  UnixTime until = 0;
  std::string reason;
};

/// A recent event by a key that the policy trusts to be fresh: evidence over its id is not older.
struct Beacon {
  Nonce id{};
  UnixTime at = 0;
};

/// The defaults know nothing, except nothing and deny nothing.
struct Acceptance {
  std::vector<KnownList> lists;
  /// Different auditors who must vouch for a thing; the policy's own word needs none.
  std::int64_t auditors_min = 1;
  std::vector<Exception> exceptions;
  /// Every machine id in the evidence must be vouched for, not only when the policy names some.
  bool require_known_machine = false;
  /// Evidence must be over one of `beacons`, at most `beacon_age_s_max` old (or over the nonce that
  /// the caller chose).
  bool require_beacon = false;
  std::int64_t beacon_age_s_max = 600;
  std::vector<Beacon> beacons;
  /// The offered model that the evidence stands for; empty: not known.
  std::string model;
  /// The node says that its records hold seed and sampling: what Level::Auditable needs besides
  /// known weights. Its key is in the evidence, so that the measured software says it.
  bool records_sampling = false;
};

/// A caller's clock may be this much behind the one of a beacon or list.
inline constexpr std::int64_t kClockSkewS = 900;

/// The policy, or enough auditors, say this of the verdict's identities.
struct Vouching {
  bool enough = false;
  bool named = false;  ///< some list has such entries at all
  std::string who;     ///< "policy", or the auditors, for people
};

Vouching vouching(const Verdict& verdict, const Acceptance& acceptance, Subject subject,
                  UnixTime now);

/// The policy itself names some: what is not among the known ones is then refused.
bool demands(const Acceptance& acceptance, Subject subject);

/// Records check `name` of `subject`, unless nobody was asked: passes by `listed` (a list of the
/// verifier's own) or by the lists. When neither says so it fails if that is `demanded`, by the
/// caller or by demands(); else it stays not checked, and the level lower. Limits the verdict to
/// the lists' ends.
void record_known(Verdict& verdict, std::string_view name, Subject subject,
                  const std::string& found, bool listed, bool demanded,
                  const Acceptance& acceptance, UnixTime now);

/// The checks `denied`, `compose`, `machines` and `level`.
void list_acceptance_checks(Checklist& checks, const Acceptance& acceptance);

/// Records the check `freshness`.
void record_freshness(Verdict& verdict, const Nonce& nonce, bool is_callers_own,
                      const Acceptance& acceptance, UnixTime now);

/// Evidence without an event log, of a machine whose registers hold more than its image does: RTMR3
/// and MRCONFIGID of TDX, HOST_DATA of SNP are where loaders put on record what they start. A known
/// image says nothing of that, unless the entry that vouches for it names the register as well.
/// Listed as "open_registers", required where the level must be an image's.
void list_open_registers(Checklist& checks, Level level_min);

/// Records it: passed, or not checked and found what is open. `fixed`: registers that the caller's
/// own lists hold. True when nothing is open.
bool record_open_registers(Verdict& verdict, const std::vector<std::string>& fixed,
                           const Acceptance& acceptance, UnixTime now);

/// The level were everything to pass, by the checks "measurements" and "model".
Level proven_level(const Verdict& verdict, const Acceptance& acceptance);

/// The check may be excepted: it compares a value with a wish. One that proves something may not.
bool is_exceptable(std::string_view check);

/// Records what list_acceptance_checks() listed, applies exceptions, closes the verdict. `level` is
/// what is proven were everything to pass.
void conclude(Verdict& verdict, Level level, Level level_min, const Acceptance& acceptance,
              UnixTime now);

/// The same for evidence that no list can be about: only the check `level`.
void conclude(Verdict& verdict, Level level, Level level_min);

}  // namespace nostril::attestation
