#include "settlement/evm/rpc.h"

#include "base/hex.h"
#include "base/log.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace nostril::settlement::evm {

namespace {

constexpr std::uint64_t kNumberMax = std::uint64_t{1} << 53U;
constexpr std::size_t kTopicsMax = 4;
constexpr std::size_t kFeeBlocksMax = 1'024;

RpcRefusal no_answer(std::string message) {
  return {.by_endpoint = false, .code = 0, .message = std::move(message)};
}

int digit_of(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  return -1;
}

/// Reads members of one object; remembers whether all were right.
class Members {
 public:
  explicit Members(const Json& object) : object_(object), ok_(object.is_object()) {}

  std::uint64_t number(std::string_view key, std::uint64_t max = kNumberMax) {
    return static_cast<std::uint64_t>(wide(key, max));
  }

  Uint128 wide(std::string_view key, Uint128 max = ~Uint128{0}) {
    const Json* member = object_.find(key);
    const auto value = member == nullptr ? std::nullopt : parse_quantity(*member, max);
    ok_ = ok_ && value.has_value();
    return value.value_or(0);
  }

  template <typename T>
  T fixed(std::string_view key) {
    const Json* member = object_.find(key);
    const auto value = member == nullptr ? std::nullopt : parse_fixed<T>(*member);
    ok_ = ok_ && value.has_value();
    return value.value_or(T{});
  }

  Bytes data(std::string_view key, std::size_t bytes_max) {
    const Json* member = object_.find(key);
    auto value = member == nullptr ? std::nullopt : parse_data(*member, bytes_max);
    ok_ = ok_ && value.has_value();
    return std::move(value).value_or(Bytes());
  }

  [[nodiscard]] bool ok() const { return ok_; }

 private:
  const Json& object_;
  bool ok_;
};

std::optional<LogEntry> parse_log_entry(const Json& value) {
  if (value.find_boolean("removed").value_or(false)) return std::nullopt;
  Members members(value);
  LogEntry out;
  out.address = members.fixed<EthereumAddress>("address");
  out.data = members.data("data", RpcLimits::kLogDataBytesMax);
  out.block = members.number("blockNumber");
  out.block_hash = members.fixed<Digest>("blockHash");
  out.transaction = members.fixed<Digest>("transactionHash");
  out.index = static_cast<std::uint32_t>(members.number("logIndex", UINT32_MAX));
  const Json* topics = value.find("topics");
  if (!members.ok() || topics == nullptr || !topics->is_array() ||
      topics->items().size() > kTopicsMax) {
    return std::nullopt;
  }
  for (const Json& topic : topics->items()) {
    const auto word = parse_fixed<Digest>(topic);
    if (!word) return std::nullopt;
    out.topics.push_back(*word);
  }
  return out;
}

}  // namespace

std::string rpc_request(std::uint64_t id, std::string_view method, std::string_view params) {
  JsonWriter w;
  w.begin_object().key("jsonrpc").string("2.0");
  w.key("id").integer(static_cast<std::int64_t>(id));
  w.key("method").string(method).key("params").raw(params).end_object();
  return std::move(w).take();
}

Result<Json, RpcRefusal> parse_rpc_answer(std::string_view text, std::uint64_t id) {
  const auto answer = Json::parse(text, {.bytes_max = RpcLimits::kAnswerBytesMax, .depth_max = 16});
  if (!answer) return failure(no_answer(std::string(to_string(answer.error()))));
  if (answer->find_string("jsonrpc") != "2.0") return failure(no_answer("no JSON-RPC answer"));
  if (const Json* error = answer->find("error"); error != nullptr && !error->is_null()) {
    // An endpoint that refuses before it has read the call may name no id.
    std::string words = one_line(error->find_string("message").value_or("no reason given"));
    words.resize(std::min(words.size(), RpcLimits::kMessageBytesMax));
    return failure(RpcRefusal{true, error->find_integer("code").value_or(0), std::move(words)});
  }
  if (answer->find_integer("id") != static_cast<std::int64_t>(id)) {
    return failure(no_answer("the answer to another call"));
  }
  const Json* result = answer->find("result");
  if (result == nullptr) return failure(no_answer("neither result nor error"));
  return *result;
}

std::string quantity(Uint128 value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr unsigned kBitsADigit = 4;
  std::string out;
  do {
    out.push_back(kDigits[static_cast<std::size_t>(value & 0xfU)]);
    value >>= kBitsADigit;
  } while (value != 0);
  out.append("x0");
  std::ranges::reverse(out);
  return out;
}

std::optional<Uint128> parse_quantity(const Json& value, Uint128 max) {
  constexpr std::size_t kDigitsMax = 32;
  constexpr unsigned kBitsADigit = 4;
  const auto text = value.string();
  if (!text || !text->starts_with("0x")) return std::nullopt;
  const std::string_view digits = text->substr(2);
  if (digits.empty() || digits.size() > kDigitsMax || (digits.size() > 1 && digits[0] == '0')) {
    return std::nullopt;
  }
  Uint128 out = 0;
  for (const char character : digits) {
    const int digit = digit_of(character);
    if (digit < 0) return std::nullopt;
    out = (out << kBitsADigit) | static_cast<unsigned>(digit);
  }
  if (out > max) return std::nullopt;
  return out;
}

std::string data_text(ByteSpan bytes) {
  std::string out = "0x";
  append_hex(out, bytes);
  return out;
}

std::optional<Bytes> parse_data(const Json& value, std::size_t bytes_max) {
  const auto text = value.string();
  if (!text || !text->starts_with("0x") || text->size() > 2 + 2 * bytes_max) return std::nullopt;
  return decode_hex(text->substr(2));
}

std::optional<BlockHead> parse_block(const Json& value) {
  Members members(value);
  BlockHead out;
  out.number = members.number("number");
  out.hash = members.fixed<Digest>("hash");
  out.parent = members.fixed<Digest>("parentHash");
  out.time = members.number("timestamp");
  out.base_fee = members.wide("baseFeePerGas");
  if (!members.ok()) return std::nullopt;
  return out;
}

std::optional<std::vector<LogEntry>> parse_logs(const Json& value) {
  if (!value.is_array() || value.items().size() > RpcLimits::kLogsMax) return std::nullopt;
  std::vector<LogEntry> out;
  out.reserve(value.items().size());
  for (const Json& item : value.items()) {
    auto entry = parse_log_entry(item);
    if (!entry) return std::nullopt;
    if (!out.empty() &&
        std::tie(out.back().block, out.back().index) >= std::tie(entry->block, entry->index)) {
      return std::nullopt;
    }
    if (!out.empty() && out.back().block == entry->block &&
        out.back().block_hash != entry->block_hash) {
      return std::nullopt;
    }
    out.push_back(std::move(*entry));
  }
  return out;
}

std::optional<Receipt> parse_receipt_of(const Json& value) {
  Members members(value);
  Receipt out;
  out.transaction = members.fixed<Digest>("transactionHash");
  out.block = members.number("blockNumber");
  out.block_hash = members.fixed<Digest>("blockHash");
  out.ok = members.number("status", 1) == 1;
  out.gas_used = members.number("gasUsed");
  out.gas_price = members.wide("effectiveGasPrice");
  if (!members.ok()) return std::nullopt;
  return out;
}

std::optional<FeeHistory> parse_fee_history(const Json& value) {
  const Json* fees = value.find("baseFeePerGas");
  const Json* rewards = value.find("reward");
  if (fees == nullptr || !fees->is_array() || fees->items().empty() ||
      fees->items().size() > kFeeBlocksMax) {
    return std::nullopt;
  }
  FeeHistory out;
  const auto next = parse_quantity(fees->items().back());
  if (!next) return std::nullopt;
  out.next_base_fee = *next;
  if (rewards == nullptr || rewards->is_null()) return out;  // a chain without transactions yet
  if (!rewards->is_array() || rewards->items().size() > kFeeBlocksMax) return std::nullopt;
  for (const Json& block : rewards->items()) {
    const auto tip = block.items().size() == 1 ? parse_quantity(block.items()[0]) : std::nullopt;
    if (!tip) return std::nullopt;
    out.tips.push_back(*tip);
  }
  return out;
}

}  // namespace nostril::settlement::evm
