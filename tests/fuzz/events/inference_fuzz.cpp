#include "events/inference.h"

#include "base/bytes.h"
#include "base/check.h"
#include "events/document.h"
#include "events/kinds.h"
#include "tests/fuzz/events/tag_lines.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

template <typename Parse, typename Build>
void round_trip(const nostril::Event& event, Parse parse, Build build) {
  const auto parsed = parse(event);
  if (!parsed) return;
  nostril::EventDraft draft = build(*parsed);  // CHECKs that it can be read
  nostril::Event again = event;
  again.tags = draft.tags;
  again.content = draft.content;
  const auto second = parse(again);
  CHECK(second && *second == *parsed);
}

}  // namespace

/// Input: one byte for the kind, then the content's size in one byte, the content, and tags as
/// lines of elements parted by tabs.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace kinds = nostril::kinds;
  if (size < 2) return 0;
  constexpr std::uint32_t kKinds[] = {kinds::kOffer,        kinds::kAttestation, kinds::kRecord,
                                      kinds::kModelRequest, kinds::kOfferReply,  kinds::kReceipt,
                                      kinds::kDocument};
  nostril::Event event;
  event.kind = kKinds[data[0] % 7];
  event.created_at = 1'800'000'000;
  std::string_view rest = nostril::as_text({data + 2, size - 2});
  event.content = rest.substr(0, data[1]);
  rest.remove_prefix(event.content.size());
  event.tags = nostril::fuzz::read_tags(rest);
  round_trip(event, nostril::parse_offer, nostril::build_offer);
  round_trip(event, nostril::parse_attestation, nostril::build_attestation);
  round_trip(event, nostril::parse_record, nostril::build_record);
  round_trip(event, nostril::parse_model_request, nostril::build_model_request);
  round_trip(event, nostril::parse_offer_reply, nostril::build_offer_reply);
  round_trip(event, nostril::parse_receipt, nostril::build_receipt);
  round_trip(event, nostril::parse_document, nostril::build_document);
  return 0;
}
