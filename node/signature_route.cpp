#include "node/signature_route.h"

#include "base/percent.h"
#include "net/url.h"

#include "face/attestation_report.h"
#include "face/legacy_signature.h"

#include <optional>
#include <string>

namespace nostril::node {

namespace {

struct Wanted {
  face::SigningAlgorithm algorithm = face::SigningAlgorithm::Ecdsa;
  std::optional<bool> with_model;  ///< none: the query leaves it to us
};

Result<Wanted, ApiRefusal> parse_query(std::string_view query) {
  Wanted out;
  const auto algorithm = face::query_value(query, "signing_algo");
  if (!algorithm) return failure(ApiRefusal(algorithm.error()));
  if (*algorithm) {
    const auto parsed = face::parse_signing_algorithm(**algorithm);
    if (!parsed) {
      return failure(ApiRefusal(400, "bad_request",
                                "Invalid signing algorithm. Must be 'ed25519' or 'ecdsa'"));
    }
    out.algorithm = *parsed;
  }
  const auto parts = face::query_value(query, "parts");
  if (!parts) return failure(ApiRefusal(parts.error()));
  if (*parts && **parts != "2" && **parts != "3") {
    return failure(ApiRefusal(400, "bad_request", "parts must be 2 or 3"));
  }
  const auto model = face::query_value(query, "model");
  if (!model) return failure(ApiRefusal(model.error()));
  if (*parts) {
    out.with_model = **parts == "3";
  } else if (*model && !*algorithm) {
    out.with_model = false;  // as Phala's verifiers ask, who read no more than two parts
  }
  return out;
}

/// Readers cut the text at its colons, so a name that holds one is left out.
bool has_plain_name(const Exchange& exchange) {
  return exchange.model.find(':') == std::string::npos;
}

}  // namespace

net::HttpResponse SignatureRoute::answer(const net::HttpRequest& request,
                                         const net::PeerAddress& peer,
                                         std::string_view prefix) const {
  const auto caller = access_.admit(request, peer);
  if (!caller) return to_response(caller.error());
  const auto wanted = parse_query(request.query);
  if (!wanted) return to_response(wanted.error());
  const ApiRefusal unknown(404, "not_found", "Chat id not found or expired");
  const auto id = percent_decode(std::string_view(request.path).substr(prefix.size()));
  if (!id || id->empty() || id->size() > Exchange::kIdBytesMax) return to_response(unknown);
  const auto exchange = store_.find(caller->id, *id);
  if (!exchange) return to_response(unknown);
  const bool with_model = wanted->with_model.value_or(has_plain_name(*exchange));
  const auto* signature = exchange->signature(wanted->algorithm, with_model);
  if (signature == nullptr) return to_response(unknown);
  return json_response(200, face::to_json(*signature));
}

}  // namespace nostril::node
