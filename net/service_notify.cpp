#include "net/service_notify.h"

#include "base/file.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <string_view>

namespace nostril::net {

namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): see the header
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

bool notify_service(const std::string& state) {
  const std::string_view path = variable("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return false;
  std::ranges::copy(path, &address.sun_path[0]);
  if (path.front() == '@') address.sun_path[0] = '\0';  // Linux' abstract names
  const UniqueFd descriptor(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!descriptor.is_open()) return false;
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const ssize_t sent =
      sendto(descriptor.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
             reinterpret_cast<const sockaddr*>(&address), bytes);
  return sent == static_cast<ssize_t>(state.size());
}

std::optional<std::uint64_t> watchdog_ms() {
  constexpr std::uint64_t kPerMs = 1'000;
  const std::string_view text = variable("WATCHDOG_USEC");
  std::uint64_t out = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || error != std::errc() || rest != text.data() + text.size())
    return std::nullopt;
  return std::max<std::uint64_t>(1, out / kPerMs);
}

}  // namespace nostril::net
