#include "events/record_check.h"

#include <algorithm>
#include <utility>

namespace nostril {

namespace {

bool belongs(const ResponseRecord& record, const ExpectedRecord& expected) {
  const auto made_under = [&record](const Offer& offer) {
    return record.node == offer.node && record.offer == offer.id &&
           record.attestation == offer.attestation && record.model == offer.model &&
           record.weights == offer.weights;
  };
  return (made_under(expected.offer) || std::ranges::any_of(expected.earlier, made_under)) &&
         record.request == expected.request && record.request_hash == expected.request_hash &&
         record.response_hash == expected.response_hash &&
         (record.status == RecordStatus::Partial) == expected.partial;
}

}  // namespace

std::optional<CheckedRecord> check_record(const Event& event, const ExpectedRecord& expected,
                                          Verifier& verifier) {
  auto checked = check_id(event);
  if (!checked) return std::nullopt;
  auto verified = VerifiedEvent::verify(*std::move(checked), verifier);
  if (!verified) return std::nullopt;
  auto record = parse_record(verified->event());
  if (!record || !belongs(*record, expected)) return std::nullopt;
  return CheckedRecord{*std::move(record), *std::move(verified)};
}

}  // namespace nostril
