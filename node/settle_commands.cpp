#include "node/settle_commands.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "client/chain/order_bringer.h"
#include "client/chain/store.h"
#include "client/channel_store.h"
#include "node/claims.h"
#include "node/config.h"
#include "node/settling.h"
#include "settlement/evm/log.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <utility>

namespace nostril::node {

namespace {

namespace chain = client::chain;
using settlement::evm::MirroredChannel;

constexpr std::size_t kTransactionsShown = 20;
constexpr auto kAskedWait = std::chrono::seconds(90);

/// What all three commands work with.
struct Desk {
  explicit Desk(const SettleOptions& options) {
    Config file;
    config.declare(file);
    file.load(options.config);
    if (!config.settlement.enabled()) throw std::runtime_error("[settlement]: contract is not set");
    if (const auto problem = config.problem()) throw std::runtime_error(*problem);
    set_log_level(log_level_from(config.log_level));
    data = config.data;
    if (!std::filesystem::exists(data / "journal" / "data.mdb")) {
      throw std::runtime_error(data.string() + ": this node has never run");
    }
    std::filesystem::create_directories(data / "chain");
    key.emplace(settlement_key(config, rng));
    config.settlement.account = key->address();
    auto opened = client::Journal::open(data / "journal", loop);
    if (!opened) throw std::runtime_error(opened.error());
    journal = std::move(*opened);
  }

  SystemClock clock;
  SystemRng rng;
  net::Loop loop;
  NodeConfig config;
  std::filesystem::path data;
  std::optional<EcdsaKey> key;
  std::unique_ptr<client::Journal> journal;
};

struct ChannelLine {
  ChannelId id;
  MirroredChannel channel;
  Amount accepted;
};

struct Status {
  EthereumAddress account;
  EthereumAddress payee;
  std::string asset;
  std::uint64_t block = 0;
  std::vector<ChannelLine> channels;
  std::vector<chain::StoredTransaction> transactions;
};

Status read_status(Desk& desk) {
  auto store = chain::ChainStore::open(desk.data / "chain");
  if (!store) throw std::runtime_error(store.error());
  Status out;
  out.account = desk.key->address();
  const auto rail = desk.config.rail();
  const auto asset = settlement::evm::parse_asset(desk.config.offer.asset);
  out.payee = rail->payee;
  out.asset = desk.config.offer.asset;
  settlement::evm::Mirror mirror(desk.config.settlement.place(asset->chain_id), rail->payee);
  for (const auto& entry : (*store)->logs()) {
    if (const auto parsed = settlement::evm::parse_log(entry.topics, entry.data)) {
      mirror.apply(*parsed);
    }
  }
  const auto checkpoints = (*store)->checkpoints();
  if (!checkpoints.empty()) out.block = checkpoints.front().number;
  for (const auto& [id, channel] : mirror.channels()) {
    const auto stored = client::get_channel(*desk.journal, id);
    out.channels.push_back({id, channel, stored ? stored->snapshot.accepted : Amount()});
  }
  out.transactions = (*store)->transactions(out.account);
  return out;
}

Amount claimable(const ChannelLine& line) {
  const Amount most = std::min(line.accepted, line.channel.locked);
  if (most <= line.channel.claimed) return {};
  return *Amount::from(most.value() - line.channel.claimed.value());
}

void print_json(const Status& status) {
  JsonWriter w;
  w.begin_object();
  w.key("account").string(settlement::evm::to_string(status.account));
  w.key("payee").string(settlement::evm::to_string(status.payee));
  w.key("asset").string(status.asset);
  w.key("block").string(to_decimal(status.block));
  w.key("channels").begin_array();
  for (const ChannelLine& line : status.channels) {
    w.begin_object();
    w.key("channel").string(encode_hex(line.id));
    w.key("locked").string(line.channel.locked.to_string());
    w.key("accepted").string(line.accepted.to_string());
    w.key("claimed").string(line.channel.claimed.to_string());
    w.key("claimable").string(claimable(line).to_string());
    w.key("close_at").string(to_decimal(line.channel.close_at));
    w.end_object();
  }
  w.end_array().key("transactions").begin_array();
  for (const auto& one : status.transactions) {
    w.begin_object();
    w.key("nonce").string(to_decimal(one.nonce));
    w.key("purpose").string(one.purpose);
    w.key("state").string(to_string(one.state));
    w.key("hash").string("0x" + encode_hex(one.sent.back().hash));
    w.key("sent").integer(static_cast<std::int64_t>(one.sent.size()));
    if (one.receipt) {
      w.key("block").string(to_decimal(one.receipt->block));
      w.key("fee_wei").string(to_decimal(one.receipt->gas_price * one.receipt->gas_used));
    }
    w.end_object();
  }
  w.end_array().end_object();
  fmt::print("{}\n", w.text());
}

void print_csv(const Status& status) {
  fmt::print("channel,locked,accepted,claimed,claimable,close_at,asset\n");
  for (const ChannelLine& line : status.channels) {
    fmt::print("{},{},{},{},{},{},{}\n", encode_hex(line.id), line.channel.locked.to_string(),
               line.accepted.to_string(), line.channel.claimed.to_string(),
               claimable(line).to_string(), line.channel.close_at, status.asset);
  }
}

void print_text(const Status& status) {
  fmt::print("account  {} (sends claims; needs the chain's coin)\npayee    {}\nasset    {}\n",
             settlement::evm::to_string(status.account), settlement::evm::to_string(status.payee),
             status.asset);
  fmt::print("chain    read to block {}\n\n", status.block);
  for (const ChannelLine& line : status.channels) {
    fmt::print("channel  {}\n  locked {}  receipts {}  claimed {}  to claim {}{}\n",
               encode_hex(line.id), line.channel.locked.to_string(), line.accepted.to_string(),
               line.channel.claimed.to_string(), claimable(line).to_string(),
               line.channel.close_at == 0 ? "" : "  CLOSING");
  }
  const std::size_t count = status.transactions.size();
  const std::size_t first = count > kTransactionsShown ? count - kTransactionsShown : 0;
  for (std::size_t i = first; i < count; ++i) {
    const auto& one = status.transactions[i];
    fmt::print("sent     {}  {}  0x{}\n", one.purpose, to_string(one.state),
               encode_hex(one.sent.back().hash));
  }
}

int failed(std::string_view message) {
  fmt::print(stderr, "nostril-node: {}\n", message);
  return 1;
}

/// The running node claims, and forgets the wish when it has.
int ask_running_node(const Desk& desk) {
  auto store = chain::ChainStore::open(desk.data / "chain");
  if (!store) return failed(store.error());
  if (auto asked = (*store)->set_meta(Settler::kClaimWanted, "1"); !asked) {
    return failed(asked.error());
  }
  const auto until = std::chrono::steady_clock::now() + kAskedWait;
  while (std::chrono::steady_clock::now() < until) {
    if (!(*store)->meta(Settler::kClaimWanted)) {
      fmt::print("the running node was told to claim\n");
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return failed("the process that settles for this node does not answer; its log says why");
}

/// The running node brings it, and says how that went.
int ask_to_bring(const Desk& desk, const settlement::evm::SignedOrder& order) {
  auto store = chain::ChainStore::open(desk.data / "chain");
  if (!store) return failed(store.error());
  const auto waiting = (*store)->meta(Settler::kOrderWanted);
  if (waiting && *waiting != order.text()) {
    return failed("another order is being brought; give the command again");
  }
  if (auto asked = (*store)->set_meta(Settler::kOrderWanted, order.text()); !asked) {
    return failed(asked.error());
  }
  const std::string id = encode_hex(order.order().id);
  const auto until = std::chrono::steady_clock::now() + kAskedWait;
  while (std::chrono::steady_clock::now() < until) {
    // The answer is written first, and the wish forgotten then.
    const bool seen = !(*store)->meta(Settler::kOrderWanted);
    const auto answer = (*store)->meta(Settler::kOrderAnswered);
    if (seen && answer && answer->starts_with(id)) {
      const std::string text = answer->substr(id.size());
      if (text.starts_with("!")) return failed(text.substr(1));
      fmt::print("{}\n", text.substr(1));
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return failed("the process that settles for this node does not answer; its log says why");
}

/// Rounds until nothing is left, or one fails.
int claim_all(Settler& settler) {
  std::size_t rows = 0;
  for (;;) {
    const SettleRound round = settler.round(true);
    if (!round.problem.empty()) return failed(round.problem);
    if (round.claimed_rows == 0) break;
    rows += round.claimed_rows;
  }
  fmt::print("claimed {} channel{}\n", rows, rows == 1 ? "" : "s");
  return 0;
}

std::atomic<bool> told_to_stop = false;  // NOLINT(*-avoid-non-const-global-variables): a signal's

}  // namespace

int settle_status(const SettleOptions& options) {
  Desk desk(options);
  const Status status = read_status(desk);
  if (options.json) {
    print_json(status);
  } else if (options.csv) {
    print_csv(status);
  } else {
    print_text(status);
  }
  return 0;
}

int settle_claim(const SettleOptions& options) {
  Desk desk(options);
  if (!chain::try_lock_sender(desk.data / "chain")) return ask_running_node(desk);
  Settler settler(desk.config, *desk.journal, std::move(*desk.key), desk.clock);
  return claim_all(settler);
}

int settle_bring(const SettleOptions& options) {
  const auto order = chain::read_order(options.file);
  if (!order) return failed(order.error());
  Desk desk(options);
  if (!chain::try_lock_sender(desk.data / "chain")) return ask_to_bring(desk, *order);
  Settler settler(desk.config, *desk.journal, std::move(*desk.key), desk.clock);
  const auto brought = settler.bring(*order);
  if (!brought) return failed(brought.error());
  fmt::print("{}\n", *brought);
  return 0;
}

int settle_watch(const SettleOptions& options) {
  Desk desk(options);
  Settler settler(desk.config, *desk.journal, std::move(*desk.key), desk.clock);
  const auto stop = [](int) { told_to_stop = true; };
  (void)std::signal(SIGTERM, stop);
  (void)std::signal(SIGINT, stop);
  fmt::print("watching the channels of this node\n");
  std::fflush(stdout);
  std::string last_problem;
  while (!told_to_stop) {
    const SettleRound round = settler.round(false);
    if (round.problem != last_problem && !round.problem.empty()) {
      log(LogLevel::Error, "settlement: {}", public_text(round.problem));
    }
    last_problem = round.problem;
    if (round.claimed_rows > 0) fmt::print("claimed {} rows\n", round.claimed_rows);
    std::fflush(stdout);
    settler.pause();
  }
  return 0;
}

}  // namespace nostril::node
