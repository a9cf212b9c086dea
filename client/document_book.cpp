#include "client/document_book.h"

#include "attestation/pack.h"
#include "base/hex.h"
#include "base/rng.h"
#include "events/document.h"
#include "events/kinds.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace nostril::client {

namespace {

/// Where an author stands who does not know the salt.
Digest place_of(const PublicKey& author, const Digest& salt) {
  Bytes bytes(salt.bytes.begin(), salt.bytes.end());
  bytes.insert(bytes.end(), author.bytes.begin(), author.bytes.end());
  return sha256(ByteSpan(bytes));
}

}  // namespace

std::set<Digest> fair_choice(const NamedBy& named, const std::function<bool(const Digest&)>& skip,
                             std::size_t most, const Digest& salt) {
  struct Line {
    Digest place;
    std::set<Digest>::const_iterator next;
    std::set<Digest>::const_iterator end;
  };

  std::vector<Line> lines;
  lines.reserve(named.size());
  for (const auto& [author, documents] : named) {
    if (documents.empty()) continue;
    lines.push_back({place_of(author, salt), documents.begin(), documents.end()});
  }
  std::ranges::sort(lines, {}, &Line::place);
  std::set<Digest> chosen;
  while (!lines.empty() && chosen.size() < most) {
    for (Line& line : lines) {
      const Digest& digest = *line.next++;
      if (!skip(digest)) chosen.insert(digest);
      if (chosen.size() == most) break;
    }
    std::erase_if(lines, [](const Line& line) { return line.next == line.end; });
  }
  return chosen;
}

DocumentBook::DocumentBook(RelayPool& pool, Clock& clock) : pool_(pool), clock_(clock) {
  SystemRng().fill(salt_.bytes);
}

DocumentBook::~DocumentBook() {
  if (subscription_ != SubscriptionId::None) pool_.unsubscribe(subscription_);
}

void DocumentBook::want(NamedBy named) {
  named_ = std::move(named);
  wanted_.clear();
  for (const auto& [author, documents] : named_) wanted_.insert(documents.begin(), documents.end());
  std::erase_if(documents_, [&](const auto& entry) {
    if (wanted_.contains(entry.first)) return false;
    bytes_ -= entry.second.size();
    return true;
  });
  std::set<Digest> missing;
  std::ranges::copy_if(wanted_, std::inserter(missing, missing.end()),
                       [this](const Digest& digest) { return !documents_.contains(digest); });
  if (missing.size() <= kAskedMax) {
    asked_before_.clear();
    last_of_round_ = true;
    if (missing != asked_) ask(std::move(missing));
  } else if (asked_.empty() || answered()) {
    ask_next();
  } else {
    last_of_round_ = false;  // its answer is on its way
  }
}

/// The next of a round, or the first of the next one.
void DocumentBook::ask_next() {
  asked_before_.insert(asked_.begin(), asked_.end());
  const auto here = [this](const Digest& digest) { return documents_.contains(digest); };
  const auto skip = [&](const Digest& digest) {
    return here(digest) || asked_before_.contains(digest);
  };
  std::set<Digest> next = fair_choice(named_, skip, kAskedMax, salt_);
  if (next.empty()) {
    asked_before_.clear();
    next = fair_choice(named_, here, kAskedMax, salt_);
  }
  const auto is_left = [&](const Digest& digest) {
    return !skip(digest) && !next.contains(digest);
  };
  last_of_round_ = std::ranges::none_of(wanted_, is_left);
  ask(std::move(next));
}

void DocumentBook::ask(std::set<Digest> documents) {
  asked_ = std::move(documents);
  asked_at_ms_ = clock_.monotonic_ms();
  ended_relays_.clear();
  if (subscription_ != SubscriptionId::None) pool_.unsubscribe(subscription_);
  subscription_ = SubscriptionId::None;
  if (asked_.empty()) return;
  std::vector<std::string> digests;
  digests.reserve(asked_.size());
  for (const Digest& digest : asked_) digests.push_back(encode_hex(digest));
  Filter filter;
  filter.kinds = {kinds::kDocument};
  filter.tags.push_back({'d', std::move(digests)});
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_event(event.event()); };
  callbacks.on_stored_end = [this](const std::string& relay) { on_stored_end_of(relay); };
  subscription_ = pool_.subscribe({std::move(filter)}, std::move(callbacks));
}

bool DocumentBook::answered() const {
  if (ended_relays_.empty()) return false;
  return ended_relays_.size() >= pool_.connected_count() ||
         clock_.monotonic_ms() - asked_at_ms_ >= kAnswerMsMax;
}

void DocumentBook::on_stored_end_of(const std::string& relay) {
  ended_relays_.insert(relay);
  // A round ends with its last question, which stays open for what comes later.
  if (!last_of_round_ && answered()) ask_next();
  if (ended_) ended_();
}

void DocumentBook::on_event(const Event& event) {
  const auto document = parse_document(event);
  if (!document || !wanted_.contains(document->digest)) return;
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
