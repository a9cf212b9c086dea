#pragma once

#include "base/file.h"

#include <string>
#include <vector>

/// Listening sockets that a process is started with: systemd's protocol (sd_listen_fds(3)). The
/// environment names how many (LISTEN_FDS) and for whom (LISTEN_PID); they are descriptors 3 and
/// up. A process that replaces itself by exec() hands on its own in the same way.
/// Threads: one, before others start: the environment is a process's.
namespace nostril::net {

/// Takes them over: non-blocking, closed on exec, and out of the environment, so that no child
/// believes they are its own. Empty when there are none. Throws std::runtime_error when one of them
/// is no listening TCP socket.
[[nodiscard]] std::vector<UniqueFd> take_inherited_sockets();

/// Replaces this process by `program`, which finds `sockets` in the same way. Returns only when
/// that failed, with the errno; descriptors and environment are then what they were. For a process
/// that has no other thread.
[[nodiscard]] int exec_with_sockets(const std::string& program,
                                    const std::vector<std::string>& arguments,
                                    const std::vector<UniqueFd>& sockets);

}  // namespace nostril::net
