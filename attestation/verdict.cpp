#include "attestation/verdict.h"

#include "base/hex.h"
#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::string_view kSimulatedText = " (SIMULATED EVIDENCE - not a TEE)";

std::string headline(const Verdict& verdict) {
  return std::string(verdict.accepted ? "ACCEPTED" : "REFUSED") +
         std::string(verdict.simulated ? kSimulatedText : "");
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::string to_text(const Claim::Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* words = std::get_if<std::vector<std::string>>(&value)) return join(*words);
  return std::get<std::string>(value);
}

void explain_check(const Check& check, std::string& out) {
  switch (check.status) {
    case CheckStatus::Passed:
      out += fmt::format("  ok        {}: {}; wanted: {}", check.name, check.found, check.wanted);
      break;
    case CheckStatus::Failed:
      out += fmt::format("  FAILED    {}: {}; wanted: {}", check.name, check.found, check.wanted);
      break;
    case CheckStatus::Excepted:
      out += fmt::format("  EXCEPTED  {}: {}; wanted: {}", check.name, check.found, check.wanted);
      break;
    case CheckStatus::NotChecked:
      out += fmt::format("  {} {}: not checked{}{}", check.required ? "MISSING  " : "-        ",
                         check.name, check.wanted.empty() ? "" : "; wanted: ", check.wanted);
      break;
  }
  if (!check.note.empty()) out += fmt::format("; {}", check.note);
  out += check.source.empty() ? "\n" : fmt::format("  [{}]\n", check.source);
}

void explain_statement(const Statement& statement, std::string& out) {
  out += fmt::format("node          {}\n", encode_hex(statement.node));
  out += fmt::format("encryption    {}, expires {}\n", encode_hex(statement.encryption_key),
                     statement.encryption_key_expires_at);
  out += fmt::format("model         {}\n", encode_hex(statement.model_manifest));
}

/// Intel's word counts only where nothing but the word itself refuses.
std::string status_of(const Verdict& verdict) {
  const bool sound =
      std::none_of(verdict.checks.begin(), verdict.checks.end(),
                   [](const Check& check) { return refuses(check) && check.name != "tcb"; });
  if (sound && !verdict.tcb_status.empty()) return verdict.tcb_status;
  return verdict.accepted ? "Verified" : "Refused";
}

/// The refusing checks of one status.
void write_refusals(JsonWriter& json, const std::vector<Check>& checks, CheckStatus status) {
  for (const Check& check : checks) {
    if (!refuses(check) || check.status != status) continue;
    const bool missing = status == CheckStatus::NotChecked;
    json.begin_object().key("check").string(check.name);
    json.key("found").string(missing ? "not checked" : check.found);
    json.key("wanted").string(check.wanted).end_object();
  }
}

/// What failed and is taken all the same.
void write_exceptions(JsonWriter& json, const std::vector<Check>& checks) {
  json.begin_array();
  for (const Check& check : checks) {
    if (check.status != CheckStatus::Excepted) continue;
    json.begin_object().key("check").string(check.name).key("found").string(check.found);
    json.key("wanted").string(check.wanted).key("note").string(check.note).end_object();
  }
  json.end_array();
}

void write_value(JsonWriter& json, const Claim::Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    json.integer(*number);
  } else if (const auto* words = std::get_if<std::vector<std::string>>(&value)) {
    json.begin_array();
    for (const std::string& word : *words) json.string(word);
    json.end_array();
  } else {
    json.string(std::get<std::string>(value));
  }
}

void write_claims(JsonWriter& json, const std::vector<Claim>& claims) {
  json.begin_object();
  std::string_view open_group;
  for (const Claim& claim : claims) {
    const std::string_view name = claim.name;
    const std::size_t dot = name.find('.');
    const std::string_view group = dot == std::string_view::npos ? "" : name.substr(0, dot);
    if (group != open_group) {
      if (!open_group.empty()) json.end_object();
      if (!group.empty()) json.key(group).begin_object();
      open_group = group;
    }
    write_value(json.key(group.empty() ? name : name.substr(dot + 1)), claim.value);
  }
  if (!open_group.empty()) json.end_object();
  json.end_object();
}

}  // namespace

bool refuses(const Check& check) {
  return check.status == CheckStatus::Failed ||
         (check.status == CheckStatus::NotChecked && check.required);
}

const Claim* Verdict::claim(std::string_view name) const {
  for (const Claim& claim : claims) {
    if (claim.name == name) return &claim;
  }
  return nullptr;
}

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
    case CheckStatus::Excepted:
      return "excepted";
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
      return "image";
    case Level::WeightsMeasured:
      return "weights";
    case Level::Auditable:
      return "auditable";
  }
  return "unknown";
}

std::string explain(const Verdict& verdict) {
  std::string out = headline(verdict) + "\n";
  out += fmt::format("level         {}\n", to_string(verdict.level));
  for (const Claim& claim : verdict.claims) {
    out += fmt::format("{:<13} {}  [{}]\n", claim.name, to_text(claim.value), claim.source);
  }
  if (verdict.statement) explain_statement(*verdict.statement, out);
  out += "checks\n";
  for (const Check& check : verdict.checks) explain_check(check, out);
  return out;
}

std::string to_json(const Verdict& verdict) {
  JsonWriter json;
  json.begin_object().key("ok").boolean(verdict.accepted);
  json.key("status").string(status_of(verdict)).key("simulated").boolean(verdict.simulated);
  json.key("failed").begin_array();
  // What failed says more than what was therefore never reached.
  write_refusals(json, verdict.checks, CheckStatus::Failed);
  write_refusals(json, verdict.checks, CheckStatus::NotChecked);
  json.end_array();
  write_exceptions(json.key("excepted"), verdict.checks);
  write_claims(json.key("claims"), verdict.claims);
  json.end_object();
  return std::move(json).take();
}

std::string summary(const Verdict& verdict) {
  std::string out = headline(verdict);
  if (!verdict.platform.empty()) out += " " + verdict.platform;
  if (!verdict.tcb_status.empty()) out += " " + verdict.tcb_status;
  if (verdict.accepted) {
    out += " level " + std::string(to_string(verdict.level));
    for (const Check& check : verdict.checks) {
      if (check.status == CheckStatus::Excepted) out += " EXCEPTED " + check.name;
    }
    return out;
  }
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
