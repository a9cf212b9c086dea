#include "relay/subscription_hash.h"

#include "base/bytes.h"

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

}  // namespace

SubscriptionHash::SubscriptionHash(Rng& rng) {
  std::array<std::uint8_t, sizeof secret_> bytes{};
  rng.fill(bytes);
  std::memcpy(secret_.data(), bytes.data(), bytes.size());
  for (auto& word : secret_) word |= 1U;
}

SubscriptionHash::Key SubscriptionHash::hash(Member member, char tag,
                                             std::string_view bytes) const {
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

SubscriptionHash::Key SubscriptionHash::of_id(const EventId& id) const {
  return hash(Member::Id, 0, as_text(id.bytes));
}

SubscriptionHash::Key SubscriptionHash::of_author(const PublicKey& author) const {
  return hash(Member::Author, 0, as_text(author.bytes));
}

SubscriptionHash::Key SubscriptionHash::of_kind(std::uint32_t kind) const {
  return hash(Member::Kind, 0, {reinterpret_cast<const char*>(&kind), sizeof kind});
}

SubscriptionHash::Key SubscriptionHash::of_tag(char name, std::string_view value) const {
  return hash(Member::Tag, name, value);
}

void SubscriptionHash::keys_of(const Event& event, std::vector<Key>& keys) const {
  keys.clear();
  keys.push_back(of_id(event.id));
  keys.push_back(of_author(event.pubkey));
  keys.push_back(of_kind(event.kind));
  for (const Tags::View tag : event.tags) {
    if (tag.size() < 2 || tag.name().size() != 1) continue;
    keys.push_back(of_tag(tag.name()[0], tag[1]));
  }
}

}  // namespace nostril::relay
