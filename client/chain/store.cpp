#include "client/chain/store.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "events/big_endian.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace nostril::client::chain {

namespace {

using settlement::evm::data_text;
using settlement::evm::LogEntry;
using settlement::evm::parse_data;
using settlement::evm::quantity;

constexpr std::array<const char*, 4> kTableNames = {"meta", "blocks", "logs", "transactions"};
constexpr std::array<std::string_view, 4> kStateNames = {"pending", "done", "reverted", "replaced"};
constexpr std::size_t kNumberBytes = 8;

Bytes number_key(std::uint64_t number) {
  Bytes out;
  append_big_endian(out, number, kNumberBytes);
  return out;
}

std::uint64_t number_of(ByteSpan key) {
  std::uint64_t out = 0;
  for (const std::uint8_t byte : key.first(kNumberBytes)) out = (out << 8U) | byte;
  return out;
}

void write_entry(JsonWriter& w, const LogEntry& entry) {
  w.begin_object();
  w.key("address").string(data_text(entry.address.bytes));
  w.key("topics").begin_array();
  for (const Digest& topic : entry.topics) w.string(data_text(topic.bytes));
  w.end_array();
  w.key("data").string(data_text(entry.data));
  w.key("blockNumber").string(quantity(entry.block));
  w.key("blockHash").string(data_text(entry.block_hash.bytes));
  w.key("transactionHash").string(data_text(entry.transaction.bytes));
  w.key("logIndex").string(quantity(entry.index));
  w.end_object();
}

std::string encode_entry(const LogEntry& entry) {
  JsonWriter w;
  w.begin_array();
  write_entry(w, entry);
  w.end_array();
  return std::move(w).take();
}

std::optional<TransactionState> parse_state(std::string_view text) {
  const auto found = std::ranges::find(kStateNames, text);
  if (found == kStateNames.end()) return std::nullopt;
  return static_cast<TransactionState>(found - kStateNames.begin());
}

void write_receipt(JsonWriter& w, const settlement::evm::Receipt& receipt) {
  w.begin_object();
  w.key("transactionHash").string(data_text(receipt.transaction.bytes));
  w.key("blockNumber").string(quantity(receipt.block));
  w.key("blockHash").string(data_text(receipt.block_hash.bytes));
  w.key("status").string(quantity(receipt.ok ? 1 : 0));
  w.key("gasUsed").string(quantity(receipt.gas_used));
  w.key("effectiveGasPrice").string(quantity(receipt.gas_price));
  w.end_object();
}

}  // namespace

std::string_view to_string(TransactionState state) {
  return kStateNames[static_cast<std::size_t>(state)];
}

std::string encode_transaction(const StoredTransaction& transaction) {
  JsonWriter w;
  w.begin_object();
  w.key("from").string(encode_hex(transaction.from));
  w.key("nonce").string(to_decimal(transaction.nonce));
  w.key("purpose").string(transaction.purpose);
  w.key("signed_at").integer(transaction.signed_at);
  w.key("state").string(to_string(transaction.state));
  w.key("told").boolean(transaction.told);
  w.key("sent").begin_array();
  for (const auto& sent : transaction.sent) w.string(data_text(sent.raw));
  w.end_array();
  if (transaction.receipt) {
    w.key("receipt");
    write_receipt(w, *transaction.receipt);
  }
  w.end_object();
  return std::move(w).take();
}

std::optional<StoredTransaction> decode_transaction(std::string_view text) {
  const auto row = Json::parse(text);
  if (!row) return std::nullopt;
  StoredTransaction out;
  const auto from = from_hex<EthereumAddress>(row->find_string("from").value_or(""));
  const auto nonce = parse_decimal_u64(row->find_string("nonce").value_or(""));
  const auto state = parse_state(row->find_string("state").value_or(""));
  const Json* sent = row->find("sent");
  if (!from || !nonce || !state || sent == nullptr || sent->items().empty()) return std::nullopt;
  out.from = *from;
  out.nonce = *nonce;
  out.state = *state;
  out.purpose = row->find_string("purpose").value_or("");
  out.signed_at = row->find_integer("signed_at").value_or(0);
  out.told = row->find_boolean("told").value_or(false);
  for (const Json& item : sent->items()) {
    const auto raw = parse_data(item, 2 * settlement::evm::TransactionLimits::kDataBytesMax);
    if (!raw) return std::nullopt;
    auto one = settlement::evm::parse_transaction(*raw);
    if (!one || one->from != out.from || one->transaction.nonce != out.nonce) return std::nullopt;
    out.sent.push_back(std::move(*one));
  }
  if (const Json* receipt = row->find("receipt"); receipt != nullptr) {
    out.receipt = settlement::evm::parse_receipt_of(*receipt);
    if (!out.receipt) return std::nullopt;
  }
  return out;
}

Result<std::unique_ptr<ChainStore>, std::string> ChainStore::open(
    const std::filesystem::path& folder) {
  auto env = lmdb::Env::open(folder, {.tables_max = TableCount});
  if (!env) return failure(env.error());
  std::unique_ptr<ChainStore> out(new ChainStore(std::move(*env)));
  for (std::size_t i = 0; i < TableCount; ++i) {
    const auto table = out->env_->open_table(kTableNames[i], true);
    if (!table) return failure(folder.string() + ": " + table.error().text());
    out->tables_[i] = *table;
  }
  return out;
}

template <typename Change>
Result<void, std::string> ChainStore::write(Change change) {
  for (;;) {
    const std::size_t map_bytes = env_->map_bytes();
    lmdb::Error error;
    {
      lmdb::WriteTxn txn(*env_);
      change(txn);
      const auto committed = txn.commit();
      if (committed) return {};
      error = committed.error();
    }
    if (error.is_map_full() && env_->grow(map_bytes)) continue;
    return failure("the chain's store: " + error.text());
  }
}

std::vector<Checkpoint> ChainStore::checkpoints() {
  std::vector<Checkpoint> out;
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor cursor(txn, tables_[Blocks]);
  for (bool there = cursor.first(); there; there = cursor.next()) {
    const auto hash = Digest::from(cursor.value());
    if (hash && cursor.key().size() == kNumberBytes)
      out.push_back({number_of(cursor.key()), *hash});
  }
  std::ranges::reverse(out);
  return out;
}

Result<void, std::string> ChainStore::advance(const Checkpoint& checkpoint,
                                              std::span<const LogEntry> entries) {
  const std::vector<Checkpoint> known = checkpoints();
  return write([&](lmdb::WriteTxn& txn) {
    for (const LogEntry& entry : entries) {
      Bytes key = number_key(entry.block);
      append_big_endian(key, entry.index, 4);
      txn.put(tables_[Logs], key, as_bytes(encode_entry(entry)));
    }
    txn.put(tables_[Blocks], number_key(checkpoint.number), checkpoint.hash.bytes);
    for (std::size_t i = kCheckpointsMax - 1; i < known.size(); ++i) {
      txn.erase(tables_[Blocks], number_key(known[i].number));
    }
  });
}

Result<void, std::string> ChainStore::rewind(std::uint64_t number) {
  std::vector<std::pair<Table, Bytes>> gone;
  {
    lmdb::ReadTxn txn(*env_);
    for (const Table table : {Blocks, Logs}) {
      lmdb::Cursor cursor(txn, tables_[table]);
      for (bool there = cursor.seek(number_key(number + 1)); there; there = cursor.next()) {
        gone.emplace_back(table, Bytes(cursor.key().begin(), cursor.key().end()));
      }
    }
  }
  return write([&](lmdb::WriteTxn& txn) {
    for (const auto& [table, key] : gone) txn.erase(tables_[table], key);
  });
}

std::vector<LogEntry> ChainStore::logs() {
  std::vector<LogEntry> out;
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor cursor(txn, tables_[Logs]);
  for (bool there = cursor.first(); there; there = cursor.next()) {
    const auto row = Json::parse(as_text(cursor.value()));
    auto entries = row ? settlement::evm::parse_logs(*row) : std::nullopt;
    if (!entries || entries->size() != 1) {
      log(LogLevel::Error, "the chain's store: a damaged log entry");
      continue;
    }
    out.push_back(std::move(entries->front()));
  }
  return out;
}

Result<void, std::string> ChainStore::put(const StoredTransaction& transaction) {
  Bytes key(transaction.from.bytes.begin(), transaction.from.bytes.end());
  append_big_endian(key, transaction.nonce, kNumberBytes);
  const std::string value = encode_transaction(transaction);
  return write([&](lmdb::WriteTxn& txn) { txn.put(tables_[Transactions], key, as_bytes(value)); });
}

std::vector<StoredTransaction> ChainStore::transactions(const EthereumAddress& from) {
  std::vector<StoredTransaction> out;
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor cursor(txn, tables_[Transactions]);
  for (bool there = cursor.seek(from.bytes); there; there = cursor.next()) {
    if (!std::ranges::equal(cursor.key().first(from.bytes.size()), from.bytes)) break;
    auto row = decode_transaction(as_text(cursor.value()));
    if (row) {
      out.push_back(std::move(*row));
    } else {
      log(LogLevel::Error, "the chain's store: the row of a transaction is damaged");
    }
  }
  return out;
}

std::optional<std::string> ChainStore::meta(std::string_view name) {
  lmdb::ReadTxn txn(*env_);
  const auto value = txn.get(tables_[Meta], as_bytes(name));
  if (!value) return std::nullopt;
  return std::string(as_text(*value));
}

Result<void, std::string> ChainStore::set_meta(std::string_view name, std::string_view value) {
  return write([&](lmdb::WriteTxn& txn) {
    if (value.empty()) {
      txn.erase(tables_[Meta], as_bytes(name));
    } else {
      txn.put(tables_[Meta], as_bytes(name), as_bytes(value));
    }
  });
}

std::optional<FileLock> try_lock_sender(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "sender.lock";
  auto lock = FileLock::take(file);
  if (lock) return std::move(*lock);
  if (lock.error() == EWOULDBLOCK) return std::nullopt;
  throw std::runtime_error(
      fmt::format("{}: {}", file.string(), std::generic_category().message(lock.error())));
}

FileLock lock_sender(const std::filesystem::path& folder) {
  auto lock = try_lock_sender(folder);
  if (lock) return std::move(*lock);
  throw std::runtime_error(
      fmt::format("{}: another process sends this account's transactions", folder.string()));
}

}  // namespace nostril::client::chain
