#include "relay/subscription_index.h"

#include "base/bytes.h"
#include "base/check.h"

#include <algorithm>
#include <cstring>

namespace nostril::relay {

namespace {

__extension__ using Wide = unsigned __int128;

// Both halves of the product: without the secret nobody can say which inputs meet (wyhash's mix).
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Wide product = Wide{a} * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

template <typename Entries, typename Subscription>
void erase_one(Entries& entries, const Subscription* subscription) {
  const auto found = std::ranges::find_if(
      entries, [&](const auto& entry) { return entry.subscription == subscription; });
  CHECK(found != entries.end());
  *found = entries.back();
  entries.pop_back();
}

}  // namespace

SubscriptionIndex::SubscriptionIndex(Rng& rng) {
  std::array<std::uint8_t, sizeof secret_> bytes{};
  rng.fill(bytes);
  std::memcpy(secret_.data(), bytes.data(), bytes.size());
  for (auto& word : secret_) word |= 1U;
}

std::uint64_t SubscriptionIndex::hash(Member member, char tag, std::string_view bytes) const {
  std::uint64_t state = fold(
      secret_[0] ^ (static_cast<std::uint64_t>(member) << 8U | static_cast<unsigned char>(tag)),
      secret_[1] ^ bytes.size());
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t count = std::min<std::size_t>(bytes.size(), 8);
    std::memcpy(&word, bytes.data(), count);
    state = fold(state ^ word ^ secret_[1], secret_[2] ^ state);
    bytes.remove_prefix(count);
  }
  return fold(state ^ secret_[0], secret_[2]);
}

std::uint64_t SubscriptionIndex::hash_kind(std::uint32_t kind) const {
  return hash(Member::Kind, 0, {reinterpret_cast<const char*>(&kind), sizeof kind});
}

template <typename File>
bool SubscriptionIndex::for_each_key(const Filter& filter, File file) const {
  std::size_t fewest = SIZE_MAX;
  if (filter.ids) fewest = std::min(fewest, filter.ids->size());
  if (filter.authors) fewest = std::min(fewest, filter.authors->size());
  for (const auto& tag : filter.tags) fewest = std::min(fewest, tag.values.size());
  // A kind is shared by many events: only when nothing else is there.
  if (filter.ids && filter.ids->size() == fewest) {
    for (const auto& id : *filter.ids) file(hash(Member::Id, 0, as_text(id.bytes)));
    return true;
  }
  for (const auto& tag : filter.tags) {
    if (tag.values.size() != fewest) continue;
    for (const auto& value : tag.values) file(hash(Member::Tag, tag.name, value));
    return true;
  }
  if (filter.authors) {
    for (const auto& author : *filter.authors) file(hash(Member::Author, 0, as_text(author.bytes)));
    return true;
  }
  if (filter.kinds) {
    for (const std::uint32_t kind : *filter.kinds) file(hash_kind(kind));
    return true;
  }
  return false;
}

void SubscriptionIndex::add(IndexedSubscription& subscription) {
  for (const Filter& filter : subscription.filters) {
    if (filter.matches_nothing()) continue;
    const Entry entry{&subscription, &filter};
    const bool is_filed =
        for_each_key(filter, [&](std::uint64_t key) { filed_[key].push_back(entry); });
    if (!is_filed) always_.push_back(entry);
  }
  ++subscriptions_;
}

void SubscriptionIndex::remove(IndexedSubscription& subscription) {
  for (const Filter& filter : subscription.filters) {
    if (filter.matches_nothing()) continue;
    const bool is_filed = for_each_key(filter, [&](std::uint64_t key) {
      const auto found = filed_.find(key);
      CHECK(found != filed_.end());
      erase_one(found->second, &subscription);
      if (found->second.empty()) filed_.erase(found);
    });
    if (!is_filed) erase_one(always_, &subscription);
  }
  --subscriptions_;
}

void SubscriptionIndex::gather(std::uint64_t key) {
  const auto found = filed_.find(key);
  if (found != filed_.end()) found_.push_back(&found->second);
}

void SubscriptionIndex::gather(const Event& event) {
  found_.clear();
  if (!always_.empty()) found_.push_back(&always_);
  if (filed_.empty()) return;
  gather(hash(Member::Id, 0, as_text(event.id.bytes)));
  gather(hash(Member::Author, 0, as_text(event.pubkey.bytes)));
  gather(hash_kind(event.kind));
  for (const Tags::View tag : event.tags) {
    if (tag.size() < 2 || tag.name().size() != 1) continue;
    gather(hash(Member::Tag, tag.name()[0], tag[1]));
  }
}

}  // namespace nostril::relay
