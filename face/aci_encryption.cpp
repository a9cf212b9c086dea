#include "face/aci_encryption.h"

#include "base/check.h"
#include "base/hex.h"
#include "schnorr/hash.h"
#include "schnorr/sealed_box.h"

#include "face/text.h"

#include <algorithm>
#include <array>
#include <span>

namespace nostril::face {

namespace {

constexpr std::string_view kX25519Info = "aci.e2ee.v2.x25519";
constexpr std::string_view kSecp256k1Info = "aci.e2ee.v2.secp256k1";
constexpr std::size_t kModelBytesMax = 1024;

constexpr std::array kChatRequest{
    FieldPlace{"messages.*.content", FieldForm::TextOrArray},
    FieldPlace{"messages.*.content.*.text"},
    FieldPlace{"messages.*.content.*.image_url.url"},
    FieldPlace{"messages.*.content.*.input_audio.data"},
};
constexpr std::array kChatResponse{
    FieldPlace{"choices.*.message.content"},
    FieldPlace{"choices.*.message.reasoning"},
    FieldPlace{"choices.*.message.reasoning_content"},
    FieldPlace{"choices.*.message.audio.data"},
    FieldPlace{"choices.*.delta.content"},
    FieldPlace{"choices.*.delta.reasoning"},
    FieldPlace{"choices.*.delta.reasoning_content"},
};
constexpr std::array kPrompts{FieldPlace{"prompt"}, FieldPlace{"prompt.*"}};
constexpr std::array kChoiceText{FieldPlace{"choices.*.text"}};
constexpr std::array kInputs{FieldPlace{"input"}, FieldPlace{"input.*"}};
constexpr std::array kEmbedding{FieldPlace{"data.*.embedding", FieldForm::Json}};

struct EndpointPlaces {
  std::span<const FieldPlace> request;
  std::span<const FieldPlace> response;
};

std::optional<EndpointPlaces> places_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::Chat:
      return EndpointPlaces{kChatRequest, kChatResponse};
    case Endpoint::Completions:
      return EndpointPlaces{kPrompts, kChoiceText};
    case Endpoint::Embeddings:
      return EndpointPlaces{kInputs, kEmbedding};
    default:
      return std::nullopt;
  }
}

ApiError refusal(std::string_view type, std::string_view message) {
  return {400, type, message};
}

/// Hex of either case, "0x" allowed; a point without its 04 gets it.
std::optional<Bytes> read_key(std::string_view text) {
  std::string hex = ascii_lower(without_0x(text));
  if (hex.size() == 128) hex = "04" + hex;
  return decode_hex(hex);
}

/// What is wrong with the headers before any key is looked at.
std::optional<ApiError> header_error(const AciEncryptionHeaders& headers, std::int64_t now_s) {
  if (!headers.version || !headers.client_public_key || !headers.model_public_key ||
      !headers.nonce || !headers.timestamp) {
    return refusal("e2ee_header_missing", "A header of E2EE version 2 is missing");
  }
  if (*headers.version != "2") {
    return refusal("e2ee_invalid_version", "X-E2EE-Version must be 2");
  }
  Digest nonce;
  if (!decode_hex(ascii_lower(*headers.nonce), nonce.bytes)) {
    return refusal("e2ee_invalid_nonce", "X-E2EE-Nonce must be 64 hex digits");
  }
  const auto timestamp = parse_seconds(*headers.timestamp);
  if (!timestamp || !is_in_aci_window(*timestamp, now_s)) {
    return refusal("e2ee_invalid_timestamp", "X-E2EE-Timestamp is not within 300 s of now");
  }
  return std::nullopt;
}

}  // namespace

std::vector<AciEncryptionKey> AciKeys::keyset_entries() const {
  return {{"e2ee-x25519", kAciX25519, encode_hex(x25519_.public_key())},
          {"e2ee-secp256k1", kAciSecp256k1, encode_hex(secp256k1_.public_key())}};
}

std::string field_aad(const AciFieldContext& context) {
  JsonWriter out;  // names in canonical order
  out.begin_object().key("algo").string(context.algorithm).key("field").string(context.field);
  if (context.response_id) out.key("id").string(*context.response_id);
  out.key("model").string(context.model).key("nonce").string(context.nonce);
  out.key("purpose").string(context.response_id ? "aci.e2ee.response.v2" : "aci.e2ee.request.v2");
  out.key("ts").integer(context.timestamp).end_object();
  return std::move(out).take();
}

Result<std::optional<AciEncryption>, ApiError> AciEncryption::from_headers(
    const AciEncryptionHeaders& headers, const AciKeys& keys, std::int64_t now_s) {
  if (headers.signing_algo) return std::nullopt;
  if (!headers.version && !headers.nonce && !headers.timestamp) return std::nullopt;
  if (const auto error = header_error(headers, now_s)) return failure(*error);
  AciEncryption out;
  out.nonce_ = *headers.nonce;
  out.timestamp_ = *parse_seconds(*headers.timestamp);
  if (!out.choose_key(*headers.model_public_key, keys)) {
    return failure(
        refusal("e2ee_model_key_mismatch", "X-Model-Pub-Key is not a key of the keyset"));
  }
  if (!out.read_client(*headers.client_public_key)) {
    return failure(
        refusal("e2ee_invalid_public_key", "X-Client-Pub-Key is not a key of the suite"));
  }
  return out;
}

bool AciEncryption::choose_key(std::string_view model_key, const AciKeys& keys) {
  auto named = read_key(model_key);
  if (!named) return false;
  const ByteSpan x25519 = keys.x25519().public_key().bytes;
  const ByteSpan secp256k1 = keys.secp256k1().public_key().bytes;
  if (std::ranges::equal(*named, x25519)) {
    algorithm_ = kAciX25519;
  } else if (std::ranges::equal(*named, secp256k1)) {
    algorithm_ = kAciSecp256k1;
  } else {
    return false;
  }
  service_key_ = *std::move(named);
  return true;
}

bool AciEncryption::read_client(std::string_view hex) {
  const auto bytes = read_key(hex);
  if (!bytes) return false;
  if (algorithm_ == kAciX25519) {
    const auto key = X25519PublicKey::from(*bytes);
    if (key) client_ = *key;
    return key.has_value();
  }
  const auto key = EcdsaPublicKey::from(*bytes);
  if (!key || !is_point(*key)) return false;
  client_ = *key;
  return true;
}

Digest AciEncryption::replay_id() const {
  const ByteSpan client = std::visit([](const auto& key) { return ByteSpan(key.bytes); }, client_);
  // Sizes are those of the suite, so parts can't be shifted.
  return Sha256().update(client).update(service_key_).update(ascii_lower(nonce_)).finish();
}

std::optional<Bytes> AciEncryption::open(std::string_view aad, ByteSpan sealed,
                                         const AciKeys& keys) const {
  if (algorithm_ == kAciX25519) {
    return open_box({BoxCipher::AesGcm, kX25519Info}, keys.x25519(), as_bytes(aad), sealed);
  }
  return open_ecdsa_box(kSecp256k1Info, keys.secp256k1(), as_bytes(aad), sealed);
}

std::optional<Bytes> AciEncryption::seal(std::string_view aad, std::string_view text,
                                         Rng& rng) const {
  if (const auto* key = std::get_if<X25519PublicKey>(&client_)) {
    return seal_box({BoxCipher::AesGcm, kX25519Info}, *key, as_bytes(aad), as_bytes(text), rng);
  }
  return seal_ecdsa_box(kSecp256k1Info, std::get<EcdsaPublicKey>(client_), as_bytes(aad),
                        as_bytes(text), rng);
}

Result<std::string, ApiError> AciEncryption::decrypt_request(Endpoint endpoint,
                                                             std::string_view body,
                                                             const AciKeys& keys) {
  const auto places = places_of(endpoint);
  if (!places) {
    return failure(refusal("e2ee_unsupported_endpoint", "The endpoint has no encrypted fields"));
  }
  const ApiError failed = refusal("e2ee_decryption_failed", "Decryption failed");
  const auto document = parse_fields_body(body);
  if (!document) return failure(failed);
  const auto model = document->find_string("model");
  if (!model || model->size() > kModelBytesMax) {
    return failure(refusal("e2ee_invalid_payload_model", "model is missing or not a string"));
  }
  std::size_t count = 0;
  auto out = change_fields(
      *document, places->request,
      [&](JsonWriter& writer, std::string_view path, const Json& value, FieldForm form) {
        if (value.string()->empty()) {
          writer.value(value);
          return true;
        }
        const std::string aad =
            field_aad({algorithm_, *model, path, nonce_, timestamp_, std::nullopt});
        const auto sealed = decode_hex(*value.string());
        const auto text = sealed ? open(aad, *sealed, keys) : std::nullopt;
        ++count;
        return text && write_field(writer, as_text(*text), form);
      });
  if (!out || count == 0) return failure(failed);
  model_ = *model;
  return *std::move(out);
}

Result<std::string, ApiError> AciEncryption::encrypt_response(Endpoint endpoint,
                                                              std::string_view body,
                                                              Rng& rng) const {
  CHECK(model_.has_value());
  const ApiError failed{500, "server_error", "Encryption failed"};
  const auto places = places_of(endpoint);
  const auto document = parse_fields_body(body);
  if (!places || !document) return failure(failed);
  const std::string_view id = document->find_string("id").value_or("");
  auto out = change_fields(
      *document, places->response,
      [&](JsonWriter& writer, std::string_view path, const Json& value, FieldForm form) {
        const auto text = field_text(value, form);
        if (!text) {
          writer.value(value);
          return true;
        }
        const auto sealed =
            seal(field_aad({algorithm_, *model_, path, nonce_, timestamp_, id}), *text, rng);
        if (sealed) writer.string(encode_hex(*sealed));
        return sealed.has_value();
      });
  if (!out) return failure(failed);
  return *std::move(out);
}

bool AciReplays::admit(const Digest& id, std::int64_t timestamp, std::int64_t now_s) {
  forgotten_before_ = std::max(forgotten_before_, now_s - kAciWindowSeconds);
  while (!by_time_.empty() && by_time_.begin()->first < forgotten_before_) {
    seen_.erase(by_time_.begin()->second);
    by_time_.erase(by_time_.begin());
  }
  if (!is_in_aci_window(timestamp, now_s) || timestamp < forgotten_before_ ||
      seen_.size() >= count_max_) {
    return false;
  }
  if (!seen_.insert(id).second) return false;
  by_time_.emplace(timestamp, id);
  return true;
}

}  // namespace nostril::face
