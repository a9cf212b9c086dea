#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/api_budget.h"
#include "client/api_keys.h"
#include "client/journal.h"
#include "events/nip98.h"
#include "net/http.h"
#include "net/peer_address.h"
#include "node/api_exchange.h"
#include "node/balance_headers.h"
#include "node/channel_book.h"
#include "schnorr/hash.h"
#include "schnorr/verify.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

enum class ApiMode : std::uint8_t {
  Keys,   ///< who is in the keys file
  Nostr,  ///< also any Nostr key that signs its requests, and pays by receipts
  Open,   ///< anybody, for nothing
};
/// "keys", "nostr" or "open".
[[nodiscard]] std::optional<ApiMode> parse_api_mode(std::string_view text);

struct ApiGateSettings {
  ApiMode mode = ApiMode::Keys;
  std::filesystem::path keys_file;
  /// Under which clients reach the face, as https://HOST[:PORT]: what a NIP-98 token may be for.
  /// Not taken from the request's Host, which is the sender's word. Empty: no token is taken.
  std::vector<std::string> urls;
  std::string asset;  ///< of all offers
  Amount credit;      ///< the same
};

struct ApiGateParts {
  Clock& clock;
  Rng& rng;
  Verifier& verifier;
  client::Journal& journal;
  ChannelBooks& books;
  PublicKey node;
};

/// Who may use the HTTPS face, and how it is paid:
///
///   API key, listed Nostr key   a budget (api_budget.h): what the request may come to at most is
///                               reserved before it begins, what the record states is charged
///   any other Nostr key         the offer's credit and balance receipts (balance_headers.h)
///   nobody in particular        nothing
///
/// Credentials that are there and wrong are refused in every mode. A budget's answers are stated in
/// channels that no key can pay, one for each that runs at a time. Threads: the loop's only.
class ApiGate final : public ApiAccess, public ApiHook {
 public:
  ApiGate(ApiGateSettings settings, ApiGateParts parts);

  /// From now on; what was admitted goes on. Another keys file that does not read leaves the keys
  /// of the old one in force.
  void reconfigure(ApiGateSettings settings);

  [[nodiscard]] Result<ApiCaller, ApiRefusal> admit(const net::HttpRequest& request,
                                                    const net::PeerAddress& peer) override;
  [[nodiscard]] Result<ApiBooking, ApiRefusal> book(const ApiCaller& caller, const LiveOffer& offer,
                                                    std::string_view body) override;

  /// The balance, for who pays by receipts.
  void add_headers(const ApiExchange& exchange, net::HttpHeaders& headers) override;

  /// `GET /v1/balance`: the channel's state as JSON, for its payer.
  [[nodiscard]] ApiRoute balance_route();

 private:
  class Hold;

  struct Credentials {
    std::optional<std::string> key;
    std::optional<std::string> nostr;
  };

  [[nodiscard]] static Result<Credentials, ApiRefusal> credentials_of(
      const net::HttpHeaders& headers);
  [[nodiscard]] Result<PublicKey, ApiRefusal> signer_of(const net::HttpRequest& request,
                                                        std::string_view base64);
  [[nodiscard]] Result<ApiCaller, ApiRefusal> payer(const PublicKey& pubkey,
                                                    const net::HttpHeaders& headers);
  [[nodiscard]] ApiCaller account(const Digest& id) const;
  [[nodiscard]] ApiCaller anybody(const net::PeerAddress& peer);
  [[nodiscard]] Result<ApiBooking, ApiRefusal> book_account(const ApiCaller& caller,
                                                            const LiveOffer& offer,
                                                            std::string_view body);
  [[nodiscard]] Result<ApiBooking, ApiRefusal> book_payer(const ApiCaller& caller,
                                                          const LiveOffer& offer);
  [[nodiscard]] std::shared_ptr<ChannelBook> channel_of(const PaymentTerms& payer);
  [[nodiscard]] Result<void, ApiRefusal> take_receipt(const std::shared_ptr<ChannelBook>& book,
                                                      const SignedReceipt& receipt);
  [[nodiscard]] net::HttpResponse balance(const net::HttpRequest& request,
                                          const net::PeerAddress& peer);

  ApiGateSettings settings_;
  ApiGateParts parts_;
  client::ApiKeyFile keys_;
  client::ApiBudgets budgets_;
  Nip98Replays replays_;
  const HmacKey salts_;  ///< prompts of two callers never meet in the engine's cache
  /// Numbers of an account's channels that are in use.
  std::map<Digest, std::set<std::uint64_t>> slots_;
  std::map<std::string, settlement::PriceTable> prices_;  ///< of each model that was booked last
};

}  // namespace nostril::node
