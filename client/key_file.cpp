#include "client/key_file.h"

#include "events/nip19.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::size_t kKeyFileBytesMax = 256;

class File {
 public:
  File(const std::filesystem::path& path, int flags, mode_t mode)
      : descriptor_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}  // NOLINT(*-vararg)

  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_;
};

/// A new name is on the disk when its folder is.
bool sync_folder(const std::filesystem::path& file) {
  const File folder(file.has_parent_path() ? file.parent_path() : ".", O_RDONLY | O_DIRECTORY, 0);
  return folder.get() >= 0 && fsync(folder.get()) == 0;
}

tl::unexpected<std::string> system_failure(const std::filesystem::path& file) {
  return failure(file.string() + ": " + std::generic_category().message(errno));
}

}  // namespace

Result<Keypair, std::string> read_key_file(const std::filesystem::path& file) {
  const File opened(file, O_RDONLY, 0);

  struct stat status {};

  if (opened.get() < 0 || fstat(opened.get(), &status) != 0) return system_failure(file);
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return failure(file.string() + ": others may read this secret key; chmod 600 it");
  }
  std::string text(kKeyFileBytesMax, '\0');
  const ssize_t got = read(opened.get(), text.data(), text.size());
  if (got < 0) return system_failure(file);
  const std::size_t line_end = std::min(text.find('\n'), static_cast<std::size_t>(got));
  auto decoded = nip19::decode(std::string_view(text).substr(0, line_end));
  wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  auto* secret = decoded ? std::get_if<nip19::Nsec>(&*decoded) : nullptr;
  auto key = secret != nullptr ? Keypair::from_secret(secret->secret.expose()) : std::nullopt;
  if (!key) return failure(file.string() + ": not an nsec line");
  return std::move(*key);
}

Result<void, std::string> write_key_file(const std::filesystem::path& file, const Keypair& key) {
  std::error_code error;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), error);
  const File opened(file, O_WRONLY | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
  if (opened.get() < 0) return system_failure(file);
  std::string line = nip19::encode(nip19::Nsec{SecretBytes<32>(key.expose_secret())}) + "\n";
  const ssize_t put = write(opened.get(), line.data(), line.size());
  wipe({reinterpret_cast<std::uint8_t*>(line.data()), line.size()});
  if (put != static_cast<ssize_t>(line.size()) || fsync(opened.get()) != 0 || !sync_folder(file)) {
    auto failed = system_failure(file);
    std::filesystem::remove(file, error);  // half a key would stop every later start
    return failed;
  }
  return {};
}

}  // namespace nostril::client
