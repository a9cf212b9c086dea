#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/keys.h"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

namespace nostril::node {

/// The node's identity from `file`, made on first use with mode 0600. Inside a TEE the file lies on
/// the guest's encrypted disk. The error is one line for the operator.
[[nodiscard]] Result<Keypair, std::string> load_or_make_identity(const std::filesystem::path& file,
                                                                 Rng& rng);

/// The encryption keys N: in memory only, each erased when it expires. A new one at half of its
/// life, so that two overlap and an offer that was just read still works. Threads: one.
class EncryptionKeys {
 public:
  struct Entry {
    Keypair key;
    std::int64_t expires_at;  ///< Unix seconds
  };

  EncryptionKeys(std::int64_t life_s, Rng& rng) : life_s_(life_s), rng_(rng) {}

  /// Erases what has expired; makes a new key when the newest is past half of its life. True when
  /// there is a new one: publish it.
  bool rotate(std::int64_t now_s);

  [[nodiscard]] const Entry& newest() const { return entries_.back(); }

  /// The unexpired key that `recipient` names, or nullptr.
  [[nodiscard]] const Keypair* find(const PublicKey& recipient, std::int64_t now_s) const;
  [[nodiscard]] std::vector<PublicKey> public_keys() const;

 private:
  std::int64_t life_s_;
  Rng& rng_;
  std::deque<Entry> entries_;  // oldest first
};

}  // namespace nostril::node
