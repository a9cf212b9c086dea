#include "attestation/event_log.h"

#include "attestation/app_identity.h"
#include "attestation/dstack_container.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>

namespace {

using namespace nostril::attestation;  // NOLINT(google-build-using-namespace)

void judge(const EventLog& log, std::string_view text) {
  const AppPolicy policy;
  const AppRules rules{policy, false, true};
  Verdict verdict;
  Checklist checks(verdict.checks);
  list_app_checks(checks, rules);
  const AppRegisters registers{replay(log), {}, {}};
  examine_app({log, text, text}, registers, rules, verdict);
  // A log replays to the registers that it replays to; nothing else passes by itself.
  CHECK(checks.passed("event_replay"));
  const auto again = parse_event_log(to_json(log));
  CHECK(again && replay(*again) == replay(log));
}

}  // namespace

// The input as a log, as a container and as a compose text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const nostril::ByteSpan bytes(data, size);
  const std::string_view text = nostril::as_text(bytes);
  if (const auto log = parse_event_log(text)) judge(*log, text);
  if (const auto container = parse_dstack_container(bytes)) {
    if (container->log) judge(*container->log, container->mr_config);
  }
  images_of(text);
  read_mr_config(text);
  return 0;
}
