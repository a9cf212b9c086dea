#pragma once

#include "schnorr/hash.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Weights on a dm-verity device: the kernel checks every block that is read against one root hash,
/// so that root says what the weights are, without a file of them being hashed by anybody. In the
/// place of a model manifest (model_manifest.h). Pure functions; safe from any thread. The page is
/// spec/04-attestation.md.
namespace nostril::attestation {

inline constexpr std::size_t kVeritySaltBytesMax = 256;  // as the kernel
inline constexpr std::size_t kVerityTextBytesMax = 1024;

/// All that a root hash must stand beside to say the device's bytes: hash type 1, SHA-256.
struct VerityDevice {
  Digest root;
  std::vector<std::uint8_t> salt;
  /// Powers of two from 512 to 65,536.
  std::uint32_t data_block_bytes = 4096;
  std::uint32_t hash_block_bytes = 4096;
  /// From 1; all of the data in bytes is below 2^63.
  std::uint64_t data_blocks = 0;

  bool operator==(const VerityDevice&) const = default;
};

/// The sizes and the salt are within the bounds above.
[[nodiscard]] bool is_verity_device(const VerityDevice& device);

/// The one text of a device; every line ends in LF, numbers are decimal without leading zeros:
///
///   nostril-verity 1
///   root <64 hex digits>
///   salt <0 to 512 hex digits, or "-" for none>
///   algorithm sha256
///   data <block bytes> <blocks>
///   hash <block bytes>
[[nodiscard]] std::string print_verity(const VerityDevice& device);

/// The inverse. Nothing for any other text, also one that says the same in another way.
[[nodiscard]] std::optional<VerityDevice> parse_verity(std::string_view text);

/// H("nostril/verity/1", text): the statement's model_manifest. A tag of its own: no manifest has
/// the digest of a device.
[[nodiscard]] Digest verity_digest(std::string_view text);

/// The statement's model_manifest for either text that can stand in evidence: a manifest's or a
/// device's digest by how it begins. What it is not is for its parser to say.
[[nodiscard]] Digest weights_digest(std::string_view text);

/// The text begins as a device's.
[[nodiscard]] bool is_verity_text(std::string_view text);

}  // namespace nostril::attestation
