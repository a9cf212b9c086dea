#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "net/peer_address.h"
#include "node/api_exchange.h"
#include "node/background.h"
#include "node/evidence_source.h"
#include "node/exchange_store.h"
#include "node/rate_limit.h"
#include "schnorr/ed25519.h"

#include "face/aci.h"
#include "face/aci_encryption.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nostril::node {

/// Attested Confidential Inference (face/aci.h) over the HTTPS face:
///
///   GET /v1/aci/attestation    the keyset, and a quote over it and the asker's nonce
///   GET /v1/aci/receipts/{id}  by X-Receipt-Id or the answer's id, to who asked for the answer
///   X-ACI-Version, X-ACI-Keyset-Digest, X-Receipt-Id on every answer and refusal
///   field encryption of version 2, once for each request
///   `provider.aci_…` of a request's body, met or refused
///
/// The keyset: the receipts' key, which outlives restarts; the encryption's keys, which do not, so
/// that what remembers requests may be in memory; the TLS key. Its `not_after` moves on before it
/// is reached, and the digest with it; receipts name the digest of their time.
/// Bounds: as those of report_route.h. Threads: the loop's only.
class AciFace final : public ApiHook {
 public:
  static constexpr std::size_t kWaitingMax = 8;
  static constexpr std::int64_t kKeysetLifeS = 604'800;  ///< 7 days; renewed at half of it

  struct Parts {
    Clock& clock;
    Rng& rng;
    EvidenceSource& source;
    Background& background;
    ApiAccess& access;
    const ExchangeStore& store;
    Digest tls_spki;
  };

  AciFace(Parts parts, Ed25519Key receipt_key, face::AciKeys encryption_keys,
          std::int64_t reports_per_minute);

  [[nodiscard]] std::vector<ApiRoute> routes();
  /// The encryption; then what of the body is for this protocol alone: the innermost of all.
  [[nodiscard]] ApiTransformMaker encryption();
  [[nodiscard]] static ApiTransformMaker constraints();

  void on_begin(ApiExchange& exchange) override;
  void add_headers(const ApiExchange& exchange, net::HttpHeaders& headers) override;
  void on_finish(const ApiExchange& exchange, Exchange* kept,
                 std::vector<client::JournalChange>& changes) override;

 private:
  struct Keyset {
    face::AciKeyset keys;
    std::string digest;
  };

  struct Making;

  [[nodiscard]] const Keyset& keyset();
  void answer_report(const net::HttpRequest& request, const net::PeerAddress& peer,
                     const ApiReply& reply);
  void made(Making& making);
  [[nodiscard]] net::HttpResponse receipt(const net::HttpRequest& request,
                                          const net::PeerAddress& peer) const;
  [[nodiscard]] Result<std::unique_ptr<ApiTransform>, ApiRefusal> begin_encryption(
      const net::HttpRequest& request);

  Parts parts_;
  const Ed25519Key receipt_key_;
  const face::AciKeys encryption_keys_;
  Keyset keyset_;
  face::AciReplays replays_;
  RateLimit limit_;
  std::size_t waiting_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::node
