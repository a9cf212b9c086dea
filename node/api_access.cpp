#include "node/api_access.h"

#include "base/hex.h"
#include "base/log.h"
#include "events/big_endian.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::node {

using client::ApiBudget;
using client::ApiKey;
using client::ApiSpending;
using client::BudgetRefusal;
using client::caller_id;
using client::decode_usage;

namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr std::string_view kNostr = "Nostr ";

ApiRefusal unauthorized(std::string_view message) {
  ApiRefusal out(401, "unauthorized", message);
  out.headers.add("WWW-Authenticate", "Bearer, Nostr");
  out.code = "invalid_api_key";
  return out;
}

/// Final for clients: a 429 would be sent again.
ApiRefusal unpaid(std::string_view message) {
  ApiRefusal out(402, "insufficient_quota", message);
  out.code = "insufficient_quota";
  return out;
}

ApiRefusal unwell(std::string_view message) {
  return {503, "server_error", message};
}

bool strip(std::string_view& text, std::string_view scheme) {
  if (text.size() < scheme.size() ||
      !net::equals_ignoring_case(text.substr(0, scheme.size()), scheme)) {
    return false;
  }
  text.remove_prefix(scheme.size());
  return true;
}

Digest process_secret(Rng& rng) {
  Digest out;
  rng.fill(out.bytes);
  return out;
}

/// Of IPv6 the network: an address of it costs nothing.
ByteSpan network_of(const net::PeerAddress& peer) {
  constexpr std::size_t kNetworkBytes = 8;
  return ByteSpan(peer.ip).first(peer.is_v4() ? peer.ip.size() : kNetworkBytes);
}

PublicKey as_line(const Digest& digest) {
  PublicKey out;
  out.bytes = digest.bytes;
  return out;
}

}  // namespace

std::optional<ApiMode> parse_api_mode(std::string_view text) {
  if (text == "keys") return ApiMode::Keys;
  if (text == "nostr") return ApiMode::Nostr;
  if (text == "open") return ApiMode::Open;
  return std::nullopt;
}

/// One running exchange of an account.
class ApiGate::Hold final : public ApiHold {
 public:
  Hold(ApiGate& gate, const Digest& caller, const ApiSpending& most)
      : gate_(gate), caller_(caller), most_(most) {
    auto& used = gate_.slots_[caller_];
    while (used.contains(slot_)) ++slot_;
    used.insert(slot_);
  }

  ~Hold() override {
    gate_.budgets_.release(caller_, most_);
    const auto used = gate_.slots_.find(caller_);
    used->second.erase(slot_);
    if (used->second.empty()) gate_.slots_.erase(used);
  }

  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  void settle(const ResponseRecord& record, std::vector<client::JournalChange>& changes) override {
    // Nobody in particular has no account.
    if (caller_.is_zero()) return;
    changes.push_back(put_usage(caller_, gate_.budgets_.charge(caller_, client::spent_by(record),
                                                               gate_.parts_.clock.unix_s())));
  }

  /// A channel of the account that no other exchange uses: its statements wait for no receipt.
  [[nodiscard]] PaymentTerms terms() const {
    Bytes number;
    PaymentTerms out{as_line(caller_), {}};
    append_big_endian(number, slot_, out.salt.size());
    std::ranges::copy(number, out.salt.begin());
    return out;
  }

 private:
  ApiGate& gate_;
  const Digest caller_;
  const ApiSpending most_;
  std::uint64_t slot_ = 0;
};

ApiGate::ApiGate(ApiGateSettings settings, ApiGateParts parts)
    : settings_(std::move(settings)),
      parts_(parts),
      keys_(settings_.keys_file),
      replays_(parts.clock.unix_s()),
      salts_(process_secret(parts.rng).span()) {
  keys_.refresh(parts_.clock.monotonic_ms());
  parts_.journal.scan(client::JournalTable::ApiUsage, {}, [this](ByteSpan key, ByteSpan value) {
    const auto caller = Digest::from(key);
    const auto usage = decode_usage(value);
    if (caller && usage) {
      budgets_.restore(*caller, *usage);
    } else {
      log(LogLevel::Error, "a row of what a key has used does not read: a damaged file");
    }
    return true;
  });
}

void ApiGate::reconfigure(ApiGateSettings settings) {
  const bool moved = settings.keys_file != settings_.keys_file;
  settings_ = std::move(settings);
  if (!moved) return;
  keys_.move_to(settings_.keys_file);
  keys_.refresh(parts_.clock.monotonic_ms());
}

// ---- Who asks -----------------------------------------------------------------------------------

Result<ApiGate::Credentials, ApiRefusal> ApiGate::credentials_of(const net::HttpHeaders& headers) {
  if (headers.count("Authorization") > 1 || headers.count("X-Api-Key") > 1) {
    return failure(unauthorized("credentials are there twice"));
  }
  Credentials out;
  if (auto text = headers.find("Authorization")) {
    if (strip(*text, kBearer)) {
      out.key = *text;
    } else if (strip(*text, kNostr)) {
      out.nostr = *text;
    } else {
      return failure(unauthorized("Authorization: Bearer KEY, or Nostr EVENT"));
    }
  }
  // As Anthropic's clients send it.
  if (const auto text = headers.find("X-Api-Key")) {
    if (out.nostr || (out.key && *out.key != *text)) {
      return failure(unauthorized("two different credentials"));
    }
    out.key = *text;
  }
  return out;
}

Result<ApiCaller, ApiRefusal> ApiGate::admit(const net::HttpRequest& request,
                                             const net::PeerAddress& peer) {
  keys_.refresh(parts_.clock.monotonic_ms());
  const auto credentials = credentials_of(request.headers);
  if (!credentials) return failure(credentials.error());
  if (credentials->nostr) {
    const auto signer = signer_of(request, *credentials->nostr);
    if (!signer) return failure(signer.error());
    if (find_pubkey(keys_.keys(), *signer) != nullptr) return account(caller_id(*signer));
    if (settings_.mode == ApiMode::Keys) return failure(unauthorized("this key is not listed"));
    if (settings_.mode == ApiMode::Open) return account(caller_id(*signer));
    return payer(*signer, request.headers);
  }
  if (credentials->key) {
    const ApiKey* found = find_api_key(keys_.keys(), *credentials->key);
    if (found != nullptr) return account(found->caller_id());
    // Clients send some key always.
    if (settings_.mode != ApiMode::Open) return failure(unauthorized("no such API key"));
  }
  if (settings_.mode != ApiMode::Open) return failure(unauthorized("an API key is needed"));
  return anybody(peer);
}

Result<PublicKey, ApiRefusal> ApiGate::signer_of(const net::HttpRequest& request,
                                                 std::string_view base64) {
  const std::int64_t now_s = parts_.clock.unix_s();
  Result<Nip98Token, Nip98Error> token = failure(Nip98Error::WrongTarget);
  for (const std::string& url : settings_.urls) {
    token = read_nip98(base64, {url + request.target, request.method}, now_s, parts_.verifier);
    if (token || token.error() != Nip98Error::WrongTarget) break;
  }
  if (!token) return failure(unauthorized(to_string(token.error())));
  std::optional<Digest> body;
  if (!request.body.empty()) body = sha256(request.body);
  if (const auto right = check_payload(*token, body); !right) {
    return failure(unauthorized(to_string(right.error())));
  }
  if (const auto fresh = replays_.admit(*token, now_s); !fresh) {
    if (fresh.error() == Nip98Error::TooMany) return failure(unwell(to_string(fresh.error())));
    return failure(unauthorized(to_string(fresh.error())));
  }
  return token->pubkey;
}

ApiCaller ApiGate::account(const Digest& id) const {
  return {id, as_line(id), encode_hex(salts_.mac({id.span()}))};
}

/// Its prompts meet nobody's in the cache, its own neither: who comes from one address is not one.
ApiCaller ApiGate::anybody(const net::PeerAddress& peer) {
  ApiCaller out;
  out.line = as_line(salts_.mac({network_of(peer)}));
  std::array<std::uint8_t, 16> salt{};
  parts_.rng.fill(salt);
  out.cache_salt = encode_hex(ByteSpan(salt));
  return out;
}

Result<ApiCaller, ApiRefusal> ApiGate::payer(const PublicKey& pubkey,
                                             const net::HttpHeaders& headers) {
  auto balance = read_balance_headers(headers);
  if (!balance) return failure(ApiRefusal(balance.error()));
  if (balance->user && *balance->user != pubkey) {
    return failure(ApiRefusal(400, "bad_request", "X-User-ID is not the key that signed"));
  }
  ApiCaller out = account(caller_id(pubkey));
  out.line = pubkey;
  out.payer = PaymentTerms{pubkey, balance->salt};
  if (balance->chain && *balance->chain != channel_of(*out.payer)->channel().id()) {
    return failure(ApiRefusal(400, "bad_request", "X-Query-Chain-ID names another channel"));
  }
  if (balance->receipt) {
    auto verified = VerifiedEvent::verify(*std::move(balance->receipt), parts_.verifier);
    if (!verified) {
      return failure(ApiRefusal(400, "bad_request", "X-Last-Signed-Query: a wrong signature"));
    }
    auto receipt = SignedReceipt::parse(*std::move(verified));
    if (!receipt) {
      return failure(ApiRefusal(400, "bad_request", "X-Last-Signed-Query: not a receipt"));
    }
    out.receipt = *std::move(receipt);
  }
  return out;
}

// ---- How it is paid -----------------------------------------------------------------------------

std::shared_ptr<ChannelBook> ApiGate::channel_of(const PaymentTerms& payer) {
  return parts_.books.open({payer.signer, parts_.node, settings_.asset, payer.salt},
                           settings_.credit);
}

Result<ApiBooking, ApiRefusal> ApiGate::book(const ApiCaller& caller, const LiveOffer& offer,
                                             std::string_view body) {
  return caller.payer ? book_payer(caller, offer) : book_account(caller, offer, body);
}

Result<ApiBooking, ApiRefusal> ApiGate::book_account(const ApiCaller& caller,
                                                     const LiveOffer& offer,
                                                     std::string_view body) {
  const auto entry = std::ranges::find(keys_.keys(), caller.id, &ApiKey::caller_id);
  const bool listed = entry != keys_.keys().end();
  if (!listed && settings_.mode != ApiMode::Open) return failure(unauthorized("no such API key"));
  const ApiSpending most = client::most_of(offer.offer, offer.prices, body);
  const auto refusal = budgets_.reserve(caller.id, listed ? entry->budget : ApiBudget{}, most,
                                        parts_.clock.unix_s());
  if (refusal == BudgetRefusal::TooLarge) {
    return failure(unpaid("this may cost more than the key's whole budget; lower max_tokens"));
  }
  if (refusal) return failure(unpaid("the key's budget is used up"));
  auto hold = std::make_unique<Hold>(*this, caller.id, most);
  const PaymentTerms terms = hold->terms();
  ApiBooking out;
  out.book = parts_.books.open({terms.signer, parts_.node, offer.offer.asset, terms.salt},
                               *Amount::from(Amount::kMax));
  out.hold = std::move(hold);
  return out;
}

Result<ApiBooking, ApiRefusal> ApiGate::book_payer(const ApiCaller& caller,
                                                   const LiveOffer& offer) {
  if (offer.offer.rail || offer.offer.lightning) {
    return failure(
        unpaid("this node is paid over channels that are backed; these come through "
               "relays"));
  }
  ApiBooking out{channel_of(*caller.payer), nullptr};
  if (caller.receipt) {
    if (const auto taken = take_receipt(out.book, *caller.receipt); !taken) {
      return failure(taken.error());
    }
  }
  prices_.insert_or_assign(offer.offer.model, offer.prices);
  return out;
}

Result<void, ApiRefusal> ApiGate::take_receipt(const std::shared_ptr<ChannelBook>& book,
                                               const SignedReceipt& receipt) {
  using settlement::ReceiptVerdict;
  const ReceiptVerdict verdict = book->accept(receipt);
  if (verdict == ReceiptVerdict::Repeated) return {};
  if (verdict != ReceiptVerdict::Accepted) {
    return failure(unpaid("X-Last-Signed-Query: " + std::string(to_string(verdict))));
  }
  // The record of what is served on it is committed after it. The book lives until then.
  const bool queued = parts_.journal.commit(
      {client::put_receipt(*receipt, receipt.event()), book->row()}, [book](bool on_disk) {
        if (!on_disk) return log(LogLevel::Error, "a receipt is not on the disk");
        book->tell_paid();
      });
  if (!queued) return failure(unwell("the journal is full"));
  return {};
}

// ---- What the payer is told ---------------------------------------------------------------------

void ApiGate::add_headers(const ApiExchange& exchange, net::HttpHeaders& headers) {
  if (!exchange.caller.payer) return;
  const auto book = channel_of(*exchange.caller.payer);
  const settlement::NodeChannel& channel = book->channel();
  BalanceState state;
  state.user = exchange.caller.payer->signer;
  state.chain = channel.id();
  if (const auto prices = prices_.find(exchange.model); prices != prices_.end()) {
    state.prices = prices->second;
  }
  state.outstanding = *Amount::from(channel.spent().value() - channel.accepted().value());
  if (!exchange.stream) state.record = book->last_record();
  add_balance_headers(state, headers);
}

net::HttpResponse ApiGate::balance(const net::HttpRequest& request, const net::PeerAddress& peer) {
  const auto caller = admit(request, peer);
  if (!caller) return to_response(caller.error());
  if (!caller->payer) {
    return to_response({404, "not_found", "a balance is kept of keys that pay by receipts"});
  }
  const auto book = channel_of(*caller->payer);
  if (caller->receipt) {
    if (const auto taken = take_receipt(book, *caller->receipt); !taken) {
      return to_response(taken.error());
    }
  }
  const settlement::NodeChannel& channel = book->channel();
  JsonWriter w;
  w.begin_object();
  w.key("user_id").string(encode_hex(caller->payer->signer));
  w.key("query_chain_id").string(encode_hex(channel.id()));
  w.key("running_hash").string(encode_hex(channel.running_hash()));
  w.key("asset").string(settings_.asset);
  w.key("spent").string(channel.spent().to_string());
  w.key("accepted").string(channel.accepted().to_string());
  w.key("credit").string(channel.credit().to_string());
  w.key("record");
  if (const auto& record = book->last_record()) {
    w.raw(to_json(*record));
  } else {
    w.null();
  }
  w.key("paid");
  if (const auto& paid = book->paid()) {
    w.begin_object().key("record").raw(to_json(paid->record));
    w.key("receipt").raw(to_json(paid->receipt));
    w.key("previous").string(encode_hex(paid->previous_hash)).end_object();
  } else {
    w.null();
  }
  w.end_object();
  net::HttpResponse out = json_response(200, std::move(w).take());
  out.headers.add("Cache-Control", "no-store");
  return out;
}

ApiRoute ApiGate::balance_route() {
  return {"GET", "/v1/balance", false,
          [this](const net::HttpRequest& request, const net::PeerAddress& peer,
                 const ApiReply& reply) { reply(balance(request, peer)); }};
}

}  // namespace nostril::node
