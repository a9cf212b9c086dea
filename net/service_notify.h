#pragma once

#include <cstdint>
#include <optional>
#include <string>

/// What a program tells systemd (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET
/// names. Without one nothing is sent. Threads: any; call before others change the environment.
namespace nostril::net {

/// "READY=1", "STOPPING=1", "STATUS=one line", "WATCHDOG=1". False: there is no such socket, or it
/// did not take it.
bool notify_service(const std::string& state);

/// Milliseconds after which systemd takes this process for stuck without a WATCHDOG=1; nothing:
/// it does not watch.
[[nodiscard]] std::optional<std::uint64_t> watchdog_ms();

}  // namespace nostril::net
