#include "relay/used_requests.h"

#include "events/nip98.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>

namespace nostril::relay {

namespace {

constexpr std::size_t kDigits = 20;
constexpr std::size_t kFileBytes = kDigits + 1;

std::optional<std::int64_t> read_time(int fd) {
  std::array<char, kFileBytes + 1> text{};
  const auto size = ::pread(fd, text.data(), text.size(), 0);
  if (size != static_cast<ssize_t>(kFileBytes) || text[kDigits] != '\n') return std::nullopt;
  std::int64_t value = 0;
  const char* end = text.data() + kDigits;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 0) return std::nullopt;
  return value;
}

}  // namespace

UsedRequests::UsedRequests(const std::filesystem::path& folder, bool is_new, std::int64_t now_s)
    : file_(::open((folder / kFile).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  const auto found = file_.is_open() ? read_time(file_.get()) : std::nullopt;
  until_s_ = found.value_or(is_new ? 0 : now_s + kNip98FutureSeconds);
  // Where it can't be written now, raise() says so before anything is taken.
  if (found || !file_.is_open()) return;
  if (::ftruncate(file_.get(), 0) == 0 && write(until_s_)) (void)sync_folder(folder);
}

bool UsedRequests::raise(std::int64_t made_at_s) {
  if (made_at_s <= until_s_) return true;
  if (!write(made_at_s)) return false;
  until_s_ = made_at_s;
  return true;
}

// In place, within one sector: a full disk does not hinder it, and it is old or new.
bool UsedRequests::write(std::int64_t until_s) const {
  const std::string text = fmt::format("{:020}\n", until_s);
  return ::pwrite(file_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
         ::fdatasync(file_.get()) == 0;
}

}  // namespace nostril::relay
