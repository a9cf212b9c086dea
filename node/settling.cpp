#include "node/settling.h"

#include "base/check.h"
#include "base/crash_point.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/metrics_text.h"
#include "client/chain/contract_view.h"
#include "client/chain/follower.h"
#include "client/chain/order_bringer.h"
#include "client/chain/sender.h"
#include "client/chain/store.h"
#include "client/channel_store.h"
#include "node/claims.h"
#include "settlement/evm/abi.h"
#include "settlement/evm/log.h"
#include "settlement/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <stdexcept>
#include <utility>

namespace nostril::node {

namespace {

namespace chain = client::chain;

/// A round must not keep deposits waiting: what is in no block by then goes on in the next.
constexpr std::int64_t kSendWaitSMax = 20;
constexpr const char* kClaimedAt = "claimed-at";
/// After the request to close: answers that were under way have ended by then, and their receipts
/// have come.
constexpr std::uint64_t kRefundAfterS = 60;
constexpr std::uint64_t kGraceS = 86'400;

std::unique_ptr<chain::ChainStore> open_store(const NodeConfig& config) {
  auto store = chain::ChainStore::open(std::filesystem::path(config.data) / "chain");
  if (!store) throw std::runtime_error(store.error());
  return std::move(*store);
}

settlement::evm::Asset asset_of(const NodeConfig& config) {
  const auto asset = settlement::evm::parse_asset(config.offer.asset);
  if (!asset) throw std::runtime_error("offer.asset: of no chain");
  return *asset;
}

EthereumAddress payee_of(const NodeConfig& config) {
  const auto rail = config.rail();
  CHECK(rail.has_value());
  return rail->payee;
}

chain::SenderSettings sender_settings(const NodeConfig& config, std::uint64_t chain_id) {
  chain::SenderSettings out = config.settlement.sender_settings(chain_id);
  // A claim that a re-org throws out is sent again, so the first block will do.
  out.confirmations = 1;
  out.wait_s_max = kSendWaitSMax;
  return out;
}

chain::FollowSettings follow_settings(const NodeConfig& config, std::uint64_t chain_id,
                                      const EthereumAddress& payee) {
  chain::FollowSettings out = config.settlement.follow_settings(chain_id);
  out.payee = payee;
  return out;
}

std::int64_t number_in(const std::optional<std::string>& text) {
  std::int64_t out = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), out);
  return out;
}

}  // namespace

// In the order in which they are made of each other.
struct Settler::Parts {  // NOLINT(clang-analyzer-optin.performance.Padding)

  Parts(const NodeConfig& config, client::Journal& the_journal, EcdsaKey the_key, Clock& the_clock)
      : clock(the_clock),
        journal(the_journal),
        asset(asset_of(config)),
        place(config.settlement.place(asset.chain_id)),
        payee(payee_of(config)),
        policy{Amount::of(static_cast<std::uint64_t>(config.settlement.claim_at)),
               config.settlement.claim_after_s},
        least(Amount::of(static_cast<std::uint64_t>(config.settlement.claim_least))),
        shares(config.settlement.shares().value_or(std::vector<settlement::Share>())),
        split_at(Amount::of(static_cast<std::uint64_t>(config.settlement.split_at))),
        refund_at(Amount::of(static_cast<std::uint64_t>(config.settlement.refund_at))),
        poll_ms(static_cast<std::uint64_t>(config.settlement.poll_ms)),
        key(std::move(the_key)),
        store(open_store(config)),
        lock(chain::lock_sender(std::filesystem::path(config.data) / "chain")),
        rpc(config.settlement.rpc_settings()),
        follower(rpc, *store, follow_settings(config, asset.chain_id, payee)),
        sender(rpc, *store, key, sender_settings(config, asset.chain_id), clock),
        contract(rpc, place) {}

  Clock& clock;
  client::Journal& journal;
  const settlement::evm::Asset asset;
  const settlement::evm::ContractPlace place;
  const EthereumAddress payee;
  const ClaimPolicy policy;
  const Amount least;
  const std::vector<settlement::Share> shares;
  const Amount split_at;
  const Amount refund_at;
  const std::uint64_t poll_ms;
  const EcdsaKey key;
  const std::unique_ptr<chain::ChainStore> store;
  const FileLock lock;
  chain::RpcClient rpc;
  chain::Follower follower;
  chain::Sender sender;
  chain::ContractView contract;
};

Settler::Settler(const NodeConfig& config, client::Journal& journal, EcdsaKey key, Clock& clock)
    : parts_(std::make_unique<Parts>(config, journal, std::move(key), clock)) {}

Settler::~Settler() = default;

void Settler::pause() {
  parts_->rpc.pause(parts_->poll_ms);
}

void Settler::stop() {
  parts_->rpc.stop();
}

bool Settler::stopped() const {
  return parts_->rpc.stopped();
}

SettleRound Settler::round(bool asked) {
  SettleRound out;
  Parts& p = *parts_;
  if (const auto checked = p.contract.check_place(); !checked) {
    out.problem = checked.error();
    return out;
  }
  if (const auto advanced = p.follower.advance(); !advanced) {
    out.problem = advanced.error().text;
    return out;
  }
  out.view = std::make_shared<const ChainView>(
      ChainView{p.follower.mirror(), p.follower.newest(), p.follower.head().time});
  out.problem = claim(out, asked);
  if (out.problem.empty()) out.problem = bring_wanted();
  if (out.problem.empty()) out.problem = give_back(*out.view);
  if (out.problem.empty()) out.problem = pay_shares();
  return out;
}

std::string Settler::claim(SettleRound& out, bool asked) {
  Parts& p = *parts_;
  if (const auto finished = p.sender.finish_pending(); !finished) return finished.error();
  // What is sent here follows from what the chain says, never from a wish that is repeated.
  if (const auto seen = p.sender.acknowledge(); !seen) return seen.error();
  const bool wanted = asked || p.store->meta(kClaimWanted).has_value();
  const std::vector<Claimable> all =
      find_claimable(p.journal, p.place, out.view->newest, p.payee, p.asset.token, p.least);
  for (const Claimable& one : all) out.claimable += one.worth.value();
  const std::int64_t now = p.clock.unix_s();
  const std::int64_t since = now - number_in(p.store->meta(kClaimedAt));
  const auto reason = reason_to_claim(all, p.policy, since, wanted);
  if (wanted && (!reason || all.size() <= kClaimRowsMax)) {
    if (const auto done = p.store->set_meta(kClaimWanted, ""); !done) return done.error();
  }
  if (!reason) return {};

  std::vector<settlement::evm::ClaimRow> rows;
  Uint128 sum = 0;
  for (const Claimable& one : all) {
    if (rows.size() == kClaimRowsMax) break;
    rows.push_back(one.row);
    sum += one.worth.value();
  }
  const std::string purpose = fmt::format("claim {} of {} channel{}", to_decimal(sum), rows.size(),
                                          rows.size() == 1 ? "" : "s");
  log(LogLevel::Info, "{}: {}", public_text(purpose), *reason);
  const Bytes call = p.shares.empty() ? settlement::evm::claim_call(p.payee, p.asset.token, rows)
                                      : settlement::evm::claim_to_pool_call(p.asset.token, rows);
  const auto sent = p.sender.send({purpose, p.place.contract, 0, call});
  if (!sent) return sent.error();
  crash_point("claim-done");
  out.claimed_rows = rows.size();
  if (const auto kept = p.store->set_meta(kClaimedAt, std::to_string(now)); !kept) {
    return kept.error();
  }
  return {};
}

Result<std::string, std::string> Settler::bring(const settlement::evm::SignedOrder& order) {
  Parts& p = *parts_;
  if (order.channel().payee != p.payee || order.channel().token != p.asset.token) {
    return failure(std::string("the order is for another payee or asset than this node's"));
  }
  const auto locked = chain::bring_order(p.contract, p.sender, order);
  if (!locked) return failure(locked.error());
  crash_point("order-brought");
  if (auto seen = p.sender.acknowledge(); !seen) return failure(seen.error());
  const std::string channel = encode_hex(order.order().channel);
  if (locked->is_zero()) return "channel " + channel + ": nothing to do, it is there already";
  return fmt::format("channel {}: locked {} more", channel, locked->to_string());
}

/// Whoever put it there waits for the answer; one that can't be read is forgotten without.
std::string Settler::bring_wanted() {
  Parts& p = *parts_;
  const auto text = p.store->meta(kOrderWanted);
  if (!text) return {};
  Verifier verifier;
  const auto order = settlement::evm::SignedOrder::parse(*text, verifier);
  if (order) {
    const auto brought = bring(*order);
    if (p.rpc.stopped()) return {};  // it goes on at the next start
    const std::string answer =
        encode_hex(order->order().id) + (brought ? "=" + brought.value() : "!" + brought.error());
    if (auto kept = p.store->set_meta(kOrderAnswered, answer); !kept) return kept.error();
  }
  if (auto done = p.store->set_meta(kOrderWanted, ""); !done) return done.error();
  return {};
}

/// The rest of channels that are closing, once nothing is left to claim from them. What the chain
/// says now is what was read of it: a refund that was sent and is in no block that was read yet
/// keeps all others back.
std::string Settler::give_back(const ChainView& view) {
  Parts& p = *parts_;
  if (p.refund_at.is_zero() || p.sender.account() != p.payee) return {};
  if (!all_is_read()) return {};
  for (const auto& [id, channel] : view.newest.channels()) {
    const auto* confirmed = view.confirmed.find(id);
    if (channel.terms.token != p.asset.token || channel.close_at == 0 || confirmed == nullptr ||
        confirmed->close_at != channel.close_at ||
        view.head_time + kGraceS < channel.close_at + kRefundAfterS) {
      continue;
    }
    const auto stored = client::get_channel(p.journal, id);
    const Amount receipts = stored ? stored->snapshot.accepted : Amount();
    if (std::min(receipts, channel.locked) > channel.claimed) continue;  // to be claimed first
    const Uint128 rest = channel.locked.value() - channel.claimed.value();
    if (rest == 0 || rest < p.refund_at.value()) continue;
    const Amount amount = *Amount::from(rest);
    const auto sent =
        p.sender.send({fmt::format("refund {}", amount.to_string()), p.place.contract, 0,
                       settlement::evm::channel_call(settlement::evm::AmountCall::Refund,
                                                     channel.terms, amount)});
    if (!sent) return sent.error();
    log(LogLevel::Info, "gave back {} of a channel that is closing",
        public_text(amount.to_string()));
    return {};  // the next when this one has been read
  }
  return {};
}

/// All that this account ever sent has ended, and lies in blocks that were read.
bool Settler::all_is_read() const {
  const Parts& p = *parts_;
  return std::ranges::all_of(
      p.store->transactions(p.sender.account()), [&p](const chain::StoredTransaction& one) {
        const bool ended = one.state == chain::TransactionState::Replaced || one.receipt;
        return ended && (!one.receipt || one.receipt->block <= p.follower.cursor().number);
      });
}

/// Computed from the chain alone, and only when all that this account ever sent lies in what was
/// read of it: so no payment can be overlooked, and none is made twice.
std::string Settler::pay_shares() {
  Parts& p = *parts_;
  if (p.shares.empty()) return {};
  if (!all_is_read()) return {};
  Uint128 earned = 0;
  for (const auto& [id, channel] : p.follower.mirror().channels()) {
    if (channel.terms.token == p.asset.token) earned += channel.claimed.value();
  }
  std::map<EthereumAddress, Uint128> paid;
  for (const settlement::evm::LogEntry& entry : p.store->logs()) {
    const auto parsed = settlement::evm::parse_log(entry.topics, entry.data);
    const auto* out = parsed ? std::get_if<settlement::evm::WithdrawnLog>(&*parsed) : nullptr;
    if (out == nullptr || out->owner != p.sender.account() || out->token != p.asset.token) continue;
    paid[out->to] += out->amount.value();
  }
  const auto bounded = [](Uint128 sum) { return *Amount::from(std::min(sum, Amount::kMax)); };
  for (const settlement::Share& share : p.shares) {
    const Amount owed = settlement::due(share, bounded(earned), bounded(paid[share.to]));
    if (owed.is_zero() || owed < p.split_at) continue;
    const auto sent = p.sender.send(
        {fmt::format("share {} to {}", owed.to_string(), settlement::evm::to_string(share.to)),
         p.place.contract, 0, settlement::evm::withdraw_call(p.asset.token, owed, share.to)});
    if (!sent) return sent.error();
    return {};  // the next when this one has been read
  }
  return {};
}

// ---- Beside the node's loop ---------------------------------------------------------------------

Settling::Settling(const NodeConfig& config, client::Journal& journal, EcdsaKey key,
                   net::Loop& loop, Clock& clock,
                   std::function<void(std::shared_ptr<const ChainView>)> on_view)
    : loop_(loop),
      clock_(clock),
      on_view_(std::move(on_view)),
      settler_(config, journal, std::move(key), clock),
      thread_([this] { work(); }) {}

Settling::~Settling() {
  settler_.stop();
  thread_.join();
}

void Settling::work() {
  std::string last_problem;
  while (!settler_.stopped()) {
    SettleRound round = settler_.round(false);
    if (settler_.stopped()) return;
    if (round.problem != last_problem) {
      if (!round.problem.empty())
        log(LogLevel::Error, "settlement: {}", public_text(round.problem));
      last_problem = round.problem;
    }
    (void)loop_.post([this, alive = std::weak_ptr(alive_), round = std::move(round)] {
      if (!alive.expired()) on_round(round);
    });
    settler_.pause();
  }
}

void Settling::on_round(const SettleRound& round) {
  ++figures_.rounds;
  if (!round.problem.empty()) ++figures_.failed;
  figures_.claimed_rows += round.claimed_rows;
  if (!round.view) return;
  figures_.view = round.view;
  figures_.claimable = round.claimable;
  on_view_(round.view);
}

std::string Settling::metrics_text() const {
  std::uint64_t open = 0;
  std::uint64_t closing = 0;
  Uint128 locked = 0;
  Uint128 claimed = 0;
  std::uint64_t age_s = 0;
  if (figures_.view) {
    age_s = static_cast<std::uint64_t>(std::max<std::int64_t>(
        0, clock_.unix_s() - static_cast<std::int64_t>(figures_.view->head_time)));
    for (const auto& [id, channel] : figures_.view->newest.channels()) {
      ++(channel.close_at == 0 ? open : closing);
      locked += channel.locked.value();
      claimed += channel.claimed.value();
    }
  }
  MetricsText out("nostril_node_");
  out.counter("settlement_rounds_total", figures_.rounds, "looks at the chain");
  out.counter("settlement_rounds_failed_total", figures_.failed, "of them, that failed");
  out.counter("settlement_rows_claimed_total", figures_.claimed_rows, "channels claimed for");
  if (!figures_.view) return std::move(out).take();
  out.gauge("settlement_view_age_seconds", age_s, "of the newest block that was read");
  out.metric("settlement_channels", "gauge", "of this node on the chain");
  out.sample(open, metrics_label("state", "open"));
  out.sample(closing, metrics_label("state", "closing"));
  out.metric("settlement_units", "gauge", "base units in them");
  out.sample_decimal(to_decimal(locked), metrics_label("what", "locked"));
  out.sample_decimal(to_decimal(claimed), metrics_label("what", "claimed"));
  out.sample_decimal(to_decimal(figures_.claimable), metrics_label("what", "claimable"));
  return std::move(out).take();
}

EcdsaKey settlement_key(const NodeConfig& config, Rng& rng) {
  auto key = chain::account_key(config.account_file(), config.settlement.key_file.empty(), rng);
  if (!key) throw std::runtime_error(key.error());
  return std::move(*key);
}

}  // namespace nostril::node
