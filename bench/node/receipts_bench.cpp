// What a receipt costs the node that is paid with it: from its text to the book, beside the bare
// signature; and to the disk, with others that come at the same time.
#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "client/channel_store.h"
#include "client/journal.h"
#include "net/loop.h"
#include "node/channel_book.h"
#include "schnorr/verify.h"
#include "settlement/price.h"
#include "tests/support/temp_dir.h"

#include <benchmark/benchmark.h>

#include <secp256k1.h>
#include <secp256k1_schnorrsig.h>

#include <memory>
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

struct Taken {
  VerifiedEvent event;
  BalanceReceipt receipt;
};

/// As a session does: text, id, signature, form; then the book.
Taken take(const std::string& text, Verifier& verifier, ChannelBook& book) {
  auto parsed = parse_event(text);
  CHECK(parsed.has_value());
  auto event = VerifiedEvent::verify(std::move(*parsed), verifier);
  CHECK(event.has_value());
  const auto receipt = parse_receipt(event->event());
  CHECK(receipt.has_value());
  CHECK(book.accept(*event, *receipt) == settlement::ReceiptVerdict::Accepted);
  return {std::move(*event), *receipt};
}

void BM_RawSignature(benchmark::State& state) {
  SystemRng rng;
  Sale sale(rng);
  const auto event = parse_event(sale.next());
  CHECK(event.has_value());
  const Event& receipt = event->event();
  for (auto _ : state) {
    secp256k1_xonly_pubkey key;
    CHECK(secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key,
                                       receipt.pubkey.bytes.data()) == 1);
    CHECK(secp256k1_schnorrsig_verify(secp256k1_context_static, receipt.sig.bytes.data(),
                                      receipt.id.bytes.data(), 32, &key) == 1);
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(BM_RawSignature);

void BM_ReceiptVerified(benchmark::State& state) {
  SystemRng rng;
  Sale sale(rng);
  Verifier verifier;
  std::vector<std::string> texts(kBatch);
  for (auto _ : state) {
    state.PauseTiming();
    for (std::string& text : texts) text = sale.next();
    state.ResumeTiming();
    for (const std::string& text : texts) take(text, verifier, *sale.book);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}

BENCHMARK(BM_ReceiptVerified);

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
      const Taken taken = take(sale.next(), verifier, *sale.book);
      changes.push_back(
          {client::put_receipt(taken.receipt, taken.event.event()), sale.book->row()});
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
