// A node that lies: the shipped program, relinked so that what it signs passes through here first
// (the linker's --wrap, tests/CMakeLists.txt). $NOSTRIL_LIE says which lie:
//   price          each record charges 1000 more than usage and price come to
//   cost           each record's cost is not what its sum grew by
//   rollback       each record is the first of its channel
//   two-answers    the same request id is answered anew
//   weights        the offer names other weights than the attestation
//   tee            the offer claims a machine that the evidence does not show
//   quote          a bit of the quote is another
#include "attestation/pack.h"
#include "events/inference.h"
#include "node/answer_store.h"

#include <cstdlib>
#include <string_view>

namespace nostril {

namespace {

bool lies(std::string_view which) {
  const char* lie = std::getenv("NOSTRIL_LIE");
  return lie != nullptr && which == lie;
}

Amount more(Amount amount, std::uint64_t by) {
  return *Amount::from(amount.value() + by);
}

}  // namespace

EventDraft true_record(const ResponseRecord& record) __asm__(
    "__real__ZN7nostril12build_recordERKNS_14ResponseRecordE");
EventDraft told_record(const ResponseRecord& record) __asm__(
    "__wrap__ZN7nostril12build_recordERKNS_14ResponseRecordE");
EventDraft true_offer(const Offer& offer) __asm__("__real__ZN7nostril11build_offerERKNS_5OfferE");
EventDraft told_offer(const Offer& offer) __asm__("__wrap__ZN7nostril11build_offerERKNS_5OfferE");
EventDraft true_attestation(const AttestationEvent& event) __asm__(
    "__real__ZN7nostril17build_attestationERKNS_16AttestationEventE");
EventDraft told_attestation(const AttestationEvent& event) __asm__(
    "__wrap__ZN7nostril17build_attestationERKNS_16AttestationEventE");

EventDraft told_record(const ResponseRecord& record) {
  ResponseRecord told = record;
  if (lies("price")) {
    told.cost = more(told.cost, 1000);
    told.spent = more(told.spent, 1000);
  } else if (lies("cost")) {
    told.cost = Amount{};
  } else if (lies("rollback")) {
    told.n = 1;
    told.previous.reset();
    told.spent = told.cost;
  }
  return true_record(told);
}

EventDraft told_offer(const Offer& offer) {
  Offer told = offer;
  if (lies("weights") && told.weights) told.weights->bytes[0] ^= 1;
  if (lies("tee")) told.tee = "tdx";
  return true_offer(told);
}

EventDraft told_attestation(const AttestationEvent& event) {
  AttestationEvent told = event;
  if (auto evidence = attestation::unpack_evidence(told.evidence); lies("quote") && evidence) {
    evidence->cpu_quote.at(200) ^= 1;
    told.evidence = attestation::pack_evidence(*evidence);
  }
  return true_attestation(told);
}

namespace node {

/// The member function, as the compiler calls it: the object first.
FoundAnswer true_find(const AnswerStore* store, const RequestId& id, ByteSpan body) __asm__(
    "__real__ZNK7nostril4node11AnswerStore4findERKNS_10FixedBytesINS_12RequestIdTagELm16EEESt4spanI"
    "KhLm18446744073709551615EE");
FoundAnswer told_find(const AnswerStore* store, const RequestId& id, ByteSpan body) __asm__(
    "__wrap__ZNK7nostril4node11AnswerStore4findERKNS_10FixedBytesINS_12RequestIdTagELm16EEESt4spanI"
    "KhLm18446744073709551615EE");

FoundAnswer told_find(const AnswerStore* store, const RequestId& id, ByteSpan body) {
  if (lies("two-answers")) return AnswerKept::Why::Unknown;
  return true_find(store, id, body);
}

}  // namespace node

}  // namespace nostril
