#include "client/verdict_json.h"

#include "client/verdict_html.h"

#include <algorithm>

namespace nostril::client {

namespace {

constexpr std::int64_t kIntegerMax = (std::int64_t{1} << 53) - 1;  // what JavaScript holds exactly

std::string_view status_text(attestation::CheckStatus status) {
  switch (status) {
    case attestation::CheckStatus::Passed:
      return "passed";
    case attestation::CheckStatus::Failed:
      return "failed";
    case attestation::CheckStatus::Excepted:
      return "excepted";
    case attestation::CheckStatus::NotChecked:
      break;
  }
  return "not checked";
}

}  // namespace

void write_verdict(JsonWriter& w, const attestation::Verdict& verdict) {
  w.begin_object();
  w.key("accepted").boolean(verdict.accepted).key("simulated").boolean(verdict.simulated);
  w.key("level").string(to_string(verdict.level)).key("platform").string(verdict.platform);
  w.key("tcb_status").string(verdict.tcb_status);
  w.key("holds_until").integer(std::min(verdict.holds_until, kIntegerMax));
  w.key("summary").string(attestation::summary(verdict));
  w.key("checks").begin_array();
  for (const attestation::Check& check : verdict.checks) {
    w.begin_object().key("name").string(check.name);
    w.key("status").string(status_text(check.status));
    w.key("required").boolean(check.required).key("refuses").boolean(attestation::refuses(check));
    w.key("found").string(check.found).key("wanted").string(check.wanted);
    w.key("source").string(check.source).key("note").string(check.note).end_object();
  }
  w.end_array().key("claims").begin_array();
  for (const attestation::Claim& claim : verdict.claims) {
    w.begin_object().key("name").string(claim.name);
    w.key("value").string(claim_text(claim.value)).key("source").string(claim.source).end_object();
  }
  w.end_array().end_object();
}

}  // namespace nostril::client
