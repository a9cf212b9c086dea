#pragma once

#include "base/file.h"
#include "base/lmdb.h"
#include "base/result.h"
#include "schnorr/types.h"
#include "settlement/evm/rpc.h"
#include "settlement/evm/transaction.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client::chain {

/// A block up to which the contract's log was read.
struct Checkpoint {
  std::uint64_t number = 0;
  Digest hash;

  bool operator==(const Checkpoint&) const = default;
};

enum class TransactionState : std::uint8_t {
  Pending,   ///< signed; perhaps never sent, perhaps in a block
  Done,      ///< in a block, did what it should
  Reverted,  ///< in a block, did nothing
  Replaced,  ///< its nonce was used by a transaction that is none of ours
};
std::string_view to_string(TransactionState state);

/// One of our own transactions, with all its replacements: they share a nonce, so one of them at
/// most is ever in a block.
struct StoredTransaction {
  EthereumAddress from;
  TransactionState state = TransactionState::Pending;
  bool told = false;  ///< who wished for it knows how it ended (Sender::acknowledge())
  std::uint64_t nonce = 0;
  std::string purpose;  ///< a few words: "deposit 5000", "claim 3 rows"
  std::vector<settlement::evm::SignedTransaction> sent;  ///< the newest last; one at least
  std::int64_t signed_at = 0;                            ///< of the newest, seconds since 1970
  std::optional<settlement::evm::Receipt> receipt;       ///< when it is in a block

  bool operator==(const StoredTransaction&) const = default;
};

/// What this machine knows of a chain and has sent to it, in an LMDB folder of its own. Tables:
///   meta          name                     -> text
///   blocks        number (8)               -> hash (32); checkpoints, the newest kCheckpointsMax
///   logs          block (8), index (4)     -> the entry as eth_getLogs spells it
///   transactions  account (20), nonce (8)  -> JSON of StoredTransaction
/// Numbers are big-endian. A method that writes returns when it is on the disk; after an error
/// nothing was changed. Threads: one a process; several processes may have it open.
class ChainStore {
 public:
  static constexpr std::size_t kCheckpointsMax = 512;

  /// The error is one line for the user.
  [[nodiscard]] static Result<std::unique_ptr<ChainStore>, std::string> open(
      const std::filesystem::path& folder);

  /// Newest first.
  [[nodiscard]] std::vector<Checkpoint> checkpoints();
  /// All entries up to `checkpoint` are known now.
  [[nodiscard]] Result<void, std::string> advance(
      const Checkpoint& checkpoint, std::span<const settlement::evm::LogEntry> entries);
  /// Forgets all that was read from blocks above `number`.
  [[nodiscard]] Result<void, std::string> rewind(std::uint64_t number);
  [[nodiscard]] std::vector<settlement::evm::LogEntry> logs();

  [[nodiscard]] Result<void, std::string> put(const StoredTransaction& transaction);
  /// By ascending nonce.
  [[nodiscard]] std::vector<StoredTransaction> transactions(const EthereumAddress& from);

  [[nodiscard]] std::optional<std::string> meta(std::string_view name);
  /// An empty value forgets the name.
  [[nodiscard]] Result<void, std::string> set_meta(std::string_view name, std::string_view value);

 private:
  enum Table : std::uint8_t { Meta, Blocks, Logs, Transactions, TableCount };

  explicit ChainStore(std::unique_ptr<lmdb::Env> env) : env_(std::move(env)) {}

  template <typename Change>
  Result<void, std::string> write(Change change);

  std::unique_ptr<lmdb::Env> env_;
  std::array<lmdb::Dbi, TableCount> tables_{};
};

/// The row's text, and back; for tests.
[[nodiscard]] std::string encode_transaction(const StoredTransaction& transaction);
[[nodiscard]] std::optional<StoredTransaction> decode_transaction(std::string_view text);

/// Held while a process may send transactions of an account: two would take the same nonce.
/// `folder` is the store's. Nothing: another process holds it. Throws std::runtime_error when the
/// lock file can't be made.
[[nodiscard]] std::optional<FileLock> try_lock_sender(const std::filesystem::path& folder);
/// The same; throws when another process holds it, too.
[[nodiscard]] FileLock lock_sender(const std::filesystem::path& folder);

}  // namespace nostril::client::chain
