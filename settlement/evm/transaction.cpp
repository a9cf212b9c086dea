#include "settlement/evm/transaction.h"

#include "base/check.h"
#include "schnorr/keccak.h"
#include "settlement/evm/rlp.h"

#include <algorithm>

namespace nostril::settlement::evm {

namespace {

constexpr std::uint8_t kType = 2;
constexpr std::uint8_t kFirstV = 27;
constexpr Uint128 kWeiMax = ~Uint128{0};
constexpr std::uint64_t kU64Max = UINT64_MAX;

bool is_sane(const Transaction& transaction) {
  return transaction.priority_fee_max <= transaction.fee_max &&
         transaction.data.size() <= TransactionLimits::kDataBytesMax;
}

void write_fields(RlpWriter& items, const Transaction& transaction) {
  items.number(transaction.chain_id);
  items.number(transaction.nonce);
  items.number(transaction.priority_fee_max);
  items.number(transaction.fee_max);
  items.number(transaction.gas_max);
  items.string(transaction.to ? ByteSpan(transaction.to->bytes) : ByteSpan());
  items.number(transaction.value);
  items.string(transaction.data);
  items.list(RlpWriter());
}

Bytes envelope(const RlpWriter& items) {
  RlpWriter list;
  list.list(items);
  Bytes out{kType};
  out.insert(out.end(), list.bytes().begin(), list.bytes().end());
  return out;
}

/// r and s are numbers: written without leading zeros.
void write_scalar(RlpWriter& items, ByteSpan bytes) {
  const auto first = std::ranges::find_if(bytes, [](std::uint8_t byte) { return byte != 0; });
  items.string(ByteSpan(first, bytes.end()));
}

Bytes encode(const Transaction& transaction, const EthereumSignature& signature) {
  RlpWriter items;
  write_fields(items, transaction);
  items.number(static_cast<Uint128>(signature.bytes.back() - kFirstV));
  write_scalar(items, ByteSpan(signature.bytes).first(32));
  write_scalar(items, ByteSpan(signature.bytes).subspan(32, 32));
  return envelope(items);
}

/// Reads fields one after the other; remembers the first thing that is wrong.
class FieldReader {
 public:
  explicit FieldReader(RlpReader reader) : reader_(reader) {}

  Uint128 number(Uint128 max) { return value_of(reader_.number(max)); }

  std::uint64_t u64() { return static_cast<std::uint64_t>(number(kU64Max)); }

  ByteSpan string() { return value_of(reader_.string()); }

  /// True for an empty one.
  bool empty_list() {
    const auto list = reader_.list();
    if (!list) failed_ = true;
    return list && list->empty();
  }

  /// Exactly like a number of 32 bytes at most.
  void scalar(std::span<std::uint8_t, 32> out) {
    const ByteSpan bytes = string();
    if (bytes.size() > out.size() || (!bytes.empty() && bytes.front() == 0)) {
      failed_ = true;
      return;
    }
    std::ranges::copy(bytes, out.end() - static_cast<std::ptrdiff_t>(bytes.size()));
  }

  [[nodiscard]] bool is_done() const { return !failed_ && reader_.empty(); }

  [[nodiscard]] bool is_out_of_range() const { return out_of_range_; }

 private:
  template <typename T>
  T value_of(const Result<T, RlpError>& result) {
    if (result) return *result;
    failed_ = true;
    out_of_range_ = out_of_range_ || result.error() == RlpError::OutOfRange;
    return T{};
  }

  RlpReader reader_;
  bool failed_ = false;
  bool out_of_range_ = false;
};

}  // namespace

std::string_view to_string(TransactionError error) {
  switch (error) {
    case TransactionError::WrongType:
      return "not an EIP-1559 transaction";
    case TransactionError::BadRlp:
      return "not canonical RLP of its fields";
    case TransactionError::OutOfRange:
      return "a field is out of range";
    case TransactionError::HasAccessList:
      return "it has an access list";
    case TransactionError::BadSignature:
      return "its signature is nobody's";
  }
  return "unknown";
}

Digest signing_digest(const Transaction& transaction) {
  CHECK(is_sane(transaction));
  RlpWriter items;
  write_fields(items, transaction);
  return keccak256(envelope(items));
}

SignedTransaction sign(const Transaction& transaction, const EcdsaKey& key) {
  const EthereumSignature signature = key.sign_digest(signing_digest(transaction));
  Bytes raw = encode(transaction, signature);
  const Digest hash = keccak256(raw);
  return {.transaction = transaction, .from = key.address(), .raw = std::move(raw), .hash = hash};
}

Result<SignedTransaction, TransactionError> parse_transaction(ByteSpan raw) {
  if (raw.empty() || raw[0] != kType) return failure(TransactionError::WrongType);
  RlpReader outer(raw.subspan(1));
  const auto list = outer.list();
  if (!list || !outer.empty()) return failure(TransactionError::BadRlp);

  FieldReader fields(*list);
  SignedTransaction out;
  Transaction& transaction = out.transaction;
  transaction.chain_id = fields.u64();
  transaction.nonce = fields.u64();
  transaction.priority_fee_max = fields.number(kWeiMax);
  transaction.fee_max = fields.number(kWeiMax);
  transaction.gas_max = fields.u64();
  const ByteSpan to = fields.string();
  transaction.value = fields.number(kWeiMax);
  const ByteSpan data = fields.string();
  const bool has_access_list = !fields.empty_list();
  EthereumSignature signature;
  signature.bytes.back() = static_cast<std::uint8_t>(kFirstV + fields.number(1));
  const std::span<std::uint8_t, 65> bytes(signature.bytes);
  fields.scalar(bytes.first<32>());
  fields.scalar(bytes.subspan<32, 32>());

  if (fields.is_out_of_range()) return failure(TransactionError::OutOfRange);
  if (!fields.is_done()) return failure(TransactionError::BadRlp);
  if (has_access_list) return failure(TransactionError::HasAccessList);
  if (!to.empty()) {
    transaction.to = EthereumAddress::from(to);
    if (!transaction.to) return failure(TransactionError::OutOfRange);
  }
  if (data.size() > TransactionLimits::kDataBytesMax) return failure(TransactionError::OutOfRange);
  transaction.data.assign(data.begin(), data.end());
  if (!is_sane(transaction)) return failure(TransactionError::OutOfRange);
  const auto from = recover_digest(signing_digest(transaction), signature);
  if (!from) return failure(TransactionError::BadSignature);
  out.from = *from;
  out.raw.assign(raw.begin(), raw.end());
  out.hash = keccak256(raw);
  return out;
}

}  // namespace nostril::settlement::evm
