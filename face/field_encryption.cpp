#include "face/field_encryption.h"

#include "base/hex.h"
#include "schnorr/hash.h"

#include "face/text.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

namespace nostril::face {

namespace {

constexpr std::string_view kEcdsaInfo = "ecdsa_encryption";
constexpr std::string_view kEd25519Info = "ed25519_encryption";

using Places = std::span<const FieldPlace>;

/// Of one endpoint: fields of the request, of the answer (a streamed one included), and what
/// "all fields" adds to both.
struct EndpointPlaces {
  Places request;
  Places response;
  Places request_all = {};
  Places response_all = {};
};

constexpr std::array kChatRequest{
    FieldPlace{"messages.*.content", FieldForm::TextOrArray},
    FieldPlace{"messages.*.reasoning"},
    FieldPlace{"messages.*.reasoning_content"},
    FieldPlace{"messages.*.audio.data"},
};
constexpr std::array kChatRequestAll{
    FieldPlace{"messages.*.refusal"},
    FieldPlace{"messages.*.name"},
    FieldPlace{"messages.*.tool_calls.*.function.name"},
    FieldPlace{"messages.*.tool_calls.*.function.arguments"},
    FieldPlace{"messages.*.function_call.name"},
    FieldPlace{"messages.*.function_call.arguments"},
    FieldPlace{"tools.*.function.name"},
    FieldPlace{"tools.*.function.description"},
    FieldPlace{"tools.*.function.parameters", FieldForm::Json},
    FieldPlace{"tool_choice.function.name"},
    FieldPlace{"function_call.name"},
};
constexpr std::array kChatResponse{
    FieldPlace{"choices.*.message.content"},
    FieldPlace{"choices.*.message.content.*.text"},
    FieldPlace{"choices.*.message.reasoning"},
    FieldPlace{"choices.*.message.reasoning_content"},
    FieldPlace{"choices.*.message.audio.data"},
    FieldPlace{"choices.*.delta.content"},
    FieldPlace{"choices.*.delta.content.*.text"},
    FieldPlace{"choices.*.delta.reasoning"},
    FieldPlace{"choices.*.delta.reasoning_content"},
    FieldPlace{"choices.*.delta.audio.data"},
};
constexpr std::array kChatResponseAll{
    FieldPlace{"choices.*.message.refusal"},
    FieldPlace{"choices.*.message.name"},
    FieldPlace{"choices.*.message.tool_calls.*.function.name"},
    FieldPlace{"choices.*.message.tool_calls.*.function.arguments"},
    FieldPlace{"choices.*.message.function_call.name"},
    FieldPlace{"choices.*.message.function_call.arguments"},
    FieldPlace{"choices.*.delta.refusal"},
    FieldPlace{"choices.*.delta.name"},
    FieldPlace{"choices.*.delta.tool_calls.*.function.name"},
    FieldPlace{"choices.*.delta.tool_calls.*.function.arguments"},
    FieldPlace{"choices.*.delta.function_call.name"},
    FieldPlace{"choices.*.delta.function_call.arguments"},
    FieldPlace{"choices.*.logprobs.content.*.token"},
    FieldPlace{"choices.*.logprobs.content.*.bytes", FieldForm::Json},
    FieldPlace{"choices.*.logprobs.content.*.top_logprobs.*.token"},
    FieldPlace{"choices.*.logprobs.content.*.top_logprobs.*.bytes", FieldForm::Json},
    FieldPlace{"choices.*.logprobs.refusal.*.token"},
    FieldPlace{"choices.*.logprobs.refusal.*.bytes", FieldForm::Json},
    FieldPlace{"choices.*.logprobs.refusal.*.top_logprobs.*.token"},
    FieldPlace{"choices.*.logprobs.refusal.*.top_logprobs.*.bytes", FieldForm::Json},
};
constexpr std::array kBoundRequest{
    FieldPlace{"messages.*.content", FieldForm::TextOrArray},
    FieldPlace{"messages.*.content.*.text"},
};
constexpr EndpointPlaces kBoundChat{kBoundRequest, kChatResponse};
constexpr std::array kPrompts{FieldPlace{"prompt"}, FieldPlace{"prompt.*"}};
constexpr std::array kChoiceText{FieldPlace{"choices.*.text"}};
constexpr std::array kInputs{FieldPlace{"input"}, FieldPlace{"input.*"}};
constexpr std::array kEmbedding{FieldPlace{"data.*.embedding", FieldForm::Json}};
constexpr std::array kPrompt{FieldPlace{"prompt"}};
constexpr std::array kImages{FieldPlace{"data.*.b64_json"}, FieldPlace{"data.*.revised_prompt"},
                             FieldPlace{"b64_json"}};  // the last: of an event
constexpr std::array kText{FieldPlace{"text"}};
constexpr std::array kRerankRequest{FieldPlace{"query"}, FieldPlace{"documents.*"},
                                    FieldPlace{"documents.*.text"}};
constexpr std::array kRerankResponse{FieldPlace{"results.*.document.text"}};
constexpr std::array kScoreRequest{FieldPlace{"text_1"}, FieldPlace{"text_2"}};
constexpr std::array kScoreResponse{FieldPlace{"score", FieldForm::Json}};

EndpointPlaces places_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::Chat:
      return {kChatRequest, kChatResponse, kChatRequestAll, kChatResponseAll};
    case Endpoint::Completions:
      return {kPrompts, kChoiceText};
    case Endpoint::Embeddings:
      return {kInputs, kEmbedding};
    case Endpoint::Images:
      return {kPrompt, kImages};
    case Endpoint::Transcriptions:
      return {kPrompt, kText};
    case Endpoint::Rerank:
      return {kRerankRequest, kRerankResponse};
    case Endpoint::Score:
      return {kScoreRequest, kScoreResponse};
  }
  return {};
}

std::vector<FieldPlace> joined(Places some, Places more, bool with_more) {
  std::vector<FieldPlace> out(some.begin(), some.end());
  if (with_more) out.insert(out.end(), more.begin(), more.end());
  return out;
}

ApiError bad_request(std::string_view message) {
  return {400, "bad_request", message};
}

constexpr std::size_t kNonceCharsMin = 16;
constexpr std::size_t kNonceCharsMax = 256;

BoxSuite suite_of(BoxCipher cipher) {
  const bool has_info = cipher == BoxCipher::AesGcm || cipher == BoxCipher::XChaCha;
  return {cipher, has_info ? kEd25519Info : std::string_view()};
}

/// "04" and 64 bytes, or the 64 bytes alone.
std::optional<EcdsaPublicKey> parse_ecdsa_key(std::string_view hex) {
  auto key =
      from_hex<EcdsaPublicKey>(hex.size() == 128 ? "04" + std::string(hex) : std::string(hex));
  if (key && !is_point(*key)) key.reset();
  return key;
}

/// Whether the header names the key that signs with this algorithm.
bool is_our_key(std::string_view named, SigningAlgorithm algorithm, const LegacySigner& signer) {
  const std::string hex = ascii_lower(without_0x(named));
  const std::string ours = signer.public_key(algorithm);
  return hex == ours || (algorithm == SigningAlgorithm::Ecdsa && hex == "04" + ours);
}

}  // namespace

Result<std::optional<FieldEncryption::Bound>, ApiError> FieldEncryption::parse_bound(
    const FieldEncryptionHeaders& headers) {
  const std::string_view version = headers.e2ee_version.value_or("");
  if (!version.empty() && version != "1" && version != "2") {
    return failure(ApiError{400, "e2ee_invalid_version", "X-E2EE-Version must be 1 or 2"});
  }
  if (!headers.e2ee_nonce && !headers.e2ee_timestamp && version != "2") return std::nullopt;
  if (!headers.e2ee_nonce || !headers.e2ee_timestamp || !headers.model_public_key) {
    return failure(ApiError{400, "e2ee_header_missing",
                            "X-Model-Pub-Key, X-E2EE-Nonce and X-E2EE-Timestamp belong together"});
  }
  // Version 2 of the other kind, or fields that this one has no place for.
  if (headers.encryption_version || headers.encrypt_all_fields) {
    return failure(ApiError{400, "e2ee_invalid_version",
                            "X-E2EE-Version 2 goes without X-Encryption-Version and "
                            "X-Encrypt-All-Fields"});
  }
  const std::string_view nonce = *headers.e2ee_nonce;
  const bool plain = std::ranges::all_of(nonce, [](char c) { return c > ' ' && c <= '~'; });
  if (nonce.size() < kNonceCharsMin || nonce.size() > kNonceCharsMax || !plain) {
    return failure(
        ApiError{400, "e2ee_invalid_nonce", "X-E2EE-Nonce must be 16 to 256 characters"});
  }
  const auto timestamp = parse_seconds(*headers.e2ee_timestamp);
  if (!timestamp) {
    return failure(ApiError{400, "e2ee_invalid_timestamp", "X-E2EE-Timestamp must be in seconds"});
  }
  return Bound{std::string(nonce), *timestamp};
}

Result<std::optional<FieldEncryption>, ApiError> FieldEncryption::from_headers(
    const FieldEncryptionHeaders& headers, const LegacySigner& signer) {
  if (!headers.signing_algo && !headers.client_public_key) return std::nullopt;
  if (!headers.signing_algo || !headers.client_public_key) {
    return failure(
        bad_request("Both X-Signing-Algo and X-Client-Pub-Key headers must be present together"));
  }
  const auto algorithm = parse_signing_algorithm(ascii_lower(*headers.signing_algo));
  if (!algorithm) {
    return failure(bad_request("Invalid X-Signing-Algo. Must be 'ecdsa' or 'ed25519'"));
  }
  const std::string_view version = headers.encryption_version.value_or("1");
  if (version != "1" && version != "2") {
    return failure(bad_request("Invalid X-Encryption-Version. Must be 1 or 2"));
  }
  auto bound = parse_bound(headers);
  if (!bound) return failure(bound.error());
  const BoxCipher cipher = bound->has_value() ? BoxCipher::AesGcm
                           : version == "2"   ? BoxCipher::XChaCha
                                              : BoxCipher::NaclXChaCha;
  const auto client =
      parse_client(*algorithm, cipher, ascii_lower(without_0x(*headers.client_public_key)));
  if (!client) return failure(bad_request("X-Client-Pub-Key is not a public key"));
  if (headers.model_public_key && !is_our_key(*headers.model_public_key, *algorithm, signer)) {
    return failure(bad_request("X-Model-Pub-Key is not a key of this server"));
  }
  const std::string all = ascii_lower(headers.encrypt_all_fields.value_or("false"));
  if (all != "true" && all != "false" && all != "1" && all != "0") {
    return failure(bad_request("Invalid X-Encrypt-All-Fields. Must be true or false"));
  }
  FieldEncryption out(*client, all == "true" || all == "1");
  out.bound_ = *std::move(bound);
  return out;
}

std::optional<FieldEncryption::Client> FieldEncryption::parse_client(SigningAlgorithm algorithm,
                                                                     BoxCipher cipher,
                                                                     std::string_view hex) {
  if (algorithm == SigningAlgorithm::Ecdsa) {
    const auto key = parse_ecdsa_key(hex);
    if (!key) return std::nullopt;
    return EcdsaClient{*key};
  }
  const auto key = from_hex<Ed25519PublicKey>(hex);
  const auto mapped = key ? to_x25519(*key) : std::nullopt;
  if (!mapped) return std::nullopt;
  return Ed25519Client{*mapped, cipher};
}

SigningAlgorithm FieldEncryption::algorithm() const {
  return std::holds_alternative<EcdsaClient>(client_) ? SigningAlgorithm::Ecdsa
                                                      : SigningAlgorithm::Ed25519;
}

std::string_view FieldEncryption::e2ee_version() const {
  if (bound_) return "2";
  const auto* client = std::get_if<Ed25519Client>(&client_);
  return client != nullptr && client->cipher == BoxCipher::XChaCha ? "" : "1";
}

std::optional<FieldEncryption::Once> FieldEncryption::once() const {
  if (!bound_) return std::nullopt;
  Sha256 hash;
  hash.update(to_string(algorithm())).update("\n");
  hash.update(std::to_string(bound_->timestamp)).update("\n").update(bound_->nonce);
  return Once{hash.finish(), bound_->timestamp};
}

std::string FieldEncryption::request_aad(const Json& body, std::string_view path) const {
  if (!bound_) return {};
  // messages.M.content or messages.M.content.C.text
  path.remove_prefix(path.find('.') + 1);
  const std::string_view message = path.substr(0, path.find('.'));
  path.remove_prefix(message.size() + 1);
  std::string_view content = "-";
  if (const std::size_t dot = path.find('.'); dot != std::string_view::npos) {
    content = path.substr(dot + 1);
    content = content.substr(0, content.find('.'));
  }
  return bound_aad("req", body, {{"m", message}, {"c", content}});
}

std::string FieldEncryption::response_aad(const Json& body, std::string_view path) const {
  if (!bound_) return {};
  // choices.CHOICE.message.FIELD, or delta in place of message
  path.remove_prefix(path.find('.') + 1);
  const std::string_view choice = path.substr(0, path.find('.'));
  path.remove_prefix(choice.size() + 1);
  path.remove_prefix(path.find('.') + 1);
  const std::string_view id = body.find_string("id").value_or("");
  return bound_aad("resp", body, {{"id", id}, {"choice", choice}, {"field", path}});
}

std::string FieldEncryption::bound_aad(std::string_view direction, const Json& body,
                                       std::initializer_list<AadMember> members) const {
  const std::string timestamp = std::to_string(bound_->timestamp);
  std::string out = "v2|";
  out += direction;
  const auto add = [&out](const AadMember& member) {
    out += '|';
    out += member.name;
    out += '=';
    out += member.value;
  };
  add({"algo", to_string(algorithm())});
  add({"model", body.find_string("model").value_or("")});
  for (const AadMember& member : members) add(member);
  add({"n", bound_->nonce});
  add({"ts", timestamp});
  return out;
}

std::optional<Bytes> FieldEncryption::open(ByteSpan sealed, std::string_view aad,
                                           const LegacySigner& signer) {
  auto* client = std::get_if<Ed25519Client>(&client_);
  if (client == nullptr) return open_ecdsa_box(kEcdsaInfo, signer.ecdsa(), as_bytes(aad), sealed);
  const X25519Key key = signer.ed25519().to_x25519();
  if (bound_ || client->cipher == BoxCipher::XChaCha) {
    return open_box(suite_of(client->cipher), key, as_bytes(aad), sealed);
  }
  // Version 1 has no word for its cipher: each tag is tried, the last that opened first.
  std::array ciphers{client->cipher, BoxCipher::NaclXChaCha, BoxCipher::NaclXSalsa,
                     BoxCipher::BareXChaCha, BoxCipher::AesGcm};
  for (const BoxCipher cipher : ciphers) {
    auto text = open_box(suite_of(cipher), key, {}, sealed);
    if (!text) continue;
    client->cipher = cipher;
    return text;
  }
  return std::nullopt;
}

std::optional<std::string> FieldEncryption::seal(std::string_view text, std::string_view aad,
                                                 Rng& rng) const {
  std::optional<Bytes> sealed;
  if (const auto* client = std::get_if<Ed25519Client>(&client_)) {
    sealed = seal_box(suite_of(client->cipher), client->key, as_bytes(aad), as_bytes(text), rng);
  } else {
    sealed = seal_ecdsa_box(kEcdsaInfo, std::get<EcdsaClient>(client_).key, as_bytes(aad),
                            as_bytes(text), rng);
  }
  if (!sealed) return std::nullopt;
  return encode_hex(*sealed);
}

Result<std::string, ApiError> FieldEncryption::decrypt_request(Endpoint endpoint,
                                                               std::string_view body,
                                                               const LegacySigner& signer) {
  const auto document = parse_fields_body(body);
  if (!document) return failure(bad_request("The body is not a JSON object"));
  if (bound_ && endpoint != Endpoint::Chat) {
    return failure(bad_request("X-E2EE-Version 2 is for chat completions only"));
  }
  const EndpointPlaces places = bound_ ? kBoundChat : places_of(endpoint);
  auto out = change_fields(
      *document, joined(places.request, places.request_all, all_fields_),
      [&](JsonWriter& writer, std::string_view path, const Json& value, FieldForm form) {
        const auto text = value.string();
        if (text && text->empty()) {
          writer.value(value);
          return true;
        }
        const auto plain =
            text ? decrypt_text(*text, request_aad(*document, path), signer) : std::nullopt;
        return plain && write_field(writer, *plain, form);
      });
  // One message for every cause: which one it was helps only who guesses.
  if (!out) return failure(bad_request("Decryption failed"));
  return *std::move(out);
}

std::optional<std::string> FieldEncryption::decrypt_text(std::string_view hex, std::string_view aad,
                                                         const LegacySigner& signer) {
  const auto sealed = decode_hex(ascii_lower(hex));
  const auto plain = sealed ? open(*sealed, aad, signer) : std::nullopt;
  if (!plain) return std::nullopt;
  return std::string(as_text(*plain));
}

std::optional<std::string> FieldEncryption::decrypt_field(std::string_view hex,
                                                          const LegacySigner& signer) {
  if (bound_) return std::nullopt;  // to which place?
  return decrypt_text(hex, {}, signer);
}

Result<std::string, ApiError> FieldEncryption::encrypt_response(Endpoint endpoint,
                                                                std::string_view body,
                                                                Rng& rng) const {
  const ApiError failed{500, "server_error", "Encryption failed"};
  const auto document = parse_fields_body(body);
  if (!document) return failure(failed);
  const EndpointPlaces places = bound_ ? kBoundChat : places_of(endpoint);
  auto out = change_fields(
      *document, joined(places.response, places.response_all, all_fields_),
      [&](JsonWriter& writer, std::string_view path, const Json& value, FieldForm form) {
        const auto text = field_text(value, form);
        if (!text) {
          writer.value(value);
          return true;
        }
        const auto sealed = seal(*text, response_aad(*document, path), rng);
        if (sealed) writer.string(*sealed);
        return sealed.has_value();
      },
      bound_ ? PathIndex::Position : PathIndex::Member);
  if (!out) return failure(failed);
  return *std::move(out);
}

}  // namespace nostril::face
