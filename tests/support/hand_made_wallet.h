#pragma once

#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/rng.h"
#include "client/relay_pool.h"
#include "net/loop.h"
#include "schnorr/hash.h"
#include "schnorr/nip44.h"
#include "settlement/lightning/nwc.h"
#include "tests/support/bolt11_maker.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace nostril::test {

/// A wallet service (NIP-47) of a Lightning that has no network: what was paid is what the test
/// says. It answers over a relay as services do, and misbehaves on request. Time: the test's clock.
class HandMadeWallet {
 public:
  struct Entry {
    bool incoming = true;
    std::string state = "pending";
    std::string invoice;
    Digest preimage;
    std::uint64_t amount = 0;
  };

  HandMadeWallet(net::Loop& loop, Clock& clock, Rng& rng, std::string relay)
      : clock_(clock), rng_(rng), relay_(std::move(relay)), pool_(loop, clock) {
    CHECK(pool_.add_relay(relay_));
    Filter asked;
    asked.kinds = {settlement::lightning::kWalletRequestKind};
    asked.tags.push_back({'p', {encode_hex(service_.public_key())}});
    client::SubscriptionCallbacks callbacks;
    callbacks.on_event = [this](const VerifiedEvent& event) { on_request(event.event()); };
    callbacks.on_stored_end = [this](const std::string&) { ready_ = true; };
    pool_.subscribe({std::move(asked)}, std::move(callbacks));
  }

  [[nodiscard]] bool ready() const { return ready_; }

  [[nodiscard]] std::string uri() const {
    std::string relay;
    for (const char c : relay_) {
      relay += c == ':' ? "%3A" : c == '/' ? "%2F" : std::string(1, c);
    }
    return "nostr+walletconnect://" + encode_hex(service_.public_key()) + "?relay=" + relay +
           "&secret=" + encode_hex(kSecret);
  }

  [[nodiscard]] settlement::lightning::WalletUri connection() const {
    auto out = settlement::lightning::parse_wallet_uri(uri());
    CHECK(out.has_value());
    return std::move(*out);
  }

  /// The connection's line in a file of its own, 0600.
  void write(const std::filesystem::path& file) const {
    std::ofstream(file) << uri() << "\n";
    std::filesystem::permissions(
        file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }

  void introduce(const std::string& methods = "pay_invoice make_invoice lookup_invoice get_balance",
                 const std::string& encryption = "nip44_v2") {
    EventDraft draft;
    draft.created_at = clock_.unix_s();
    draft.kind = settlement::lightning::kWalletInfoKind;
    draft.tags.add({"encryption", encryption});
    draft.content = methods;
    CHECK(pool_.publish(sign_event(std::move(draft), service_, rng_)));
  }

  /// A payment from elsewhere came to an invoice of ours; the client is told when `news`.
  void receive(const Digest& hash, bool news = false) {
    Entry& entry = book.at(hash);
    entry.state = "settled";
    if (news) {
      send(settlement::lightning::kWalletNotificationKind, {},
           R"({"notification_type":"payment_received","notification":)" + text_of(hash, entry) +
               "}");
    }
  }

  /// An invoice of somebody else's wallet.
  [[nodiscard]] std::string invoice_of(std::uint64_t amount, const Digest& preimage,
                                       std::string_view description,
                                       std::string_view of_network = "bcrt") const {
    Bytes expiry;
    for (int i = 3; i >= 0; --i) expiry.push_back((86'400U >> (5 * i)) & 31U);
    return Bolt11Maker(fmt::format("ln{}{}p", of_network, amount * 10))
        .bytes('p', sha256(preimage.bytes).bytes)
        .bytes('s', Digest{{2}}.bytes)
        .text('d', description)
        .field('x', expiry)
        .sign(EcdsaKey::of(service_));
  }

  std::map<Digest, Entry> book;
  std::map<Digest, Digest> secrets;    ///< preimages of what pay_invoice pays, by hash
  std::map<Digest, int> pay_requests;  ///< that were acted on
  std::set<std::string> silent;        ///< methods that get no answer, and are not acted on
  std::set<std::string> lost;          ///< … and are acted on
  std::map<std::string, std::string> refusals;  ///< method -> code
  std::string network = "bcrt";
  std::optional<std::string> other_description;
  std::optional<std::uint64_t> other_amount;
  bool wrong_preimage = false;
  std::size_t requests = 0;
  std::size_t passed_over = 0;  ///< of `silent`

  /// Signs `text` as the answer to `request`, as it stands.
  void answer(const EventId& request, const std::string& text) {
    send(settlement::lightning::kWalletResponseKind, request, text);
  }

  std::function<void(const Event& request)> on_asked;  ///< set: instead of all below

 private:
  static constexpr std::array<std::uint8_t, 32> kSecret = {0, 0, 7};

  void send(std::uint32_t kind, const std::optional<EventId>& request, const std::string& text) {
    EventDraft draft;
    draft.created_at = clock_.unix_s();
    draft.kind = kind;
    draft.tags.add({"p", encode_hex(client_.public_key())});
    if (request) draft.tags.add({"e", encode_hex(*request)});
    draft.content = nip44_encrypt(*key_, text, rng_);
    CHECK(pool_.publish(sign_event(std::move(draft), service_, rng_)));
  }

  [[nodiscard]] std::string text_of(const Digest& hash, const Entry& entry) const {
    JsonWriter w;
    w.begin_object();
    w.key("type").string(entry.incoming ? "incoming" : "outgoing");
    w.key("state").string(entry.state).key("invoice").string(entry.invoice);
    w.key("payment_hash").string(encode_hex(hash));
    if (entry.state == "settled") w.key("preimage").string(encode_hex(entry.preimage));
    w.key("amount").integer(static_cast<std::int64_t>(entry.amount)).key("fees_paid").integer(0);
    w.key("created_at").integer(clock_.unix_s()).end_object();
    return std::move(w).take();
  }

  void on_request(const Event& event) {
    ++requests;
    if (on_asked) return on_asked(event);
    const auto text = nip44_decrypt(*key_, event.content);
    const auto json = Json::parse(*text);
    const std::string method(json->find_string("method").value_or(""));
    if (silent.contains(method)) {
      ++passed_over;
      return;
    }
    const Json* params = json->find("params");
    const auto refuse = [&](const std::string& code) {
      answer(event.id,
             fmt::format(R"({{"result_type":"{}","error":{{"code":"{}","message":"no"}}}})", method,
                         code));
    };
    if (const auto found = refusals.find(method); found != refusals.end()) {
      return refuse(found->second);
    }
    std::string result;
    if (method == "get_balance") {
      result = R"({"balance":1234})";
    } else if (method == "make_invoice") {
      result = make(*params);
    } else if (method == "lookup_invoice") {
      const auto hash = from_hex<Digest>(params->find_string("payment_hash").value_or(""));
      if (!book.contains(*hash)) return refuse("NOT_FOUND");
      result = text_of(*hash, book.at(*hash));
    } else if (method == "pay_invoice") {
      result = pay(std::string(params->find_string("invoice").value_or("")));
    }
    if (lost.contains(method)) return;
    answer(event.id, fmt::format(R"({{"result_type":"{}","result":{}}})", method, result));
  }

  std::string make(const Json& params) {
    Entry entry;
    rng_.fill(entry.preimage.bytes);
    entry.amount = static_cast<std::uint64_t>(params.find_integer("amount").value_or(0));
    const std::string description(params.find_string("description").value_or(""));
    entry.invoice = invoice_of(other_amount.value_or(entry.amount), entry.preimage,
                               other_description.value_or(description), network);
    const Digest hash = sha256(entry.preimage.bytes);
    book[hash] = entry;
    return text_of(hash, entry);
  }

  /// Pays at once; the preimage is in `secrets`.
  std::string pay(const std::string& invoice) {
    const auto parsed = settlement::lightning::parse_bolt11(invoice);
    CHECK(parsed.has_value());
    const Digest hash{parsed->payment_hash.bytes};
    ++pay_requests[hash];
    Entry entry{false, "settled", invoice, secrets.at(hash), *parsed->amount};
    book[hash] = entry;
    return fmt::format(R"({{"preimage":"{}","fees_paid":3}})",
                       encode_hex(wrong_preimage ? Digest{{9}} : entry.preimage));
  }

  Clock& clock_;
  Rng& rng_;
  const std::string relay_;
  client::RelayPool pool_;
  const Keypair service_ = Keypair::generate(rng_);
  const Keypair client_ = *Keypair::from_secret(kSecret);
  const std::optional<ConversationKey> key_ =
      ConversationKey::derive(service_, client_.public_key());
  bool ready_ = false;
};

}  // namespace nostril::test
