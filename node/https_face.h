#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "base/rng.h"
#include "client/journal.h"
#include "net/loop.h"
#include "net/tls_identity.h"
#include "node/aci_face.h"
#include "node/api_access.h"
#include "node/api_server.h"
#include "node/background.h"
#include "node/channel_book.h"
#include "node/config.h"
#include "node/evidence_source.h"
#include "node/exchange_store.h"
#include "node/publisher.h"
#include "node/report_route.h"
#include "node/signature_route.h"
#include "schnorr/keys.h"
#include "schnorr/verify.h"
#include "schnorr/x25519.h"

#include "face/legacy_signature.h"

#include <memory>
#include <optional>
#include <string>

namespace nostril::node {

/// What the node lends to its HTTPS face. Borrowed; outlives it.
struct HttpsParts {
  const NodeConfig& config;
  const Keypair& identity;
  net::Loop& loop;
  Clock& clock;
  Rng& rng;
  EvidenceSource& source;
  client::Journal& journal;
  ChannelBooks& books;
  Background& background;
  ModelDirectory& models;
};

/// The keys that sign and open for clients of other services' API: derived from the identity, so
/// that their addresses are the same at each start.
[[nodiscard]] face::LegacySigner legacy_signer(const Keypair& identity);

/// The node's HTTPS face: keys, certificate, server and all its routes. Without a certificate of
/// the operator's the TLS key is made here and never leaves the process.
/// Threads: the loop's only.
class HttpsFace {
 public:
  /// Listens at once. Throws std::runtime_error for files or an address that can't be used.
  explicit HttpsFace(const HttpsParts& parts);

  ~HttpsFace();
  HttpsFace(const HttpsFace&) = delete;
  HttpsFace& operator=(const HttpsFace&) = delete;

  /// For the agent, before it starts; the agent outlives the face but asks it no more then.
  [[nodiscard]] DirectPath direct_path();

  /// The configuration that was lent has new values for [access] and the offers' credit.
  void reconfigured();

  /// Reads the files of the certificate again, for connections from now on. The error: why the old
  /// one stays; another key is refused, since the evidence names this one.
  [[nodiscard]] Result<void, std::string> renew_certificate();

  [[nodiscard]] ApiServer& server() { return server_; }

  [[nodiscard]] std::uint16_t port() { return server_.server().local_port(); }

  /// PEM, of what is served now.
  [[nodiscard]] std::string certificate_pem() const { return tls_.certificate_pem(); }

  /// One line: where it listens.
  [[nodiscard]] std::string address();

 private:
  void add_routes();
  void sweep();

  HttpsParts parts_;
  net::TlsIdentity tls_;
  std::shared_ptr<const face::LegacySigner> signer_;
  ExchangeStore store_;
  Verifier verifier_;
  ApiGate access_;
  AciFace aci_;
  const X25519Key ehbp_key_;   ///< of this start
  const X25519Key ohttp_key_;  ///< the same
  ReportRoute report_;
  SignatureRoute signature_;
  ApiServer server_;
  const net::TimerId sweep_timer_;
};

}  // namespace nostril::node
