#include "relay/key_file.h"

#include "base/file.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

namespace nostril::relay {

namespace {

std::string error_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace

Result<Keypair, std::string> make_key_file(const std::filesystem::path& file, Rng& rng) {
  Keypair key = Keypair::generate(rng);
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.is_open()) return failure(fmt::format("{}: {}", file.string(), error_text(errno)));
  std::string text = encode_hex(key.expose_secret()) + "\n";
  int error = write_all(fd.get(), as_bytes(text));
  wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  if (error == 0 && fsync(fd.get()) != 0) error = errno;
  if (error == 0) error = sync_folder(folder_of(file));
  if (error != 0) return failure(fmt::format("{}: {}", file.string(), error_text(error)));
  return key;
}

Result<Keypair, std::string> read_key_file(const std::filesystem::path& file) {
  struct stat found {};

  if (stat(file.c_str(), &found) != 0) {
    return failure(fmt::format("{}: {}", file.string(), error_text(errno)));
  }
  if ((found.st_mode & 077U) != 0) {
    return failure(fmt::format("{}: others may read this key; chmod 600 it", file.string()));
  }
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  SecretBytes<32> secret;
  const bool is_hex = decode_hex(line, secret.expose_mutable());
  wipe({reinterpret_cast<std::uint8_t*>(line.data()), line.size()});
  auto key = is_hex ? Keypair::from_secret(secret.expose()) : std::nullopt;
  if (!key) {
    return failure(
        fmt::format("{}: not a secret key of 64 lowercase hex characters", file.string()));
  }
  return std::move(*key);
}

}  // namespace nostril::relay
