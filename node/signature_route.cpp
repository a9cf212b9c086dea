#include "node/signature_route.h"

#include "net/url.h"

#include "face/attestation_report.h"
#include "face/legacy_signature.h"

namespace nostril::node {

namespace {

struct Wanted {
  face::SigningAlgorithm algorithm = face::SigningAlgorithm::Ecdsa;
  bool with_model = true;
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
  out.with_model = !*parts || **parts == "3";
  return out;
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
  const auto id = net::percent_decode(std::string_view(request.path).substr(prefix.size()));
  if (!id || id->empty() || id->size() > Exchange::kIdBytesMax) return to_response(unknown);
  const auto exchange = store_.find(caller->id, *id);
  const auto* signature =
      exchange ? exchange->signature(wanted->algorithm, wanted->with_model) : nullptr;
  if (signature == nullptr) return to_response(unknown);
  return json_response(200, face::to_json(*signature));
}

}  // namespace nostril::node
