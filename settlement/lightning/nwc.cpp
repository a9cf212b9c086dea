#include "settlement/lightning/nwc.h"

#include "base/enum_names.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/percent.h"

#include <algorithm>
#include <span>
#include <utility>

namespace nostril::settlement::lightning {

namespace {

constexpr std::array<std::string_view, kWalletMethodCount> kMethodNames = {
    "pay_invoice", "make_invoice",      "lookup_invoice",      "list_transactions",  "get_balance",
    "get_info",    "make_hold_invoice", "settle_hold_invoice", "cancel_hold_invoice"};

constexpr std::array<std::string_view, 11> kCodeNames = {
    "RATE_LIMITED", "NOT_IMPLEMENTED", "INSUFFICIENT_BALANCE",   "QUOTA_EXCEEDED", "RESTRICTED",
    "UNAUTHORIZED", "INTERNAL",        "UNSUPPORTED_ENCRYPTION", "PAYMENT_FAILED", "NOT_FOUND",
    "OTHER"};

constexpr std::array<std::string_view, 5> kStateNames = {"pending", "accepted", "settled",
                                                         "expired", "failed"};

constexpr std::array<std::string_view, 3> kNewsNames = {"payment_received", "payment_sent",
                                                        "hold_invoice_accepted"};

constexpr std::array<std::pair<std::string_view, Network>, 4> kNetworks = {
    {{"mainnet", Network::Bitcoin},
     {"testnet", Network::Testnet},
     {"signet", Network::Signet},
     {"regtest", Network::Regtest}}};

/// Calls `take` for each word between single separators.
template <typename Take>
void split(std::string_view text, char separator, Take take) {
  while (true) {
    const std::size_t end = std::min(text.find(separator), text.size());
    take(text.substr(0, end));
    if (end == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

std::string_view tag_value(const Event& event, std::string_view name) {
  for (const Tags::View tag : event.tags) {
    if (tag.name() == name) return tag.value().value_or("");
  }
  return "";
}

bool is_relay(std::string_view url) {
  return (url.starts_with("wss://") || url.starts_with("ws://")) && url.size() <= 256;
}

std::string printable(std::string_view text) {
  constexpr std::size_t kMessageMax = 200;
  std::string out(text.substr(0, kMessageMax));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

// ---- Answers ------------------------------------------------------------------------------------

/// The number of that member; `missing` when it is not there or null; nothing when it is no number,
/// negative, or above `max`.
std::optional<std::uint64_t> number(const Json& object, std::string_view key, std::uint64_t max,
                                    std::optional<std::uint64_t> missing) {
  const Json* member = object.find(key);
  if (member == nullptr || member->is_null()) return missing;
  const auto value = member->integer();
  if (!value || *value < 0 || static_cast<std::uint64_t>(*value) > max) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

constexpr std::uint64_t kTimeMax = 1ULL << 53;

std::optional<Digest> digest(const Json& object, std::string_view key) {
  return from_hex<Digest>(object.find_string(key).value_or(""));
}

/// Services that are older than the member `state` say when it was settled.
std::optional<TransactionState> state_of(const Json& object) {
  if (const auto text = object.find_string("state")) {
    return enum_of<TransactionState>(kStateNames, *text);
  }
  const auto settled_at = number(object, "settled_at", kTimeMax, 0);
  if (!settled_at) return std::nullopt;
  return *settled_at > 0 ? TransactionState::Settled : TransactionState::Pending;
}

std::optional<WalletTransaction> transaction_of(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  WalletTransaction out;
  const auto type = object.find_string("type");
  const auto state = state_of(object);
  const auto hash = digest(object, "payment_hash");
  const auto amount = number(object, "amount", kMsatMax, std::nullopt);
  const auto fees = number(object, "fees_paid", kMsatMax, 0);
  const auto created_at = number(object, "created_at", kTimeMax, 0);
  const auto expires_at = number(object, "expires_at", kTimeMax, 0);
  if ((type && *type != "incoming" && *type != "outgoing") || !state || !hash || !amount || !fees ||
      !created_at || !expires_at) {
    return std::nullopt;
  }
  const std::string_view invoice = object.find_string("invoice").value_or("");
  if (invoice.size() > Bolt11Limits::kCharactersMax) return std::nullopt;
  const std::string_view preimage = object.find_string("preimage").value_or("");
  if (!preimage.empty()) {
    out.preimage = from_hex<Digest>(preimage);
    if (!out.preimage) return std::nullopt;
  }
  out.incoming = type.value_or("incoming") == "incoming";
  out.state = *state;
  out.invoice = invoice;
  out.payment_hash = *hash;
  out.amount = *amount;
  out.fees = *fees;
  out.created_at = static_cast<std::int64_t>(*created_at);
  out.expires_at = static_cast<std::int64_t>(*expires_at);
  return out;
}

std::optional<WalletAnswer> answer_of(WalletMethod method, const Json& result) {
  switch (method) {
    case WalletMethod::PayInvoice: {
      const auto preimage = digest(result, "preimage");
      const auto fees = number(result, "fees_paid", kMsatMax, 0);
      if (!preimage || !fees) return std::nullopt;
      return Paid{*preimage, *fees};
    }
    case WalletMethod::MakeInvoice:
    case WalletMethod::MakeHoldInvoice:
    case WalletMethod::LookupInvoice: {
      auto transaction = transaction_of(result);
      if (!transaction) return std::nullopt;
      return std::move(*transaction);
    }
    case WalletMethod::ListTransactions: {
      const Json* list = result.find("transactions");
      if (list == nullptr || !list->is_array() ||
          list->items().size() > WalletLimits::kTransactionsMax) {
        return std::nullopt;
      }
      std::vector<WalletTransaction> out;
      for (const Json& one : list->items()) {
        auto transaction = transaction_of(one);
        if (!transaction) return std::nullopt;
        out.push_back(std::move(*transaction));
      }
      return out;
    }
    case WalletMethod::GetBalance: {
      const auto balance = number(result, "balance", kMsatMax, std::nullopt);
      if (!balance) return std::nullopt;
      return WalletBalance{*balance};
    }
    case WalletMethod::GetInfo: {
      const std::string_view name = result.find_string("network").value_or("");
      const auto found =
          std::ranges::find(kNetworks, name, &std::pair<std::string_view, Network>::first);
      return WalletNode{found == kNetworks.end() ? std::nullopt : std::optional(found->second)};
    }
    case WalletMethod::SettleHoldInvoice:
    case WalletMethod::CancelHoldInvoice:
      return Done{};
  }
  return std::nullopt;
}

// ---- Requests -----------------------------------------------------------------------------------

void write_params(JsonWriter& w, const PayInvoice& request) {
  w.key("invoice").string(request.invoice);
}

void write_params(JsonWriter& w, const MakeInvoice& request) {
  w.key("amount").integer(static_cast<std::int64_t>(request.amount));
  w.key("description").string(request.description);
  w.key("expiry").integer(request.expiry_s);
  if (request.hold) w.key("payment_hash").string(encode_hex(*request.hold));
}

void write_params(JsonWriter& w, const LookupInvoice& request) {
  w.key("payment_hash").string(encode_hex(request.payment_hash));
}

void write_params(JsonWriter& w, const ListTransactions& request) {
  w.key("from").integer(request.from);
  w.key("limit").integer(static_cast<std::int64_t>(request.limit));
}

void write_params(JsonWriter& w, const SettleHoldInvoice& request) {
  w.key("preimage").string(encode_hex(request.preimage));
}

void write_params(JsonWriter& w, const CancelHoldInvoice& request) {
  w.key("payment_hash").string(encode_hex(request.payment_hash));
}

void write_params(JsonWriter& /*w*/, const GetBalance& /*request*/) {}

void write_params(JsonWriter& /*w*/, const GetInfo& /*request*/) {}

}  // namespace

std::string_view to_string(WalletMethod method) {
  return kMethodNames.at(static_cast<std::size_t>(method));
}

std::string_view to_string(WalletErrorCode code) {
  return kCodeNames.at(static_cast<std::size_t>(code));
}

std::optional<WalletUri> parse_wallet_uri(std::string_view text) {
  for (const std::string_view scheme : {"nostr+walletconnect://", "nostr+walletconnect:"}) {
    if (!text.starts_with(scheme)) continue;
    text.remove_prefix(scheme.size());
    break;
  }
  const std::size_t query = text.find('?');
  const auto wallet = from_hex<PublicKey>(text.substr(0, query));
  if (!wallet || query == std::string_view::npos) return std::nullopt;
  std::vector<std::string> relays;
  std::optional<Keypair> client;
  bool good = true;
  split(text.substr(query + 1), '&', [&](std::string_view parameter) {
    const std::size_t equals = parameter.find('=');
    const std::string_view name = parameter.substr(0, equals);
    if (equals == std::string_view::npos || (name != "relay" && name != "secret")) return;
    const std::string_view value = parameter.substr(equals + 1);
    if (name == "relay") {
      auto url = percent_decode(value);
      good = good && url && is_relay(*url) && relays.size() < WalletLimits::kRelaysMax;
      if (good) relays.push_back(std::move(*url));
      return;
    }
    auto secret = decode_hex(value);
    good = good && secret && !client;
    if (good) {
      client = Keypair::from_secret(*secret);
      good = client.has_value();
    }
    if (secret) wipe(*secret);
  });
  if (!good || relays.empty() || !client) return std::nullopt;
  return WalletUri{*wallet, std::move(relays), std::move(*client)};
}

std::optional<WalletService> parse_wallet_service(const Event& event) {
  if (event.kind != kWalletInfoKind) return std::nullopt;
  WalletService out;
  split(event.content, ' ', [&out](std::string_view word) {
    if (const auto method = enum_of<WalletMethod>(kMethodNames, word)) {
      out.methods.at(static_cast<std::size_t>(*method)) = true;
    }
  });
  split(tag_value(event, "encryption"), ' ',
        [&out](std::string_view word) { out.nip44 = out.nip44 || word == "nip44_v2"; });
  split(tag_value(event, "notifications"), ' ', [&out](std::string_view word) {
    out.notifies_received = out.notifies_received || word == kNewsNames[0];
    out.notifies_sent = out.notifies_sent || word == kNewsNames[1];
    out.notifies_hold = out.notifies_hold || word == kNewsNames[2];
  });
  return out;
}

WalletMethod method_of(const WalletRequest& request) {
  constexpr std::array<WalletMethod, std::variant_size_v<WalletRequest>> kMethods = {
      WalletMethod::PayInvoice,        WalletMethod::MakeInvoice,      WalletMethod::LookupInvoice,
      WalletMethod::ListTransactions,  WalletMethod::GetBalance,       WalletMethod::GetInfo,
      WalletMethod::SettleHoldInvoice, WalletMethod::CancelHoldInvoice};
  const auto* made = std::get_if<MakeInvoice>(&request);
  if (made != nullptr && made->hold) return WalletMethod::MakeHoldInvoice;
  return kMethods.at(request.index());
}

std::string request_text(const WalletRequest& request) {
  JsonWriter w;
  w.begin_object().key("method").string(to_string(method_of(request)));
  w.key("params").begin_object();
  std::visit([&w](const auto& one) { write_params(w, one); }, request);
  w.end_object().end_object();
  return std::move(w).take();
}

std::optional<Result<WalletAnswer, WalletError>> parse_wallet_answer(const WalletRequest& request,
                                                                     std::string_view text) {
  constexpr JsonLimits kLimits{WalletLimits::kTextBytesMax, 8, 8192};
  const auto object = Json::parse(text, kLimits);
  const WalletMethod method = method_of(request);
  if (!object || object->find_string("result_type") != to_string(method)) return std::nullopt;
  const Json* error = object->find("error");
  if (error != nullptr && !error->is_null()) {
    const auto code = error->find_string("code");
    if (!code) return std::nullopt;
    return failure(
        WalletError{enum_of<WalletErrorCode>(kCodeNames, *code).value_or(WalletErrorCode::Other),
                    printable(error->find_string("message").value_or(""))});
  }
  const Json* result = object->find("result");
  if (result == nullptr || !result->is_object()) return std::nullopt;
  auto answer = answer_of(method, *result);
  if (!answer) return std::nullopt;
  return std::move(*answer);
}

std::optional<WalletNotification> parse_wallet_notification(std::string_view text) {
  constexpr JsonLimits kLimits{WalletLimits::kTextBytesMax, 8, 8192};
  const auto object = Json::parse(text, kLimits);
  if (!object) return std::nullopt;
  const auto news =
      enum_of<WalletNews>(kNewsNames, object->find_string("notification_type").value_or(""));
  const Json* body = object->find("notification");
  auto transaction = body == nullptr ? std::nullopt : transaction_of(*body);
  if (!news || !transaction) return std::nullopt;
  return WalletNotification{*news, std::move(*transaction)};
}

}  // namespace nostril::settlement::lightning
