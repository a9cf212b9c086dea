#include "node/exchange_store.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "events/big_endian.h"
#include "net/utf8.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::node {

namespace {

using client::JournalChange;
using client::JournalTable;
using face::ChatSignature;
using face::SigningAlgorithm;

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kSignaturesMax = 4;
constexpr std::size_t kRowBytesMax = 64U << 10;
constexpr std::size_t kNumberBytes = 8;
/// Too old ones that one put() erases beside its own rows, and that one sweep() does.
constexpr std::size_t kOldPerPut = 8;
constexpr std::size_t kOldPerSweep = 512;

std::uint64_t read_number(ByteSpan bytes) {
  std::uint64_t out = 0;
  for (const std::uint8_t byte : bytes) out = (out << 8U) | byte;
  return out;
}

Bytes row_key(std::uint64_t number) {
  Bytes out;
  append_big_endian(out, number, kNumberBytes);
  return out;
}

/// The newest of a name comes first.
Bytes name_key(const Digest& name, std::uint64_t number) {
  Bytes out(name.bytes.begin(), name.bytes.end());
  append_big_endian(out, ~number, kNumberBytes);
  return out;
}

Digest name_of(std::string_view sort, const Digest& caller, std::string_view id) {
  Sha256 hash;
  hash.update("nostril/exchange/").update(sort).update("/1");
  hash.update(caller.span()).update(id);
  return hash.finish();
}

std::vector<Digest> names_of(const Exchange& exchange) {
  std::vector<Digest> out;
  if (!exchange.id.empty()) out.push_back(name_of("id", exchange.caller, exchange.id));
  if (!exchange.receipt_id.empty()) {
    out.push_back(name_of("receipt", exchange.caller, exchange.receipt_id));
  }
  return out;
}

void erase(std::uint64_t number, const std::optional<Exchange>& exchange,
           std::vector<JournalChange>& changes) {
  changes.push_back({JournalTable::Exchanges, row_key(number), std::nullopt});
  if (!exchange) return;
  for (const Digest& name : names_of(*exchange)) {
    changes.push_back({JournalTable::ExchangeNames, name_key(name, number), std::nullopt});
  }
}

face::SignedText text_of(const Exchange& exchange, bool with_model) {
  face::SignedText out;
  if (with_model) out.model = exchange.model;
  out.request = exchange.request;
  out.response = exchange.response;
  return out;
}

std::optional<ChatSignature> read_signature(const Json& json, const Exchange& exchange) {
  const auto with_model = json.find_boolean("model");
  const auto algorithm = json.find_string("algo");
  const auto address = json.find_string("address");
  const auto signature = json.find_string("signature");
  if (!with_model || !algorithm || !address || !signature) return std::nullopt;
  const auto known = face::parse_signing_algorithm(*algorithm);
  if (!known) return std::nullopt;
  return ChatSignature{to_text(text_of(exchange, *with_model)), std::string(*signature),
                       std::string(*address), *known};
}

bool read_signatures(const Json& document, Exchange& exchange) {
  const Json* list = document.find("signatures");
  if (list == nullptr || !list->is_array() || list->items().size() > kSignaturesMax) return false;
  for (const Json& item : list->items()) {
    auto signature = read_signature(item, exchange);
    if (!signature) return false;
    exchange.signatures.push_back(std::move(*signature));
  }
  return true;
}

bool fits(std::string_view text, std::size_t bytes_max) {
  return text.size() <= bytes_max && net::is_utf8(text);
}

bool in_bounds(const Exchange& exchange) {
  return fits(exchange.id, Exchange::kIdBytesMax) &&
         fits(exchange.receipt_id, Exchange::kIdBytesMax) &&
         fits(exchange.model, Exchange::kModelBytesMax) &&
         fits(exchange.aci_receipt, Exchange::kReceiptBytesMax);
}

}  // namespace

const ChatSignature* Exchange::signature(SigningAlgorithm algorithm, bool with_model) const {
  const std::string text = to_text(text_of(*this, with_model));
  const auto found = std::ranges::find_if(signatures, [&](const ChatSignature& one) {
    return one.algorithm == algorithm && one.text == text;
  });
  return found == signatures.end() ? nullptr : &*found;
}

std::vector<ChatSignature> sign_exchange(const Exchange& exchange,
                                         const face::LegacySigner& signer) {
  std::vector<ChatSignature> out;
  for (const SigningAlgorithm algorithm : {SigningAlgorithm::Ecdsa, SigningAlgorithm::Ed25519}) {
    for (const bool with_model : {true, false}) {
      out.push_back(signer.sign(text_of(exchange, with_model), algorithm));
    }
  }
  return out;
}

ExchangeStore::ExchangeStore(client::Journal& journal, const ExchangeLimits& limits, Clock& clock)
    : journal_(journal), limits_(limits), clock_(clock) {
  const auto last = journal_.last_key(JournalTable::Exchanges);
  if (last) next_ = read_number(*last) + 1;
}

bool ExchangeStore::is_old(const Exchange& exchange) const {
  return exchange.at_s <= clock_.unix_s() - limits_.age_s_max;
}

/// From the oldest on: as many as come to `bytes`, and those that are too old, up to `old_max`.
/// Rows that are queued to be erased are passed by: what is committed tells too little when many
/// exchanges end between two commits.
void ExchangeStore::erase_oldest(std::size_t bytes, std::size_t old_max,
                                 std::vector<JournalChange>& changes) {
  std::size_t erased = 0;
  std::size_t old = 0;
  journal_.scan(JournalTable::Exchanges, row_key(oldest_), [&](ByteSpan key, ByteSpan value) {
    const auto exchange = decode_exchange(as_text(value));
    const bool too_old = !exchange || is_old(*exchange);
    if (erased >= bytes && (!too_old || old >= old_max)) return false;
    const std::uint64_t number = read_number(key);
    erase(number, exchange, changes);
    oldest_ = number + 1;
    erased += value.size();
    if (too_old) ++old;
    return true;
  });
}

std::vector<JournalChange> ExchangeStore::put(Exchange exchange) {
  if (!fits(exchange.id, Exchange::kIdBytesMax)) exchange.id.clear();
  if (!fits(exchange.receipt_id, Exchange::kIdBytesMax)) exchange.receipt_id.clear();
  if (!fits(exchange.aci_receipt, Exchange::kReceiptBytesMax)) exchange.aci_receipt.clear();
  if (!fits(exchange.model, Exchange::kModelBytesMax)) {
    exchange.model.clear();
    exchange.signatures.clear();
  }
  const std::string row = encode_exchange(exchange);
  const std::uint64_t used = journal_.used_bytes(JournalTable::Exchanges) +
                             journal_.used_bytes(JournalTable::ExchangeNames);
  std::vector<JournalChange> changes;
  // Twice what comes: the bound is reached soon, and no answer waits for the erasure of thousands.
  erase_oldest(used > limits_.bytes_max ? 2 * row.size() : 0, kOldPerPut, changes);
  const std::uint64_t number = next_++;
  const ByteSpan bytes = as_bytes(row);
  changes.push_back({JournalTable::Exchanges, row_key(number), Bytes(bytes.begin(), bytes.end())});
  for (const Digest& name : names_of(exchange)) {
    changes.push_back({JournalTable::ExchangeNames, name_key(name, number), Bytes()});
  }
  return changes;
}

std::vector<JournalChange> ExchangeStore::sweep() {
  std::vector<JournalChange> changes;
  erase_oldest(0, kOldPerSweep, changes);
  return changes;
}

std::optional<Exchange> ExchangeStore::find_named(const Digest& name, const Digest& caller) const {
  std::optional<std::uint64_t> number;
  journal_.scan(JournalTable::ExchangeNames, name.span(), [&](ByteSpan key, ByteSpan) {
    if (key.size() == Digest::kSize + kNumberBytes &&
        std::ranges::equal(key.first(Digest::kSize), name.bytes)) {
      number = ~read_number(key.last(kNumberBytes));
    }
    return false;
  });
  if (!number) return std::nullopt;
  const auto row = journal_.get(JournalTable::Exchanges, row_key(*number));
  if (!row) return std::nullopt;
  auto exchange = decode_exchange(as_text(*row));
  if (!exchange) log(LogLevel::Error, "exchange {} does not read: a damaged file", *number);
  if (!exchange || exchange->caller != caller || is_old(*exchange)) return std::nullopt;
  return exchange;
}

std::optional<Exchange> ExchangeStore::find(const Digest& caller, std::string_view id) const {
  auto found = find_named(name_of("id", caller, id), caller);
  if (!found || found->id != id) return std::nullopt;
  return found;
}

std::optional<Exchange> ExchangeStore::find_receipt(const Digest& caller,
                                                    std::string_view receipt_id) const {
  auto found = find_named(name_of("receipt", caller, receipt_id), caller);
  if (!found || found->receipt_id != receipt_id) return std::nullopt;
  return found;
}

std::string encode_exchange(const Exchange& exchange) {
  JsonWriter w;
  w.begin_object();
  w.key("v").integer(kVersion);
  w.key("id").string(exchange.id);
  w.key("receipt_id").string(exchange.receipt_id);
  w.key("caller").string(encode_hex(exchange.caller));
  w.key("at").integer(exchange.at_s);
  w.key("model").string(exchange.model);
  w.key("request").string(encode_hex(exchange.request));
  w.key("response").string(encode_hex(exchange.response));
  const std::string two_parts = to_text(text_of(exchange, false));
  w.key("signatures").begin_array();
  for (const ChatSignature& one : exchange.signatures) {
    w.begin_object();
    w.key("model").boolean(one.text != two_parts);
    w.key("algo").string(to_string(one.algorithm));
    w.key("address").string(one.signing_address);
    w.key("signature").string(one.signature);
    w.end_object();
  }
  w.end_array();
  w.key("aci_receipt").string(exchange.aci_receipt);
  w.end_object();
  return std::move(w).take();
}

std::optional<Exchange> decode_exchange(std::string_view text) {
  JsonLimits limits;
  limits.bytes_max = kRowBytesMax;
  const auto document = Json::parse(text, limits);
  if (!document || document->find_integer("v") != kVersion) return std::nullopt;
  const auto id = document->find_string("id");
  const auto receipt_id = document->find_string("receipt_id");
  const auto caller = document->find_string("caller");
  const auto at_s = document->find_integer("at");
  const auto model = document->find_string("model");
  const auto request = document->find_string("request");
  const auto response = document->find_string("response");
  const auto receipt = document->find_string("aci_receipt");
  if (!id || !receipt_id || !caller || !at_s || !model || !request || !response || !receipt) {
    return std::nullopt;
  }
  const auto caller_digest = from_hex<Digest>(*caller);
  const auto request_digest = from_hex<Digest>(*request);
  const auto response_digest = from_hex<Digest>(*response);
  if (!caller_digest || !request_digest || !response_digest) return std::nullopt;
  Exchange out;
  out.id = *id;
  out.receipt_id = *receipt_id;
  out.caller = *caller_digest;
  out.at_s = *at_s;
  out.model = *model;
  out.request = *request_digest;
  out.response = *response_digest;
  out.aci_receipt = *receipt;
  if (!in_bounds(out) || !read_signatures(*document, out)) return std::nullopt;
  return out;
}

}  // namespace nostril::node
