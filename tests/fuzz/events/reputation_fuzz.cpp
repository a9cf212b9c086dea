#include "events/reputation.h"

#include "base/bytes.h"
#include "base/check.h"
#include "events/kinds.h"
#include "tests/fuzz/events/tag_lines.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Input: one byte for the kind, the content in one line, and tags as lines (tag_lines.h). What
/// parses is written again and read as the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace kinds = nostril::kinds;
  if (size == 0) return 0;
  constexpr std::uint32_t kKinds[] = {kinds::kLabel, kinds::kReport, kinds::kTrustedAssertion,
                                      kinds::kFollows, kinds::kTrustedProviders};
  nostril::Event event;
  event.kind = kKinds[data[0] % 5];
  event.created_at = 1'800'000'000;
  std::string_view rest = nostril::as_text({data + 1, size - 1});
  const std::string_view content = rest.substr(0, rest.find('\n'));
  event.content = content;
  rest.remove_prefix(std::min(content.size() + 1, rest.size()));
  event.tags = nostril::fuzz::read_tags(rest);
  static_cast<void>(nostril::claims_fraud(event));
  static_cast<void>(nostril::parse_assertion(event));
  CHECK(nostril::parse_follows(event, 4).size() <= 4);
  CHECK(nostril::parse_providers(event, 4).size() <= 4);
  if (const auto part = nostril::parse_fraud_part(event)) {
    CHECK(nostril::is_fraud_part(event) && part->number >= 1 && part->number <= part->count);
    CHECK(!nostril::join_fraud_parts({&*part, 1}));
  }
  if (const auto opinion = nostril::parse_opinion(event)) {
    const nostril::EventDraft draft = nostril::build_opinion(*opinion);
    nostril::Event again = event;
    again.tags = draft.tags;
    again.content = draft.content;
    const auto second = nostril::parse_opinion(again);
    CHECK(second && second->node == opinion->node && second->flag == opinion->flag);
    CHECK(second->record.id == opinion->record.id && second->note == opinion->note);
  }
  if (const auto proof = nostril::parse_fraud_proof(event)) {
    const auto drafts = nostril::build_fraud_proof(*proof, event.created_at);
    if (drafts.size() != 1) return 0;
    nostril::Event again = event;
    again.tags = drafts.front().tags;
    again.content = drafts.front().content;
    const auto second = nostril::parse_fraud_proof(again);
    CHECK(second && second->kind == proof->kind && second->events.size() == proof->events.size());
  }
  return 0;
}
