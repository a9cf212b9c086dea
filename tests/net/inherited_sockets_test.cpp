#include "net/inherited_sockets.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

namespace nostril::net {
namespace {

UniqueFd listening_socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(fd.get(), 1), 0);
  return fd;
}

ino_t inode_of(int fd) {
  struct stat found {};

  return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

TEST(ExecWithSockets, LeavesEverythingAsItWasWhenThereIsNothingToRun) {
  std::vector<UniqueFd> sockets;
  for (int i = 0; i < 3; ++i) sockets.push_back(listening_socket());
  std::vector<ino_t> before;
  for (int fd = 0; fd < 32; ++fd) before.push_back(inode_of(fd));
  EXPECT_EQ(exec_with_sockets("/nothing/here", {"nothing"}, sockets), ENOENT);
  for (int fd = 0; fd < 32; ++fd) {
    EXPECT_EQ(inode_of(fd), before[static_cast<std::size_t>(fd)]) << fd;
  }
  for (const UniqueFd& socket : sockets) EXPECT_EQ(fcntl(socket.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(std::getenv("LISTEN_FDS"), nullptr);
  EXPECT_EQ(std::getenv("LISTEN_PID"), nullptr);
}

TEST(TakeInheritedSockets, TakesNoneThatAreForAnotherProcess) {
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_PID", "1", 1);
  EXPECT_TRUE(take_inherited_sockets().empty());
  EXPECT_EQ(std::getenv("LISTEN_FDS"), nullptr);  // nor does a child of ours
}

}  // namespace
}  // namespace nostril::net
