#include "attestation/verity.h"

#include "attestation/model_manifest.h"
#include "base/check.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <limits>

namespace nostril::attestation {

namespace {

constexpr std::string_view kHead = "nostril-verity 1\n";
constexpr std::uint32_t kBlockBytesMin = 512;
constexpr std::uint32_t kBlockBytesMax = 65'536;

bool is_block_size(std::uint32_t bytes) {
  return bytes >= kBlockBytesMin && bytes <= kBlockBytesMax && std::has_single_bit(bytes);
}

/// What stands between `word` and the next `end`, off the front of `text`.
std::optional<std::string_view> take(std::string_view& text, std::string_view word, char end) {
  if (!text.starts_with(word)) return std::nullopt;
  const std::size_t stop = text.find(end, word.size());
  if (stop == std::string_view::npos) return std::nullopt;
  const std::string_view out = text.substr(word.size(), stop - word.size());
  text.remove_prefix(stop + 1);
  return out;
}

template <typename Number>
bool read(const std::optional<std::string_view>& digits, Number& out) {
  if (!digits) return false;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, out);
  return error == std::errc() && stop == end;
}

}  // namespace

bool is_verity_device(const VerityDevice& device) {
  constexpr auto kBytesMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return device.salt.size() <= kVeritySaltBytesMax && is_block_size(device.data_block_bytes) &&
         is_block_size(device.hash_block_bytes) && device.data_blocks > 0 &&
         device.data_blocks <= kBytesMax / device.data_block_bytes;
}

std::string print_verity(const VerityDevice& device) {
  CHECK(is_verity_device(device));
  return fmt::format("{}root {}\nsalt {}\nalgorithm sha256\ndata {} {}\nhash {}\n", kHead,
                     encode_hex(device.root), device.salt.empty() ? "-" : encode_hex(device.salt),
                     device.data_block_bytes, device.data_blocks, device.hash_block_bytes);
}

std::optional<VerityDevice> parse_verity(std::string_view text) {
  if (text.size() > kVerityTextBytesMax || !text.starts_with(kHead)) return std::nullopt;
  std::string_view rest = text.substr(kHead.size());
  VerityDevice out;
  const auto root = take(rest, "root ", '\n');
  const auto salt = take(rest, "salt ", '\n');
  const auto algorithm = take(rest, "algorithm ", '\n');
  if (!root || !decode_hex(*root, out.root.bytes) || !salt || algorithm != "sha256") {
    return std::nullopt;
  }
  const auto salt_bytes = decode_hex(*salt == "-" ? "" : *salt);
  if (!salt_bytes) return std::nullopt;
  out.salt = *salt_bytes;
  const bool sizes = read(take(rest, "data ", ' '), out.data_block_bytes) &&
                     read(take(rest, "", '\n'), out.data_blocks) &&
                     read(take(rest, "hash ", '\n'), out.hash_block_bytes);
  if (!sizes || !is_verity_device(out) || print_verity(out) != text) return std::nullopt;
  return out;
}

Digest verity_digest(std::string_view text) {
  return tagged_hash("nostril/verity/1", as_bytes(text));
}

bool is_verity_text(std::string_view text) {
  return text.starts_with(kHead);
}

Digest weights_digest(std::string_view text) {
  return is_verity_text(text) ? verity_digest(text) : manifest_digest(text);
}

}  // namespace nostril::attestation
