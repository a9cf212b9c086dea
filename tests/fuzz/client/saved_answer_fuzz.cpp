// Answers that were kept and are judged offline: `nostril verify --answer`. Whatever the file
// holds, it is read or refused; what is read is written and read as the same, and the examiner
// gives findings or a sentence.
#include "client/saved_answer.h"

#include "base/bytes.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>
#include <stdexcept>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::client;
  const auto answer = parse_saved_answer(nostril::as_text({data, size}));
  if (!answer) {
    CHECK(!answer.error().empty());
    return 0;
  }
  // Not every text of JSON can be one of an event.
  if (const auto text = to_json(*answer)) {
    const auto second = parse_saved_answer(*text);
    CHECK(second && second->record == answer->record && second->receipt == answer->receipt);
    CHECK(second->request == answer->request && second->response == answer->response);
    CHECK(second->offer == answer->offer && second->attestation == answer->attestation);
  }
  constexpr std::int64_t kNow = 1'800'000'000;
  const auto report = check_answer(*answer, ClientSettings{}, kNow);
  if (!report) {
    CHECK(!report.error().empty());
    return 0;
  }
  CHECK(!report->findings.empty());
  bool good = true;
  for (const AnswerFinding& one : report->findings) good = good && one.good;
  CHECK(report->good == good);
  return 0;
}
