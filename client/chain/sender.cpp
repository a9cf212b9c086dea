#include "client/chain/sender.h"

#include "base/crash_point.h"
#include "base/hex.h"
#include "settlement/evm/asset.h"
#include "settlement/evm/rpc.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace nostril::client::chain {

namespace {

using settlement::evm::data_text;
using settlement::evm::FeeHistory;
using settlement::evm::Fees;
using settlement::evm::quantity;
using settlement::evm::Receipt;
using settlement::evm::SignedTransaction;
using settlement::evm::Transaction;

std::optional<Uint128> parse_number(const Json& value) {
  return settlement::evm::parse_quantity(value);
}

std::string call_object(const EthereumAddress& from, const Wish& wish) {
  JsonWriter w;
  w.begin_array().begin_object();
  w.key("from").string(settlement::evm::to_string(from));
  w.key("to").string(settlement::evm::to_string(wish.to));
  w.key("value").string(quantity(wish.value));
  w.key("data").string(data_text(wish.data));
  w.end_object().end_array();
  return std::move(w).take();
}

bool does_the_same(const Transaction& transaction, const Wish& wish) {
  return transaction.to == wish.to && transaction.value == wish.value &&
         transaction.data == wish.data;
}

/// A receipt, or that there is none yet.
std::optional<std::optional<Receipt>> parse_maybe_receipt(const Json& value) {
  if (value.is_null()) return std::optional<Receipt>();
  auto receipt = settlement::evm::parse_receipt_of(value);
  if (!receipt) return std::nullopt;
  return receipt;
}

/// Of what was refused, what is none: the endpoint has it, or it is in a block.
bool has_it_already(std::string_view message) {
  return message.find("already known") != std::string_view::npos ||
         message.find("already imported") != std::string_view::npos ||
         message.find("nonce too low") != std::string_view::npos;
}

}  // namespace

Sender::Sender(RpcClient& rpc, ChainStore& store, const EcdsaKey& key,
               const SenderSettings& settings, Clock& clock)
    : rpc_(rpc),
      store_(store),
      key_(key),
      settings_(settings),
      clock_(clock),
      account_(key.address()) {}

void Sender::say(const std::string& line) const {
  if (progress_) progress_(line);
}

/// The highest that an endpoint knows: one that is behind must not make us use a nonce again.
Result<std::uint64_t, std::string> Sender::nonce_on_chain() {
  const auto counts = rpc_.ask_each<Uint128>(
      "eth_getTransactionCount",
      fmt::format(R"(["{}","latest"])", settlement::evm::to_string(account_)), parse_number);
  if (!counts) return failure(counts.error().text);
  return static_cast<std::uint64_t>(*std::ranges::max_element(*counts));
}

Result<FeeHistory, std::string> Sender::fee_history() {
  const auto said = rpc_.ask_each<FeeHistory>("eth_feeHistory", R"(["0x14","latest",[50]])",
                                              settlement::evm::parse_fee_history);
  if (!said) return failure(said.error().text);
  return *std::ranges::max_element(*said, {}, &FeeHistory::next_base_fee);
}

Result<std::uint64_t, std::string> Sender::estimate(const Wish& wish) {
  const auto said =
      rpc_.ask_each<Uint128>("eth_estimateGas", call_object(account_, wish), parse_number);
  if (!said) {
    return failure(fmt::format("{} would fail: {}", wish.purpose, said.error().text));
  }
  return settlement::evm::gas_limit(
      static_cast<std::uint64_t>(std::min(*std::ranges::max_element(*said), Uint128{UINT32_MAX})));
}

Result<void, std::string> Sender::check_funds(const Transaction& wanted) {
  const auto has = rpc_.ask_each<Uint128>(
      "eth_getBalance", fmt::format(R"(["{}","latest"])", settlement::evm::to_string(account_)),
      parse_number);
  if (!has) return failure(has.error().text);
  const Uint128 needed = wanted.value + wanted.fee_max * wanted.gas_max;
  const Uint128 there = *std::ranges::min_element(*has);
  if (there >= needed) return {};
  return failure(fmt::format("{} has {} wei and needs up to {}: send it some of the chain's coin",
                             settlement::evm::to_string(account_), to_decimal(there),
                             to_decimal(needed)));
}

Result<StoredTransaction, std::string> Sender::sign_new(const Wish& wish, std::uint64_t nonce) {
  const auto gas = estimate(wish);
  if (!gas) return failure(gas.error());
  const auto history = fee_history();
  if (!history) return failure(history.error());
  const auto fees = settlement::evm::fees_now(*history, settings_.fees);
  if (!fees) {
    return failure(fmt::format("a unit of gas costs {} wei, above fee_max_gwei: try later",
                               to_decimal(history->next_base_fee)));
  }
  const Transaction transaction{.chain_id = settings_.chain_id,
                                .nonce = nonce,
                                .priority_fee_max = fees->tip,
                                .fee_max = fees->fee_max,
                                .gas_max = *gas,
                                .to = wish.to,
                                .value = wish.value,
                                .data = wish.data};
  if (auto funds = check_funds(transaction); !funds) return failure(funds.error());
  StoredTransaction out{.from = account_,
                        .state = TransactionState::Pending,
                        .told = false,
                        .nonce = nonce,
                        .purpose = wish.purpose,
                        .sent = {sign(transaction, key_)},
                        .signed_at = clock_.unix_s(),
                        .receipt = std::nullopt};
  crash_point("tx-signed");
  if (auto kept = store_.put(out); !kept) return failure(kept.error());
  crash_point("tx-stored");
  return out;
}

void Sender::broadcast(const StoredTransaction& transaction) {
  last_refusal_.clear();
  const auto answers = rpc_.ask_all(
      "eth_sendRawTransaction", fmt::format(R"(["{}"])", data_text(transaction.sent.back().raw)));
  for (const auto& answer : answers) {
    if (answer || has_it_already(answer.error().message)) continue;
    last_refusal_ = answer.error().message;
  }
  crash_point("tx-sent");
}

/// Ended: its row says how.
Result<Sender::Seen, std::string> Sender::look(StoredTransaction& transaction) {
  for (const SignedTransaction& one : transaction.sent) {
    const auto receipt = rpc_.ask<std::optional<Receipt>>(
        "eth_getTransactionReceipt", fmt::format(R"(["{}"])", data_text(one.hash.bytes)),
        parse_maybe_receipt);
    if (!receipt) return failure(receipt.error().text);
    if (!receipt->has_value()) continue;
    const auto heads = rpc_.ask_each<Uint128>("eth_blockNumber", "[]", parse_number);
    if (!heads) return failure(heads.error().text);
    const Uint128 head = *std::ranges::min_element(*heads);
    if (head + 1 < (*receipt)->block + std::max<std::uint64_t>(1, settings_.confirmations)) {
      return Seen::InBlock;
    }
    transaction.receipt = **receipt;
    transaction.state = (*receipt)->ok ? TransactionState::Done : TransactionState::Reverted;
    crash_point("tx-mined");
    if (auto kept = store_.put(transaction); !kept) return failure(kept.error());
    crash_point("tx-done");
    return Seen::Ended;
  }
  return Seen::Nowhere;
}

void Sender::replace_if_late(StoredTransaction& transaction) {
  if (clock_.unix_s() - transaction.signed_at < settings_.replace_s) return;
  const auto history = fee_history();
  if (!history) return;
  Transaction next = transaction.sent.back().transaction;
  const auto fees = settlement::evm::fees_for_replacement(Fees{next.fee_max, next.priority_fee_max},
                                                          *history, settings_.fees);
  if (!fees) {
    say(transaction.purpose + " waits: higher fees than fee_max_gwei would be needed");
    broadcast(transaction);
    return;
  }
  next.fee_max = fees->fee_max;
  next.priority_fee_max = fees->tip;
  transaction.sent.push_back(sign(next, key_));
  transaction.signed_at = clock_.unix_s();
  if (auto kept = store_.put(transaction); !kept) {
    transaction.sent.pop_back();
    return;
  }
  say(fmt::format("{}: once more with a fee of {} wei", transaction.purpose,
                  to_decimal(next.fee_max)));
  broadcast(transaction);
}

Result<StoredTransaction, std::string> Sender::wait(StoredTransaction transaction) {
  const std::int64_t deadline = clock_.monotonic_ms() + settings_.wait_s_max * 1000;
  constexpr int kLooksBeforeReplaced = 5;
  int vanished = 0;
  broadcast(transaction);
  for (;;) {
    const auto seen = look(transaction);
    if (seen && *seen == Seen::Ended) return transaction;
    const auto count = nonce_on_chain();
    const bool used = count && *count > transaction.nonce;
    // Its nonce is used, and no endpoint knows one of ours in a block: it was somebody else's.
    vanished = used && seen && *seen == Seen::Nowhere ? vanished + 1 : 0;
    if (vanished > kLooksBeforeReplaced) {
      transaction.state = TransactionState::Replaced;
      if (auto kept = store_.put(transaction); !kept) return failure(kept.error());
      return transaction;
    }
    if (rpc_.stopped()) return failure(std::string("stopped; it goes on at the next start"));
    if (clock_.monotonic_ms() >= deadline) {
      const std::string why = !seen ? seen.error() : last_refusal_;
      return failure(fmt::format(
          "{} is not in a block yet{}{}; it stays signed and goes on with the next command",
          transaction.purpose, why.empty() ? "" : ": ", why));
    }
    rpc_.pause(settings_.poll_ms);
    if (count && !used) replace_if_late(transaction);
  }
}

/// The first that has not ended, or that a re-org threw out: below the chain's count are those in
/// blocks.
std::optional<StoredTransaction> Sender::unfinished(std::uint64_t nonce) {
  for (StoredTransaction& one : store_.transactions(account_)) {
    const bool thrown_out = one.nonce >= nonce && one.receipt.has_value();
    if (one.state == TransactionState::Pending || thrown_out) return std::move(one);
  }
  return std::nullopt;
}

std::optional<StoredTransaction> Sender::untold(const Wish& wish) {
  for (StoredTransaction& one : store_.transactions(account_)) {
    if (one.state == TransactionState::Done && !one.told &&
        does_the_same(one.sent.back().transaction, wish)) {
      return std::move(one);
    }
  }
  return std::nullopt;
}

Result<void, std::string> Sender::acknowledge() {
  for (StoredTransaction& one : store_.transactions(account_)) {
    if (one.state == TransactionState::Pending || one.told) continue;
    one.told = true;
    if (auto kept = store_.put(one); !kept) return kept;
  }
  return {};
}

Result<void, std::string> Sender::finish_pending() {
  for (;;) {
    const auto nonce = nonce_on_chain();
    if (!nonce) return failure(nonce.error());
    auto left = unfinished(*nonce);
    if (!left) return {};
    say("ending what was begun earlier: " + left->purpose);
    const auto ended = wait(std::move(*left));
    if (!ended) return failure(ended.error());
  }
}

Result<StoredTransaction, std::string> Sender::send(const Wish& wish) {
  for (;;) {
    const auto nonce = nonce_on_chain();
    if (!nonce) return failure(nonce.error());
    auto left = unfinished(*nonce);
    const bool ours = !left || (left->state == TransactionState::Pending &&
                                does_the_same(left->sent.back().transaction, wish));
    if (left) {
      say("ending what was begun earlier: " + left->purpose);
    } else if (auto done = untold(wish)) {
      say("this was done by an earlier command: " + done->purpose);
      return std::move(*done);
    } else {
      auto made = sign_new(wish, *nonce);
      if (!made) return made;
      left = std::move(*made);
    }
    auto ended = wait(std::move(*left));
    if (!ended) return ended;
    if (!ours) continue;
    if (ended->state == TransactionState::Done) return ended;
    if (ended->state == TransactionState::Replaced) {
      return failure(wish.purpose +
                     ": another program used this account's next number; nothing was done");
    }
    return failure(fmt::format("{} was refused by the contract, in block {}", wish.purpose,
                               ended->receipt ? ended->receipt->block : 0));
  }
}

}  // namespace nostril::client::chain
