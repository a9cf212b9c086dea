#include "client/home.h"

#include "client/chain/wallet.h"
#include "client/channel_store.h"
#include "client/key_file.h"
#include "client/run_until.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::streamsize kFileBytesMax = 2 << 20;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string out(static_cast<std::size_t>(kFileBytesMax) + 1, '\0');
  file.read(out.data(), kFileBytesMax + 1);
  if (file.bad() || !file.eof()) {
    throw std::runtime_error(path + ": can't be read, or is larger than 2 MiB");
  }
  out.resize(static_cast<std::size_t>(file.gcount()));
  return out;
}

}  // namespace

Keypair payment_key(const std::filesystem::path& home, Rng& rng) {
  const std::filesystem::path file = home / "payment.nsec";
  if (std::filesystem::exists(file)) {
    auto key = read_key_file(file);
    if (!key) throw std::runtime_error(key.error());
    return std::move(*key);
  }
  Keypair key = Keypair::generate(rng);
  if (auto written = write_key_file(file, key); !written) {
    throw std::runtime_error(written.error());
  }
  return key;
}

std::filesystem::path default_home() {
  if (const char* set = std::getenv("NOSTRIL_HOME")) return set;  // NOLINT(concurrency-mt-unsafe)
  const char* user = std::getenv("HOME");                         // NOLINT(concurrency-mt-unsafe)
  return std::filesystem::path(user == nullptr ? "." : user) / ".nostril";
}

TrustSettings trust_from(const ClientSettings& settings) {
  VerifyPolicy policy;
  if (!settings.policy.empty()) {
    policy = parse_verify_policy(read_file(settings.policy), settings.policy);
  }
  policy.tdx.allow_unchecked_tcb |= settings.allow_unchecked_tcb;
  attestation::TrustRoots roots = attestation::TrustRoots::vendors();
  for (const std::string& file : settings.test_roots) {
    const auto root = attestation::TrustRoots::with_test_root(as_bytes(read_file(file)));
    if (!root) throw std::runtime_error(file + ": " + std::string(to_string(root.error())));
    roots = roots.joined(*root);
  }
  // Of GPUs, too: the evidence of a node has one policy (Policy::gpu).
  policy.tdx.accept_simulated = !settings.test_roots.empty();
  policy.snp.accept_simulated = !settings.test_roots.empty();
  return {std::move(roots), std::move(policy)};
}

std::unique_ptr<Journal> open_home_journal(const std::filesystem::path& home, net::Loop& loop) {
  std::filesystem::create_directories(home);
  std::filesystem::permissions(home, std::filesystem::perms::owner_all);
  auto journal = Journal::open(home / "journal", loop);
  if (!journal) throw std::runtime_error(journal.error());
  return std::move(*journal);
}

ClientHome::ClientHome(const ClientSettings& settings, net::Loop& loop, Clock& clock, Rng& rng)
    : loop_(loop),
      clock_(clock),
      trust_(trust_from(settings)),
      pool_(loop, clock, {}, settings.ca_file),
      pending_(settings.home / "pickup"),
      journal_(open_home_journal(settings.home, loop)),
      watch_(trust_.roots) {
  if (settings.relays.empty()) throw std::runtime_error("no relay: name one with --relay ws://…");
  for (const std::string& relay : settings.relays) {
    if (!pool_.add_relay(relay)) {
      throw std::runtime_error(relay + ": not a ws:// or wss:// URL, or too many relays");
    }
  }
  const auto budget = Amount::of(static_cast<std::uint64_t>(settings.budget));
  wallet_ =
      std::make_unique<Wallet>(*journal_, payment_key(settings.home, rng), budget, clock, rng);
  feed_ = std::make_unique<TrustFeed>(pool_, trust_, clock, settings.home / "known-good");
  words_ = std::make_unique<ReputationFeed>(pool_, reputation_, watch_, trust_.roots, clock, rng,
                                            settings.reputation, settings.home / "reputation");
  offers_ = std::make_unique<OfferBook>(pool_, trust_, clock);
  words_->attach(*offers_);
  feed_->on_change([this] { offers_->on_trust_changed(); });
  // Statements of earlier runs: what is signed now must go on from them.
  for (const StoredChannel& channel : all_channels(*journal_)) {
    if (!channel.record) continue;
    if (const auto fraud = watch_.on_record(*channel.record)) words_->on_found(*fraud);
  }
  inference_ = std::make_unique<InferenceClient>(pool_, *wallet_, loop, clock, rng);
  inference_->keep_pending_in(pending_);
  inference_->watch_for_fraud(watch_,
                              [this](const ProvenFraud& fraud) { words_->on_found(fraud); });
  const auto money = chain::WalletSettings::of_home(settings.home);
  const settlement::lightning::PayPolicy policy{static_cast<std::uint64_t>(money.payment_max),
                                                static_cast<std::uint64_t>(money.day_max)};
  if (policy.pays()) {
    wallet_->allow_steps();
    auto_pay_ = std::make_unique<AutoPay>(
        AutoPay::Settings{policy, settings.home, money.nwc_path(settings.home), settings.ca_file},
        wallet_->signer(), *inference_, *journal_, loop, clock, rng);
    inference_->pay_with(*auto_pay_);
  }
  asker_ = std::make_unique<Asker>(*offers_, *inference_, loop, rng);
  asker_->use_reputation(reputation_);
  offers_->on_change([this] {
    asker_->on_offers_changed();
    if (changed_) changed_();
  });
}

void ClientHome::finish_paying() {
  constexpr std::uint64_t kPayingMsMax = 10'000;
  if (auto_pay_ && !auto_pay_->idle()) {
    run_until(loop_, kPayingMsMax, [this] { return auto_pay_->idle(); });
  }
}

std::shared_ptr<Pickup> ClientHome::pick_up(PendingAnswer answer,
                                            std::function<void(const PickedUp&)> done) {
  return std::make_shared<Pickup>(pool_, *wallet_, *offers_, *inference_, loop_, clock_,
                                  std::move(answer), std::move(done));
}

}  // namespace nostril::client
