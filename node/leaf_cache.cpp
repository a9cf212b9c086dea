#include "node/leaf_cache.h"

#include "base/hex.h"
#include "base/log.h"
#include "events/big_endian.h"
#include "schnorr/hash.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

namespace nostril::node {

namespace {

constexpr std::size_t kHeadBytes = 64;
constexpr mode_t kFileMode = 0600;

Bytes head_of(const FileIdentity& identity) {
  Bytes fields;
  append_big_endian(fields, identity.device, 8);
  append_big_endian(fields, identity.inode, 8);
  append_big_endian(fields, identity.bytes, 8);
  append_big_endian(fields, static_cast<std::uint64_t>(identity.modified_ns), 8);
  append_big_endian(fields, static_cast<std::uint64_t>(identity.changed_ns), 8);
  const Digest digest = sha256(fields);
  const ByteSpan magic = as_bytes("NLEAVES1");
  Bytes out(magic.begin(), magic.end());
  out.insert(out.end(), digest.bytes.begin(), digest.bytes.end());
  out.resize(kHeadBytes);
  return out;
}

bool read_exactly(const UniqueFd& file, std::uint8_t* out, std::size_t bytes, std::size_t offset) {
  while (bytes > 0) {
    const ssize_t count = pread(file.get(), out, bytes, static_cast<off_t>(offset));
    if (count <= 0) return false;
    out += count;
    bytes -= static_cast<std::size_t>(count);
    offset += static_cast<std::size_t>(count);
  }
  return true;
}

bool write_at(const UniqueFd& file, ByteSpan bytes, std::size_t offset) {
  return pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
         static_cast<ssize_t>(bytes.size());
}

}  // namespace

LeafCache::LeafCache(const std::filesystem::path& folder, const std::string& key,
                     const FileIdentity& identity, std::size_t leaf_count)
    : known_(leaf_count) {
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::filesystem::path path = folder / (encode_hex(sha256(as_bytes(key))) + ".leaves");
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode));
  const Bytes wanted = head_of(identity);
  Bytes head(kHeadBytes);
  if (!file.is_open()) {
    log(LogLevel::Warning, "{}: can't be written; the weights will be hashed anew each time",
        public_text(path.string()));
    return;
  }
  static_assert(sizeof(Digest) == 32);
  if (read_exactly(file, head.data(), head.size(), 0) && head == wanted) {
    for (std::size_t i = 0; i < leaf_count; ++i) {
      Digest& slot = known_[i];
      if (!read_exactly(file, slot.bytes.data(), sizeof(Digest), kHeadBytes + i * sizeof(Digest))) {
        slot = {};
        break;  // the rest was never written
      }
    }
  } else if (ftruncate(file.get(), 0) != 0 || !write_at(file, wanted, 0)) {
    return;
  }
  file_ = std::move(file);
}

void LeafCache::put(std::size_t index, const Digest& leaf) const {
  if (!file_.is_open()) return;
  // A full disk leaves a hole: this leaf is hashed again next time.
  static_cast<void>(write_at(file_, leaf.bytes, kHeadBytes + index * sizeof(Digest)));
}

}  // namespace nostril::node
