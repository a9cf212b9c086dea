#pragma once

#include "attestation/checklist.h"
#include "attestation/statement.h"
#include "attestation/x509.h"
#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Answers of an OCSP responder (RFC 6960): whether certificates were revoked. Fetching them is not
/// done here, but what to ask is. Strict DER; of what the RFC leaves open, only what follows is
/// taken:
///
///   successful, id-pkix-ocsp-basic, version 1; responder named or by the SHA-1 of its key
///   certIDs by SHA-1, SHA-256 or SHA-384; nextUpdate present; no critical extension
///   signed by the issuer of the certificate, or by a responder whose certificate is in the answer,
///   was issued by that very issuer, is valid now, no CA, and has id-kp-OCSPSigning
///   keys and signatures as certificate_key.h reads them
namespace nostril::attestation {

inline constexpr std::size_t kOcspBytesMax = 64U << 10U;
/// Certificates that one answer speaks of.
inline constexpr std::size_t kOcspStatusCountMax = 16;

enum class OcspError : std::uint8_t {
  Malformed,
  NotSuccessful,   ///< the responder says that it has no answer
  NoAnswer,        ///< none about this certificate
  WrongResponder,  ///< neither the issuer nor a responder that it made one
  BadSignature,
  NotYetValid,
  Expired,
  WrongNonce,
  Revoked,  ///< also on hold
  Unknown,  ///< the responder does not know the certificate
};

std::string_view to_string(OcspError error);

/// What an answer says of one certificate. Borrows from the answer.
struct OcspStatus {
  enum class Word : std::uint8_t { Good, Revoked, Unknown };

  ByteSpan hash;  ///< of which algorithm: content of the OID
  ByteSpan issuer_name_hash;
  ByteSpan issuer_key_hash;
  ByteSpan serial;
  Word word = Word::Unknown;
  std::optional<std::uint32_t> reason;  ///< of the revocation: 6 is "on hold"
  UnixTime this_update = 0;
  UnixTime next_update = 0;
};

/// An answer taken apart, nothing of it verified. Borrows from the bytes.
struct OcspAnswer {
  ByteSpan responder_name;  ///< a Name with tag and length; empty when it is named by its key
  ByteSpan responder_key_hash;
  UnixTime produced_at = 0;
  std::vector<OcspStatus> statuses;
  std::optional<ByteSpan> nonce;
  ByteSpan signed_part;
  std::optional<SignatureKind> signature_kind;  ///< nothing: none that is taken here
  ByteSpan signature;
  std::vector<ByteSpan> certificates;
};

Result<OcspAnswer, OcspError> parse_ocsp(ByteSpan answer);

/// The request (DER, for POST as application/ocsp-request) about one certificate: certID by
/// SHA-384, no nonce, so that the answer may be kept.
Bytes ocsp_request(const Certificate& certificate, const Certificate& issuer);

/// What `answer` says of `certificate`, which `issuer` issued: until when it is good. `nonce`, when
/// it is not empty, must be the answer's. Bounds of time are inclusive.
/// Pure; any thread. One signature, or two with a responder.
Result<UnixTime, OcspError> judge_ocsp(const OcspAnswer& answer, const Certificate& certificate,
                                       const Certificate& issuer, UnixTime now, ByteSpan nonce,
                                       ChainCache& cache);

/// The answers of one verdict: each certificate is judged once, however many chains it is in.
/// Threads: one. Borrows answers and nonce.
class OcspAnswers {
 public:
  /// `nonce` as for judge_ocsp().
  OcspAnswers(std::span<const Bytes> answers, UnixTime now, ByteSpan nonce);

  [[nodiscard]] std::size_t count() const { return answers_.size() + unreadable_count_; }

  /// Files that are no answers.
  [[nodiscard]] std::size_t unreadable_count() const { return unreadable_count_; }

  /// By all answers about the certificate: one sound "revoked" is the last word, then one sound
  /// "good"; else the first error. NoAnswer when none speaks of it.
  Result<UnixTime, OcspError> judge(const Certificate& certificate, const Certificate& issuer,
                                    ChainCache& cache);

 private:
  [[nodiscard]] Result<UnixTime, OcspError> ask_all(const Certificate& certificate,
                                                    const Certificate& issuer,
                                                    ChainCache& cache) const;

  const UnixTime now_;
  const ByteSpan nonce_;
  std::map<std::pair<Bytes, Bytes>, Result<UnixTime, OcspError>> judged_;  ///< by both certificates
  std::vector<OcspAnswer> answers_;
  std::size_t unreadable_count_ = 0;
};

/// What the answers say of the certificates of several chains.
struct OcspFindings {
  std::size_t good_count = 0;
  UnixTime valid_until = kForever;
  std::string refusal;  ///< a certificate and why it is refused; empty: none is
  std::string missing;  ///< a certificate that no answer speaks of; empty: none

  /// Those of `chain`, leaf first, from index `first` on, but for the root.
  void add(std::span<const Certificate> chain, std::size_t first, OcspAnswers& answers,
           ChainCache& cache);

  /// Into `check`, which stays not checked where an answer is missing and none refuses. True when
  /// every certificate is good.
  bool record(Checklist& checks, std::string_view check) const;
};

}  // namespace nostril::attestation
