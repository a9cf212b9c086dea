#include "node/tsm_report.h"

#include "base/file.h"
#include "base/hex.h"
#include "base/rng.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

namespace nostril::node {

namespace {

std::string error_text(int error) {
  return std::generic_category().message(error);
}

constexpr int kTries = 5;
constexpr std::size_t kWordBytesMax = 4096;        // one page: what a text attribute may be
constexpr std::size_t kBlobBytesMax = 64U << 10U;  // twice the kernel's own bound
constexpr mode_t kFolderMode = 0700;

std::string what_to_do(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return "mount it: mount -t configfs none /sys/kernel/config; needs Linux 6.7 or later";
    case ENXIO:
      return "no TEE driver answers there; in a guest: modprobe tdx_guest, or sev-guest";
    case EACCES:
    case EPERM:
    case EROFS:
      return "run as root, or give this user the folder";
    case EBUSY:
    case EAGAIN:
    case EIO:
    case EINTR:
    case ETIMEDOUT:
      return "the host does not make quotes at present; on TDX: is its quote generation service "
             "(QGS) running?";
    case EFBIG:
      return "the answer is larger than any report";
    default:
      return "unexpected";
  }
}

std::string problem(const TsmFolder& folder, const char* what, int error) {
  return fmt::format("{}: {}: {} ({})", folder.path().string(), what, error_text(error),
                     what_to_do(error));
}

std::string random_id() {
  std::array<std::uint8_t, 8> id{};
  SystemRng().fill(id);
  return encode_hex(id);
}

/// An entry of our own, removed when it goes.
class Entry {
 public:
  explicit Entry(TsmFolder& folder)
      : folder_(folder), name_("nostril-" + random_id()), error_(folder.make(name_)) {}

  ~Entry() {
    if (error_ == 0) folder_.remove(name_);
  }

  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  [[nodiscard]] int error() const { return error_; }

  int write(const char* attribute, ByteSpan bytes) {
    return folder_.write(name_, attribute, bytes);
  }

  Result<Bytes, int> read(const char* attribute, std::size_t bytes_max = kBlobBytesMax) {
    return folder_.read(name_, attribute, bytes_max);
  }

  /// A text attribute without its last newline.
  Result<std::string, int> word(const char* attribute) {
    const auto bytes = read(attribute, kWordBytesMax);
    if (!bytes) return failure(bytes.error());
    std::string text(as_text(*bytes));
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

  Result<std::uint64_t, int> generation() {
    const auto text = word("generation");
    if (!text) return failure(text.error());
    std::uint64_t out = 0;
    const char* end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, out);
    if (error != std::errc() || stop != end) return failure(EIO);
    return out;
  }

 private:
  TsmFolder& folder_;
  std::string name_;
  int error_;
};

enum class Attempt : std::uint8_t { Done, Disturbed };

Result<Attempt, std::string> attempt(TsmFolder& folder, Entry& entry, ByteSpan report_data,
                                     TsmReport& out) {
  const auto before = entry.generation();
  if (!before) return failure(problem(folder, "generation", before.error()));
  if (const int error = entry.write("inblob", report_data); error != 0) {
    return failure(problem(folder, "the kernel did not take report_data", error));
  }
  const auto written = entry.generation();
  if (!written) return failure(problem(folder, "generation", written.error()));
  if (*written == *before) {
    return failure(folder.path().string() + ": the kernel did not take report_data");
  }
  if (*written != *before + 1) return Attempt::Disturbed;
  auto blob = entry.read("outblob");
  // The kernel says EWOULDBLOCK when the entry was written while it was asking.
  if (!blob && blob.error() == EWOULDBLOCK) return Attempt::Disturbed;
  if (!blob) return failure(problem(folder, "no report", blob.error()));
  if (out.provider == kTsmSnpProvider) {
    // A host that has no certificates for its guests: no attribute, or an empty one.
    auto table = entry.read("auxblob");
    if (table) out.auxblob = std::move(*table);
  }
  const auto after = entry.generation();
  if (!after) return failure(problem(folder, "generation", after.error()));
  if (*after != *written) return Attempt::Disturbed;
  if (blob->empty()) return failure(problem(folder, "an empty report", EIO));
  out.outblob = std::move(*blob);
  return Attempt::Done;
}

}  // namespace

int TsmFolder::make(const std::string& entry) {
  return mkdir((path_ / entry).c_str(), kFolderMode) == 0 ? 0 : errno;
}

int TsmFolder::remove(const std::string& entry) {
  return rmdir((path_ / entry).c_str()) == 0 ? 0 : errno;
}

int TsmFolder::write(const std::string& entry, const char* attribute, ByteSpan bytes) {
  UniqueFd file(open((path_ / entry / attribute).c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() < 0) return errno;
  const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
  if (count < 0) return errno;
  if (static_cast<std::size_t>(count) != bytes.size()) return EIO;
  return file.close_now();
}

Result<Bytes, int> TsmFolder::read(const std::string& entry, const char* attribute,
                                   std::size_t bytes_max) {
  const UniqueFd file(open((path_ / entry / attribute).c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return failure(errno);
  Bytes out(bytes_max + 1);
  std::size_t size = 0;
  while (size < out.size()) {
    const ssize_t count = ::read(file.get(), out.data() + size, out.size() - size);
    if (count < 0) return failure(errno);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size > bytes_max) return failure(EFBIG);
  out.resize(size);
  return out;
}

Result<std::string, std::string> tsm_provider(TsmFolder& folder) {
  Entry entry(folder);
  if (entry.error() != 0) return failure(problem(folder, "no entry can be made", entry.error()));
  auto provider = entry.word("provider");
  if (!provider) return failure(problem(folder, "provider", provider.error()));
  return std::move(*provider);
}

Result<TsmReport, std::string> read_tsm_report(TsmFolder& folder,
                                               std::span<const std::uint8_t, 64> report_data) {
  Entry entry(folder);
  if (entry.error() != 0) return failure(problem(folder, "no entry can be made", entry.error()));
  TsmReport out;
  auto provider = entry.word("provider");
  if (!provider) return failure(problem(folder, "provider", provider.error()));
  out.provider = std::move(*provider);
  for (int i = 0; i < kTries; ++i) {
    const auto done = attempt(folder, entry, report_data, out);
    if (!done) return failure(done.error());
    if (*done == Attempt::Done) return out;
  }
  return failure(folder.path().string() +
                 ": another process keeps writing to our entry; nothing else should");
}

}  // namespace nostril::node
