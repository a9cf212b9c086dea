#include "node/aci_face.h"

#include "attestation/app_identity.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "base/percent.h"
#include "net/url.h"
#include "node/field_transform.h"
#include "node/report_info.h"

#include "face/field_places.h"

#include <array>
#include <optional>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::string_view kReceiptKeyId = "receipt-ed25519";
constexpr std::string_view kReceipts = "/v1/aci/receipts/";

ApiRefusal come_again(int status, std::string_view type, std::string_view message) {
  ApiRefusal out(status, type, message);
  out.headers.add("Retry-After", "5");
  return out;
}

ApiRefusal busy() {
  return come_again(429, "rate_limited", "too many reports are asked for; come again");
}

Result<face::AciEncryptionHeaders, ApiRefusal> encryption_headers(const net::HttpHeaders& headers) {
  face::AciEncryptionHeaders out;
  const auto read = read_headers(headers, {
                                              {"X-E2EE-Version", &out.version},
                                              {"X-Client-Pub-Key", &out.client_public_key},
                                              {"X-Model-Pub-Key", &out.model_public_key},
                                              {"X-E2EE-Nonce", &out.nonce},
                                              {"X-E2EE-Timestamp", &out.timestamp},
                                              {"X-Signing-Algo", &out.signing_algo},
                                          });
  if (!read) return failure(read.error());
  return out;
}

/// The quote and what a verifier replays into it: texts, as dstack's agent hands them over.
std::string evidence_json(const attestation::Evidence& evidence) {
  JsonWriter out;
  const auto text_or_null = [&out](std::string_view name, std::string_view text) {
    out.key(name);
    if (text.empty()) {
      out.null();
    } else {
      out.string(text);
    }
  };
  out.begin_object().key("quote").string(encode_hex(evidence.cpu_quote));
  text_or_null("event_log", evidence.app ? full_event_log(evidence) : std::string());
  text_or_null("app_compose", evidence.app ? evidence.app->compose : std::string());
  text_or_null("vm_config", vm_config_of(evidence));
  out.end_object();
  return std::move(out).take();
}

/// What the measured compose text runs first; its hash is what a verifier holds it to.
face::AciProvenance provenance_of(const attestation::Evidence& evidence) {
  face::AciProvenance out;
  const auto images = evidence.app ? attestation::images_of(evidence.app->compose) : std::nullopt;
  if (!images) return out;
  for (const attestation::ImageReference& image : *images) {
    if (image.digest.empty()) continue;
    out.image_digest = "sha256:" + image.digest;
    break;
  }
  return out;
}

/// Takes from a body what only this protocol reads; leaves answers alone.
class Constraints final : public ApiTransform {
 public:
  Result<std::string, ApiRefusal> open(std::string_view /*path*/, std::string body) override {
    // Most bodies have none. An escape could hide the name.
    if (body.find("aci_") == std::string::npos && body.find("\\u") == std::string::npos) {
      return body;
    }
    const auto document = Json::parse(body);
    if (!document) return body;  // refused by who reads it
    auto taken = face::take_constraints(body, *document);
    if (!taken) return failure(ApiRefusal(taken.error()));
    return *std::move(taken);
  }

  void begin(int /*status*/, bool /*stream*/, net::HttpHeaders& /*headers*/) override {}

  [[nodiscard]] bool hides_errors() const override { return true; }  // it is no encryption

  bool seal(std::string_view bytes, std::string& out) override {
    out += bytes;
    return true;
  }

  bool finish(std::string& /*out*/) override { return true; }
};

}  // namespace

AciFace::AciFace(Parts parts, Ed25519Key receipt_key, face::AciKeys encryption_keys,
                 std::int64_t reports_per_minute)
    : parts_(parts),
      receipt_key_(std::move(receipt_key)),
      encryption_keys_(std::move(encryption_keys)),
      limit_(reports_per_minute) {}

const AciFace::Keyset& AciFace::keyset() {
  const std::int64_t now_s = parts_.clock.unix_s();
  const std::int64_t left_s = keyset_.keys.not_after - now_s;
  if (left_s >= kKeysetLifeS / 2 && left_s <= kKeysetLifeS) return keyset_;
  face::AciKeyset keys;
  keys.not_after = now_s + kKeysetLifeS;
  keys.receipt_keys = {{std::string(kReceiptKeyId), receipt_key_.public_key()}};
  keys.encryption_keys = encryption_keys_.keyset_entries();
  keys.tls_keys = {{parts_.tls_spki, std::nullopt}};
  keyset_ = {keys, face::keyset_digest(keys)};
  return keyset_;
}

// ---- Each exchange ------------------------------------------------------------------------------

void AciFace::on_begin(ApiExchange& exchange) {
  std::array<std::uint8_t, 16> id{};
  parts_.rng.fill(id);
  exchange.receipt_id = "rcpt-" + encode_hex(ByteSpan(id));
}

void AciFace::add_headers(const ApiExchange& exchange, net::HttpHeaders& headers) {
  headers.add("X-ACI-Version", std::string(face::kAciVersion));
  headers.add("X-ACI-Keyset-Digest", keyset().digest);
  headers.add("X-Receipt-Id", exchange.receipt_id);
}

void AciFace::on_finish(const ApiExchange& exchange, Exchange* kept,
                        std::vector<client::JournalChange>& /*changes*/) {
  if (kept == nullptr) return;
  face::AciReceipt receipt;
  receipt.id = exchange.receipt_id;
  if (!exchange.answer_id.empty()) receipt.chat_id = exchange.answer_id;
  if (!exchange.model.empty()) receipt.model = exchange.model;
  receipt.keyset_digest = keyset().digest;
  receipt.endpoint = exchange.path;
  receipt.method = exchange.method;
  receipt.served_at = parts_.clock.unix_s();
  // What could not be opened is known as it came.
  receipt.received =
      exchange.opened_request.is_zero() ? exchange.wire_request : exchange.opened_request;
  receipt.forwarded = exchange.forwarded;
  receipt.returned = exchange.wire_response;
  receipt.key_id = kReceiptKeyId;
  kept->aci_receipt = face::sign_receipt(receipt, receipt_key_);
}

ApiTransformMaker AciFace::encryption() {
  return [this](const net::HttpRequest& request) { return begin_encryption(request); };
}

Result<std::unique_ptr<ApiTransform>, ApiRefusal> AciFace::begin_encryption(
    const net::HttpRequest& request) {
  const auto headers = encryption_headers(request.headers);
  if (!headers) return failure(headers.error());
  const std::int64_t now_s = parts_.clock.unix_s();
  auto begun = face::AciEncryption::from_headers(*headers, encryption_keys_, now_s);
  if (!begun) return failure(ApiRefusal(begun.error()));
  if (!*begun) return std::unique_ptr<ApiTransform>();
  const auto endpoint = face::endpoint_of(request.path);
  if (!endpoint) {
    return failure(
        ApiRefusal(400, "e2ee_unsupported_endpoint", "The endpoint has no encrypted fields"));
  }
  const auto shared = std::make_shared<face::AciEncryption>(**std::move(begun));
  if (!replays_.admit(shared->replay_id(), shared->timestamp(), now_s)) {
    return failure(ApiRefusal(400, "e2ee_replay_detected", "This nonce was used before"));
  }
  return make_field_transform({
      [this, shared, endpoint](std::string_view body) {
        return shared->decrypt_request(*endpoint, body, encryption_keys_);
      },
      [this, shared, endpoint](std::string_view body) {
        return shared->encrypt_response(*endpoint, body, parts_.rng);
      },
      {{"X-E2EE-Applied", "true"},
       {"X-E2EE-Version", "2"},
       {"X-E2EE-Algo", std::string(shared->algorithm())}},
  });
}

ApiTransformMaker AciFace::constraints() {
  return [](const net::HttpRequest&) -> Result<std::unique_ptr<ApiTransform>, ApiRefusal> {
    return std::make_unique<Constraints>();
  };
}

// ---- Routes -------------------------------------------------------------------------------------

std::vector<ApiRoute> AciFace::routes() {
  return {{"GET", "/v1/aci/attestation", false,
           [this](const net::HttpRequest& request, const net::PeerAddress& peer,
                  const ApiReply& reply) { answer_report(request, peer, reply); }},
          {"GET", std::string(kReceipts), true,
           [this](const net::HttpRequest& request, const net::PeerAddress& peer,
                  const ApiReply& reply) { reply(receipt(request, peer)); }}};
}

struct AciFace::Making {
  face::AciReport report;
  std::string problem;  ///< for the operator; empty: the report is whole
  ApiReply reply;
};

void AciFace::answer_report(const net::HttpRequest& request, const net::PeerAddress& peer,
                            const ApiReply& reply) {
  const auto nonce = face::parse_aci_query(request.query);
  if (!nonce) return reply(to_response(ApiRefusal(nonce.error())));
  if (limit_.take(peer, parts_.clock.monotonic_ms()) > 0 || waiting_ >= kWaitingMax) {
    return reply(to_response(busy()));
  }
  const auto making = std::make_shared<Making>();
  making->report.keyset = keyset().keys;
  making->report.nonce = *nonce;
  making->report.field_encryption = true;
  making->reply = reply;
  const bool taken = parts_.background.run(
      [making, &source = parts_.source, now_s = parts_.clock.unix_s()] {
        face::AciReport& report = making->report;
        const auto data = face::aci_report_data(face::keyset_digest(report.keyset), report.nonce);
        const auto evidence = source.quote(data.span(), now_s);
        if (!evidence) {
          making->problem = evidence.error();
          return;
        }
        if (evidence->snp) report.tee = "sev_snp";
        report.evidence = evidence_json(*evidence);
        report.provenance = provenance_of(*evidence);
      },
      [this, alive = std::weak_ptr(alive_), making] {
        if (!alive.expired()) made(*making);
      });
  if (!taken) return reply(to_response(busy()));
  ++waiting_;
}

void AciFace::made(Making& making) {
  --waiting_;
  if (!making.problem.empty()) {
    log(LogLevel::Error, "no ACI report: {}", public_text(making.problem));
    return making.reply(
        to_response(come_again(503, "server_error", "this machine gives no evidence at present")));
  }
  making.reply(json_response(200, face::aci_report_json(making.report)));
}

net::HttpResponse AciFace::receipt(const net::HttpRequest& request,
                                   const net::PeerAddress& peer) const {
  const auto caller = parts_.access.admit(request, peer);
  if (!caller) return to_response(caller.error());
  const ApiRefusal unknown(404, "not_found", "No such receipt");
  const auto id = percent_decode(std::string_view(request.path).substr(kReceipts.size()));
  if (!id || id->empty() || id->size() > Exchange::kIdBytesMax) return to_response(unknown);
  auto found = parts_.store.find_receipt(caller->id, *id);
  if (!found) found = parts_.store.find(caller->id, *id);
  if (!found || found->aci_receipt.empty()) return to_response(unknown);
  return json_response(200, found->aci_receipt);
}

}  // namespace nostril::node
