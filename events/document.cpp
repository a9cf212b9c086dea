#include "events/document.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "events/tag_reader.h"

#include <string_view>

namespace nostril {

namespace {

constexpr std::string_view kVersion = "1";

}  // namespace

EventDraft build_document(const DocumentEvent& document) {
  EventDraft draft{.created_at = document.created_at,
                   .kind = kinds::kDocument,
                   .tags = {},
                   .content = document.document};
  draft.tags.add({"d", encode_hex(document.digest)});
  draft.tags.add({"v", kVersion});
  draft.tags.add({"name", document.name});
  draft.tags.add({"expiration", std::to_string(document.expires_at)});
  return draft;
}

Result<DocumentEvent, InferenceError> parse_document(const Event& event) {
  TagReader reader(event, kinds::kDocument);
  reader.version(kVersion);
  DocumentEvent out;
  out.id = event.id;
  out.publisher = event.pubkey;
  out.created_at = event.created_at;
  out.digest = reader.fixed_tag<Digest>("d");
  out.name = reader.name("name", InferenceLimits::kNameBytesMax);
  out.expires_at = reader.time(reader.text("expiration", 20));
  if (event.content.empty() || event.content.size() > InferenceLimits::kEvidenceBytesMax) {
    reader.fail(InferenceError::BadContent);
  }
  out.document = event.content;
  if (reader.error()) return failure(*reader.error());
  return out;
}

}  // namespace nostril
