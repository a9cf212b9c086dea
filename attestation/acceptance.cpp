#include "attestation/acceptance.h"

#include "attestation/utc_time.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace nostril::attestation {

namespace {

/// Each compares what was found with what the policy wishes, and `found` says all of it.
constexpr std::array<std::string_view, 10> kExceptable = {
    "tcb",           "tcb_minimum", "migratable", "service_td", "smt",
    "single_socket", "abi",         "guest_svn",  "host_data",  "platform_info"};

constexpr std::array<std::string_view, 2> kCpuIds = {"ppid", "chip_id"};
constexpr std::array<std::string_view, 1> kGpuIds = {"gpu_serial"};

bool holds(const Verdict& verdict, const Identity& part) {
  return std::find(verdict.identities.begin(), verdict.identities.end(), part) !=
         verdict.identities.end();
}

/// The entry is about this verdict.
bool applies(const ListEntry& entry, const Verdict& verdict, const Acceptance& acceptance) {
  const bool of_model = entry.model.empty() || entry.model == acceptance.model;
  const bool names_model =
      !entry.allow || entry.subject != Subject::Weights || !entry.model.empty();
  return of_model && names_model && !entry.parts.empty() &&
         std::all_of(entry.parts.begin(), entry.parts.end(),
                     [&verdict](const Identity& part) { return holds(verdict, part); });
}

std::string describe(const std::vector<Identity>& parts) {
  std::string out;
  for (const Identity& part : parts) {
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", part.name, part.value);
  }
  return out;
}

/// What is known may be so by any of the lists that have not ended.
void limit_to_lists(Verdict& verdict, const Acceptance& acceptance, UnixTime now) {
  for (const KnownList& list : acceptance.lists) {
    if (now <= list.ends_at) verdict.limit(list.ends_at);
  }
}

/// One side of a verdict's identities: of the processor or of its GPUs.
template <std::size_t N>
class MachineGroup {
 public:
  MachineGroup(const std::array<std::string_view, N>& names, const Verdict& verdict,
               const Acceptance& acceptance, UnixTime now)
      : names_(names) {
    for (const Identity& identity : verdict.identities) {
      if (!is_of(identity.name)) continue;
      Verdict alone;
      alone.identities = {identity};
      const Vouching vouched = vouching(alone, acceptance, Subject::Machine, now);
      found += fmt::format("{}{} {}{}", found.empty() ? "" : ", ", identity.name, identity.value,
                           vouched.enough ? ", known to " + vouched.who : "");
      all_known_ &= vouched.enough;
    }
    for (const KnownList& list : acceptance.lists) {
      named_ |= list.own && std::any_of(list.entries.begin(), list.entries.end(),
                                        [this](const ListEntry& entry) {
                                          return entry.allow && entry.subject == Subject::Machine &&
                                                 is_of(entry.parts.front().name);
                                        });
    }
  }

  [[nodiscard]] bool passes(bool required) const {
    if (named_) return !found.empty() && all_known_;
    return !required || all_known_;
  }

  [[nodiscard]] bool named() const { return named_; }

  std::string found;

 private:
  [[nodiscard]] bool is_of(std::string_view name) const {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }

  std::array<std::string_view, N> names_;
  bool all_known_ = true;
  bool named_ = false;
};

void record_machines(Verdict& verdict, const Acceptance& acceptance, UnixTime now) {
  const MachineGroup cpu(kCpuIds, verdict, acceptance, now);
  const MachineGroup gpu(kGpuIds, verdict, acceptance, now);
  const bool required = acceptance.require_known_machine;
  if (!required && !cpu.named() && !gpu.named()) return;
  limit_to_lists(verdict, acceptance, now);
  const bool identified = !required || !cpu.found.empty();
  std::string found = cpu.found.empty() ? "no processor named" : cpu.found;
  if (!gpu.found.empty()) found += "; " + gpu.found;
  Checklist(verdict.checks)
      .record("machines", identified && cpu.passes(required) && gpu.passes(required), found,
              "machines that the policy or enough auditors name");
}

void record_denied(Verdict& verdict, const Acceptance& acceptance) {
  std::string found;
  for (const KnownList& list : acceptance.lists) {
    for (const ListEntry& entry : list.entries) {
      if (entry.allow || !applies(entry, verdict, acceptance)) continue;
      found += fmt::format("{}{} {} denied by {}{}", found.empty() ? "" : "; ",
                           to_string(entry.subject), describe(entry.parts), list.author,
                           entry.reason.empty() ? "" : ": " + entry.reason);
    }
  }
  Checklist(verdict.checks)
      .record("denied", found.empty(), found.empty() ? "nothing" : found, "nothing denied");
}

/// False when the evidence names a compose file of which those who name any say nothing: an image
/// that starts it is then known, what it runs is not.
bool record_compose(Verdict& verdict, const Acceptance& acceptance, UnixTime now) {
  const auto compose =
      std::find_if(verdict.identities.begin(), verdict.identities.end(),
                   [](const Identity& identity) { return identity.name == "compose"; });
  const bool present = compose != verdict.identities.end();
  record_known(verdict, "compose", Subject::Compose, present ? compose->value : "none", false,
               false, acceptance, now);
  const bool named = vouching(verdict, acceptance, Subject::Compose, now).named;
  return !present || !named || Checklist(verdict.checks).passed("compose");
}

void apply_exceptions(Verdict& verdict, const Acceptance& acceptance, UnixTime now) {
  for (Check& check : verdict.checks) {
    if (check.status != CheckStatus::Failed || !is_exceptable(check.name)) continue;
    if (check.name == "tcb" && verdict.tcb_status == "Revoked") continue;  // its keys are out
    for (const Exception& exception : acceptance.exceptions) {
      if (exception.check != check.name || exception.found != check.found) continue;
      const std::string until = format_iso_utc(exception.until);
      if (now > exception.until) {
        check.note = fmt::format("the policy's exception ended {}", until);
        continue;
      }
      check.status = CheckStatus::Excepted;
      check.note = fmt::format("excepted by the policy until {}: {}", until, exception.reason);
      verdict.limit(exception.until);
      break;
    }
  }
}

/// The register is in the evidence and not zero.
bool holds_more(const Verdict& verdict, std::string_view name) {
  return std::any_of(
      verdict.identities.begin(), verdict.identities.end(), [name](const Identity& identity) {
        return identity.name == name && identity.value.find_first_not_of('0') != std::string::npos;
      });
}

/// The lists' images that say what this register holds.
Acceptance naming(const Acceptance& acceptance, std::string_view name) {
  Acceptance out;
  out.auditors_min = acceptance.auditors_min;
  out.lists = acceptance.lists;
  for (KnownList& list : out.lists) {
    std::erase_if(list.entries, [name](const ListEntry& entry) {
      return std::none_of(entry.parts.begin(), entry.parts.end(),
                          [name](const Identity& part) { return part.name == name; });
    });
  }
  return out;
}

}  // namespace

std::string_view to_string(Subject subject) {
  switch (subject) {
    case Subject::Image:
      return "image";
    case Subject::Compose:
      return "compose";
    case Subject::Weights:
      return "weights";
    case Subject::Machine:
      return "machine";
  }
  return "unknown";
}

Vouching vouching(const Verdict& verdict, const Acceptance& acceptance, Subject subject,
                  UnixTime now) {
  Vouching out;
  std::set<std::string> auditors;
  for (const KnownList& list : acceptance.lists) {
    for (const ListEntry& entry : list.entries) {
      if (!entry.allow || entry.subject != subject) continue;
      out.named = true;
      if (now > list.ends_at || !applies(entry, verdict, acceptance)) continue;
      if (list.own) return {true, true, "the policy"};
      auditors.insert(list.author);
    }
  }
  out.enough =
      static_cast<std::int64_t>(auditors.size()) >= acceptance.auditors_min && !auditors.empty();
  out.who = fmt::format("{}", fmt::join(auditors, ", "));
  return out;
}

void list_open_registers(Checklist& checks, Level level_min) {
  checks.add("open_registers", level_min >= Level::ImageMeasured,
             "TD report, rtmr3, mrconfigid; report, host_data");
}

bool record_open_registers(Verdict& verdict, const std::vector<std::string>& fixed,
                           const Acceptance& acceptance, UnixTime now) {
  std::vector<std::string> open;
  for (const char* name : {"rtmr3", "mrconfigid", "host_data"}) {
    if (holds_more(verdict, name) && std::find(fixed.begin(), fixed.end(), name) == fixed.end() &&
        !vouching(verdict, naming(acceptance, name), Subject::Image, now).enough) {
      open.emplace_back(name);
    }
  }
  const std::string wanted = "zero, named by the image's entry, or explained by an event log";
  Checklist checks(verdict.checks);
  if (open.empty()) return checks.record("open_registers", true, "none", wanted);
  Check& check = checks.at("open_registers");
  check.found = fmt::format("{} not zero", fmt::join(open, ", "));
  check.wanted = wanted;
  return false;
}

bool demands(const Acceptance& acceptance, Subject subject) {
  return std::any_of(
      acceptance.lists.begin(), acceptance.lists.end(), [subject](const KnownList& list) {
        return list.own &&
               std::any_of(list.entries.begin(), list.entries.end(), [subject](const auto& entry) {
                 return entry.allow && entry.subject == subject;
               });
      });
}

void record_known(Verdict& verdict, std::string_view name, Subject subject,
                  const std::string& found, bool listed, bool demanded,
                  const Acceptance& acceptance, UnixTime now) {
  const Vouching known = vouching(verdict, acceptance, subject, now);
  const std::string wanted =
      fmt::format("one that the policy names, or {} of its auditors", acceptance.auditors_min);
  Checklist checks(verdict.checks);
  if (listed || known.enough) {
    checks.record(name, true,
                  found + ", known to " + (listed ? std::string("the policy") : known.who), wanted);
    limit_to_lists(verdict, acceptance, now);
  } else if (demanded || demands(acceptance, subject)) {
    const std::string only = known.who.empty() ? "" : ", known only to " + known.who;
    checks.record(name, false, found + only, wanted);
  } else if (known.named) {
    checks.at(name).wanted = wanted;
  }
}

void list_acceptance_checks(Checklist& checks, const Acceptance& acceptance) {
  checks.add("compose", demands(acceptance, Subject::Compose),
             "event log, compose-hash; the policy's lists");
  checks.add("machines", acceptance.require_known_machine,
             "PPID, CHIP_ID, GPU serials; the policy's lists");
  checks.add("denied", true, "the policy's lists");
  checks.add("level", true, "measurements, compose, model");
}

void record_freshness(Verdict& verdict, const Nonce& nonce, bool is_callers_own,
                      const Acceptance& acceptance, UnixTime now) {
  const std::string wanted =
      fmt::format("an event of a trusted beacon, at most {} s old", acceptance.beacon_age_s_max);
  Checklist checks(verdict.checks);
  if (is_callers_own) {
    checks.record("freshness", true, "the caller's own nonce", wanted);
    return;
  }
  const auto beacon =
      std::find_if(acceptance.beacons.begin(), acceptance.beacons.end(),
                   [&nonce](const Beacon& candidate) { return candidate.id == nonce; });
  if (!acceptance.require_beacon) return;
  if (beacon == acceptance.beacons.end()) {
    checks.record("freshness", false, "no known beacon: " + encode_hex(nonce), wanted);
    return;
  }
  const std::int64_t age_s = now - beacon->at;
  const bool fresh = age_s <= acceptance.beacon_age_s_max && age_s >= -kClockSkewS;
  checks.record("freshness", fresh, fmt::format("beacon of {} s ago", age_s), wanted);
  verdict.limit(beacon->at + acceptance.beacon_age_s_max);
}

Level proven_level(const Verdict& verdict, const Acceptance& acceptance) {
  const auto passed = [&verdict](std::string_view name) {
    const Check* check = verdict.find(name);
    return check != nullptr && check->status == CheckStatus::Passed;
  };
  if (verdict.simulated || !passed("measurements")) return Level::Declared;
  if (!passed("model")) return Level::ImageMeasured;
  return acceptance.records_sampling ? Level::Auditable : Level::WeightsMeasured;
}

bool is_exceptable(std::string_view check) {
  return std::find(kExceptable.begin(), kExceptable.end(), check) != kExceptable.end();
}

void conclude(Verdict& verdict, Level level, Level level_min, const Acceptance& acceptance,
              UnixTime now) {
  if (!record_compose(verdict, acceptance, now)) level = std::min(level, Level::Declared);
  record_machines(verdict, acceptance, now);
  record_denied(verdict, acceptance);
  apply_exceptions(verdict, acceptance, now);
  conclude(verdict, level, level_min);
}

void conclude(Verdict& verdict, Level level, Level level_min) {
  Checklist checks(verdict.checks);
  checks.record("level", level >= level_min, std::string(to_string(level)),
                std::string(to_string(level_min)) + " or higher");
  verdict.accepted = checks.accepts();
  verdict.level = verdict.accepted ? level : Level::None;
}

}  // namespace nostril::attestation
