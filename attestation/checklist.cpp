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
  return std::none_of(checks_.begin(), checks_.end(), refuses);
}

void record_simulated(Verdict& verdict, bool accepted) {
  Checklist(verdict.checks)
      .record("simulated", !verdict.simulated || accepted,
              verdict.simulated ? "simulated" : "not simulated",
              accepted ? "any" : "not simulated");
}

}  // namespace nostril::attestation
