// What a receipt costs the node that is paid with it: from its text to the book, beside the bare
// signatures; and to the disk, with others that come at the same time.
#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "client/channel_store.h"
#include "client/journal.h"
#include "events/signed_receipt.h"
#include "net/loop.h"
#include "node/channel_book.h"
#include "schnorr/verify.h"
#include "settlement/price.h"
#include "tests/support/temp_dir.h"

#include <benchmark/benchmark.h>

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr std::size_t kBatch = 512;
constexpr std::size_t kChannels = 64;

/// A node's book of one channel and its payer.
struct Sale {
  explicit Sale(Rng& random)
      : rng(random), node(Keypair::generate(random)), payer(Keypair::generate(random)) {
    settlement::ChannelTerms terms{payer.public_key(), node.public_key(), "msat", {}};
    rng.fill(terms.salt);
    book.emplace(terms, Amount::of(1ULL << 62U));
  }

  /// States an answer, and gives the receipt for it as it comes: text.
  std::string next() {
    ResponseRecord record;
    record.node = node.public_key();
    record.created_at = kTime;
    rng.fill(record.request.bytes);
    record.model = "m";
    record.engine = "vllm";
    record.engine_version = "1";
    record.usage.output = 5;
    const auto event = book->state(record, prices, node, rng, 0);
    CHECK(event.has_value());
    BalanceReceipt receipt;
    receipt.signer = payer.public_key();
    receipt.created_at = kTime;
    receipt.channel = book->channel().id();
    receipt.amount = book->channel().spent();
    receipt.running_hash = book->channel().running_hash();
    return to_json(sign_event(build_receipt(receipt), payer, rng));
  }

  static constexpr std::int64_t kTime = 1'700'000'000;

  Rng& rng;
  const Keypair node;
  const Keypair payer;
  std::optional<ChannelBook> book;
  settlement::PriceTable prices = [] {
    Offer offer;
    offer.asset = "msat";
    offer.prices = {{PriceUnit::Output, Amount::of(1'000'000)}};
    return settlement::PriceTable::of(offer);
  }();
};

/// As a session does: text, id, signature, form; then the book.
SignedReceipt take(const std::string& text, Verifier& verifier, ChannelBook& book) {
  auto parsed = parse_event(text);
  CHECK(parsed.has_value());
  auto event = VerifiedEvent::verify(*std::move(parsed), verifier);
  CHECK(event.has_value());
  auto receipt = SignedReceipt::parse(*std::move(event));
  CHECK(receipt.has_value());
  CHECK(book.accept(*receipt) == settlement::ReceiptVerdict::Accepted);
  return *std::move(receipt);
}

secp256k1_xonly_pubkey parse_key(const PublicKey& key) {
  secp256k1_xonly_pubkey out;
  CHECK(secp256k1_xonly_pubkey_parse(secp256k1_context_static, &out, key.bytes.data()) == 1);
  return out;
}

void check_bare(const VerifyItem& item, const secp256k1_xonly_pubkey& key) {
  CHECK(secp256k1_schnorrsig_verify(secp256k1_context_static, item.signature.bytes.data(),
                                    item.message.bytes.data(), item.message.bytes.size(),
                                    &key) == 1);
}

/// What `work` costs this thread, in seconds of CPU.
template <typename Work>
double cpu_s_of(Work&& work) {
  const auto now = [] {
    timespec at{};
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) == 0);
    return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
  };
  const double start = now();
  work();
  return now() - start;
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

/// The same kBatch receipts three ways in turns: their signatures alone by libsecp256k1, the
/// payer's key parsed for each of them, or once for all; and taken. One signature again and again
/// would not do for the bare ones: the processor learns its branches, which saves a tenth. Counters
/// are medians over the batches, rates by CPU time, ratios of each batch by itself.
void BM_Receipts(benchmark::State& state) {
  SystemRng rng;
  Sale sale(rng);
  Verifier verifier;
  std::vector<std::string> texts(kBatch);
  std::vector<VerifyItem> items(kBatch);
  const std::array<std::function<void()>, 3> ways = {[&] {
                                                       for (const VerifyItem& item : items)
                                                         check_bare(item, parse_key(item.key));
                                                     },
                                                     [&] {
                                                       const secp256k1_xonly_pubkey key =
                                                           parse_key(sale.payer.public_key());
                                                       for (const VerifyItem& item : items)
                                                         check_bare(item, key);
                                                     },
                                                     [&] {
                                                       for (const std::string& text : texts)
                                                         take(text, verifier, *sale.book);
                                                     }};
  std::array<std::vector<double>, 3> seconds;
  std::array<std::vector<double>, 2> ratios;
  std::size_t first = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      texts[i] = sale.next();
      const auto parsed = parse_event(texts[i]);
      CHECK(parsed.has_value());
      const Event& event = parsed->event();
      items[i] = {event.sig, Digest{event.id.bytes}, event.pubkey};
    }
    for (std::size_t turn = 0; turn < ways.size(); ++turn) {
      const std::size_t way = (first + turn) % ways.size();
      seconds[way].push_back(cpu_s_of(ways[way]));
    }
    ++first;
    for (std::size_t bare = 0; bare < ratios.size(); ++bare) {
      ratios[bare].push_back(seconds[bare].back() / seconds[2].back());
    }
    state.SetIterationTime(seconds[2].back());
  }
  const auto per_s = [&](std::size_t way) { return kBatch / median(seconds[way]); };
  state.counters = {{"raw_per_s", per_s(0)},
                    {"raw_key_once_per_s", per_s(1)},
                    {"taken_per_s", per_s(2)},
                    {"to_raw", median(ratios[0])},
                    {"to_raw_key_once", median(ratios[1])}};
}

BENCHMARK(BM_Receipts)->UseManualTime();

/// Receipts whose signatures were checked, on the disk: the receipt and the channel's row, as each
/// of kBatch streams would wait for them.
void BM_ReceiptsDurable(benchmark::State& state) {
  SystemRng rng;
  Verifier verifier;
  net::Loop loop;
  const test::TempDir folder;
  auto journal = client::Journal::open(folder.path() / "journal", loop);
  CHECK(journal.has_value());
  std::vector<std::unique_ptr<Sale>> sales;
  for (std::size_t i = 0; i < kChannels; ++i) sales.push_back(std::make_unique<Sale>(rng));
  std::vector<std::vector<client::JournalChange>> changes;
  for (auto _ : state) {
    state.PauseTiming();
    changes.clear();
    for (std::size_t i = 0; i < kBatch; ++i) {
      Sale& sale = *sales[i % kChannels];
      const SignedReceipt taken = take(sale.next(), verifier, *sale.book);
      changes.push_back({client::put_receipt(*taken, taken.event()), sale.book->row()});
    }
    state.ResumeTiming();
    std::size_t left = kBatch;
    for (auto& one : changes) {
      CHECK((*journal)->commit(std::move(one), [&](bool on_disk) {
        CHECK(on_disk);
        if (--left == 0) loop.stop();
      }));
    }
    while (left > 0) loop.run();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}

BENCHMARK(BM_ReceiptsDurable)->UseRealTime();

}  // namespace

}  // namespace nostril::node
