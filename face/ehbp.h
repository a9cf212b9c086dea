#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/hpke.h"
#include "schnorr/x25519.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// The Encrypted HTTP Body Protocol of Tinfoil, the server's side: HPKE (schnorr/hpke.h) under
/// unchanged HTTP. Headers stay in the clear. Bodies of both directions are frames
///
///   | 4 bytes, big-endian  | that many bytes                              |
///   | size of the rest     | AES-256-GCM ciphertext and tag, no AAD       |
///
/// An empty frame (size 0) is passed over; the body ends with HTTP's. A request without body is
/// plain HTTP and is answered so: then its key header proves nothing.
namespace nostril::face {

inline constexpr std::string_view kEhbpKeysPath = "/.well-known/hpke-keys";
inline constexpr std::string_view kEhbpKeysType = "application/ohttp-keys";
inline constexpr std::string_view kEhbpKeyHeader = "Ehbp-Encapsulated-Key";
inline constexpr std::string_view kEhbpNonceHeader = "Ehbp-Response-Nonce";
inline constexpr std::string_view kEhbpProblemType = "application/problem+json";

enum class EhbpError : std::uint8_t {
  BadKeyHeader,   ///< not 64 lowercase hex digits, or a key of small order: 400
  KeyMismatch,    ///< the first frame does not open: most often a key of before a restart: 422
  BadFrame,       ///< a size that no frame has, or the body ends inside of one: 400
  FrameTooLarge,  ///< 413
  BadTag,         ///< a later frame does not open: 400
  NoFrame,        ///< nothing proved that the key header is the client's: 400
};
/// What the peer is told; it names no cause beyond the status.
std::string_view to_string(EhbpError error);
[[nodiscard]] int http_status(EhbpError error);

/// The key configuration document: one config of RFC 9458 section 3.1, key id 0, one suite; 41
/// bytes, without the size that RFC 9458 puts before each (the protocol's clients read none).
[[nodiscard]] std::string ehbp_key_config(const X25519PublicKey& key);

/// The 422 answer to KeyMismatch: clients fetch the keys again and repeat the request.
[[nodiscard]] std::string ehbp_problem_json();

/// Encrypts the body of one answer. Threads: one object, one thread.
class EhbpResponse {
 public:
  EhbpResponse(GcmSequence frames, std::string nonce)
      : frames_(std::move(frames)), nonce_(std::move(nonce)) {}

  /// The value of Ehbp-Response-Nonce.
  [[nodiscard]] const std::string& nonce() const { return nonce_; }

  /// Appends frames with this part of the body; nothing for an empty part.
  void seal(std::string_view part, std::string& out);

 private:
  GcmSequence frames_;
  std::string nonce_;
};

/// Decrypts the body of one request as it comes. Each part is authentic when it is handed out; the
/// whole is only after finish(). After an error: of no more use. Threads: one object, one thread.
class EhbpRequest {
 public:
  static constexpr std::size_t kFrameBytesMax = 16U << 20;

  /// `key_header`: the value of Ehbp-Encapsulated-Key. A request with two of them is the caller's
  /// to refuse. `frame_bytes_max`: memory is used as bytes come, up to this.
  [[nodiscard]] static Result<EhbpRequest, EhbpError> begin(
      const X25519Key& key, std::string_view key_header,
      std::size_t frame_bytes_max = kFrameBytesMax);

  /// Appends the plaintext of the frames that these bytes complete.
  [[nodiscard]] Result<void, EhbpError> feed(std::string_view bytes, std::string& out);
  /// The end of the body.
  [[nodiscard]] Result<void, EhbpError> finish() const;

  /// The answer's encryption; after finish() (CHECK: one frame at least was the client's).
  [[nodiscard]] EhbpResponse answer(Rng& rng) const;

 private:
  EhbpRequest(HpkeContext context, const X25519PublicKey& enc, std::size_t frame_bytes_max)
      : context_(std::move(context)), enc_(enc), frame_bytes_max_(frame_bytes_max) {}

  /// Takes frames off the front of `partial_`.
  [[nodiscard]] Result<bool, EhbpError> take_frame(std::string& out);

  HpkeContext context_;
  X25519PublicKey enc_;
  std::size_t frame_bytes_max_;
  std::string partial_;  ///< of one frame: its size and what came of it
  std::size_t opened_ = 0;
};

}  // namespace nostril::face
