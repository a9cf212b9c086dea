#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/hpke.h"
#include "schnorr/x25519.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

/// Oblivious HTTP (RFC 9458), the gateway's side, as NEAR AI Cloud serves it: whole requests inside
/// of HPKE (schnorr/hpke.h), so that a relay before the node sees neither path nor header, and the
/// node no client's address. Inside is binary HTTP (binary_http.h).
///
///   request    key id (1), KEM (2), KDF (2), AEAD (2), enc (32), sealed message
///   response   nonce (16 or 32, as the AEAD's key), sealed message
///
/// In the chunked form (draft-ietf-ohai-chunked-ohttp) the message is sealed in parts, each behind
/// its size as a QUIC number; the last has the size 0, reaches to the end and the AAD "final".
/// Nothing says that a request is new: as with EHBP (ehbp.h) that is for what carries it, or for
/// credentials inside.
namespace nostril::face {

inline constexpr std::string_view kOhttpPath = "/ohttp";
inline constexpr std::string_view kOhttpKeysPath = "/.well-known/ohttp-gateway";
inline constexpr std::string_view kOhttpKeysOtherPath = "/v1/ohttp/config";
inline constexpr std::string_view kOhttpKeysType = "application/ohttp-keys";
inline constexpr std::string_view kOhttpProblemType = "application/problem+json";

enum class OhttpForm : std::uint8_t { Whole, Chunked };
/// "message/ohttp-req", "message/ohttp-res" and their chunked twins.
[[nodiscard]] std::string_view request_type(OhttpForm form);
[[nodiscard]] std::string_view response_type(OhttpForm form);

enum class OhttpError : std::uint8_t {
  Malformed,   ///< 400
  UnknownKey,  ///< another key id, suite or key: clients fetch the configuration again; 400
};
[[nodiscard]] std::string_view to_string(OhttpError error);
/// RFC 9458 5.3: the body that tells a client of UnknownKey.
[[nodiscard]] std::string ohttp_problem_json();

/// The key configuration: id 1, AES-128-GCM first, AES-256-GCM. 45 bytes, without the size that RFC
/// 9458 puts before each: the clients of this API read none.
[[nodiscard]] std::string ohttp_key_config(const X25519PublicKey& key);

/// Seals the answer to one request. Threads: one object, one thread.
class OhttpResponse {
 public:
  static constexpr std::size_t kChunkBytesMax = 16U << 10;  ///< of plaintext, by the draft

  OhttpResponse(GcmSequence messages, std::string nonce)
      : messages_(std::move(messages)), nonce_(std::move(nonce)) {}

  /// Whole form: the body. Once.
  [[nodiscard]] std::string seal(std::string_view message);

  /// Chunked form: the body begins with this,
  [[nodiscard]] const std::string& nonce() const { return nonce_; }

  /// goes on with parts as they come,
  void seal_part(std::string_view part, std::string& out);
  /// and is whole only with its last. Once.
  void seal_end(std::string& out);

 private:
  GcmSequence messages_;
  std::string nonce_;
};

struct OhttpOpened {
  std::string message;
  OhttpResponse response;
};

[[nodiscard]] Result<OhttpOpened, OhttpError> open_ohttp(const X25519Key& key, OhttpForm form,
                                                         std::string_view body, Rng& rng);

}  // namespace nostril::face
