#include "attestation/verdict.h"

#include "base/hex.h"

#include <fmt/format.h>

namespace nostril::attestation {

namespace {

constexpr std::string_view kSimulatedText = " (SIMULATED EVIDENCE - not a TEE)";

bool refuses(const Check& check) {
  return check.status == CheckStatus::Failed ||
         (check.status == CheckStatus::NotChecked && check.required);
}

std::string headline(const Verdict& verdict) {
  return std::string(verdict.accepted ? "ACCEPTED" : "REFUSED") +
         std::string(verdict.simulated ? kSimulatedText : "");
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

void explain_platform(const Verdict& verdict, std::string& out) {
  out += fmt::format("platform      {}, FMSPC {}, PPID {}\n", verdict.platform,
                     verdict.platform_id.fmspc, verdict.platform_id.ppid);
  out += fmt::format("TCB status    {}\n",
                     verdict.tcb_status.empty() ? "not evaluated" : verdict.tcb_status);
  if (!verdict.advisories.empty()) {
    out += fmt::format("advisories    {}\n", join(verdict.advisories));
  }
  out += fmt::format("mrtd          {}\n", encode_hex(verdict.measurements.mrtd));
  for (std::size_t i = 0; i < verdict.measurements.rtmr.size(); ++i) {
    out += fmt::format("rtmr{}         {}\n", i, encode_hex(verdict.measurements.rtmr.at(i)));
  }
  out += fmt::format("mrconfigid    {}\n", encode_hex(verdict.measurements.mrconfigid));
}

void explain_check(const Check& check, std::string& out) {
  switch (check.status) {
    case CheckStatus::Passed:
      out += fmt::format("  ok        {}: {}\n", check.name, check.found);
      break;
    case CheckStatus::Failed:
      out += fmt::format("  FAILED    {}: {}; wanted: {}\n", check.name, check.found, check.wanted);
      break;
    case CheckStatus::NotChecked:
      out += fmt::format("  {} {}: not checked{}{}\n", check.required ? "MISSING  " : "-        ",
                         check.name, check.wanted.empty() ? "" : "; wanted: ", check.wanted);
      break;
  }
}

}  // namespace

const Check* Verdict::find(std::string_view name) const {
  for (const Check& check : checks) {
    if (check.name == name) return &check;
  }
  return nullptr;
}

std::string_view to_string(CheckStatus status) {
  switch (status) {
    case CheckStatus::Passed:
      return "passed";
    case CheckStatus::Failed:
      return "failed";
    case CheckStatus::NotChecked:
      return "not_checked";
  }
  return "unknown";
}

std::string_view to_string(Level level) {
  switch (level) {
    case Level::None:
      return "none";
    case Level::Declared:
      return "declared";
    case Level::ImageMeasured:
      return "image_measured";
    case Level::WeightsMeasured:
      return "weights_measured";
  }
  return "unknown";
}

std::string explain(const Verdict& verdict) {
  std::string out = headline(verdict) + "\n";
  out += fmt::format("level         {}\n", to_string(verdict.level));
  if (!verdict.platform.empty()) explain_platform(verdict, out);
  out += fmt::format("node          {}\n", encode_hex(verdict.statement.node));
  out += fmt::format("encryption    {}, expires {}\n", encode_hex(verdict.statement.encryption_key),
                     verdict.statement.encryption_key_expires_at);
  out += fmt::format("model         {}\n", encode_hex(verdict.statement.model_manifest));
  out += "checks\n";
  for (const Check& check : verdict.checks) explain_check(check, out);
  return out;
}

std::string summary(const Verdict& verdict) {
  std::string out = headline(verdict);
  if (!verdict.platform.empty()) out += " " + verdict.platform;
  if (!verdict.tcb_status.empty()) out += " " + verdict.tcb_status;
  if (verdict.accepted) return out + " level " + std::string(to_string(verdict.level));
  // What failed says more than what was therefore never reached.
  std::string failed;
  std::string missing;
  for (const Check& check : verdict.checks) {
    if (!refuses(check)) continue;
    std::string& list = check.status == CheckStatus::Failed ? failed : missing;
    list += (list.empty() ? "" : ", ") + check.name;
  }
  return out + ": " + (failed.empty() ? "not checked: " + missing : failed);
}

}  // namespace nostril::attestation
