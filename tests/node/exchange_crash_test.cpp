// The process ended at every single write and sync that the store's journal makes: what was
// acknowledged is there, whole, and the erasures of the same commit with it.
#include "node/exchange_store.h"
#include "tests/relay/disk_faults.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace nostril::node {

namespace {

namespace disk = relay::test::disk;
using client::JournalTable;

constexpr std::size_t kExchanges = 6;
constexpr std::int64_t kStart = 1'790'000'000;
// So small that the later ones erase the earlier.
constexpr ExchangeLimits kLimits{.age_s_max = 86'400, .bytes_max = 12U << 10};

Exchange numbered(std::size_t i) {
  Exchange out;
  out.id = "chatcmpl-" + std::to_string(i);
  out.receipt_id = "r" + std::to_string(i);
  out.at_s = kStart;
  out.model = "m";
  out.request = sha256(out.id);
  out.response = sha256(out.receipt_id);
  out.aci_receipt = std::string(3'000, 'r');
  return out;
}

/// Tells `acknowledged` after each commit; false when the journal failed.
bool write_all(const std::filesystem::path& folder, const disk::Acknowledge& acknowledge) {
  net::Loop loop;
  FakeClock clock(kStart);
  auto journal = client::Journal::open(folder, loop);
  if (!journal) return false;
  ExchangeStore store(**journal, kLimits, clock);
  for (std::size_t i = 0; i < kExchanges; ++i) {
    bool done = false;
    bool good = false;
    if (!(*journal)->commit(store.put(numbered(i)), [&](bool on_disk) {
          done = true;
          good = on_disk;
        })) {
      return false;
    }
    if (!test::run_until(loop, [&] { return done; }) || !good) return false;
    acknowledge(i + 1);
  }
  return true;
}

void expect_whole(const std::filesystem::path& folder, std::size_t acknowledged) {
  if (acknowledged == 0 && disk::is_torn_at_birth(folder)) return;
  net::Loop loop;
  FakeClock clock(kStart);
  auto journal = client::Journal::open(folder, loop);
  ASSERT_TRUE(journal) << journal.error();
  ExchangeStore store(**journal, kLimits, clock);
  if (acknowledged > 0) {
    const Exchange last = numbered(acknowledged - 1);
    const auto found = store.find({}, last.id);
    ASSERT_TRUE(found);
    EXPECT_EQ(encode_exchange(*found), encode_exchange(last));
    EXPECT_TRUE(store.find_receipt({}, last.receipt_id));
  }
  // Rows and names belong together, whatever was erased; nothing is there twice.
  std::size_t rows = 0;
  std::size_t found = 0;
  (*journal)->scan(JournalTable::Exchanges, {}, [&](ByteSpan, ByteSpan value) {
    EXPECT_TRUE(decode_exchange(as_text(value)));
    return ++rows != 0;
  });
  for (std::size_t i = 0; i < kExchanges; ++i) {
    if (store.find({}, numbered(i).id)) ++found;
  }
  std::size_t names = 0;
  (*journal)->scan(JournalTable::ExchangeNames, {},
                   [&](ByteSpan, ByteSpan) { return ++names != 0; });
  EXPECT_EQ(found, rows);
  if (acknowledged == kExchanges) {
    EXPECT_LT(rows, kExchanges);
  }
  EXPECT_EQ(names, 2 * rows);
}

class ExchangeCrash : public testing::TestWithParam<disk::Fault> {};

TEST_P(ExchangeCrash, NothingAcknowledgedIsLostAndNothingIsHalfThere) {
  std::size_t step = 1;
  for (;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const test::TempDir dir;
    const auto folder = dir.path() / "journal";
    const auto ended = disk::run_with_fault(
        folder, GetParam(), step,
        [&](const disk::Acknowledge& acknowledge) { return write_all(folder, acknowledge); });
    if (ended.status == 0) break;
    if (GetParam() == disk::Fault::Fail) {
      ASSERT_TRUE(ended.status == 1 || ended.status == 2) << ended.status;
    } else {
      ASSERT_EQ(ended.status, disk::kExitStatus);
    }
    expect_whole(folder, ended.acknowledged);
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 2 * kExchanges);
}

INSTANTIATE_TEST_SUITE_P(Faults, ExchangeCrash,
                         testing::Values(disk::Fault::Exit, disk::Fault::ExitHalf,
                                         disk::Fault::Fail));

}  // namespace

}  // namespace nostril::node
