// The manifest of files on a disk: every way of hashing gives the same, nothing leads out of the
// folder, and what changes is noticed.
#include "node/manifest.h"

#include "node/leaf_cache.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using attestation::kManifestLeafBytes;
using attestation::ModelManifest;
using ::testing::HasSubstr;

std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 131 + i / 8191);
  return out;
}

class Manifest : public ::testing::Test {
 protected:
  Manifest() {
    settings_.folder = folder_.path() / "model";
    settings_.cache = folder_.path() / "cache";
    settings_.settle_ms = 0;
    write("b.bin", pattern(3 * kManifestLeafBytes + 5));
    write("a.json", "");
    write("sub/c.bin", pattern(kManifestLeafBytes));
  }

  void write(const std::string& name, const std::string& text) const {
    const fs::path path = settings_.folder / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }

  Result<ModelManifest, std::string> make(const ManifestCalls& calls = {}) const {
    return make_manifest(settings_, calls);
  }

  std::string error() const {
    const auto made = make();
    return made ? "none" : made.error();
  }

  /// A byte of a file changed without a trace in its times or size, as a host might.
  void change_unseen(const std::string& name, off_t at) const {
    const fs::path path = settings_.folder / name;
    const int file = open(path.c_str(), O_WRONLY);
    ASSERT_GE(file, 0);
    ASSERT_EQ(pwrite(file, "!", 1, at), 1);
    close(file);
  }

  test::TempDir folder_;
  ManifestSettings settings_;
};

Digest root_of(const std::string& text) {
  attestation::FileRoot root;
  root.update(as_bytes(text));
  return root.finish();
}

TEST_F(Manifest, NamesEveryFileBelowTheFolderInOrder) {
  const auto made = make();
  ASSERT_TRUE(made) << made.error();
  ASSERT_EQ(made->files.size(), 3U);
  EXPECT_EQ(made->files[0], (attestation::ManifestFile{"a.json", 0, root_of("")}));
  const std::string big = pattern(3 * kManifestLeafBytes + 5);
  EXPECT_EQ(made->files[1], (attestation::ManifestFile{"b.bin", big.size(), root_of(big)}));
  EXPECT_EQ(made->files[2].name, "sub/c.bin");
  EXPECT_EQ(attestation::parse_manifest(attestation::print_manifest(*made)), *made);
}

TEST_F(Manifest, IsTheSameForAnyNumberOfThreadsAndFromTheCache) {
  settings_.cache.clear();
  const auto first = make();
  ASSERT_TRUE(first);
  settings_.cache = folder_.path() / "cache";
  for (const unsigned threads : {1U, 2U, 3U, 16U}) {
    settings_.threads = threads;
    EXPECT_EQ(make().value(), *first) << threads;
    fs::remove_all(settings_.cache);
  }
  EXPECT_EQ(make().value(), *first);
  EXPECT_EQ(make().value(), *first) << "from the cache";
}

TEST_F(Manifest, UnchangedFilesAreNotReadAgain) {
  const auto first = make();
  ASSERT_TRUE(first);
  // Unreadable now: whoever opens it for its identity does not read it.
  const auto changed_ns_of = [this] {
    struct stat status {};
    stat((settings_.folder / "b.bin").c_str(), &status);
    return status.st_ctim.tv_nsec;
  };
  const auto before = changed_ns_of();
  const FileTree tree = FileTree::open(settings_.folder).value();
  const auto file = tree.open_file("b.bin");
  const FileIdentity identity = identity_of(*file, "b.bin").value();
  const std::string key = (settings_.folder / "b.bin").string();
  // A marked slot in the cache comes back in the root: it was not hashed again.
  Digest marked;
  marked.bytes.fill(7);
  LeafCache(settings_.cache, key, identity, 4).put(1, marked);
  ASSERT_EQ(changed_ns_of(), before);
  const auto second = make();
  ASSERT_TRUE(second);
  EXPECT_NE(second->files[1].root, first->files[1].root);
  EXPECT_EQ(second->files[2], first->files[2]);
}

TEST_F(Manifest, AChangedFileIsHashedAgain) {
  const auto first = make();
  ASSERT_TRUE(first);
  change_unseen("b.bin", 2'000'000);  // its times tell
  const auto second = make();
  ASSERT_TRUE(second);
  EXPECT_NE(second->files[1].root, first->files[1].root);
  write("b.bin", pattern(3 * kManifestLeafBytes + 5));
  EXPECT_EQ(make().value(), *first);
}

TEST_F(Manifest, WhatHasJustChangedIsNotKept) {
  settings_.settle_ms = 3'600'000;
  ASSERT_TRUE(make());
  EXPECT_FALSE(fs::exists(settings_.cache)) << "a later change might not show";
}

TEST_F(Manifest, WorkThatWasStoppedGoesOnWhereItWas) {
  settings_.threads = 1;
  const auto whole = make();
  ASSERT_TRUE(whole);
  // As after a kill: some leaves of b.bin are known, the others are not.
  for (const auto& entry : fs::directory_iterator(settings_.cache)) {
    if (fs::file_size(entry) == 64 + 4 * 32) fs::resize_file(entry, 64 + 2 * 32 + 7);
  }
  EXPECT_EQ(make().value(), *whole);
  std::atomic<bool> cancelled = true;
  fs::remove_all(settings_.cache);
  ManifestCalls calls;
  calls.cancelled = &cancelled;
  EXPECT_EQ(make(calls).error(), "stopped");
}

TEST_F(Manifest, ADamagedOrForeignCacheCostsTimeOnly) {
  const auto whole = make();
  ASSERT_TRUE(whole);
  for (const auto& entry : fs::directory_iterator(settings_.cache)) {
    std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << "not a cache";
  }
  EXPECT_EQ(make().value(), *whole);
  fs::remove_all(settings_.cache);
  std::ofstream(settings_.cache) << "a file where the folder should be";
  EXPECT_EQ(make().value(), *whole);
}

TEST_F(Manifest, AFileThatChangesWhileItIsHashedIsRefused) {
  settings_.threads = 1;
  settings_.cache.clear();
  const auto changing = [this](const std::function<void()>& change) {
    // The last look at all files comes after the first report; make one certain by time.
    std::atomic<bool> stop = false;
    std::thread writer([&] {
      while (!stop) {
        change();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    write("large.bin", pattern(40 * kManifestLeafBytes));
    const std::string text = error();
    stop = true;
    writer.join();
    return text;
  };
  EXPECT_THAT(changing([this] { change_unseen("b.bin", 1); }), HasSubstr("it changed while"));
}

TEST_F(Manifest, NothingLeadsOutOfTheFolder) {
  std::ofstream(folder_.path() / "outside") << "secret";
  fs::create_symlink(folder_.path() / "outside", settings_.folder / "link");
  EXPECT_THAT(error(), HasSubstr("link: a symbolic link"));
  fs::remove(settings_.folder / "link");
  fs::create_directory_symlink(folder_.path(), settings_.folder / "up");
  EXPECT_THAT(error(), HasSubstr("up: a symbolic link"));
  const FileTree tree = FileTree::open(settings_.folder).value();
  EXPECT_FALSE(tree.open_file("up/outside"));
  EXPECT_FALSE(tree.open_file("../outside"));
  fs::remove(settings_.folder / "up");
  ASSERT_EQ(mkfifo((settings_.folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error(), HasSubstr("neither a file nor a folder"));
  fs::remove(settings_.folder / "pipe");
  write("n\xc3\xa4me", "x");
  EXPECT_THAT(error(), HasSubstr("printable ASCII"));
}

TEST_F(Manifest, TakesSingleFilesAndRefusesTwoOfOneName) {
  settings_.files = {settings_.folder / "b.bin", settings_.folder / "sub" / "c.bin"};
  ManifestSettings folder;
  folder.folder = settings_.folder;
  const auto whole = make_manifest(folder);
  settings_.folder.clear();
  const auto made = make();
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(made->files[0], whole->files[1]);
  EXPECT_EQ(made->files[1].name, "c.bin");
  EXPECT_EQ(made->files[1].root, whole->files[2].root);
  settings_.files.push_back(settings_.files.front());
  EXPECT_THAT(error(), HasSubstr("two files have this name"));
  settings_.files = {folder_.path() / "none"};
  EXPECT_THAT(error(), HasSubstr("none"));
  settings_.files = {folder_.path()};
  EXPECT_NE(error(), "none") << "a folder is no file";
  settings_.files.clear();
  settings_.folder = folder_.path() / "nowhere";
  EXPECT_THAT(error(), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace nostril::node
