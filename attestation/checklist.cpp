#include "attestation/checklist.h"

#include "base/check.h"
#include "base/hex.h"

#include <algorithm>

namespace nostril::attestation {

void Checklist::add(std::string_view name, bool required, std::string_view source) {
  checks_.push_back(
      {std::string(name), CheckStatus::NotChecked, required, {}, {}, std::string(source)});
}

bool Checklist::record(std::string_view name, bool passed, std::string found, std::string wanted) {
  Check& check = at(name);
  check.status = passed ? CheckStatus::Passed : CheckStatus::Failed;
  check.found = std::move(found);
  check.wanted = std::move(wanted);
  return passed;
}

bool Checklist::compare(std::string_view name, ByteSpan found, ByteSpan wanted) {
  return record(name, std::equal(found.begin(), found.end(), wanted.begin(), wanted.end()),
                encode_hex(found), encode_hex(wanted));
}

Check& Checklist::at(std::string_view name) {
  const auto found = std::find_if(checks_.begin(), checks_.end(),
                                  [name](const Check& check) { return check.name == name; });
  CHECK(found != checks_.end());
  return *found;
}

bool Checklist::passed(std::string_view name) const {
  return std::any_of(checks_.begin(), checks_.end(), [name](const Check& check) {
    return check.name == name && check.status == CheckStatus::Passed;
  });
}

bool Checklist::accepts() const {
  return std::all_of(checks_.begin(), checks_.end(), [](const Check& check) {
    return check.status == CheckStatus::Passed ||
           (check.status == CheckStatus::NotChecked && !check.required);
  });
}

void record_simulated(Verdict& verdict, bool accepted) {
  Checklist(verdict.checks)
      .record("simulated", !verdict.simulated || accepted,
              verdict.simulated ? "simulated" : "not simulated",
              accepted ? "any" : "not simulated");
}

void conclude(Verdict& verdict, Level level, Level level_min) {
  Checklist checks(verdict.checks);
  checks.record("level", level >= level_min, std::string(to_string(level)),
                std::string(to_string(level_min)) + " or higher");
  verdict.accepted = checks.accepts();
  verdict.level = verdict.accepted ? level : Level::None;
}

}  // namespace nostril::attestation
