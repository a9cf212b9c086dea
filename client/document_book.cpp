#include "client/document_book.h"

#include "attestation/pack.h"
#include "base/hex.h"
#include "events/document.h"
#include "events/kinds.h"
#include "schnorr/hash.h"

#include <utility>
#include <vector>

namespace nostril::client {

DocumentBook::~DocumentBook() {
  if (subscription_ != SubscriptionId::None) pool_.unsubscribe(subscription_);
}

void DocumentBook::want(const std::set<Digest>& documents) {
  std::erase_if(documents_, [&](const auto& entry) {
    if (documents.contains(entry.first)) return false;
    bytes_ -= entry.second.size();
    return true;
  });
  std::set<Digest> missing;
  for (const Digest& digest : documents) {
    if (missing.size() == kAskedMax) break;
    if (!documents_.contains(digest)) missing.insert(digest);
  }
  if (missing == asked_) return;
  asked_ = std::move(missing);
  ask();
}

void DocumentBook::ask() {
  if (subscription_ != SubscriptionId::None) pool_.unsubscribe(subscription_);
  subscription_ = SubscriptionId::None;
  stored_end_ = false;
  if (asked_.empty()) return;
  std::vector<std::string> digests;
  digests.reserve(asked_.size());
  for (const Digest& digest : asked_) digests.push_back(encode_hex(digest));
  Filter filter;
  filter.kinds = {kinds::kDocument};
  filter.tags.push_back({'d', std::move(digests)});
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_event(event.event()); };
  callbacks.on_stored_end = [this](const std::string&) {
    stored_end_ = true;
    if (ended_) ended_();
  };
  subscription_ = pool_.subscribe({std::move(filter)}, std::move(callbacks));
}

void DocumentBook::on_event(const Event& event) {
  const auto document = parse_document(event);
  if (!document || !asked_.contains(document->digest)) return;
  if (documents_.contains(document->digest)) return;
  attestation::PackLimits limits;
  limits.container_bytes_max = attestation::kDocumentBytesMax;
  auto bytes = attestation::unpack_bytes(document->document, limits);
  if (!bytes || sha256(ByteSpan(*bytes)) != document->digest) return;
  if (bytes_ + bytes->size() > kBytesMax) return;
  bytes_ += bytes->size();
  documents_.emplace(document->digest, std::move(*bytes));
  if (came_) came_(document->digest);
}

const Bytes* DocumentBook::find(const Digest& digest) const {
  const auto found = documents_.find(digest);
  return found == documents_.end() ? nullptr : &found->second;
}

}  // namespace nostril::client
