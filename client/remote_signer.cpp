#include "client/remote_signer.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/percent.h"
#include "client/run_until.h"
#include "schnorr/verify.h"

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::uint32_t kRequestKind = 24133;
constexpr std::string_view kScheme = "bunker://";
constexpr std::string_view kPermissions = "sign_event,nip44_encrypt,nip44_decrypt";
constexpr std::size_t kKeyCharacters = 64;
constexpr std::size_t kUrlBytesMax = 4096;
constexpr std::size_t kShownBytesMax = 300;

/// A peer's words, for one line.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, kShownBytesMax));
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return out;
}

ConversationKey conversation(const Keypair& own, const PublicKey& signer) {
  auto key = ConversationKey::derive(own, signer);
  if (!key) throw std::runtime_error("the remote signer's key is no key");
  return *std::move(key);
}

std::string random_id(Rng& rng) {
  std::array<std::uint8_t, 16> bytes{};
  rng.fill(bytes);
  return encode_hex(bytes);
}

std::string request_text(std::string_view id, std::string_view method,
                         const std::vector<std::string>& params) {
  JsonWriter w;
  w.begin_object().key("id").string(id).key("method").string(method).key("params").begin_array();
  for (const std::string& param : params) w.string(param);
  w.end_array().end_object();
  return std::move(w).take();
}

/// {"kind":…,"created_at":…,"tags":…,"content":…}, and the id that the signed event must have.
struct Unsigned {
  std::string text;
  EventId id;
};

Unsigned unsigned_event(const EventDraft& draft, const PublicKey& user) {
  Event event;
  event.pubkey = user;
  event.created_at = draft.created_at;
  event.kind = draft.kind;
  event.tags = draft.tags;
  event.content = draft.content;
  const auto whole = Json::parse(to_json(event));
  JsonWriter w;
  w.begin_object();
  for (const char* key : {"kind", "created_at", "tags", "content"}) {
    w.key(key).value(*whole->find(key));
  }
  w.end_object();
  return {std::move(w).take(), compute_id(event)};
}

}  // namespace

Result<BunkerUrl, std::string> parse_bunker_url(std::string_view url) {
  // Never shown: it may hold a secret.
  const auto bad = [](const char* why) {
    return failure("not a bunker://KEY?relay=wss://… URL: " + std::string(why));
  };
  if (!url.starts_with(kScheme) || url.size() > kUrlBytesMax) return bad("its beginning or length");
  url.remove_prefix(kScheme.size());
  const auto signer = from_hex<PublicKey>(url.substr(0, kKeyCharacters));
  if (!signer) return bad("its key must be 64 hex digits");
  url.remove_prefix(kKeyCharacters);
  if (!url.starts_with('?')) return bad("no relay in it");
  url.remove_prefix(1);
  BunkerUrl out;
  out.signer = *signer;
  while (!url.empty()) {
    const std::string_view pair = url.substr(0, url.find('&'));
    url.remove_prefix(std::min(pair.size() + 1, url.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
    if (!value) return bad("a % without two hex digits");
    const std::string_view name = pair.substr(0, equals);
    if (name == "relay") {
      out.relays.push_back(*std::move(value));
    } else if (name == "secret") {
      out.secret = SecretText(*std::move(value));
    }
  }
  if (out.relays.empty()) return bad("no relay in it");
  if (out.relays.size() > BunkerUrl::kRelaysMax) return bad("too many relays");
  return out;
}

/// The one call that runs.
struct RemoteSigner::Pending {
  std::string id;
  std::optional<Result<std::string, std::string>> answer;
  bool sent = false;
  std::uint64_t end_ms = 0;
};

RemoteSigner::RemoteSigner(const BunkerUrl& url, const Keypair& own, const std::string& ca_file,
                           net::Loop& loop, Clock& clock, Rng& rng)
    : signer_(url.signer),
      own_(own.duplicate()),
      key_(conversation(own, url.signer)),
      loop_(loop),
      clock_(clock),
      rng_(rng),
      pool_(loop, clock, {}, ca_file) {
  for (const std::string& relay : url.relays) {
    if (!pool_.add_relay(relay)) throw std::runtime_error("bunker: not a relay's URL: " + relay);
  }
  Filter filter;
  filter.kinds = {kRequestKind};
  filter.authors = {signer_};
  filter.tags = {{'p', {encode_hex(own_.public_key())}}};
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_event(event.event()); };
  callbacks.on_stored_end = [this](const std::string&) { listening_ = true; };
  pool_.subscribe({std::move(filter)}, std::move(callbacks));
}

RemoteSigner::~RemoteSigner() = default;

void RemoteSigner::send(const std::string& request) {
  EventDraft draft;
  draft.created_at = clock_.unix_s();
  draft.kind = kRequestKind;
  draft.tags = {{"p", encode_hex(signer_)}};
  draft.content = nostril::nip44_encrypt(key_, request, rng_);
  const auto on_result = [this, id = pending_->id](const PublishResult& result) {
    if (result.accepted || result.refusals.empty()) return;
    if (!pending_ || pending_->id != id || pending_->answer) return;
    pending_->answer = failure("the remote signer's relay refuses: " + result.refusals.front());
  };
  const bool queued = pool_.publish(sign_event(std::move(draft), own_, rng_), on_result);
  if (!queued) pending_->answer = failure(std::string("the request could not be sent"));
}

void RemoteSigner::on_event(const Event& event) {
  if (!pending_ || pending_->answer || event.pubkey != signer_) return;
  const auto text = nostril::nip44_decrypt(key_, event.content);
  if (!text) return;
  const auto json = Json::parse(*text);
  if (!json || json->find_string("id") != pending_->id) return;
  const std::string result(json->find_string("result").value_or(""));
  const std::string error(json->find_string("error").value_or(""));
  if (result == "auth_url") {
    pending_->end_ms = loop_.now_ms() + kPersonMsMax;
    if (auth_url_) auth_url_(shown(error));
  } else if (!error.empty()) {
    pending_->answer = failure("the remote signer refuses: " + shown(error));
  } else {
    pending_->answer = result;
  }
}

Result<std::string, std::string> RemoteSigner::call(std::string_view method,
                                                    const std::vector<std::string>& params) {
  pending_ = std::make_unique<Pending>();
  Pending& pending = *pending_;
  pending.id = random_id(rng_);
  pending.end_ms = loop_.now_ms() + kAnswerMsMax;
  const std::string request = request_text(pending.id, method, params);
  run_until(loop_, kPersonMsMax + kAnswerMsMax, [&] {
    if (listening_ && !pending.sent) {
      pending.sent = true;
      send(request);
    }
    return pending.answer || loop_.now_ms() >= pending.end_ms;
  });
  auto answer = std::move(pending.answer);
  const bool sent = pending.sent;
  pending_.reset();
  if (answer) return *std::move(answer);
  if (sent) return failure(std::string("the remote signer does not answer"));
  const auto problems = pool_.problems();
  return failure("the remote signer's relay: " +
                 (problems.empty() ? std::string("no connection") : problems.front()));
}

Result<void, std::string> RemoteSigner::connect(std::string_view secret) {
  const auto answer =
      call("connect", {encode_hex(signer_), std::string(secret), std::string(kPermissions)});
  if (!answer) return failure(answer.error());
  if (*answer == "ack" || (!secret.empty() && *answer == secret)) return {};
  return failure(std::string("the remote signer answers `connect` with something else"));
}

Result<PublicKey, std::string> RemoteSigner::get_public_key() {
  const auto answer = call("get_public_key", {});
  if (!answer) return failure(answer.error());
  const auto key = from_hex<PublicKey>(*answer);
  if (!key) return failure(std::string("the remote signer's public key is none"));
  return *key;
}

Result<Event, std::string> RemoteSigner::sign(const EventDraft& draft, const PublicKey& user) {
  const Unsigned asked = unsigned_event(draft, user);
  const auto answer = call("sign_event", {asked.text});
  if (!answer) return failure(answer.error());
  auto event = parse_event(*answer);
  if (!event) return failure(std::string("what the remote signer signed is no event"));
  Verifier verifier;
  const auto verified = VerifiedEvent::verify(std::move(*event), verifier);
  if (!verified) return failure(std::string("the remote signer's signature is wrong"));
  if (verified->event().id != asked.id) {
    return failure(std::string("the remote signer signed something else than it was asked to"));
  }
  return verified->event();
}

Result<std::string, std::string> RemoteSigner::nip44_encrypt(const PublicKey& peer,
                                                             std::string_view text) {
  return call("nip44_encrypt", {encode_hex(peer), std::string(text)});
}

Result<std::string, std::string> RemoteSigner::nip44_decrypt(const PublicKey& peer,
                                                             std::string_view payload) {
  return call("nip44_decrypt", {encode_hex(peer), std::string(payload)});
}

}  // namespace nostril::client
