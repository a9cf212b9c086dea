// The server's side of the forms in face/, for clients in other languages: reads one JSON object a
// line, answers with one. Keys are SHA-256 of their names. tests/interop/face.test.mjs runs it.
#include "base/hex.h"
#include "base/json.h"
#include "base/rng.h"
#include "schnorr/hash.h"

#include "face/ehbp.h"
#include "face/field_encryption.h"
#include "face/legacy_signature.h"

#include <iostream>
#include <string>
#include <utility>

namespace nostril {

namespace {

SecretBytes<32> secret_of(std::string_view name) {
  const Digest digest = sha256(name);
  return SecretBytes<32>(digest.span());
}

std::string text_of(const Json& object, std::string_view name) {
  return std::string(object.find_string(name).value_or(""));
}

std::string error_of(std::string_view text) {
  JsonWriter out;
  out.begin_object().key("error").string(text).end_object();
  return std::move(out).take();
}

/// {"body":hex,"header":…,"answer":[…]} to {"text":…,"nonce":…,"answer":hex}
std::string serve_ehbp(const Json& call, Rng& rng) {
  const X25519Key key = X25519Key::from_secret(secret_of("hpke"));
  const auto body = decode_hex(text_of(call, "body"));
  auto request = face::EhbpRequest::begin(key, text_of(call, "header"));
  if (!body || !request) return error_of("begin");
  std::string text;
  auto fed = request->feed(as_text(*body), text);
  if (fed) fed = request->finish();
  if (!fed) return error_of(std::to_string(face::http_status(fed.error())));
  auto answer = request->answer(rng);
  std::string sealed;
  const Json* parts = call.find("answer");
  if (parts == nullptr) return error_of("answer");
  for (const Json& part : parts->items()) answer.seal(part.string().value_or(""), sealed);
  JsonWriter out;
  out.begin_object().key("text").string(text).key("nonce").string(answer.nonce());
  out.key("answer").string(encode_hex(as_bytes(sealed))).end_object();
  return std::move(out).take();
}

/// {"algo":…,"key":…,"version":…,"body":…,"answer":…} to {"plain":…,"answer":…,"signature":{…}}
std::string serve_fields(const Json& call, Rng& rng) {
  const face::LegacySigner signer(*EcdsaKey::from_secret(secret_of("ecdsa")),
                                  Ed25519Key::from_seed(secret_of("ed25519")));
  const std::string algorithm = text_of(call, "algo");
  const std::string key = text_of(call, "key");
  const std::string version = text_of(call, "version");
  const std::string body = text_of(call, "body");
  face::FieldEncryptionHeaders headers;
  headers.signing_algo = algorithm;
  headers.client_public_key = key;
  headers.encryption_version = version;
  auto exchange = face::FieldEncryption::from_headers(headers, signer);
  if (!exchange || !*exchange) return error_of("headers");
  const auto plain = (*exchange)->decrypt_request(face::Endpoint::Chat, body, signer);
  if (!plain) return error_of(plain.error().message);
  const auto answer =
      (*exchange)->encrypt_response(face::Endpoint::Chat, text_of(call, "answer"), rng);
  if (!answer) return error_of(answer.error().message);
  const auto signature = signer.sign({"demo-model", sha256(body), sha256(*answer)},
                                     *face::parse_signing_algorithm(algorithm));
  JsonWriter out;
  out.begin_object().key("plain").string(*plain).key("answer").string(*answer);
  out.key("signature").raw(face::to_json(signature)).end_object();
  return std::move(out).take();
}

std::string serve(const Json& call, Rng& rng) {
  const std::string what = text_of(call, "do");
  if (what == "ehbp") return serve_ehbp(call, rng);
  if (what == "fields") return serve_fields(call, rng);
  if (what != "config") return error_of("unknown");
  const auto config = face::ehbp_key_config(X25519Key::from_secret(secret_of("hpke")).public_key());
  JsonWriter out;
  out.begin_object().key("config").string(encode_hex(as_bytes(config))).end_object();
  return std::move(out).take();
}

}  // namespace

}  // namespace nostril

int main() {
  nostril::SystemRng rng;
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto call = nostril::Json::parse(line);
    std::cout << (call ? nostril::serve(*call, rng) : nostril::error_of("not JSON")) << std::endl;
  }
  return 0;
}
