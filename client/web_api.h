#pragma once

#include "base/clock.h"
#include "client/home.h"
#include "client/offer_history.h"
#include "client/spending_book.h"
#include "net/http.h"

#include <optional>
#include <string>
#include <string_view>

namespace nostril::client {

/// What the gateway's page shows besides answers, and any program may read; JSON, GET, not cached:
///   /nostril/v1/nodes     {"now","offers":[{"offer","node","model","profile","engine",
///     "engine_version","tee","accepted","simulated","level","holds_until","reason","asset",
///     "prices":[{"unit","amount","per"}],"context_tokens","output_tokens_max",
///     "load"?:{"running","places","waiting","wait_ms"},"created_at","expires_at","judged",
///     "reputation":{"score","own","follows","providers","approvals","flags","fraud"?},
///     "history":[…],"answers":[…]},…]}
///     The usable ones first, then the refused, with the reason. reputation: reputation_book.h;
///     fraud: what was proven. history: offer_history.h; answers: spending_book.h, of the node.
///   /nostril/v1/verdict?offer=ID    {"now","offer","node","model","statement","evidence"?,
///     "reason","verdict":{…} or null}: verdict_json.h; ID: the offer event's, hex. null: the
///     evidence was not judged, and the reason says why. 404: no such offer now.
///   /nostril/v1/spending  {"now","budget","days":[…],"channels":[{"channel","node","asset",
///     "stated","receipted","statements","open","backing"?},…],"payments":[{"what","state",
///     "amount","fees","channel","at"},…]}: days as spending_book.h; budget: most that one node may
///     be owed in one asset; stated: what its records add up to; receipted: what was signed for;
///     backing: {"rail":"chain","state","locked","claimed"} as the wallet's last command saw it, or
///     {"rail":"lightning","deposited","refunded"}. payments: over Lightning, newest first, 100 at
///     most. 1,000 channels at most. It is the whole home's money, whoever asked.
/// Amounts are decimal text of base units. Access is the gateway's affair.
/// Threads: the loop's only. `home` must outlive it, and calls it when offers change.
class WebApi {
 public:
  static constexpr std::size_t kChannelsMax = 1'000;
  static constexpr std::size_t kPaymentsMax = 100;

  WebApi(ClientHome& home, Clock& clock);

  /// Nothing for any other request.
  [[nodiscard]] std::optional<net::HttpResponse> answer(const net::HttpRequest& request);

  /// A record came, was checked and stored.
  void on_record(const ResponseRecord& record) { spending_.add(record); }

 private:
  [[nodiscard]] std::string nodes() const;
  [[nodiscard]] std::optional<std::string> verdict(std::string_view offer_id) const;
  [[nodiscard]] std::string spending() const;
  void write_offer(JsonWriter& w, const Offer& offer, const attestation::Verdict* verdict,
                   bool accepted, std::string_view reason) const;

  ClientHome& home_;
  Clock& clock_;
  SpendingBook spending_;
  OfferHistory history_;
};

}  // namespace nostril::client
