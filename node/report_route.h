#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "net/peer_address.h"
#include "node/api_server.h"
#include "node/background.h"
#include "node/evidence_source.h"
#include "node/rate_limit.h"

#include "face/attestation_report.h"
#include "face/legacy_signature.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

namespace nostril::node {

/// `GET /v1/attestation/report`: the machine's quote and its GPUs' reports over the asker's nonce
/// and one of our signing addresses. The first half of the report data is always a key of ours, so
/// no asker can have a quote made over a statement or a keyset of his choice.
/// Bounds: `reports_per_minute` an address; kWaitingMax reports under way, more are told to come
/// again. Without a nonce one of the last kKeptS seconds is served.
/// Threads: the loop's only; evidence is made on the background thread.
class ReportRoute {
 public:
  static constexpr std::size_t kWaitingMax = 8;
  static constexpr std::int64_t kKeptS = 300;

  struct Parts {
    Clock& clock;
    Rng& rng;
    EvidenceSource& source;
    Background& background;
    ModelDirectory& models;
    std::shared_ptr<const face::LegacySigner> signer;
    Digest tls_spki;
    std::string ohttp_key_config;
    std::function<std::string()> tls_certificate;  ///< PEM, of what is served now
  };

  ReportRoute(Parts parts, std::int64_t reports_per_minute);

  void answer(const net::HttpRequest& request, const net::PeerAddress& peer, const ApiReply& reply);

 private:
  struct Kept {
    std::int64_t made_at_s = 0;
    std::string body;
  };

  struct Making;
  /// Whose form, the algorithm, whether the TLS key is inside, the model.
  using Form = std::tuple<face::ReportForm, face::SigningAlgorithm, bool, std::string>;

  [[nodiscard]] static Form form_of(const face::ReportQuery& query,
                                    const face::LegacyReport& report);

  [[nodiscard]] Result<std::string, ApiRefusal> model_of(std::string_view query) const;
  void make(const std::shared_ptr<Making>& making);
  void made(const Making& making);

  Parts parts_;
  RateLimit limit_;
  std::size_t waiting_ = 0;
  std::map<Form, Kept> kept_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::node
