#include "net/out_queue.h"

#include <gtest/gtest.h>

#include <random>

namespace nostril::net {
namespace {

TEST(OutQueue, GivesBackTheBytesInOrderHoweverTheyAreTaken) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 40; ++round) {
    OutQueue queue;
    std::string twin;  // the same as one string
    std::string scratch;
    for (int step = 0; step < 60; ++step) {
      std::string bytes(random() % 3 == 0 ? random() % 90'000 : random() % 50, ' ');
      for (char& c : bytes) c = static_cast<char>(random());
      twin += bytes;
      if (random() % 2 == 0) {
        queue.append(bytes);
      } else {
        queue.append_shared(std::make_shared<const std::string>(bytes));
      }
      ASSERT_EQ(queue.bytes(), twin.size());
      while (random() % 3 != 0 && !queue.empty()) {
        const std::size_t most = 1 + random() % 100'000;
        const std::string_view front = queue.front(scratch, most);
        ASSERT_EQ(front.size(), std::min(most, twin.size()));
        ASSERT_TRUE(front == std::string_view(twin).substr(0, front.size()));
        const std::size_t used = random() % 4 == 0 ? random() % (front.size() + 1) : front.size();
        queue.consume(used);
        twin.erase(0, used);
      }
    }
  }
}

TEST(OutQueue, DoesNotCopyALonePiece) {
  OutQueue queue;
  std::string scratch;
  const auto shared = std::make_shared<const std::string>(1'000, 's');
  queue.append_shared(shared);
  EXPECT_EQ(queue.front(scratch, 5'000).data(), shared->data());
  EXPECT_EQ(shared.use_count(), 2);
  queue.consume(1'000);
  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_TRUE(queue.empty());
}

TEST(OutQueue, IgnoresEmptyPieces) {
  OutQueue queue;
  queue.append("");
  queue.append_shared(nullptr);
  queue.append_shared(std::make_shared<const std::string>());
  EXPECT_TRUE(queue.empty());
}

TEST(OutQueue, IsUsedAgainAfterItWasEmptied) {
  OutQueue queue;
  std::string scratch;
  const auto shared = std::make_shared<const std::string>("shared");
  for (int round = 0; round < 5; ++round) {
    queue.append("<");
    queue.append_shared(shared);
    queue.append(">");
    if (round == 2) queue.release_spare();  // not while bytes wait
    EXPECT_EQ(queue.front(scratch, 100), "<shared>");
    queue.consume(queue.bytes());
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.front(scratch, 100), "");
    EXPECT_EQ(shared.use_count(), 1);
    if (round == 3) queue.release_spare();
  }
}

}  // namespace
}  // namespace nostril::net
