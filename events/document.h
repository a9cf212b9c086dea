#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/inference.h"
#include "schnorr/types.h"

#include <cstdint>
#include <string>

/// Kind 31474: a vendor's document that attestations name (attestation/vendor_documents.h), by its
/// digest. Page: spec/04-attestation.md. The content is opaque text here. Who signs it says nothing
/// of it. parse trusts neither id nor signature: give it the event of a VerifiedEvent. Threads:
/// pure functions, any.
namespace nostril {

struct DocumentEvent {
  EventId id;
  PublicKey publisher;
  std::int64_t created_at = 0;

  Digest digest;     ///< d: SHA-256 of the document
  std::string name;  ///< for people, to 64 bytes: "NV_GPU_DRIVER_GH100_550.90.07"
  std::int64_t expires_at = 0;
  std::string document;  ///< content: the bytes as attestation/pack.h packs them

  bool operator==(const DocumentEvent&) const = default;
};

[[nodiscard]] EventDraft build_document(const DocumentEvent& document);
[[nodiscard]] Result<DocumentEvent, InferenceError> parse_document(const Event& event);

}  // namespace nostril
