#include "node/https_face.h"

#include "attestation/ra_tls.h"
#include "base/check.h"
#include "base/log.h"
#include "net/url.h"
#include "node/ehbp_transform.h"
#include "node/field_transform.h"
#include "node/model_route.h"
#include "node/ohttp_envelope.h"
#include "node/report_info.h"

#include "face/ohttp.h"
#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <exception>
#include <string_view>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::string_view kModels = "/v1/models/";
constexpr std::int64_t kDayS = 86'400;
/// A self-signed certificate; its key goes with the process, long before.
constexpr std::int64_t kCertificateDays = 365;
/// Clients' clocks differ.
constexpr std::int64_t kClockSlackS = 3'600;
/// Some hundreds of exchanges each time; with none to erase, a look at the oldest.
constexpr std::uint64_t kSweepMs = 1'000;
/// dstack's readers take no more.
constexpr std::size_t kCertificateLogBytesMax = 16U << 10;
/// A quote holds the PEM certificates of its maker. Who reads our certificate in DER, but looks for
/// PEM first, as Node.js does, would take one of those for ours. This comes before them, is no
/// certificate, and so sends such a reader back to DER.
constexpr std::string_view kNoPemHere =
    "No PEM in this certificate is it.\n"
    "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
/// A body of 8 MiB over a slow line.
constexpr std::uint64_t kRequestMsMax = 30'000;

/// dstack's RA-TLS: the machine's quote over the key, and the log that its registers replay. A
/// certificate without them serves as well; the report names the key, too.
std::vector<net::CertificateExtension> ra_tls_extensions(const net::TlsIdentity& key,
                                                         EvidenceSource& source,
                                                         std::int64_t now_s) {
  const auto evidence = source.quote(attestation::ra_tls_report_data(key.spki()), now_s);
  if (!evidence) {
    log(LogLevel::Warning, "the certificate carries no quote: {}", public_text(evidence.error()));
    return {};
  }
  const bool is_tdx =
      evidence->kind == attestation::kKindTdx || evidence->kind == attestation::kKindSimulatedTdx;
  if (!is_tdx || !evidence->app) return {};  // the convention has no place for what is not
  const std::string log_json = full_event_log(*evidence);
  if (log_json.size() > kCertificateLogBytesMax) return {};
  return {{attestation::kRaTlsQuoteOid, evidence->cpu_quote},
          {attestation::kRaTlsEventLogOid, {log_json.begin(), log_json.end()}}};
}

net::TlsIdentity make_identity(const NodeConfig::Https& settings, EvidenceSource& source,
                               std::int64_t now_s) {
  if (!settings.certificate_file.empty()) {
    return net::TlsIdentity::load(settings.certificate_file, settings.key_file);
  }
  const net::TlsIdentity key = net::TlsIdentity::generate();
  net::CertificateDraft draft;
  draft.names = settings.names;
  draft.not_before = now_s - kClockSlackS;
  draft.not_after = now_s + kCertificateDays * kDayS;
  draft.extensions = ra_tls_extensions(key, source, now_s);
  if (!draft.extensions.empty()) draft.comment = kNoPemHere;
  return key.self_signed(draft);
}

net::ListenConfig listen_config(const NodeConfig::Https& settings, const net::TlsIdentity& tls) {
  const auto address = net::parse_host_port(settings.listen);
  CHECK(address.has_value());  // NodeConfig::problem()
  net::ListenConfig out;
  out.host = address->host;
  out.port = address->port;
  out.tls.context = tls.server_context();
  return out;
}

ApiLimits limits_of(const NodeConfig::Https& settings) {
  ApiLimits out;
  out.server.connections_count_max = static_cast<std::size_t>(settings.connections_max);
  out.server.http.body_bytes_max = static_cast<std::size_t>(settings.body_bytes_max);
  out.server.handshake_ms_max = kRequestMsMax;
  // One answer that is no stream leaves in one piece.
  out.server.pending_bytes_max = 2 * out.whole_bytes_max;
  out.connections_per_peer_max = static_cast<std::size_t>(settings.connections_per_peer_max);
  return out;
}

Digest spki_of(const net::TlsIdentity& tls) {
  Digest out;
  out.bytes = tls.spki_digest();
  return out;
}

ApiGateSettings gate_settings(const NodeConfig& config) {
  ApiGateSettings out;
  const auto mode = parse_api_mode(config.access.mode);
  CHECK(mode.has_value());  // NodeConfig::problem()
  out.mode = *mode;
  out.keys_file = config.keys_file();
  out.urls = config.access.urls;
  if (out.urls.empty() && !config.https.url.empty()) out.urls.push_back(config.https.url);
  out.asset = config.offer.asset;
  out.credit = Amount::of(static_cast<std::uint64_t>(config.offer.credit));
  return out;
}

/// Receipts are checked by one key for as long as they are kept.
Ed25519Key receipt_key(const Keypair& identity) {
  return Ed25519Key::from_seed(identity.derive_secret("https/aci"));
}

}  // namespace

face::LegacySigner legacy_signer(const Keypair& identity) {
  auto ecdsa = EcdsaKey::from_secret(identity.derive_secret("https/ecdsa"));
  CHECK(ecdsa.has_value());  // fails once in 2^128
  return {*std::move(ecdsa), Ed25519Key::from_seed(identity.derive_secret("https/ed25519"))};
}

HttpsFace::HttpsFace(const HttpsParts& parts)
    : parts_(parts),
      tls_(make_identity(parts.config.https, parts.source, parts.clock.unix_s())),
      signer_(std::make_shared<const face::LegacySigner>(legacy_signer(parts.identity))),
      store_(parts.journal, parts.config.exchange_limits(), parts.clock),
      access_(gate_settings(parts.config), {parts.clock, parts.rng, verifier_, parts.journal,
                                            parts.books, parts.identity.public_key()}),
      aci_({parts.clock, parts.rng, parts.source, parts.background, access_, store_, spki_of(tls_)},
           receipt_key(parts.identity),
           face::AciKeys(X25519Key::generate(parts.rng), EcdsaKey::generate(parts.rng)),
           parts.config.https.reports_per_minute),
      ehbp_key_(X25519Key::generate(parts.rng)),
      ohttp_key_(X25519Key::generate(parts.rng)),
      report_({parts.clock, parts.rng, parts.source, parts.background, parts.models, signer_,
               spki_of(tls_), face::ohttp_key_config(ohttp_key_.public_key()),
               [this] { return tls_.certificate_pem(); }},
              parts.config.https.reports_per_minute),
      signature_(access_, store_),
      server_({parts.loop, parts.clock, parts.rng, parts.journal, parts.models, access_, *signer_,
               store_},
              listen_config(parts.config.https, tls_), limits_of(parts.config.https)),
      sweep_timer_(parts.loop.every(kSweepMs, [this] { sweep(); })) {
  server_.add_transform(ehbp_transforms(ehbp_key_, parts.rng));
  server_.add_transform(aci_.encryption());
  server_.add_transform(field_transforms(*signer_, parts.clock, parts.rng));
  server_.add_transform(AciFace::constraints());
  server_.add_envelope(ohttp_envelope(ohttp_key_, parts.rng, ApiLimits{}.whole_bytes_max));
  server_.add_hook(access_);
  server_.add_hook(aci_);
  add_routes();
  sweep();
}

HttpsFace::~HttpsFace() {
  parts_.loop.cancel(sweep_timer_);
}

void HttpsFace::reconfigured() {
  access_.reconfigure(gate_settings(parts_.config));
}

/// What is too old goes though nobody asks anything any more.
void HttpsFace::sweep() {
  auto erased = store_.sweep();
  // What is not committed now comes up again when the node starts.
  if (!erased.empty()) (void)parts_.journal.commit(std::move(erased), {});
}

void HttpsFace::add_routes() {
  server_.add_route(access_.balance_route());
  server_.add_route(ehbp_keys_route(ehbp_key_));
  for (ApiRoute& route : ohttp_key_routes(ohttp_key_)) server_.add_route(std::move(route));
  for (ApiRoute& route : aci_.routes()) server_.add_route(std::move(route));
  const auto now = [this](const char* path, bool below, auto respond) {
    server_.add_route({"GET", path, below,
                       [respond](const net::HttpRequest& request, const net::PeerAddress& peer,
                                 const ApiReply& reply) { reply(respond(request, peer)); }});
  };
  now("/health", false, [](const net::HttpRequest&, const net::PeerAddress&) {
    return json_response(200, R"({"status":"ok"})");
  });
  now("/v1/models", false, [this](const net::HttpRequest&, const net::PeerAddress&) {
    return list_models(parts_.models);
  });
  now(kModels.data(), true, [this](const net::HttpRequest& request, const net::PeerAddress&) {
    return show_model(parts_.models, std::string_view(request.path).substr(kModels.size()));
  });
  // The first as NEAR AI and Phala have it today; the others are of 0G and of 2024.
  for (const char* path : {"/v1/signature/", "/v1/proxy/signature/", "/signature/"}) {
    now(path, true, [this, path](const net::HttpRequest& request, const net::PeerAddress& peer) {
      return signature_.answer(request, peer, path);
    });
  }
  for (const char* path :
       {"/v1/attestation/report", "/v1/proxy/attestation/report", "/attestation/report"}) {
    server_.add_route({"GET", path, false,
                       [this](const net::HttpRequest& request, const net::PeerAddress& peer,
                              const ApiReply& reply) { report_.answer(request, peer, reply); }});
  }
}

DirectPath HttpsFace::direct_path() {
  return {spki_of(tls_), parts_.config.https.url, [this] { return server_.running(); }};
}

Result<void, std::string> HttpsFace::renew_certificate() {
  const NodeConfig::Https& settings = parts_.config.https;
  if (settings.certificate_file.empty()) return {};
  try {
    auto read = net::TlsIdentity::load(settings.certificate_file, settings.key_file);
    if (read.spki_digest() != tls_.spki_digest()) {
      return failure("https: " + settings.key_file +
                     " is another key than the evidence names; start again for it");
    }
    server_.server().set_tls(read.server_context());
    tls_ = std::move(read);
  } catch (const std::exception& error) {
    return failure(std::string("https: ") + error.what());
  }
  return {};
}

std::string HttpsFace::address() {
  const auto listen = net::parse_host_port(parts_.config.https.listen);
  const bool v6 = listen->host.find(':') != std::string::npos;
  return fmt::format("https://{}:{}/v1", v6 ? "[" + listen->host + "]" : listen->host, port());
}

}  // namespace nostril::node
