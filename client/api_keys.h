#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/types.h"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::client {

/// What one key may spend; 0: no limit. Days are UTC's. Amounts: base units of the offers' asset.
struct ApiBudget {
  std::uint64_t tokens_per_day = 0;
  std::uint64_t tokens = 0;
  std::uint64_t amount_per_day = 0;
  std::uint64_t amount = 0;

  bool operator==(const ApiBudget&) const = default;
};

/// One who may use the gateway, or a node's HTTPS face: by an API key, of which only the hash is
/// known here, or by requests that a Nostr key signs (node/nip98.h; not at the gateway). Exactly
/// one of both is set.
struct ApiKey {
  std::string name;  ///< 1 to 64 of [A-Za-z0-9._-]; unique
  std::optional<Digest> sha256;
  std::optional<PublicKey> pubkey;
  ApiBudget budget;

  /// What its use and its exchanges are booked under: of the key, not of the name.
  [[nodiscard]] Digest caller_id() const;
};

/// The caller of a Nostr key, listed or not.
[[nodiscard]] Digest caller_id(const PublicKey& pubkey);

inline constexpr std::size_t kApiKeysMax = 4096;  ///< each request is compared with all
inline constexpr std::size_t kApiKeyBytesMax = 256;

/// A new key: "nk-" and 32 random bytes as hex. To be shown once, and kept as api_key_hash().
[[nodiscard]] std::string make_api_key(Rng& rng);
/// SHA-256: a key of 32 random bytes can't be guessed from it.
[[nodiscard]] Digest api_key_hash(std::string_view key);

/// Who has that key. All entries are compared, each in constant time: how long it takes says
/// nothing of a hash. `key` beyond kApiKeyBytesMax is nobody's.
[[nodiscard]] const ApiKey* find_api_key(std::span<const ApiKey> keys, std::string_view key);
[[nodiscard]] const ApiKey* find_pubkey(std::span<const ApiKey> keys, const PublicKey& pubkey);

/// What a file of these would be refused for.
[[nodiscard]] std::optional<std::string> problem_of(std::span<const ApiKey> keys);

/// A TOML file with one `[[key]]` for each: name, sha256 or npub, and the four limits. No file: no
/// keys. The error is one line for the operator.
[[nodiscard]] Result<std::vector<ApiKey>, std::string> read_api_keys(
    const std::filesystem::path& file);
/// Mode 0600, on the disk and in place at once, or not at all. Refuses while another process writes
/// it.
[[nodiscard]] Result<void, std::string> write_api_keys(const std::filesystem::path& file,
                                                       std::span<const ApiKey> keys);

/// The keys of a file that others change. Threads: one.
class ApiKeyFile {
 public:
  explicit ApiKeyFile(std::filesystem::path file) : file_(std::move(file)) {}

  /// Reads the file when it was changed since; looks once a second at most. What does not read
  /// leaves the old keys in force, and is logged. False: that.
  bool refresh(std::int64_t monotonic_ms);

  /// Another file from the next refresh() on, which looks at once.
  void move_to(std::filesystem::path file) {
    file_ = std::move(file);
    read_.reset();
    looked_at_ms_.reset();
  }

  [[nodiscard]] std::span<const ApiKey> keys() const { return keys_; }

 private:
  struct Version {
    ino_t inode = 0;
    off_t bytes = 0;
    std::int64_t modified_ns = 0;

    bool operator==(const Version&) const = default;
  };

  [[nodiscard]] std::optional<Version> version() const;

  std::filesystem::path file_;
  std::vector<ApiKey> keys_;
  std::optional<Version> read_;
  std::optional<std::int64_t> looked_at_ms_;
};

}  // namespace nostril::client
