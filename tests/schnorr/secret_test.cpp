#include "schnorr/secret.h"

#include <gtest/gtest.h>

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdlib>
#include <new>
#include <numeric>

namespace nostril {

namespace {

SecretBytes<32> counted() {
  SecretBytes<32> secret;
  std::iota(secret.expose_mutable().begin(), secret.expose_mutable().end(), std::uint8_t{1});
  return secret;
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

TEST(Wipe, ZeroesAllOfItAndAcceptsNothing) {
  std::array<std::uint8_t, 40> memory{};
  memory.fill(0xaa);
  wipe(std::span(memory).subspan(4, 32));
  EXPECT_TRUE(all_zero(std::span(memory).subspan(4, 32)));
  EXPECT_EQ(memory[3], 0xaa);
  EXPECT_EQ(memory[36], 0xaa);
  wipe({});
}

TEST(SecretBytes, IsZeroWhenNew) {
  EXPECT_TRUE(all_zero(SecretBytes<32>().expose()));
}

TEST(SecretBytes, LeavesNothingWhereItWasMovedFrom) {
  SecretBytes<32> from = counted();
  SecretBytes<32> to = std::move(from);
  // NOLINTNEXTLINE(bugprone-use-after-move): that nothing is left there is what is tested
  EXPECT_TRUE(all_zero(from.expose()));
  EXPECT_EQ(to.expose()[31], 32);
  from = std::move(to);
  // NOLINTNEXTLINE(bugprone-use-after-move)
  EXPECT_TRUE(all_zero(to.expose()));
  EXPECT_EQ(from.expose()[31], 32);
}

TEST(SecretBytes, DuplicateIsIndependent) {
  SecretBytes<32> original = counted();
  const SecretBytes<32> twin = original.duplicate();
  wipe(original.expose_mutable());
  EXPECT_EQ(twin.expose()[0], 1);
}

TEST(SecretBytes, WipesItselfAtItsEnd) {
  // Memory of our own, so that looking at it afterwards is defined.
  alignas(SecretBytes<32>) std::array<std::uint8_t, sizeof(SecretBytes<32>)> memory{};
  auto* secret = new (memory.data()) SecretBytes<32>(counted());
  EXPECT_FALSE(all_zero(memory));
  secret->~SecretBytes();
  EXPECT_TRUE(all_zero(memory));
}

TEST(ProtectProcessMemory, ForbidsCoreFilesAndTracing) {
  // In a child: the setting has no way back.
  EXPECT_EXIT(
      {
        protect_process_memory();
        rlimit limit{};
        const bool none = getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0;
        std::_Exit(none && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace

}  // namespace nostril
