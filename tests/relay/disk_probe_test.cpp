#include "relay/cluster/disk_probe.h"

#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

#include <sys/resource.h>

#include <csignal>

namespace nostril::relay {
namespace {

using nostril::test::TempDir;

TEST(DiskProbe, FindsNothingWhereThereIsRoomAndLeavesNothing) {
  const TempDir dir;
  EXPECT_EQ(disk_problem(dir.path()), "");
  EXPECT_EQ(disk_problem(dir.path()), "");
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(DiskProbe, SaysWhatIsWrongAndWhere) {
  const TempDir dir;
  EXPECT_THAT(disk_problem(dir.path() / "gone"),
              testing::AllOf(testing::HasSubstr((dir.path() / "gone").string()),
                             testing::HasSubstr("No such file")));
}

// A file that may not grow: write() fails, as on a disk that has failed.
TEST(DiskProbe, SeesAWriteThatFailsAndLeavesNothing) {
  const TempDir dir;
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit was{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
  rlimit small = was;
  small.rlim_cur = kDiskProbeBytes - 1;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string problem = disk_problem(dir.path());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
  (void)std::signal(SIGXFSZ, before);
  EXPECT_THAT(problem, testing::HasSubstr("File too large"));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  EXPECT_EQ(disk_problem(dir.path()), "");
}

}  // namespace
}  // namespace nostril::relay
