#include "base/file.h"

#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

namespace nostril {
namespace {

bool is_open(int fd) {
  return fcntl(fd, F_GETFD) != -1;
}

TEST(UniqueFd, ClosesOnceAndMoves) {
  int number = -1;
  {
    UniqueFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = first.get();
    UniqueFd second(std::move(first));
    EXPECT_TRUE(second.is_open());
    EXPECT_TRUE(is_open(number));
    UniqueFd third;
    third = std::move(second);
    EXPECT_EQ(third.get(), number);
  }
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, TellsWhatCloseSaid) {
  UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(file.close_now(), 0);
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(file.close_now(), 0);
}

TEST(WriteAll, WritesAllOrSaysWhy) {
  const test::TempDir temp;
  const std::string name = temp.path() / "file";
  const Bytes bytes(300'000, 0x5a);
  const UniqueFd file(open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(write_all(file.get(), bytes), 0);
  std::ifstream in(name, std::ios::binary);
  EXPECT_EQ(Bytes(std::istreambuf_iterator<char>(in), {}), bytes);
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(write_all(full.get(), bytes), ENOSPC);
}

TEST(FileLock, IsHeldByOneUntilItGoes) {
  const test::TempDir temp;
  const std::filesystem::path file = temp.path() / "lock";
  {
    auto first = FileLock::take(file);
    ASSERT_TRUE(first);
    const FileLock moved = std::move(*first);
    EXPECT_EQ(FileLock::take(file).error(), EWOULDBLOCK);
  }
  EXPECT_TRUE(FileLock::take(file));
  EXPECT_EQ(FileLock::take(temp.path() / "none" / "lock").error(), ENOENT);
}

TEST(SyncFolder, WantsAFolder) {
  const test::TempDir temp;
  EXPECT_EQ(sync_folder(temp.path()), 0);
  EXPECT_EQ(sync_folder(temp.path() / "none"), ENOENT);
  EXPECT_EQ(sync_folder("/dev/null"), ENOTDIR);
}

TEST(FolderOf, IsHereForABareName) {
  EXPECT_EQ(folder_of("key"), ".");
  EXPECT_EQ(folder_of("a/key"), "a");
  EXPECT_EQ(folder_of("/key"), "/");
}

TEST(UniqueFd, IsLeftToWhoTakesItOver) {
  UniqueFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = first.release();
  EXPECT_FALSE(first.is_open());
  EXPECT_EQ(first.close_now(), 0);
  EXPECT_TRUE(is_open(number));
  close(number);
}

}  // namespace
}  // namespace nostril
