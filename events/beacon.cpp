#include "events/beacon.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "events/tag_reader.h"

#include <string>

namespace nostril {

namespace {

constexpr std::string_view kVersion = "1";

}  // namespace

EventDraft build_beacon(std::int64_t created_at, const Digest& random) {
  EventDraft draft{.created_at = created_at, .kind = kinds::kBeacon, .tags = {}, .content = ""};
  draft.tags.add({"v", kVersion});
  draft.tags.add({"random", encode_hex(random)});
  draft.tags.add({"expiration", std::to_string(created_at + kBeaconLifeS)});
  return draft;
}

Result<Beacon, InferenceError> parse_beacon(const Event& event) {
  TagReader reader(event, kinds::kBeacon);
  reader.version(kVersion);
  Beacon out;
  out.id = event.id;
  out.witness = event.pubkey;
  out.created_at = event.created_at;
  out.random = reader.fixed_tag<Digest>("random");
  const std::int64_t ends_at = reader.time(reader.text("expiration", 20));
  if (ends_at < out.created_at) reader.fail(InferenceError::BadTag);
  if (!event.content.empty()) reader.fail(InferenceError::BadContent);
  if (reader.error()) return failure(*reader.error());
  return out;
}

}  // namespace nostril
