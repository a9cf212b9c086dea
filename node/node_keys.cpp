#include "node/node_keys.h"

#include "client/key_file.h"

namespace nostril::node {

Result<Keypair, std::string> load_or_make_identity(const std::filesystem::path& file, Rng& rng) {
  if (std::filesystem::exists(file)) return client::read_key_file(file);
  Keypair made = Keypair::generate(rng);
  if (auto written = client::write_key_file(file, made); !written) return failure(written.error());
  return made;
}

bool EncryptionKeys::rotate(std::int64_t now_s) {
  // A key that would live longer than one made now was made before the clock was set back.
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.expires_at <= now_s || entry.expires_at > now_s + life_s_;
  });
  if (!entries_.empty() && entries_.back().expires_at - now_s > life_s_ / 2) return false;
  entries_.push_back(Entry{Keypair::generate(rng_), now_s + life_s_});
  return true;
}

const Keypair* EncryptionKeys::find(const PublicKey& recipient, std::int64_t now_s) const {
  for (const Entry& entry : entries_) {
    if (entry.key.public_key() == recipient && entry.expires_at > now_s) return &entry.key;
  }
  return nullptr;
}

std::vector<PublicKey> EncryptionKeys::public_keys() const {
  std::vector<PublicKey> out;
  for (const Entry& entry : entries_) out.push_back(entry.key.public_key());
  return out;
}

}  // namespace nostril::node
