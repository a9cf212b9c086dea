#include "client/private_file.h"

#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

namespace nostril::client {

namespace fs = std::filesystem;

namespace {

tl::unexpected<std::string> system_failure(const fs::path& file, int error) {
  return failure(file.string() + ": " + std::generic_category().message(error));
}

/// mkdir -p, with mode 0700 for each that is made. 0 or an errno.
int make_folders(const fs::path& folder) {
  std::error_code error;
  if (folder.empty() || fs::is_directory(folder, error)) return 0;
  if (const int failed = make_folders(folder.parent_path()); failed != 0) return failed;
  return mkdir(folder.c_str(), S_IRWXU) == 0 || errno == EEXIST ? 0 : errno;
}

/// Writes a file that is not there yet; removes it again when that fails. 0 or an errno.
int write_new(const fs::path& file, ByteSpan bytes, mode_t mode) {
  const UniqueFd opened(
      open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!opened.is_open()) return errno;
  int error = write_all(opened.get(), bytes);
  if (error == 0 && fchmod(opened.get(), mode) != 0) error = errno;
  if (error == 0 && fsync(opened.get()) != 0) error = errno;
  if (error != 0) unlink(file.c_str());
  return error;
}

}  // namespace

Result<SecretText, std::string> read_secret_line(const fs::path& file, std::size_t bytes_max) {
  const UniqueFd opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));

  struct stat status {};

  if (!opened.is_open() || fstat(opened.get(), &status) != 0) return system_failure(file, errno);
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return failure(file.string() + ": others may read this secret; chmod 600 it");
  }
  std::string text(bytes_max + 1, '\0');
  const ssize_t got = read(opened.get(), text.data(), text.size());
  if (got < 0) return system_failure(file, errno);
  const std::size_t line_end = std::min(text.find('\n'), static_cast<std::size_t>(got));
  SecretText whole(std::move(text));
  if (line_end > bytes_max) return failure(file.string() + ": its first line is too long");
  return SecretText(std::string(whole.expose().substr(0, line_end)));
}

Result<void, std::string> create_file(const fs::path& file, ByteSpan bytes, mode_t mode) {
  int error = make_folders(file.parent_path());
  if (error == 0) error = write_new(file, bytes, mode);
  if (error == 0) error = sync_folder(folder_of(file));
  if (error != 0) return system_failure(file, error);
  return {};
}

Result<void, std::string> replace_file(const fs::path& file, ByteSpan bytes, mode_t mode) {
  std::error_code lost;
  const fs::path real = fs::is_symlink(file, lost) ? fs::weakly_canonical(file, lost) : file;
  const fs::path part = real.string() + ".nostril-new";
  int error = make_folders(real.parent_path());
  if (error == 0) {
    unlink(part.c_str());  // of a process that was ended
    error = write_new(part, bytes, mode);
  }
  if (error != 0) return system_failure(part, error);
  if (rename(part.c_str(), real.c_str()) != 0) {
    error = errno;
    unlink(part.c_str());
    return system_failure(real, error);
  }
  error = sync_folder(folder_of(real));
  if (error != 0) return system_failure(real, error);
  return {};
}

Result<std::string, std::string> read_whole_file(const fs::path& file, std::size_t bytes_max) {
  std::ifstream in(file, std::ios::binary);
  std::string out(bytes_max + 1, '\0');
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  if (in.bad() || !in.eof()) {
    return failure(file.string() + ": can't be read, or is too large");
  }
  out.resize(static_cast<std::size_t>(in.gcount()));
  return out;
}

}  // namespace nostril::client
